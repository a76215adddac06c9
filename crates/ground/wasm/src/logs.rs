//! What a guest writes to stdout and stderr: lines, bounded for each call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sink::Take;

/// A line that is longer is cut into several.
pub(crate) const LINE_BYTES_MAX: usize = 4096;

/// Where a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Takes what guests write. It must be quick.
pub trait Logs: Send + Sync + 'static {
    /// A line without its end, at most some kilobytes.
    fn line(&self, stream: Stream, line: &str);

    /// So many bytes of a call were left out, for there were too many.
    fn left_out(&self, bytes: u64);
}

/// One of the two streams of an instance.
#[derive(Clone)]
pub(crate) struct Pipe {
    stream: Stream,
    begun: Arc<Mutex<Vec<u8>>>,
    budget: Arc<Budget>,
}

/// What both streams of an instance share.
pub(crate) struct Budget {
    logs: Arc<dyn Logs>,
    left: Mutex<Left>,
}

struct Left {
    bytes: u64,
    left_out: u64,
}

impl Budget {
    pub(crate) fn new(logs: Arc<dyn Logs>, bytes: u64) -> Arc<Self> {
        Arc::new(Self { logs, left: Mutex::new(Left { bytes, left_out: 0 }) })
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins on an instance that has seen others.
    pub(crate) fn refill(&self, bytes: u64) {
        self.tell();
        self.left().bytes = bytes;
    }

    fn tell(&self) {
        let left_out = std::mem::take(&mut self.left().left_out);
        if left_out > 0 {
            self.logs.left_out(left_out);
        }
    }

    /// A text of lines, of which long ones are cut.
    pub(crate) fn text(&self, stream: Stream, text: &str) {
        for line in text.lines() {
            line.as_bytes().chunks(LINE_BYTES_MAX).for_each(|piece| self.line(stream, piece));
        }
    }

    pub(crate) fn line(&self, stream: Stream, line: &[u8]) {
        let length = line.len() as u64 + 1;
        {
            let mut left = self.left();
            match left.bytes.checked_sub(length) {
                Some(bytes) => left.bytes = bytes,
                None => {
                    left.bytes = 0;
                    left.left_out += length;
                    return;
                }
            }
        }
        self.logs.line(stream, &String::from_utf8_lossy(line));
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.tell();
    }
}

impl Pipe {
    pub(crate) fn new(stream: Stream, budget: &Arc<Budget>) -> Self {
        Self { stream, begun: Arc::default(), budget: Arc::clone(budget) }
    }

    fn begun(&self) -> MutexGuard<'_, Vec<u8>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of what was written: a line without its end is one too.
    fn end(&self) {
        let mut begun = self.begun();
        if !begun.is_empty() {
            self.budget.line(self.stream, &begun);
            begun.clear();
        }
    }
}

impl Take for Pipe {
    fn take(&self, mut bytes: &[u8]) -> std::io::Result<()> {
        let mut begun = self.begun();
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let room = LINE_BYTES_MAX.saturating_sub(begun.len()).max(1);
            let taken = end.unwrap_or(bytes.len()).min(room);
            begun.extend_from_slice(&bytes[..taken]);
            let ended = end == Some(taken);
            bytes = &bytes[taken + usize::from(ended)..];
            if ended || begun.len() >= LINE_BYTES_MAX {
                self.budget.line(self.stream, &begun);
                begun.clear();
            }
        }
        Ok(())
    }
}

/// The handle that an instance's context holds: with it the stream ends.
pub(crate) struct PipeEnd(pub(crate) Pipe);

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl Logs for Kept {
        fn line(&self, stream: Stream, line: &str) {
            self.0.lock().unwrap().push(format!("{}: {line}", stream.as_str()));
        }

        fn left_out(&self, bytes: u64) {
            self.0.lock().unwrap().push(format!("left out {bytes}"));
        }
    }

    fn written(pieces: &[&str], budget: u64) -> Vec<String> {
        let kept = Arc::new(Kept::default());
        let budget = Budget::new(Arc::clone(&kept) as _, budget);
        let pipe = PipeEnd(Pipe::new(Stream::Stdout, &budget));
        drop(budget);
        pieces.iter().for_each(|piece| pipe.0.take(piece.as_bytes()).unwrap());
        drop(pipe);
        kept.0.lock().unwrap().clone()
    }

    #[test]
    fn lines_are_told_whole_and_the_last_without_an_end_too() {
        let told = written(&["a", "b\nc", "\n\nd"], 100);
        assert_eq!(told, ["stdout: ab", "stdout: c", "stdout: ", "stdout: d"]);
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let told = written(&["1234\n", "5678\n", "9\n"], 6);
        assert_eq!(told, ["stdout: 1234", "left out 7"]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let long = "x".repeat(LINE_BYTES_MAX * 2 + 3);
        let told = written(&[&long], u64::MAX);
        assert_eq!(told.len(), 3);
        assert_eq!(told[2], "stdout: xxx");
    }
}
