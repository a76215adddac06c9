//! A process that does random things, and may crash at any await.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_blocks::{CollectOptions, OpenFrame};
use cairn_chunk::ChunkId;
use cairn_datasets::{Error, Publication, PushOptions, Rules, Source, Target, Upload, push};
use cairn_env::{Rng as _, SeededRng};

use crate::check::read_whole;
use crate::model::Suspicion;
use crate::trees::{Built, Files, below, build, one_in};
use crate::world::{Fate, Handle, World, fate, targets};

/// Attempts of a process to open the bucket.
const OPENS_MAX: usize = 20;
/// Two of four fates of a step; the others are to live.
const CRASHES: u64 = 0;
const FREEZES: u64 = 1;

pub(crate) struct Actor {
    name: String,
    rng: SeededRng,
    /// What a crash takes away.
    handle: Mutex<Option<Handle>>,
}

type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

impl Actor {
    pub(crate) fn new(number: usize, seed: u64) -> Self {
        let (name, rng) = (format!("actor {number}"), SeededRng::new(seed));
        Self { name, rng, handle: Mutex::new(None) }
    }

    fn set_handle(&self, handle: Option<Handle>) {
        *self.handle.lock().unwrap_or_else(PoisonError::into_inner) = handle;
    }

    fn handle(&self) -> Option<Handle> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lives through an epoch: does its steps, and after a crash goes on as a new process.
    pub(crate) async fn live(&self, world: &World, steps: u32, corrupt: bool) {
        for _ in 0..steps {
            let life: Running<'_> = Box::pin(self.step(world, corrupt));
            if !self.endure(world, life).await {
                world.model.state().counts.crashed += 1;
                // Sometimes it was only a client that went away: its node knows nothing of that.
                let node_lives = one_in(&self.rng, 3);
                world.say(&self.name, if node_lives { "goes away" } else { "crashes" });
                if !node_lives {
                    self.set_handle(None);
                }
            }
        }
    }

    /// Lives, but may crash or stand still for a while after a random number of polls. Whether it came
    /// to its end.
    async fn endure(&self, world: &World, mut life: Running<'_>) -> bool {
        let spread = self.rng.next_u64() % 9;
        let mut left = 1 + self.rng.next_u64() % (1 << spread);
        let mut fate = self.rng.next_u64() % 4;
        let mut frozen: Option<Running<'_>> = None;
        poll_fn(move |context| {
            if let Some(pause) = &mut frozen {
                ready!(pause.as_mut().poll(context));
                frozen = None;
            }
            if left == 0 && fate == CRASHES {
                return Poll::Ready(false);
            }
            if left == 0 && fate == FREEZES {
                world.model.state().counts.frozen += 1;
                world.say(&self.name, "stands still");
                fate = u64::MAX;
                let pause = frozen.insert(Box::pin(self.sleep(world, 1500)));
                ready!(pause.as_mut().poll(context));
                frozen = None;
            }
            left = left.saturating_sub(1);
            life.as_mut().poll(context).map(|()| true)
        })
        .await
    }

    /// After an epoch without faults, what a surviving process has in memory must not stand in the
    /// way of reading.
    pub(crate) async fn is_well(&self, world: &World) {
        let Some(handle) = self.handle() else { return };
        for target in targets() {
            let Ok(tag) = handle.store.tag(&target).await else { continue };
            let read = read_whole(&handle, &target, &tag.current).await;
            if let Err(error) = read {
                let (name, by) = (&self.name, &tag.current.by);
                let what = format!("{name} cannot read {target} of {by} any more: {error}");
                world.model.broken("BLOCKS-1", what);
            }
        }
    }

