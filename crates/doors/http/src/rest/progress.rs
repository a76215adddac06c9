//! Long work as lines: how far it is, and at the end what came of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_env::Clock;
use futures::{FutureExt as _, Stream};
use serde::Serialize;
use tokio::sync::watch;

use crate::call::line;
use crate::error::Error;

/// Progress is told at most so often.
const PROGRESS_PAUSE: Duration = Duration::from_millis(200);

/// Where work reports how far it is.
pub(super) type Report<P> = Arc<dyn Fn(P) + Send + Sync>;

/// How the lines are made.
pub(super) struct Lines<P, L> {
    /// Of how far it is.
    pub(super) progress: P,
    /// Of what came of it.
    pub(super) last: L,
}

/// The lines of `work`, which ends when nobody reads them any more.
pub(super) fn progress_lines<W, F, T, L, S>(
    clock: &Arc<dyn Clock>,
    work: W,
    lines: Lines<
        impl Fn(S) -> L + Send + 'static,
        impl FnOnce(T) -> Result<L, Error> + Send + 'static,
    >,
) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static
where
    W: FnOnce(Report<S>) -> F,
    S: Clone + Default + Send + Sync + 'static,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
    L: Serialize,
{
    let (sender, told) = watch::channel(S::default());
    let report: Report<S> = Arc::new(move |far| {
        sender.send_replace(far);
    });
    let clock = Arc::clone(clock);
    let state = Some((work(report).boxed(), told, lines));
    futures::stream::try_unfold(state, move |state| {
        let clock = Arc::clone(&clock);
        async move {
            let Some((mut work, mut told, lines)) = state else { return Ok::<_, Error>(None) };
            let told_of = async {
                clock.sleep(PROGRESS_PAUSE).await;
                // Without a change there is nothing to tell; the work itself ends the wait.
                if told.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let ended = tokio::select! {
                ended = &mut work => Some(ended),
                () = told_of => None,
            };
            match ended {
                None => {
                    let far = told.borrow().clone();
                    let line = line(&(lines.progress)(far))?;
                    Ok(Some((line, Some((work, told, lines)))))
                }
                Some(ended) => Ok(Some((line(&(lines.last)(ended)?)?, None))),
            }
        }
    })
}
