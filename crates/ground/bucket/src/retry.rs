//! Retries with exponential backoff and jitter, within a budget of time and of requests.

use std::future::Future;
use std::time::Duration;

use cairn_base::ErrorKind;
use cairn_env::Env;
use futures::future::{Either, select};

use crate::{Error, Options};

const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// What one operation may spend.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    attempt: Duration,
    deadline: Duration,
    attempts_max: u32,
}

impl Budget {
    /// The budget of an operation that writes `len` bytes.
    pub(crate) fn new(options: &Options, len: usize) -> Self {
        let mib = u32::try_from(len >> 20).unwrap_or(u32::MAX);
        let extra = options.per_mib.saturating_mul(mib);
        Self {
            attempt: options.attempt.saturating_add(extra),
            deadline: options.deadline.saturating_add(extra),
            attempts_max: options.attempts_max.max(1),
        }
    }
}

/// The attempts of one operation.
pub(crate) struct Attempts<'a> {
    env: &'a Env,
    budget: Budget,
    begin: Duration,
    count: u32,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(env: &'a Env, budget: Budget) -> Self {
        Self { env, budget, begin: env.clock.monotonic(), count: 0 }
    }

    fn left(&self) -> Duration {
        let spent = self.env.clock.monotonic().saturating_sub(self.begin);
        self.budget.deadline.saturating_sub(spent)
    }

    /// Runs one attempt, for as long as an attempt may take. `None`: time ran out.
    pub(crate) async fn run<T>(&mut self, call: impl Future<Output = T>) -> Option<T> {
        self.count += 1;
        let sleep = self.env.clock.sleep(self.budget.attempt.min(self.left()));
        match select(std::pin::pin!(call), sleep).await {
            Either::Left((answer, _)) => Some(answer),
            Either::Right(((), _)) => None,
        }
    }

    /// Waits before the next attempt. `false`: the budget is spent.
    pub(crate) async fn again(&self) -> bool {
        let wait = self.backoff();
        if self.count >= self.budget.attempts_max || wait >= self.left() {
            return false;
        }
        self.env.clock.sleep(wait).await;
        true
    }

    /// Half fixed, half random, so that clients that failed together do not return together.
    fn backoff(&self) -> Duration {
        let doublings = self.count.saturating_sub(1).min(16);
        let full = BACKOFF_FIRST.saturating_mul(1 << doublings).min(BACKOFF_MAX);
        let share = u32::from(self.env.rng.next_u64().to_le_bytes()[0]);
        full / 2 + (full / 2) * share / 256
    }
}

/// Runs `call` until it answers with something other than a transient error, or the budget is spent.
pub(crate) async fn retry<T, Call, Answer>(
    env: &Env,
    budget: Budget,
    operation: &'static str,
    key: &str,
    mut call: Call,
) -> Result<T, Error>
where
    Call: FnMut() -> Answer,
    Answer: Future<Output = Result<T, Error>>,
{
    let mut attempts = Attempts::new(env, budget);
    loop {
        let answer = attempts.run(call()).await.unwrap_or_else(|| {
            Err(Error::Unavailable { operation, key: key.to_owned(), source: None })
        });
        match answer {
            Err(error) if error.kind() == ErrorKind::Retry => {
                tracing::debug!(operation, key, %error, "a request to the bucket failed");
                if !attempts.again().await {
                    return Err(error);
                }
            }
            answer => return answer,
        }
    }
}