    async fn step(&self, world: &World, corrupt: bool) {
        let Some(handle) = self.opened(world).await else { return };
        let target = targets()[below(&self.rng, targets().len())].clone();
        let done = match self.rng.next_u64() % 100 {
            0..42 => self.push(world, &handle, target).await,
            42..46 => self.push_directory(world, &handle, target).await,
            46..54 => self.copy(world, &handle, target).await,
            54..62 => self.remove(world, &handle, target).await,
            62..66 => self.rules(&handle, target).await,
            66..78 => self.read(world, &handle, target, corrupt).await,
            78..94 => self.collect(world, &handle).await,
            94..96 => handle.datasets.verify(Arc::new(|_| ())).await.map(drop),
            _ => {
                self.sleep(world, 1500).await;
                Ok(())
            }
        };
        if let Err(error) = done {
            world.model.state().counts.failed += 1;
            world.say(&self.name, format!("fails: {error} ({:?})", error.kind()));
            if !corrupt && error.kind() == ErrorKind::Internal {
                world.model.broken("errors have causes", error);
            }
        }
    }

    async fn opened(&self, world: &World) -> Option<Handle> {
        for _ in 0..OPENS_MAX {
            if let Some(handle) = self.handle() {
                return Some(handle);
            }
            match world.open().await {
                Ok(handle) => self.set_handle(Some(handle)),
                Err(error) => world.say(&self.name, format!("cannot open: {error}")),
            }
        }
        self.handle()
    }

    async fn sleep(&self, world: &World, seconds: u64) {
        let time = Duration::from_millis(self.rng.next_u64() % (seconds * 1000 + 1));
        world.env.clock.sleep(time).await;
    }

    /// Mostly hardly a pause, sometimes one in which leases run out.
    async fn dawdle(&self, world: &World) {
        match self.rng.next_u64() % 12 {
            0 => self.sleep(world, 1500).await,
            1..4 => self.sleep(world, 2).await,
            _ => {}
        }
    }

    async fn push(&self, world: &World, handle: &Handle, target: Target) -> Result<(), Error> {
        let base = {
            let state = world.model.state();
            let count = state.trees.len();
            let fresh = count == 0 || one_in(&self.rng, 4);
            (!fresh).then(|| state.trees[below(&self.rng, count)].clone())
        };
        let tree = world.pool.tree(&self.rng, base.as_ref());
        world.model.state().trees.push(tree.clone());
        let key = handle.store.project(&target.dataset.project).await?.key;
        let built = build(&world.pool, &key, &tree);
        let mut all = vec![target.clone()];
        let second = targets()[below(&self.rng, targets().len())].clone();
        if one_in(&self.rng, 5)
            && second.dataset.project == target.dataset.project
            && second != target
        {
            all.push(second);
        }
        let files = Arc::new(built.files.clone());
        let number = world.model.publish(&all, Some(files), false);
        world.say(&self.name, format!("pushes op-{number} to {target} as {}", built.root));
        let pushed = self.upload(world, handle, &all, &built, number).await;
        self.settle(world, number, pushed)
    }

    fn settle<T>(&self, world: &World, number: usize, done: Result<T, Error>) -> Result<(), Error> {
        match done {
            Ok(_) => {
                world.say(&self.name, format!("published op-{number}"));
                world.model.published(number);
                Ok(())
            }
            Err(error) => {
                world.model.state().counts.refused += 1;
                Err(error)
            }
        }
    }

    async fn upload(
        &self,
        world: &World,
        handle: &Handle,
        all: &[Target],
        built: &Built,
        number: usize,
    ) -> Result<(), Error> {
        let honest = one_in(&self.rng, 2);
        let store = if honest { &handle.store } else { &handle.node };
        let upload = store.upload(all).await?;
        self.dawdle(world).await;
        let mut chunks = built.chunks.as_slice();
        while !chunks.is_empty() {
            let (some, rest) = chunks.split_at(1 + below(&self.rng, chunks.len()));
            chunks = rest;
            if !honest {
                self.forge(world, upload.as_ref(), some).await;
            }
            self.add(world, handle, upload.as_ref(), some, honest).await?;
        }
        if one_in(&self.rng, 16) {
            return upload.abandon().await.and(Err(given_up()));
        }
        let fleeting = all.iter().all(|target| fate(&target.dataset) == Fate::Fleeting);
        let expires =
            (fleeting && one_in(&self.rng, 3)).then(|| world.env.clock.wall_ns() + 200_000_000_000);
        let publication = Publication {
            root: built.root,
            totals: built.totals,
            by: format!("op-{number}"),
            message: Some("made by the simulation".to_owned()),
            expires_ns: expires,
        };
        self.dawdle(world).await;
        upload.publish(&publication).await.map(drop)
    }

