//! The machine that figures were made on.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

/// How often the probe syncs.
const SYNCS: u32 = 100;

/// One paragraph: processor, cores, memory, kernel, disk, and how busy it was.
pub(crate) fn describe(disk: &Path) -> Result<String> {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo")?;
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism()?;
    let meminfo = std::fs::read_to_string("/proc/meminfo")?;
    let memory: u64 = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or_default();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load: Vec<&str> = load.split(' ').take(3).collect();
    Ok(format!(
        "{} × {}, {:.0} GiB, Linux {}, {}; {:.2} ms for a write of 4 KiB with fsync. \
         Load average at the start: {}.",
        cores,
        model.unwrap_or("unknown processor").trim(),
        memory as f64 / f64::from(1 << 20),
        kernel.trim(),
        filesystem(disk)?,
        fsync_ms(disk)?,
        load.join(" "),
    ))
}

/// The type of the filesystem that a directory is on.
fn filesystem(dir: &Path) -> Result<String> {
    let dir = dir.canonicalize()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let on = fields.filter(|fields| fields.len() > 2 && dir.starts_with(fields[1]));
    let longest = on.max_by_key(|fields| fields[1].len());
    Ok(longest.map_or("unknown filesystem".to_owned(), |fields| fields[2].to_owned()))
}

/// The usual time of a small write that is made durable.
fn fsync_ms(dir: &Path) -> Result<f64> {
    let path = dir.join("fsync-probe");
    let mut file = File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_all()?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    std::fs::remove_file(path)?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
