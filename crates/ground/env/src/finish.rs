use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt as _;

use crate::{Env, Spawn};

/// Work that is done to its end where it is awaited; what is dropped after it has begun goes on as a task.
/// Unlike work that is spawned it needs no task while somebody waits for it.
#[must_use = "it is done when it is awaited"]
pub struct Finish<T: Send + 'static> {
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    begun: bool,
    spawn: Arc<dyn Spawn>,
}

impl Env {
    /// Does `work` in place when the future is polled, and from then on to its end also when that is
    /// dropped: who goes away does not cut it in two. Drop it within a runtime.
    pub fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Finish<T> {
        Finish { work: Some(Box::pin(work)), begun: false, spawn: Arc::clone(&self.spawn) }
    }
}

impl<T: Send + 'static> Future for Finish<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.begun = true;
        // Work that panics is gone, and not polled again.
        let mut work = self.work.take().expect("it is not polled after its end");
        let polled = work.poll_unpin(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Finish<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take().filter(|_| self.begun) {
            self.spawn.task(Box::pin(work.map(drop)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn what_is_dropped_half_way_goes_on_and_nothing_else_does() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
            let env = Env::simulated(1);
            let done = Arc::new(AtomicU32::new(0));
            let (go, gone) = futures::channel::oneshot::channel::<()>();
            let counted = Arc::clone(&done);
            let mut work = env.finish(async move {
                gone.await.unwrap_or_default();
                counted.fetch_add(1, Ordering::Relaxed);
            });
            assert!((&mut work).now_or_never().is_none());
            drop(work);
            assert_eq!(done.load(Ordering::Relaxed), 0);
            drop(go);
            while done.load(Ordering::Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
            let counted = Arc::clone(&done);
            env.finish(async move { counted.fetch_add(1, Ordering::Relaxed) }).await;
            let counted = Arc::clone(&done);
            drop(env.finish(async move { counted.fetch_add(1, Ordering::Relaxed) }));
            tokio::task::yield_now().await;
            assert_eq!(done.load(Ordering::Relaxed), 2);
        });
    }
}
