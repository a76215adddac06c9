//! The last lines that a function wrote, kept in memory of the node on which it ran.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_env::Clock;
use cairn_wasm::{Logs, Stream};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Lines that are kept of a function, and bytes of them.
pub const LINES_MAX: usize = 1000;
const BYTES_MAX: usize = 256 << 10;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its number, counted from 1 since the node started, or the function was made.
    pub number: u64,
    /// When it was written, in milliseconds since 1970.
    pub time_ms: u64,
    /// `stdout`, `stderr`, or `cairn` for what the node says of a call.
    pub stream: String,
    /// The line.
    pub text: String,
}

/// The last lines of one function.
pub(crate) struct Journal {
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
    written: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<Line>,
    bytes: usize,
    last: u64,
}

impl Journal {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, kept: Mutex::default(), written: watch::Sender::new(0) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line.
    pub(crate) fn write(&self, stream: &str, text: &str) {
        let time_ms = u64::try_from(self.clock.wall_ns() / 1_000_000).unwrap_or(0);
        let mut kept = self.kept();
        kept.last += 1;
        let (number, stream, text) = (kept.last, stream.to_owned(), text.to_owned());
        kept.bytes += text.len();
        kept.lines.push_back(Line { number, time_ms, stream, text });
        while kept.lines.len() > LINES_MAX || kept.bytes > BYTES_MAX {
            let Some(oldest) = kept.lines.pop_front() else { break };
            kept.bytes -= oldest.text.len();
        }
        drop(kept);
        self.written.send_replace(number);
    }

    /// Nothing is written any more: who waits for it goes.
    pub(crate) fn end(&self) {
        self.written.send_replace(u64::MAX);
    }

    /// The lines after a number that are kept; when there are none, waits at most `wait` for one.
    pub(crate) async fn after(&self, after: u64, wait: Duration) -> Vec<Line> {
        let mut written = self.written.subscribe();
        let there = |number: &u64| *number > after;
        if !wait.is_zero() && !there(&written.borrow_and_update()) {
            tokio::select! {
                biased;
                _ = written.wait_for(there) => {}
                () = self.clock.sleep(wait) => {}
            }
        }
        self.kept().lines.iter().filter(|line| line.number > after).cloned().collect()
    }
}

impl Logs for Journal {
    fn line(&self, stream: Stream, line: &str) {
        self.write(stream.as_str(), line);
    }

    fn left_out(&self, bytes: u64) {
        let why = "limits.log_bytes bounds what one call writes";
        self.write("cairn", &format!("{bytes} bytes were left out: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use cairn_env::Env;

    use super::*;

    #[tokio::test]
    async fn the_last_lines_are_kept() {
        let journal = Journal::new(Env::real().clock);
        assert_eq!(journal.after(0, Duration::from_millis(1)).await, []);
        for number in 0..LINES_MAX + 5 {
            journal.write("stdout", &number.to_string());
        }
        let all = journal.after(0, Duration::ZERO).await;
        assert_eq!((all.len(), all[0].number, all[0].text.as_str()), (LINES_MAX, 6, "5"));
        let last = journal.after(all[LINES_MAX - 2].number, Duration::ZERO).await;
        assert_eq!(last.len(), 1);
        journal.write("stderr", &"x".repeat(BYTES_MAX));
        assert_eq!(journal.after(0, Duration::ZERO).await.len(), 1);
    }
}
