//! Coming to own a partition: the compare-and-swap, the replay, the view.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use slatedb::Db;

use super::inherit::Inheritance;
use super::records::{Owned, Owner, Read, State};
use super::{Opened, Owns, Shared, compact};
use crate::live::{Live, Opening};
use crate::log::Writer;
use crate::view::wal::{FlushWhen, Init};
use crate::view::{self, Clock, Horizon, View, failed};
use crate::{Durable, Epoch, Error, Name};

/// How often the compare-and-swap is tried against others.
const TRIES_MAX: usize = 8;
/// Ownerships that a trail has at most: then the view is written, and it begins anew.
const TRAIL_MAX: usize = 8;
/// How many tables without order a view may have before writers wait for compaction.
pub(super) const L0_TABLES_MAX: usize = 64;

pub(super) async fn acquire(shared: &Arc<Shared>, name: &Name) -> Result<Opened, Error> {
    for _ in 0..TRIES_MAX {
        let found = shared.owner(name).await?;
        let found = found.filter(|found| found.record.is_there());
        let Read { record, version } = found.ok_or_else(|| name.missing())?;
        if let Some(left) = owned_for(shared, &record).await? {
            let (name, node, address) = (name.to_string(), record.node, record.address);
            return Err(Error::Elsewhere { name, node, address, left });
        }
        let inheritance = Inheritance::of(shared, name, &record).await?;
        let mine = owned(shared, &record, &inheritance);
        if shared.records.swap(&Owner::key(name), Some(&version), &mine).await?.is_none() {
            continue;
        }
        let opened = open(shared, name, &mine, inheritance).await?;
        // Compaction, for which a crowded view would wait, begins when it is open.
        if mine.trail.len() > TRAIL_MAX && !compact::is_crowded(&opened) {
            shorten(shared, &opened).await?;
        }
        return Ok(opened);
    }
    Err(Error::Busy { why: format!("several nodes want to own {name}: try again") })
}

/// How long somebody else may own it yet, if he gives no sign of life (LOG-1); none when nobody does.
async fn owned_for(shared: &Shared, owner: &Owner) -> Result<Option<Duration>, Error> {
    if owner.state == State::Closed || owner.life == shared.life() {
        return Ok(None);
    }
    shared.watched.left(&shared.records, &shared.env, &owner.life).await
}

/// The record of this node's ownership.
fn owned(shared: &Shared, before: &Owner, inheritance: &Inheritance) -> Owner {
    let mut owner = before.clone();
    owner.state = State::Open;
    owner.epoch = Epoch(before.epoch.0 + 1);
    owner.life = shared.life();
    owner.node.clone_from(&shared.options.name);
    owner.address.clone_from(&shared.options.address);
    owner.trail.clone_from(&inheritance.trail);
    owner.loss = inheritance.loss.clone().or(owner.loss);
    owner.trail.push(Owned { epoch: owner.epoch, life: shared.life(), through: None });
    owner
}

/// Opens what `owner` says that this node owns.
pub(super) async fn open(
    shared: &Arc<Shared>,
    name: &Name,
    owner: &Owner,
    inheritance: Inheritance,
) -> Result<Opened, Error> {
    let id = owner.id()?;
    let source = Arc::new(inheritance.into_source(shared, id, owner.epoch));
    let horizon = Horizon::default();
    let flush_when = FlushWhen { log_bytes: shared.options.replay_bytes_max };
    let clock = Clock::new(&shared.env);
    let init = Init {
        source: Arc::clone(&source) as _,
        flush_when,
        clock: clock.clone(),
        env: shared.env.clone(),
    };
    let cache_id = shared.caches.fetch_add(1, Ordering::Relaxed);
    let built = Db::builder(Owner::view(id), shared.view_store())
        .with_settings(settings(shared))
        .with_wal_writer(Box::new(init))
        .with_db_cache(Arc::clone(&shared.cache) as _, cache_id)
        .with_system_clock(Arc::new(clock.clone()))
        .with_seed(shared.env.rng.next_u64())
        .with_filter_policies(vec![view::filters()])
        .build()
        .await;
    let db = match built {
        Ok(db) => db,
        Err(error) => {
            if let Some(writer) = source.made() {
                // The log takes no second writer while this one lasts; it has appended nothing.
                writer.close().await.ok();
            }
            return Err(failed("open the view", &error));
        }
    };
    let writer = source.made().ok_or_else(|| name.missing())?;
    if owner.settings.durable == Durable::Bucket {
        // What was synced before a crash is shown as acknowledged from now on.
        if let Err(error) = in_the_bucket(&writer).await {
            writer.close().await.ok();
            let options = slatedb::config::CloseOptions { flush_type: None };
            db.close_with_options(options).await.ok();
            return Err(error);
        }
    }
    let keeper = Arc::clone(&shared.keeper);
    let ownership = Owns { name: name.clone(), keeper, writer: writer.clone() };
    let opening = Opening {
        name: name.clone(),
        id,
        settings: owner.settings,
        loss: owner.loss.clone(),
        view: View::Owned(db.clone()),
        horizon: horizon.clone(),
        warm: (Arc::clone(&shared.warm), cache_id),
        ownership: Arc::new(ownership),
        commit_wait: shared.options.commit_wait,
        env: shared.env.clone(),
    };
    let live = Arc::new(Live::start(opening).await?);
    let chores = super::housekeeping::Chores::default();
    Ok(Opened { name: name.clone(), id, live, db, clock, writer, horizon, chores })
}

/// Waits until all that the log has synced of a partition, by this ownership and those before, is there.
pub(super) async fn in_the_bucket(writer: &Writer) -> Result<(), Error> {
    writer.shipped(writer.status().last_durable_id).await
}

fn settings(shared: &Shared) -> slatedb::Settings {
    let options = &shared.options;
    slatedb::Settings {
        // The log groups and syncs by itself.
        flush_interval: None,
        // The lease does the fencing; what compaction made is looked at when it was made.
        manifest_poll_interval: Duration::from_secs(3600),
        compactor_options: None,
        garbage_collector_options: None,
        l0_sst_size_bytes: options.memtable_bytes,
        l0_max_ssts: L0_TABLES_MAX,
        l0_max_ssts_per_key: L0_TABLES_MAX,
        max_wal_flushes_before_l0_flush: u64::MAX,
        max_unflushed_bytes: options.unflushed_bytes_max,
        object_store_max_retries: None,
        ..slatedb::Settings::default()
    }
}

/// Writes the view, so that nothing but the last ownership is needed of the trail.
async fn shorten(shared: &Shared, opened: &Opened) -> Result<(), Error> {
    opened.flush().await?;
    let key = Owner::key(&opened.name);
    let Some(Read { mut record, version }) = shared.records.read::<Owner>(&key).await? else {
        return Ok(());
    };
    if record.epoch == opened.writer.epoch() {
        let last = record.trail.len().saturating_sub(1);
        record.trail.drain(..last);
        // Whoever was faster will do it himself.
        shared.records.swap(&key, Some(&version), &record).await?;
    }
    Ok(())
}