    /// Claims chunks and adds what is wanted. Who is not honest withholds some of it at times.
    async fn add(
        &self,
        world: &World,
        handle: &Handle,
        upload: &dyn Upload,
        chunks: &[(ChunkId, Bytes)],
        honest: bool,
    ) -> Result<(), Error> {
        let ids: Vec<_> = chunks.iter().map(|(id, _)| *id).collect();
        let wanted = upload.claim(&ids).await?;
        self.dawdle(world).await;
        let mut open = OpenFrame::default();
        for ((id, bytes), _) in chunks.iter().zip(wanted).filter(|(_, wanted)| *wanted) {
            if !honest && one_in(&self.rng, 200) {
                world.say(&self.name, format!("withholds {id}"));
                continue;
            }
            open.push(*id, bytes);
            if open.is_full() || one_in(&self.rng, 8) {
                let full = std::mem::take(&mut open);
                upload.add(full.encode(handle.datasets.blocks().level())).await?;
            }
        }
        if !open.is_empty() {
            upload.add(open.encode(1)).await?;
        }
        Ok(())
    }

    /// Sometimes tries to store a content under the name of another one, or a chunk that was not
    /// claimed (DATASETS-2). An error of any kind will do, as the bucket may be ill.
    async fn forge(&self, world: &World, upload: &dyn Upload, chunks: &[(ChunkId, Bytes)]) {
        if !one_in(&self.rng, 20) {
            return;
        }
        let (id, bytes) = &chunks[below(&self.rng, chunks.len())];
        let mut other = bytes.to_vec();
        let at = below(&self.rng, other.len());
        other[at] ^= 1 << (self.rng.next_u64() % 8);
        let claimed = one_in(&self.rng, 2) && upload.claim(&[*id]).await.is_ok();
        let mut open = OpenFrame::default();
        open.push(*id, if claimed { &other } else { bytes });
        match upload.add(open.encode(1)).await {
            Ok(()) if claimed => world.model.broken("DATASETS-2", format!("{id} was forged")),
            // It was claimed before, and is what it says.
            Ok(()) => {}
            Err(_) => world.model.state().counts.forged += 1,
        }
    }

    /// A real directory through the real push.
    async fn push_directory(
        &self,
        world: &World,
        handle: &Handle,
        target: Target,
    ) -> Result<(), Error> {
        let tree = world.pool.tree(&self.rng, None);
        let files = Arc::new(world.pool.files(&tree));
        let directory = tempfile::tempdir().expect("the simulation needs a temporary directory");
        write_tree(directory.path(), &files).expect("a temporary directory takes files");
        let number = world.model.publish(std::slice::from_ref(&target), Some(files), true);
        world.say(&self.name, format!("pushes op-{number} to {target} from a directory"));
        let source = Source::Path(directory.path().to_path_buf());
        let options = PushOptions {
            by: format!("op-{number}"),
            message: Some("from a directory".to_owned()),
            ..PushOptions::default()
        };
        let store = if one_in(&self.rng, 2) { &handle.store } else { &handle.node };
        let pushed = push(store, &source, &[target], &options).await;
        self.settle(world, number, pushed)
    }

    async fn copy(&self, world: &World, handle: &Handle, to: Target) -> Result<(), Error> {
        let all = targets();
        let near: Vec<&Target> =
            all.iter().filter(|from| from.dataset.project == to.dataset.project).collect();
        let from = near[below(&self.rng, near.len())];
        let number = world.model.publish(std::slice::from_ref(&to), None, false);
        world.say(&self.name, format!("copies {from} to {to} as op-{number}"));
        let copied = handle.store.copy_tag(from, &to, &format!("op-{number}")).await;
        self.settle(world, number, copied)
    }

