//! Relations that are not in the log: after recovery they are as their init fork says
//! (`storage/file/reinit.c`).

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use crate::error::Error;

/// Empties the unlogged relations of every database.
pub(super) fn reset(directory: &Path) -> Result<(), Error> {
    let base = directory.join("base");
    for entry in read(&base)? {
        let database = base.join(entry);
        if database.is_dir() {
            reset_database(&database)?;
        }
    }
    Ok(())
}

fn reset_database(database: &Path) -> Result<(), Error> {
    let names: Vec<String> =
        read(database)?.into_iter().filter_map(|name| name.into_string().ok()).collect();
    let unlogged: BTreeSet<&str> =
        names.iter().filter_map(|name| name.strip_suffix("_init")).collect();
    let gone = names.iter().filter(|name| {
        let relation = name.split(['_', '.']).next().unwrap_or_default();
        unlogged.contains(relation) && !name.ends_with("_init")
    });
    for name in gone {
        let path = database.join(name);
        fs::remove_file(&path).map_err(|source| Error::Write { path, source })?;
    }
    for relation in unlogged {
        let path = database.join(relation);
        fs::copy(database.join(format!("{relation}_init")), &path)
            .map_err(|source| Error::Write { path, source })?;
    }
    Ok(())
}

fn read(directory: &Path) -> Result<Vec<OsString>, Error> {
    let entries = fs::read_dir(directory).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>()
    });
    entries.map_err(|source| Error::Read { path: directory.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unlogged_relation_is_as_its_init_fork() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("base/5");
        fs::create_dir_all(&database).unwrap();
        for name in ["10", "10.1", "10_vm", "10_fsm", "10_init", "100", "11", "PG_VERSION"] {
            fs::write(database.join(name), name).unwrap();
        }
        reset(dir.path()).unwrap();
        let mut left = read(&database).unwrap();
        left.sort();
        assert_eq!(left, ["10", "100", "10_init", "11", "PG_VERSION"]);
        assert_eq!(fs::read_to_string(database.join("10")).unwrap(), "10_init");
    }
}
