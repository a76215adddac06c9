//! A project is read and followed: here while this node has it, else in the bucket.

use std::sync::{Arc, Weak};
use std::time::Duration;

use cairn_kv::KeyRange;

use super::{Live, Project};
use crate::error::Error;
use crate::registry::is_elsewhere;
use crate::rows;

/// How long a project whose rows cannot be read is let be.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How often it is looked whether the node that has a project is still there.
const OTHERS_LAST: Duration = Duration::from_secs(60);
/// How often the changes of a project that another node has are looked for in the bucket.
const OTHERS_EVERY: Duration = Duration::from_secs(5);
/// How long the changes of a project are waited for at a time.
const WAIT: Duration = Duration::from_secs(60);

/// Reads a project and follows it, as long as the node lives.
pub(super) async fn follow(live: Weak<Live>, project: Arc<Project>) {
    loop {
        let Some(strong) = live.upgrade() else { return };
        let clock = Arc::clone(&strong.env.clock);
        let mut ended = followed(strong, &live, &project).await;
        let Some(strong) = live.upgrade() else { return };
        strong.own(&project.name, false);
        drop(strong);
        if matches!(&ended, Err(Error::Kept(error)) if is_elsewhere(error)) {
            let Some(strong) = live.upgrade() else { return };
            ended = followed_elsewhere(strong, &live, &project).await;
        }
        let Err(error) = ended else { continue };
        if matches!(error, Error::Kept(cairn_kv::Error::NoNamespace { .. })) {
            // Nothing was ever deployed there: it is looked for again when somebody asks.
            if live.upgrade().is_none_or(|live| live.leave(&project)) {
                return;
            }
        }
        tracing::warn!(project = %project.name, %error, "the functions of a project are not followed");
        clock.sleep(RETRY_AFTER).await;
    }
}

/// Follows a project that this node has, until it has it no more.
async fn followed(live: Arc<Live>, again: &Weak<Live>, project: &Project) -> Result<(), Error> {
    let of = rows::namespace(&project.name);
    let kv = live.registry.kv().clone();
    let at = live.read(project, &kv).await?;
    project.reached(at);
    live.own(&project.name, true);
    drop(live);
    let mut changes = kv.follow(&of, KeyRange::all(), Some(at)).await?;
    loop {
        let told = changes.next(WAIT).await?;
        let Some(live) = again.upgrade() else { return Ok(()) };
        live.apply(project, &told.changes);
        project.reached(told.upto);
    }
}

/// Follows a project that another node has, for a while.
async fn followed_elsewhere(
    live: Arc<Live>,
    again: &Weak<Live>,
    project: &Project,
) -> Result<(), Error> {
    let of = rows::namespace(&project.name);
    let (kv, clock) = (live.registry.in_bucket().clone(), Arc::clone(&live.env.clock));
    let at = live.read(project, &kv).await?;
    project.reached(at);
    drop(live);
    let mut changes = kv.follow(&of, KeyRange::all(), Some(at)).await?;
    let until = clock.monotonic() + OTHERS_LAST;
    while clock.monotonic() < until {
        clock.sleep(OTHERS_EVERY).await;
        let told = changes.next(Duration::ZERO).await?;
        let Some(live) = again.upgrade() else { return Ok(()) };
        live.apply(project, &told.changes);
        project.reached(told.upto);
    }
    Ok(())
}
