//! Progress on standard error: only on a terminal, one line, a few times a second.

use std::io::{IsTerminal as _, Write as _};
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
                eprint!("\r\x1b[K{}", line(label, &meter, start.elapsed()));
                std::io::stderr().flush().unwrap_or(());
            }
            eprint!("\r\x1b[K");
        });
        Self { stop, shown: Some(shown) }
    }
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

fn line(label: &str, meter: &Meter, elapsed: Duration) -> String {
    let (files, done, moved) = (meter.files.get(), meter.bytes.get(), meter.moved.get());
    let seconds = elapsed.as_secs_f64().max(0.001);
    let rate = bytes((done as f64 / seconds) as u64);
    let mut text = format!("{label} {files} files, {}", bytes(done));
    let expected = meter.bytes_expected.get();
    if expected > 0 {
        let percent = (done * 100 / expected).min(100);
        text = format!("{text} of {} ({percent} %)", bytes(expected));
    }
    text = format!("{text}, {rate}/s, moved {}", bytes(moved));
    if expected > done && done > 0 {
        let left = (expected - done) as f64 / (done as f64 / seconds);
        text = format!("{text}, {} left", duration(left as u64));
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
