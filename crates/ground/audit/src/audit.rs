//! Writing: records that are kept for a moment, and the task that appends them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_base::ErrorKind;
use cairn_bucket::{Bucket, Seal};
use cairn_env::Env;
use tokio::sync::{Notify, watch};

use crate::buffer::Buffer;
use crate::chain::Chain;
use crate::error::Error;
use crate::log::Log;
use crate::record::Record;
use crate::segment::{Hub, RECORDS_BYTES_MAX};

/// How long a record waits for others before it is written.
pub const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// The bytes of records at which they are written at once.
pub const FLUSH_BYTES: usize = 256 << 10;
/// How long the log may be unwritten before nothing is done any more (AUDIT-4).
pub const BEHIND_MAX: Duration = Duration::from_secs(60);
/// How long [`Audit::commit`] waits.
pub const COMMIT_WAIT_MAX: Duration = Duration::from_secs(30);

/// The first pause after an append that failed; it doubles up to the last.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The audit log of a bucket, to write. Cheap to clone; all clones are one hub. Its task ends when the
/// last clone is gone and all is written or the bucket refuses it.
#[derive(Clone)]
pub struct Audit {
    shared: Arc<Shared>,
    _open: Arc<Open>,
}

/// How writing the log goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Bytes of records that wait, at most, before they are compressed.
    pub waiting_bytes: usize,
    /// How often a segment could not be written.
    pub failures: u64,
    /// The log was not written for [`BEHIND_MAX`]: nothing is recorded any more, so nothing is done.
    pub behind: bool,
}

struct Shared {
    log: Log,
    state: Mutex<State>,
    /// Something is to be looked at by the task.
    wake: Notify,
    progress: watch::Sender<Progress>,
}

#[derive(Default)]
struct State {
    buffer: Buffer,
    /// When the task began to write what it is writing.
    writing_since: Option<Duration>,
    /// Somebody waits for what was recorded before this ticket.
    wanted: u64,
    /// The task runs.
    running: bool,
    /// No handle is left.
    closed: bool,
}

#[derive(Clone, Default)]
struct Progress {
    /// What was recorded before this ticket is in the log.
    written: u64,
    /// How often an append failed, and how the last one did.
    failures: u64,
    failure: Option<(ErrorKind, String)>,
}

impl State {
    fn is_behind(&self, now: Duration) -> bool {
        self.writing_since.is_some_and(|since| now.saturating_sub(since) > BEHIND_MAX)
    }
}

/// Tells the task when the last handle is gone.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.wake.notify_one();
    }
}

impl Audit {
    /// The log of a bucket. Nothing is read or written before there is something to write.
    #[must_use]
    pub fn new(bucket: Bucket, env: Env, seal: Arc<dyn Seal>) -> Self {
        let shared = Arc::new(Shared {
            log: Log::new(bucket, env, seal),
            state: Mutex::default(),
            wake: Notify::new(),
            progress: watch::Sender::new(Progress::default()),
        });
        Self { _open: Arc::new(Open(Arc::clone(&shared))), shared }
    }