    async fn remove(&self, world: &World, handle: &Handle, target: Target) -> Result<(), Error> {
        if fate(&target.dataset) == Fate::Strict {
            return Ok(());
        }
        let number = world.model.remove(&target);
        world.say(&self.name, format!("removes {target}"));
        handle.store.remove(&target).await?;
        world.say(&self.name, format!("removed {target}"));
        world.model.removed(number);
        Ok(())
    }

    async fn rules(&self, handle: &Handle, target: Target) -> Result<(), Error> {
        let fate = fate(&target.dataset);
        if fate == Fate::Strict {
            return Ok(());
        }
        let fleeting = fate == Fate::Fleeting;
        let rules = Rules {
            history_keep: u32::try_from(self.rng.next_u64() % 4).unwrap_or_default(),
            history_seconds: self.rng.next_u64() % 1000,
            tags_keep: (fleeting && one_in(&self.rng, 2)).then_some(1),
            tags_seconds: fleeting.then_some(300),
        };
        handle.store.set_rules(&target.dataset, &rules).await
    }

    async fn read(
        &self,
        world: &World,
        handle: &Handle,
        target: Target,
        corrupt: bool,
    ) -> Result<(), Error> {
        let tag = match handle.store.tag(&target).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let count = 1 + tag.history.len();
        let number = below(&self.rng, count);
        let version = tag.history.get(number).unwrap_or(&tag.current);
        let read = read_whole(handle, &target, version).await;
        let wanted = {
            let state = world.model.state();
            let known = state.contents.get(&version.root).cloned();
            known.or_else(|| state.publish(&version.by)?.files.clone())
        };
        match read {
            Ok(found) => {
                world.model.state().counts.read += 1;
                if wanted.is_some_and(|wanted| *wanted != found) {
                    let what = format!("{target} of {} reads as something else", version.by);
                    world.model.broken("BUCKET-3", what);
                }
                Ok(())
            }
            Err(error) => {
                let lost = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound);
                if !corrupt && lost {
                    let (by, error) = (version.by.clone(), error.to_string());
                    world.model.state().suspicions.push(Suspicion { target, by, error });
                }
                Err(error)
            }
        }
    }

    async fn collect(&self, world: &World, handle: &Handle) -> Result<(), Error> {
        let pick = |of: &[u64]| of[below(&self.rng, of.len())];
        let options = CollectOptions {
            grace: Duration::from_secs(pick(&[0, 0, 0, 5, 60])),
            lease: Duration::from_secs(pick(&[60, 600, 3600])),
            rewrite_below_percent: [0, 60, 100][below(&self.rng, 3)],
            dry_run: one_in(&self.rng, 12),
        };
        world.say(&self.name, "collects");
        let collected = handle.datasets.collect(options).await?;
        world.say(&self.name, format!("collected {collected:?}"));
        let mut state = world.model.state();
        state.counts.collected += 1;
        state.counts.packs_deleted += collected.blocks.packs_deleted;
        state.counts.packs_rewritten += collected.blocks.packs_rewritten;
        state.counts.packs_rescued += collected.blocks.packs_rescued;
        Ok(())
    }
}

fn given_up() -> Error {
    Error::Remote { kind: ErrorKind::Closed, message: "given up".to_owned() }
}

fn write_tree(top: &std::path::Path, files: &Files) -> std::io::Result<()> {
    let mut made = vec![top.to_path_buf()];
    for (path, bytes) in files {
        let path = top.join(path);
        let parent = path.parent().unwrap_or(top);
        std::fs::create_dir_all(parent)?;
        std::fs::write(&path, bytes)?;
        made.push(parent.to_path_buf());
        made.push(path);
    }
    let zero = rustix::fs::Timespec { tv_sec: 0, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: zero, last_modification: zero };
    for path in made.iter().chain([&top.join("d")]).filter(|path| path.exists()) {
        rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty())?;
    }
    Ok(())
}
