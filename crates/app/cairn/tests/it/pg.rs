//! `cairn pg` on a small cluster with a past.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use cairn_testkit::postgres::{Cluster, Programs, run};
use cairn_testkit::store::{Kind, Server};

use crate::documented;
use crate::lab::Lab;

/// A cluster that wrote images beside its records; its `pg_wal` is the archive.
fn past(lab: &Lab) -> (Programs, String) {
    let programs = Programs::find().unwrap();
    // Servers run as another user.
    for above in lab.path("pg").ancestors().skip(1).take(2) {
        if above != Path::new("/tmp") {
            std::fs::set_permissions(above, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    programs.directory(&lab.path("pg")).unwrap();
    let (data, base) = (lab.path("pg/data"), lab.path("pg/base"));
    let cluster = Cluster::init(&programs, &data, &["-N", "--wal-segsize=1"]).unwrap();
    cluster
        .configure("fsync = off\nwal_consistency_checking = 'all'\nwal_keep_size = 1GB\n")
        .unwrap();
    run(Command::new("cp").arg("-a").arg(&data).arg(&base)).unwrap();
    cluster.start().unwrap();
    let sql = "create table t as select i from generate_series(1, 1000) i; create index on t (i)";
    cluster.sql("postgres", sql).unwrap();
    let at = cluster.sql("postgres", "select pg_current_wal_flush_lsn()").unwrap();
    cluster.sql("postgres", "delete from t").unwrap();
    cluster.stop("fast").unwrap();
    (programs, at)
}

#[test]
fn a_log_is_read_checked_and_started_from() {
    let lab = Lab::new();
    let (programs, at) = past(&lab);
    let verify = &lab.json("pg verify --base pg/base --wal pg/data/pg_wal")[0];
    documented::check("pg verify", verify);
    assert!(verify["checked"].as_u64().unwrap() > 1000, "{verify}");
    assert_eq!(verify["mismatches"], 0);

    let inspect = &lab.json("pg inspect --wal pg/data/pg_wal --rmgr heap --records --limit 3")[0];
    documented::check("pg inspect", inspect);
    assert_eq!(inspect["records"].as_array().unwrap().len(), 3);
    assert!(lab.ok("pg inspect --wal pg/data/pg_wal").contains("Heap/INSERT"));
    assert!(lab.ok("pg inspect --wal pg/data/pg_wal --page 5/1259:0").contains("1663/5/1259"));
    // The same archive by the address of a bucket.
    let remote = format!("file://{}", lab.path("pg/data/pg_wal").display());
    assert!(lab.ok(&format!("pg inspect --wal {remote}")).contains("Heap/INSERT"));
    assert!(!lab.path("pg/data/pg_wal/.cairn-bucket").exists());
    from_an_object_store(&lab, &at);

    let started = format!("pg start --base pg/base --wal pg/data/pg_wal --out pg/then --at {at}");
    let start = &lab.json(&started)[0];
    documented::check("pg start", start);
    let cluster = Cluster { programs, data: lab.path("pg/then") };
    let seen = cluster.sql("postgres", "select count(*) from t");
    cluster.stop("immediate").unwrap();
    assert_eq!(seen.unwrap(), "1000");
    // It is there now, and stays as it is.
    assert!(lab.fails(&started, 2).contains("not empty"));
}

/// The same archive on an S3 server, which keeps objects as files.
fn from_an_object_store(lab: &Lab, at: &str) {
    let server = Server::start(Kind::Versitygw).unwrap();
    let remote = Lab::on(&server, "wal");
    std::fs::create_dir_all(remote.bucket()).unwrap();
    for entry in std::fs::read_dir(lab.path("pg/data/pg_wal")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), remote.bucket().join(entry.file_name())).unwrap();
        }
    }
    let (base, url) = (lab.path("pg/base").display().to_string(), server.url("wal"));
    let start = format!("pg start --base {base} --wal {url} --out then --no-start --at {at}");
    let made = &remote.json(&start)[0];
    documented::check("pg start", made);
    assert_eq!(made["restored"]["at"], at);
    // A server that is gone is told from a bug.
    drop(server);
    remote.fails(&format!("pg inspect --wal {url}"), 6);
}

#[test]
fn wrong_words_change_nothing() {
    let lab = Lab::new();
    lab.write("wal/readme", "no segment");
    let say = |words: &str, code: i32| lab.fails(words, code);
    assert!(say("pg inspect --wal wal", 3).contains("no segment"));
    assert!(say("pg inspect --wal nowhere", 3).contains("nowhere"));
    assert!(say("pg inspect --wal wal --page x", 2).contains("DATABASE/RELATION"));
    assert!(say("pg inspect --wal wal --rmgr x", 2).contains("Btree"));
    let start = "pg start --base wal --wal wal --out out --no-start";
    assert!(say(&format!("{start} --at never"), 2).contains("neither an LSN"));
    lab.write("bin/postgres", "#!/bin/sh\necho 'postgres (PostgreSQL) 15.99'\n");
    let program = lab.path("bin/postgres");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let other = say("pg start --base wal --wal wal --out out --bin bin", 2);
    assert!(other.contains("15.99") && other.contains("--uncertified"), "{other}");
    assert!(say("pg start --base wal --wal wal --out out --bin wal", 3).contains("apt-get"));
    assert!(!lab.path("out").exists());
}
