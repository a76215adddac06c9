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