    /// The same log, to read.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.shared.log
    }

    /// Keeps a record, to be written within [`FLUSH_EVERY`]. Never waits. Call within a runtime. Its
    /// time and count are set here.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Behind`]: it was not kept, and what it is about must not be done
    /// (AUDIT-4).
    pub fn record(&self, record: Record) -> Result<(), Error> {
        self.record_counted(record, 1)
    }

    /// Keeps a record that stands for `count` of its kind, at least 1.
    ///
    /// # Errors
    /// As [`Audit::record`].
    pub fn record_counted(&self, mut record: Record, count: u64) -> Result<(), Error> {
        let shared = &self.shared;
        record.time_ms = shared.log.env.clock.wall_ns().div_euclid(1_000_000);
        record.count = count.max(1);
        let now = shared.log.env.clock.monotonic();
        let mut state = shared.state();
        if state.is_behind(now) {
            return Err(Error::Behind { seconds: BEHIND_MAX.as_secs() });
        }
        let idle = state.buffer.oldest().is_none();
        let small = state.buffer.bytes() < FLUSH_BYTES;
        state.buffer.push(now, record)?;
        let start = !std::mem::replace(&mut state.running, true);
        let wake = idle || (small && state.buffer.bytes() >= FLUSH_BYTES);
        drop(state);
        if start {
            shared.log.env.spawn.task(Box::pin(run(Arc::clone(shared))));
        }
        if wake {
            shared.wake.notify_one();
        }
        Ok(())
    }

    /// How writing the log goes.
    #[must_use]
    pub fn status(&self) -> Status {
        let failures = self.shared.progress.borrow().failures;
        let now = self.shared.log.env.clock.monotonic();
        let state = self.shared.state();
        let waiting_bytes = state.buffer.bytes();
        Status { waiting_bytes, failures, behind: state.is_behind(now) }
    }

    /// Waits until all that was recorded before this call is in the log (AUDIT-1). Cancel safe.
    ///
    /// # Errors
    /// [`Error::NotWritten`] as soon as the bucket refuses, [`Error::Slow`] after
    /// [`COMMIT_WAIT_MAX`]. What was recorded is kept, and may come into the log later.
    pub async fn commit(&self) -> Result<(), Error> {
        let shared = &self.shared;
        let mut progress = shared.progress.subscribe();
        let failures = progress.borrow().failures;
        let wanted = {
            let mut state = shared.state();
            let end = state.buffer.end();
            state.wanted = state.wanted.max(end);
            end
        };
        shared.wake.notify_one();
        let written = async {
            loop {
                let now = progress.borrow_and_update().clone();
                if now.written >= wanted {
                    return Ok(());
                }
                if now.failures > failures {
                    let (kind, detail) =
                        now.failure.unwrap_or((ErrorKind::Internal, String::new()));
                    return Err(Error::NotWritten { kind, detail });
                }
                if progress.changed().await.is_err() {
                    return Err(Error::Worker(cairn_env::Lost));
                }
            }
        };
        tokio::select! {
            biased;
            done = written => done,
            () = shared.log.env.clock.sleep(COMMIT_WAIT_MAX) => {
                Err(Error::Slow { seconds: COMMIT_WAIT_MAX.as_secs() })
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next records to write, and the ticket after them; none when no handle is left.
    async fn next(&self) -> Option<(Vec<Record>, u64)> {
        loop {
            let wait = {
                let mut state = self.state();
                let (now, oldest) = (self.log.env.clock.monotonic(), state.buffer.oldest());
                let due = oldest.map(|oldest| oldest + FLUSH_EVERY);
                let now_due = state.closed
                    || state.wanted > state.buffer.first()
                    || state.buffer.bytes() >= FLUSH_BYTES
                    || due.is_some_and(|due| due <= now);
                match oldest {
                    Some(_) if now_due => {
                        state.writing_since = Some(now);
                        let records = state.buffer.take(RECORDS_BYTES_MAX);
                        return Some((records, state.buffer.first()));
                    }
                    None if state.closed => return None,
                    _ => due.map(|due| due.saturating_sub(now)),
                }
            };
            match wait {
                None => self.wake.notified().await,
                Some(wait) => tokio::select! {
                    biased;
                    () = self.wake.notified() => {}
                    () = self.log.env.clock.sleep(wait) => {}
                },
            }
        }
    }

    fn written(&self, end: u64) {
        self.state().writing_since = None;
        self.progress.send_modify(|progress| progress.written = end);
    }

    fn failed(&self, error: &Error) {
        tracing::error!(%error, "the audit log is not written");
        self.progress.send_modify(|progress| {
            progress.failures += 1;
            progress.failure = Some((error.kind(), error.to_string()));
        });
    }
}

/// Appends what is recorded, one segment after the other.
async fn run(shared: Arc<Shared>) {
    let mut hub = Hub::default();
    shared.log.env.rng.fill(&mut hub.0);
    let mut chain = Chain::new(shared.log.clone(), hub);
    while let Some((records, end)) = shared.next().await {
        let mut pause = PAUSE;
        while let Err(error) = chain.append(&records).await {
            shared.failed(&error);
            if shared.state().closed {
                tracing::error!(count = records.len(), "records of the audit log are lost");
                return;
            }
            shared.log.env.clock.sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        shared.written(end);
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Audit").field(&self.shared.log).finish()
    }
}
