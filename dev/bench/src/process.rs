//! Processes that are measured: time, memory and CPU from the kernel's own account of them.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use wait4::Wait4 as _;

/// What a process took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// User and system, of it and the processes it waited for.
    pub(crate) cpu: Duration,
    pub(crate) rss_max: u64,
}

/// Runs it, insists on success, and throws its output away unless it fails.
pub(crate) fn measure(command: &mut Command) -> Result<Cost> {
    measure_watched(command, &mut |_| ())
}

/// As [`measure`], and calls `watch` with its process id all the time in between.
pub(crate) fn measure_watched(command: &mut Command, watch: &mut dyn FnMut(u32)) -> Result<Cost> {
    // What others left to be written would be paid for by whoever syncs next.
    output(&mut Command::new("sync"))?;
    let log = std::env::temp_dir().join(format!("cairn-bench.{}.log", std::process::id()));
    let out = File::create(&log)?;
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("{command:?} cannot be started"))?;
    let (pid, done) = (child.id(), AtomicBool::new(false));
    let (used, wall) = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let used = child.wait4();
            let wall = start.elapsed();
            done.store(true, Ordering::Release);
            (used, wall)
        });
        while !done.load(Ordering::Acquire) && !waiter.is_finished() {
            watch(pid);
            std::thread::park_timeout(Duration::from_millis(1));
        }
        waiter.join().expect("waiting does not panic")
    });
    let used = used?;
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    std::fs::remove_file(&log)?;
    if !used.status.success() {
        bail!("{command:?} failed with {}:\n{said}", used.status);
    }
    let cpu = used.rusage.utime + used.rusage.stime;
    Ok(Cost { wall, cpu, rss_max: used.rusage.maxrss })
}

/// Runs it and returns what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?} cannot be started"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A number of `/proc/PID/status`, in bytes; `None` once the process is gone.
pub(crate) fn status_bytes(pid: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// Clock ticks a second, as `/proc` counts them on Linux.
const TICKS: f64 = 100.0;

/// CPU time of a process that runs, user and system, of all its threads; to a hundredth of a second.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; what follows it begins with the state.
    let (_, rest) = stat.rsplit_once(')').context("/proc says nothing of the process")?;
    let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    let ticks: f64 = ticks.sum::<std::result::Result<f64, _>>()?;
    Ok(Duration::from_secs_f64(ticks / TICKS))
}

/// Forgets what the page cache holds. `false` where that needs more rights.
pub(crate) fn drop_caches() -> Result<bool> {
    output(&mut Command::new("sync"))?;
    Ok(std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok())
}

/// Reads all files once, so that they are in the page cache.
pub(crate) fn warm(dir: &Path) -> Result<()> {
    for file in crate::disk::files(dir)? {
        std::io::copy(&mut File::open(file)?, &mut std::io::sink())?;
    }
    Ok(())
}
