use std::fs;
use std::path::Path;

use cairn_databases::{Archive, Role, Target, restore};
use cairn_pgwal::Lsn;
use cairn_testkit::postgres::run;

use crate::lab::LAB;

fn lsn(text: &str) -> Target {
    Target::Lsn(text.parse::<Lsn>().unwrap())
}

fn copy_archive(name: &str) -> std::path::PathBuf {
    let to = LAB.out(name);
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(&LAB.archive).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    to
}

#[test]
fn a_server_starts_at_every_moment_and_sees_what_was_there() {
    for (number, mark) in LAB.marks.iter().enumerate() {
        let options = LAB.options(&format!("moment-{number}"), lsn(&mark.at));
        let restored = LAB.restore(&options).unwrap();
        assert_eq!((restored.timeline, restored.from_timeline), (2, 1));
        assert_eq!(LAB.look(&options.out), mark.seen, "moment {number}");
    }
}

#[test]
fn a_moment_may_be_a_time() {
    // What comes next deletes.
    let mark = &LAB.marks[0];
    let options = LAB.options("time", Target::Time(mark.time));
    LAB.restore(&options).unwrap();
    assert_eq!(LAB.look(&options.out), mark.seen);
    let future = LAB.options("future", Target::Time(i64::MAX));
    let error = LAB.restore(&future).unwrap_err().to_string();
    assert!(error.contains("the log ends"), "{error}");
}

#[test]
fn a_hot_standby_starts_at_a_moment() {
    let mark = &LAB.marks[4];
    let options = LAB.options("standby", lsn(&mark.at));
    let options = cairn_databases::RestoreOptions { role: Role::Standby(None), ..options };
    assert_eq!(LAB.restore(&options).unwrap().timeline, 1);
    let (cluster, _) = LAB.start(&options.out);
    let recovers = cluster.sql("postgres", "select pg_is_in_recovery()");
    let refused = cluster.sql("postgres", "create table x ()");
    let seen =
        cluster.sql("postgres", "select (select count(*) from t) + (select count(*) from p)");
    cluster.stop("immediate").unwrap();
    assert_eq!(recovers.unwrap(), "t");
    assert_eq!(seen.unwrap(), mark.seen.split('|').next().unwrap());
    assert!(refused.is_err());
}

/// A backup of a running server: pages of many moments, put right by the log.
#[test]
fn a_backup_of_a_running_server_will_do() {
    let mark = LAB.marks.last().unwrap();
    let options = LAB.options("from-backup", lsn(&mark.at));
    let options = cairn_databases::RestoreOptions { base: LAB.backup.clone(), ..options };
    LAB.restore(&options).unwrap();
    assert_eq!(LAB.look(&options.out), mark.seen);
}

/// PostgreSQL's own program finds every page's checksum right.
#[test]
fn pages_have_their_checksums() {
    let options = LAB.options("checksums", Target::End);
    LAB.restore(&options).unwrap();
    let (cluster, _) = LAB.start(&options.out);
    cluster.stop("fast").unwrap();
    let mut command = LAB.programs.command("pg_checksums");
    let found = run(command.args(["--check", "-D"]).arg(&options.out)).unwrap();
    assert!(found.contains("Bad checksums:  0"), "{found}");
}

/// RESTORE-1: the copy is of later, the log ends before, the backup had not ended, a segment is gone.
#[test]
fn restore_1_only_states_that_the_cluster_had() {
    let refused = |name: &str, base: &Path, target: Target, says: &str| {
        let options = LAB.options(name, target);
        let options = cairn_databases::RestoreOptions { base: base.to_path_buf(), ..options };
        let error = LAB.restore(&options).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert!(!options.out.exists(), "{name}");
    };
    refused("early", &LAB.base, lsn("0/1"), "or later");
    refused("late", &LAB.base, lsn("FF/0"), "the log ends at");
    // The backup was taken behind the third step, and ended later.
    refused("backup", &LAB.backup, lsn(&LAB.marks[2].at), "is whole when that ended");
    refused("none", &LAB.archive, Target::End, "no data directory");

    let archive = copy_archive("gap");
    let archived = Archive::open(&archive).unwrap();
    let middle = LAB.marks[4].at.parse::<Lsn>().unwrap().0 / archived.segment_bytes();
    fs::remove_file(archive.join(archived.segment(middle).unwrap())).unwrap();
    let options = LAB.options("gap-out", lsn(&LAB.marks[6].at));
    let error = restore(&Archive::open(&archive).unwrap(), &options, &|_| ()).unwrap_err();
    assert!(error.to_string().contains("the log ends at"), "{error}");
}

/// RESTORE-2: a restore that met a damaged record.
#[test]
fn restore_2_a_directory_that_is_not_finished_starts_no_server() {
    let archive = copy_archive("damaged");
    let archived = Archive::open(&archive).unwrap();
    let last = LAB.marks.last().unwrap().at.parse::<Lsn>().unwrap();
    let name = archive.join(archived.segment(last.0 / archived.segment_bytes()).unwrap());
    let mut bytes = fs::read(&name).unwrap();
    let at = usize::try_from(last.0 % archived.segment_bytes()).unwrap();
    bytes[at - 12] ^= 1;
    fs::write(&name, bytes).unwrap();
    let options = LAB.options("unfinished", Target::End);
    // It was there, so it is left there.
    fs::create_dir(&options.out).unwrap();
    let error = restore(&archived, &options, &|_| ()).unwrap_err().to_string();
    assert!(error.contains("CRC"), "{error}");
    assert!(options.out.join("PG_VERSION").exists());
    assert!(!options.out.join("global/pg_control").exists());
    // And it is not written into again.
    let error = LAB.restore(&options).unwrap_err().to_string();
    assert!(error.contains("not empty"), "{error}");
}
