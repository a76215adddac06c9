//! Progress on standard error: only on a terminal, one line, a few times a second.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cairn_datasets::Meter;

use crate::output::bytes;

const INTERVAL: Duration = Duration::from_millis(200);

/// Shows a meter until it is dropped.
pub(crate) struct Progress {
    stop: Arc<AtomicBool>,
    shown: Option<std::thread::JoinHandle<()>>,
}

impl Progress {
    pub(crate) fn start(label: &'static str, meter: &Arc<Meter>, quiet: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        if quiet || !std::io::stderr().is_terminal() {
            return Self { stop, shown: None };
        }
        let (meter, stopped) = (Arc::clone(meter), Arc::clone(&stop));
        let shown = std::thread::spawn(move || {
            let start = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                std::thread::park_timeout(INTERVAL);
                show(&line(label, &meter, start.elapsed()));
            }
            show("");
        });
        Self { stop, shown: Some(shown) }
    }

    /// Counts how much there is to push, beside the push, so that the line says how much is left. Only
    /// where somebody looks.
    pub(crate) fn expecting(self, source: &Path, meter: &Arc<Meter>) -> Self {
        if self.shown.is_some() {
            let (source, meter, stop) =
                (source.to_path_buf(), Arc::clone(meter), Arc::clone(&self.stop));
            std::thread::spawn(move || meter.bytes_expected.add(bytes_below(source, &stop)));
        }
        self
    }
}

/// The length of a file, or of all files in a directory; none when it is stopped or cannot be read.
fn bytes_below(source: PathBuf, stop: &AtomicBool) -> u64 {
    let (mut total, mut open) = (0_u64, vec![source]);
    while let Some(path) = open.pop() {
        if stop.load(Ordering::Relaxed) {
            return 0;
        }
        match std::fs::symlink_metadata(&path) {
            Ok(stat) if stat.is_file() => total = total.saturating_add(stat.len()),
            Ok(stat) if stat.is_dir() => {
                let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
                open.extend(entries.map(|entry| entry.path()));
            }
            _ => {}
        }
    }
    total
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(shown) = self.shown.take() {
            shown.thread().unpark();
            shown.join().unwrap_or(());
        }
    }
}

/// One line that says how far something is, until it is dropped.
pub(crate) struct Line {
    shown: bool,
}

impl Line {
    pub(crate) fn start(quiet: bool) -> Self {
        Self { shown: !quiet && std::io::stderr().is_terminal() }
    }

    pub(crate) fn say(&self, text: &str) {
        if self.shown {
            show(text);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.say("");
    }
}

/// Puts a text in the place of the line.
fn show(text: &str) {
    let mut out = std::io::stderr().lock();
    write!(out, "\r\x1b[K{text}").and_then(|()| out.flush()).unwrap_or(());
}

fn line(label: &str, meter: &Meter, elapsed: Duration) -> String {
    let (files, done, moved) = (meter.files.get(), meter.bytes.get(), meter.moved.get());
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = done.saturating_mul(1000) / millis;
    let mut text = format!("{label} {files} files, {}", bytes(done));
    let expected = meter.bytes_expected.get();
    if let Some(percent) = done.saturating_mul(100).checked_div(expected) {
        text = format!("{text} of {} ({} %)", bytes(expected), percent.min(100));
    }
    text = format!("{text}, {}/s, moved {}", bytes(rate), bytes(moved));
    if let Some(left) = expected.saturating_sub(done).checked_div(rate)
        && left > 0
    {
        text = format!("{text}, {} left", duration(left));
    }
    text
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said() {
        let meter = Meter::default();
        meter.files.add(3);
        meter.bytes.add(10 << 20);
        let shown = line("pushing", &meter, Duration::from_secs(2));
        assert_eq!(shown, "pushing 3 files, 10.0 MiB, 5.00 MiB/s, moved 0 B");
        meter.bytes_expected.add(40 << 20);
        let shown = line("pushing", &meter, Duration::from_secs(2));
        assert_eq!(
            shown,
            "pushing 3 files, 10.0 MiB of 40.0 MiB (25 %), 5.00 MiB/s, moved 0 B, 6 s left"
        );
    }

    #[test]
    fn a_tree_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        std::fs::write(dir.path().join("d/f"), [0; 700]).unwrap();
        std::fs::write(dir.path().join("g"), [0; 30]).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("all")).unwrap();
        let go = AtomicBool::new(false);
        assert_eq!(bytes_below(dir.path().to_path_buf(), &go), 730);
        assert_eq!(bytes_below(dir.path().join("g"), &go), 30);
        assert_eq!(bytes_below(dir.path().join("none"), &go), 0);
        assert_eq!(bytes_below(dir.path().to_path_buf(), &AtomicBool::new(true)), 0);
    }
}
