//! DatasetAPI: following a tag.

use std::sync::Arc;

use cairn_datasets::{Follow, Version};
use cairn_env::Clock;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tonic::Status;

use crate::door::Api;
use crate::error::Error;
use crate::gate::Call;
use crate::limits::{ASK_EVERY, FOLLOWS_MAX};
use crate::names;
use crate::proto::dataset::v1::{FollowRequest, FollowResponse};

/// A stream that follows a tag.
struct Following {
    call: Call,
    follow: Follow,
    clock: Arc<dyn Clock>,
    stopped: Option<watch::Receiver<bool>>,
    /// Kept to the end of the stream.
    _place: OwnedSemaphorePermit,
}

impl Api {
    pub(crate) fn follow_tag(
        &self,
        call: Call,
        asked: &FollowRequest,
    ) -> Result<BoxStream<'static, Result<FollowResponse, Status>>, Error> {
        let target = names::target(asked.target.as_ref())?;
        let place = Arc::clone(&self.follows).try_acquire_owned();
        let place = place.map_err(|_| Error::Busy { what: "streams", max: FOLLOWS_MAX })?;
        let following = Following {
            call,
            follow: self.datasets.follow(target),
            clock: Arc::clone(&self.env().clock),
            stopped: self.stopped.clone(),
            _place: place,
        };
        let states = futures::stream::try_unfold(following, |mut following| async move {
            let state = following.next().await?;
            let told = FollowResponse { version: state.map(names::version) };
            Ok::<_, Status>(Some((told, following)))
        });
        Ok(states.boxed())
    }
}

impl Following {
    /// The next state of the tag, told to nobody who may not read it any more (ACCESS-5).
    async fn next(&mut self) -> Result<Option<Version>, Error> {
        loop {
            let state = tokio::select! {
                biased;
                () = stop(self.stopped.as_mut()) => return Err(Error::Stopping),
                state = self.follow.next() => Some(state),
                () = self.clock.sleep(ASK_EVERY) => None,
            };
            self.call.again().await?;
            if let Some(state) = state {
                return Ok(state?);
            }
        }
    }
}

/// Waits until the node stops.
pub(crate) async fn stop(stopped: Option<&mut watch::Receiver<bool>>) {
    let Some(stopped) = stopped else { return futures::future::pending().await };
    // Without its sender there is no node any more.
    drop(stopped.wait_for(|stopped| *stopped).await);
}
