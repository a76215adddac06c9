//! What a worker cannot do any more.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Command;
use std::sync::Arc;

use cairn_wasm::{Failure, Limits};
use rustix::process::{Pid, Signal, getppid, kill_process};
use seccompiler::{SeccompAction, SeccompFilter, TargetArch};

use crate::lab::{Ground, code, get, hello, workers};

const PROBED: &str = "PROBED_AS_A_WORKER";

/// What was tried, and what came of it.
fn tried(parent: Pid) -> Vec<(&'static str, std::io::Result<()>)> {
    let me = rustix::process::getpid();
    let path = std::env::temp_dir();
    let path = path.join("cairn-worker-was-here");
    vec![
        ("read a file", std::fs::read("/etc/passwd").map(drop)),
        ("read what it runs", std::fs::read("/proc/self/exe").map(drop)),
        ("read its own memory", std::fs::File::open("/proc/self/mem").map(drop)),
        ("list a folder", std::fs::read_dir("/").map(drop)),
        ("look at a file", std::fs::metadata("/etc/passwd").map(drop)),
        ("write a file", std::fs::write(&path, "x")),
        ("make a folder", std::fs::create_dir(&path)),
        ("remove a file", std::fs::remove_file("/etc/passwd")),
        ("go to a folder", std::env::set_current_dir("/tmp")),
        ("connect", TcpStream::connect("127.0.0.1:1").map(drop)),
        ("listen", TcpListener::bind("127.0.0.1:0").map(drop)),
        ("send datagrams", UdpSocket::bind("127.0.0.1:0").map(drop)),
        ("connect to a socket with a path", UnixStream::connect("/run/x").map(drop)),
        ("have a socket", UnixDatagram::unbound().map(drop)),
        ("start a program", Command::new("/bin/true").spawn().map(drop)),
        ("become a program", exec()),
        ("end its parent", Ok(kill_process(parent, Signal::TERM)).and_then(|e| Ok(e?))),
        ("end itself by kill", Ok(kill_process(me, Signal::CONT)).and_then(|e| Ok(e?))),
        ("watch a process", watched(parent)),
        ("get more files", more_files()),
        ("have a namespace", Ok(namespace()).and_then(|e| Ok(e?))),
        ("be dumpable", Ok(dumpable()).and_then(|e| Ok(e?))),
    ]
}

fn exec() -> std::io::Result<()> {
    use std::os::unix::process::CommandExt as _;
    Err(Command::new("/bin/true").exec())
}

fn watched(parent: Pid) -> std::io::Result<()> {
    Ok(rustix::process::pidfd_open(parent, rustix::process::PidfdFlags::empty()).map(drop)?)
}

fn more_files() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(10), maximum: Some(10) })?)
}

#[allow(unsafe_code, reason = "it is what a hostile program would do")]
fn namespace() -> rustix::io::Result<()> {
    // SAFETY: it has one thread, and is refused.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWUSER) }
}

fn dumpable() -> rustix::io::Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)
}

/// WORKER-1: a process that is confined can open no file and no socket, start no program and reach no other process; it
/// can compute. It runs itself again to see that.
#[test]
fn worker_1_a_confined_process_reaches_nothing() {
    if std::env::var_os(PROBED).is_some() {
        let parent = getppid().unwrap();
        cairn_worker::confine().unwrap();
        let mut out = std::io::stdout().lock();
        for (what, came) in tried(parent) {
            let refused = came.err().map(|error| error.kind());
            writeln!(out, "\n{what}: {refused:?}").unwrap();
        }
        let sum = std::thread::spawn(|| (1..=10).sum::<u64>()).join().unwrap();
        writeln!(out, "\ncompute: {sum}").unwrap();
        out.flush().unwrap();
        return;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    let name = "confined::worker_1_a_confined_process_reaches_nothing";
    again.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(PROBED, "yes");
    let done = again.output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let all: BTreeMap<_, _> = said.lines().filter_map(|line| line.split_once(": ")).collect();
    let denied = format!("Some({:?})", ErrorKind::PermissionDenied);
    assert_eq!(
        all.get("compute"),
        Some(&"55"),
        "{said}\n{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let names = [
        "read a file",
        "read what it runs",
        "read its own memory",
        "list a folder",
        "look at a file",
        "write a file",
        "make a folder",
        "remove a file",
        "go to a folder",
        "connect",
        "listen",
        "send datagrams",
        "connect to a socket with a path",
        "have a socket",
        "start a program",
        "become a program",
        "end its parent",
        "end itself by kill",
        "watch a process",
        "get more files",
        "have a namespace",
        "be dumpable",
    ];
    for name in names {
        assert_eq!(all.get(name), Some(&denied.as_str()), "{name}: {said}");
    }
    assert!(!std::env::temp_dir().join("cairn-worker-was-here").exists());
}

/// WORKER-1: as the kernel tells of one that runs.
#[tokio::test(flavor = "multi_thread")]
async fn worker_1_a_running_worker_is_confined_and_has_nothing_open() {
    let (workers, code) = (workers(), code(hello()).await);
    let ground = Arc::new(Ground::default());
    let hello = workers.function("main", &code, Limits::default(), ground.world(&[("A", "b")]));
    assert_eq!(get(&hello, "/x").await.unwrap().0, 200);
    let pid = workers.processes()[0].1;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        for expected in ["NoNewPrivs:\t1", "Seccomp:\t2", "Seccomp_filters:\t2"] {
            assert!(status.contains(expected), "{expected}: {status}");
        }
    }
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        // Who is not root cannot look into a process that cannot be dumped.
        return;
    };
    for file in open {
        let what = std::fs::read_link(file.unwrap().path()).unwrap();
        let what = what.to_string_lossy().into_owned();
        let known = ["socket:", "pipe:", "anon_inode:[event", "/memfd:wasm-memory-image"];
        assert!(known.iter().any(|known| what.starts_with(known)), "{what}");
    }
    assert_eq!(std::fs::read(format!("/proc/{pid}/environ")).unwrap(), b"");
}

/// This thread, and all that it starts, without a system call.
fn without(call: libc::c_long, errno: i32) {
    let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let refused = SeccompAction::Errno(errno.unsigned_abs());
    let rules = [(call, Vec::new())].into();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch).unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

/// WORKER-3: where the kernel cannot do what is needed nothing is run, and it is told why.
#[test]
fn worker_3_a_machine_that_cannot_confine_runs_nothing() {
    for (call, errno, why) in [
        (libc::SYS_landlock_create_ruleset, libc::ENOSYS, "Landlock"),
        (libc::SYS_landlock_create_ruleset, libc::EOPNOTSUPP, "Landlock"),
        (libc::SYS_landlock_restrict_self, libc::EPERM, "Landlock"),
        (libc::SYS_seccomp, libc::EINVAL, "seccomp"),
        (libc::SYS_close_range, libc::ENOSYS, "open"),
    ] {
        let asked = std::thread::spawn(move || {
            without(call, errno);
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let workers = workers();
                let ground = Arc::new(Ground::default());
                let code = code(hello()).await;
                let world = ground.world(&[]);
                let hello = workers.function("main", &code, Limits::default(), world);
                (workers.check().await, get(&hello, "/x").await, workers.numbers().workers)
            })
        });
        let (checked, called, workers) = asked.join().unwrap();
        assert_eq!(workers, 0);
        for failed in [checked.unwrap_err(), called.unwrap_err()] {
            let Failure::Isolation { why: told } = &failed else { panic!("{failed}") };
            assert!(told.contains(why), "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_3_this_machine_can() {
    workers().check().await.unwrap();
}
