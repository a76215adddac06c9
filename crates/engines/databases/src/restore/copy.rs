//! Copies of directories, but for what a copy must not have.

use std::fs::{self, File};
use std::path::Path;

use crate::error::Error;

/// Directories whose content is only of a running server, as `pg_basebackup` leaves it out.
const EMPTIED: [&str; 9] = [
    "pg_dynshmem",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_wal",
];
const LEFT_OUT: [&str; 11] = [
    "backup_label",
    "backup_label.old",
    "backup_manifest",
    "current_logfiles",
    "pg_internal.init",
    "postmaster.opts",
    "postmaster.pid",
    "recovery.signal",
    "standby.signal",
    "tablespace_map",
    "tablespace_map.old",
];

/// Copies a data directory, but for what only a running server or a backup has.
pub(super) fn copy_cluster(from: &Path, to: &Path) -> Result<(), Error> {
    copy_directory(from, to, &|below| {
        let name = below.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let emptied = below.parent().and_then(Path::to_str);
        let temporary = name.starts_with("pgsql_tmp") || is_temporary_relation(name);
        !(LEFT_OUT.contains(&name)
            || name.starts_with("pg_internal.init")
            || temporary
            || emptied.is_some_and(|parent| EMPTIED.contains(&parent))
            || emptied == Some("pg_logical/mappings")
            || emptied == Some("pg_logical/snapshots"))
    })
}

/// `t3_16384`: a relation of one session.
fn is_temporary_relation(name: &str) -> bool {
    let parts = name.strip_prefix('t').and_then(|rest| rest.split_once('_'));
    parts.is_some_and(|(session, relation)| {
        !session.is_empty()
            && session.bytes().all(|byte| byte.is_ascii_digit())
            && relation.starts_with(|first: char| first.is_ascii_digit())
    })
}

/// Copies a directory; `wanted` is asked with paths below it.
pub(super) fn copy_directory(
    from: &Path,
    to: &Path,
    wanted: &dyn Fn(&Path) -> bool,
) -> Result<(), Error> {
    copy_below(from, to, Path::new(""), wanted)
}

fn copy_below(
    from: &Path,
    to: &Path,
    below: &Path,
    wanted: &dyn Fn(&Path) -> bool,
) -> Result<(), Error> {
    let (source, target) = (from.join(below), to.join(below));
    let unread = |source_error| Error::Read { path: source.clone(), source: source_error };
    fs::create_dir_all(&target).map_err(|source| Error::Write { path: target.clone(), source })?;
    for entry in fs::read_dir(&source).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let name = below.join(entry.file_name());
        if !wanted(&name) {
            continue;
        }
        let path = entry.path();
        // A link is followed: `pg_wal` may be one.
        let metadata =
            fs::metadata(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        if metadata.is_dir() {
            copy_below(from, to, &name, wanted)?;
        } else if metadata.is_file() {
            copy_file(&path, &to.join(&name))?;
        }
    }
    Ok(())
}

/// Copies a file; where the file system can, the two share their blocks.
fn copy_file(from: &Path, to: &Path) -> Result<(), Error> {
    let source = File::open(from).map_err(|source| Error::Read { path: from.into(), source })?;
    let unwritten = |source| Error::Write { path: to.into(), source };
    let target = File::create(to).map_err(unwritten)?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_ok() {
        return Ok(());
    }
    drop(target);
    fs::copy(from, to).map(drop).map_err(unwritten)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_nothing_of_a_running_server() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let write = |name: &str| {
            let path = from.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        };
        let kept =
            ["PG_VERSION", "base/1/1259", "base/1/1259_fsm", "global/pg_control", "pg_xact/0000"];
        let left = [
            "postmaster.pid",
            "backup_label",
            "base/1/pg_internal.init",
            "base/1/t3_16384",
            "base/pgsql_tmp/pgsql_tmp1.0",
            "pg_wal/000000010000000000000001",
            "pg_replslot/s/state",
        ];
        kept.iter().chain(&left).for_each(|name| write(name));
        copy_cluster(&from, &to).unwrap();
        for name in kept {
            assert_eq!(fs::read_to_string(to.join(name)).unwrap(), name);
        }
        for name in left {
            assert!(!to.join(name).exists(), "{name}");
        }
        assert!(to.join("pg_wal").is_dir() && to.join("pg_replslot").is_dir());
    }
}
