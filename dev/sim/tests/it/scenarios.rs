//! Races that other stores are known for, one by one, in the order that hurts.

use std::time::Duration;

use cairn_base::ErrorKind;
use cairn_bucket::faulty::Kind;
use cairn_sim::check::progress;
use cairn_sim::{Built, World, block_on, target};

use crate::support::*;

#[test]
fn a_push_that_stalls_over_a_sweep_fails_clean_and_succeeds_again() {
    block_on(async {
        let world = World::new(1);
        let (pusher, collector) = (world.open().await.unwrap(), world.open().await.unwrap());
        let (old, to) = (target("data:old"), target("data:new"));
        let built = made(&world, &pusher, &tree(&[("a", &[1, 2, 3]), ("b", &[4])]));
        push(&pusher, &old, &built).await.unwrap();
        // It finds everything stored, so it writes nothing and holds no lease.
        let upload = pusher.store.upload(std::slice::from_ref(&to)).await.unwrap();
        assert_eq!(add(upload.as_ref(), &built).await.unwrap(), 0);
        collector.store.remove(&old).await.unwrap();
        for _ in 0..3 {
            collect(&world, &collector).await;
        }
        let error = publish(upload.as_ref(), &built).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
        let fresh = world.open().await.unwrap();
        assert_eq!(fresh.store.tag(&to).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert!(push(&pusher, &to, &built).await.unwrap() > 0);
        reads_as(&world, &to, &built).await;
    });
}

#[test]
fn a_session_that_lost_its_lease_registers_nothing() {
    block_on(async {
        let world = World::new(2);
        let (pusher, collector) = (world.open().await.unwrap(), world.open().await.unwrap());
        let to = target("data:new");
        let built = made(&world, &pusher, &tree(&[("a", &[1, 2, 3])]));
        let upload = pusher.store.upload(std::slice::from_ref(&to)).await.unwrap();
        assert!(add(upload.as_ref(), &built).await.unwrap() > 0);
        world.env.clock.sleep(Duration::from_secs(100)).await;
        assert_eq!(collect(&world, &collector).await.sessions_expired, 1);
        let error = publish(upload.as_ref(), &built).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
        push(&pusher, &to, &built).await.unwrap();
        collect(&world, &collector).await;
        reads_as(&world, &to, &built).await;
    });
}

#[test]
fn two_collections_that_cross_keep_what_is_reached() {
    block_on(async {
        let world = World::new(3);
        let (first, second) = (world.open().await.unwrap(), world.open().await.unwrap());
        let keep = target("data:keep");
        let kept = made(&world, &first, &tree(&[("a", &[1, 2, 3])]));
        push(&first, &keep, &kept).await.unwrap();
        for round in 0..6 {
            let gone = target("data:gone");
            let built = made(&world, &first, &tree(&[("a", &[1, 10 + round, 20 + round])]));
            push(&second, &gone, &built).await.unwrap();
            first.store.remove(&gone).await.unwrap();
            world.env.clock.sleep(Duration::from_secs(1)).await;
            let both =
                futures::join!(first.datasets.collect(greedy()), second.datasets.collect(greedy()));
            both.0.unwrap();
            both.1.unwrap();
            reads_as(&world, &keep, &kept).await;
        }
        progress(&world).await;
        reads_as(&world, &keep, &kept).await;
    });
}

#[test]
fn a_collection_that_was_overtaken_deletes_nothing() {
    block_on(async {
        let world = World::new(4);
        let handle = world.open().await.unwrap();
        let to = target("data:x");
        let built = made(&world, &handle, &tree(&[("a", &[1, 2])]));
        push(&handle, &to, &built).await.unwrap();
        handle.store.remove(&to).await.unwrap();
        // The pack is condemned, and dies when the next two begin. Neither has marked anything.
        assert_eq!(collect(&world, &handle).await.packs_condemned, 1);
        world.env.clock.sleep(Duration::from_secs(1)).await;
        let blocks = handle.datasets.blocks();
        let slow = blocks.collect(greedy()).await.unwrap();
        let mut fast =
            world.open().await.unwrap().datasets.blocks().collect(greedy()).await.unwrap();
        // The faster one saw somebody reach it again: it lives.
        let ids = cairn_sim::names_of(&built);
        fast.mark(&ids).await.unwrap();
        assert_eq!(fast.finish().await.unwrap().packs_rescued, 1);
        assert_eq!(slow.finish().await.unwrap().packs_deleted, 0);
        let key = blocks.chunk_key(&to.dataset.project);
        let fresh = world.open().await.unwrap();
        assert_eq!(fresh.datasets.blocks().read(&key, &ids).await.unwrap().len(), ids.len());
    });
}

#[test]
fn a_ref_that_is_made_again_while_it_is_removed_is_one_or_the_other() {
    block_on(async {
        for seed in 0..40 {
            let world = World::new(seed);
            world.faulty.set(cairn_sim::calm());
            let (one, other) = (world.open().await.unwrap(), world.open().await.unwrap());
            let to = target("data:x");
            let old = made(&world, &one, &tree(&[("a", &[1])]));
            let new = made(&world, &one, &tree(&[("a", &[2])]));
            push(&one, &to, &old).await.unwrap();
            let both = futures::join!(one.store.remove(&to), push(&other, &to, &new));
            both.0.unwrap();
            both.1.unwrap();
            match world.open().await.unwrap().store.tag(&to).await {
                // Removed last.
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
                Ok(tag) => {
                    assert!(tag.history.is_empty(), "what was removed came back");
                    reads_as(&world, &to, &new).await;
                }
            }
            // And again, one after the other.
            push(&one, &to, &old).await.unwrap();
            reads_as(&world, &to, &old).await;
        }
    });
}

fn packs_written(world: &World) -> usize {
    world.faulty.log().iter().filter(|entry| entry.key.starts_with("packs/")).count()
}

/// DATASETS-1 and BLOCKS-4: the publisher has announced its root and looked at the catalog; before it
/// moves the ref, a collection begins, and would delete what it relies on.
#[test]
fn an_announced_root_is_marked() {
    block_on(async {
        let world = World::new(10);
        let (pusher, collector) = (world.open().await.unwrap(), world.open().await.unwrap());
        let (old, to) = (target("data:old"), target("data:new"));
        let built = made(&world, &pusher, &tree(&[("a", &[1, 2, 3]), ("b", &[4])]));
        push(&pusher, &old, &built).await.unwrap();
        let upload = pusher.store.upload(std::slice::from_ref(&to)).await.unwrap();
        assert_eq!(add(upload.as_ref(), &built).await.unwrap(), 0);
        collector.store.remove(&old).await.unwrap();
        assert_eq!(collect(&world, &collector).await.packs_condemned, 1);
        let mut publishing = Box::pin(publish(upload.as_ref(), &built));
        let looked = || {
            let log = world.faulty.log();
            let announced = log
                .iter()
                .position(|entry| entry.key == "refs/main/data/new" && entry.kind == Kind::Create);
            announced.is_some_and(|at| log[at..].iter().any(|entry| entry.key == "catalog"))
        };
        until(&mut publishing, looked).await;
        let report = collect(&world, &collector).await;
        assert_eq!((report.packs_rescued, report.packs_deleted), (1, 0));
        publishing.await.unwrap();
        for _ in 0..3 {
            collect(&world, &collector).await;
        }
        reads_as(&world, &to, &built).await;
    });
}

/// BLOCKS-2: the lease ran out while the pack was on its way, and the pack was collected.
#[test]
fn what_was_collected_is_not_registered() {
    block_on(async {
        let world = World::new(11);
        let (pusher, collector) = (world.open().await.unwrap(), world.open().await.unwrap());
        let to = target("data:new");
        let built = made(&world, &pusher, &tree(&[("a", &[1, 2, 3])]));
        let upload = pusher.store.upload(std::slice::from_ref(&to)).await.unwrap();
        add(upload.as_ref(), &built).await.unwrap();
        let mut publishing = Box::pin(publish(upload.as_ref(), &built));
        until(&mut publishing, || packs_written(&world) > 0).await;
        world.env.clock.sleep(Duration::from_secs(100)).await;
        assert_eq!(collect(&world, &collector).await.orphans_deleted, 1);
        let error = publishing.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
        let fresh = world.open().await.unwrap();
        assert_eq!(fresh.datasets.blocks().usage().packs, 0, "the index names what is gone");
        push(&pusher, &to, &built).await.unwrap();
        reads_as(&world, &to, &built).await;
    });
}

/// restic #1141, rustic #144: a prune that begins before a backup ends, and does not know its packs.
#[test]
fn a_collection_does_not_destroy_a_push_that_is_under_way() {
    block_on(async {
        let world = World::new(5);
        let (pusher, collector) = (world.open().await.unwrap(), world.open().await.unwrap());
        let to = target("data:new");
        let built =
            made(&world, &pusher, &tree(&[("a", &[1, 2, 3]), ("d/b", &[4, 5, 6, 7, 8, 9])]));
        let upload = pusher.store.upload(std::slice::from_ref(&to)).await.unwrap();
        let (first, second) = built.chunks.split_at(built.chunks.len() / 2);
        for half in [first, second] {
            let half = Built { chunks: half.to_vec(), ..built.clone() };
            add(upload.as_ref(), &half).await.unwrap();
            for _ in 0..3 {
                let report = collect(&world, &collector).await;
                assert_eq!((report.packs_deleted, report.orphans_deleted), (0, 0));
            }
        }
        publish(upload.as_ref(), &built).await.unwrap();
        for _ in 0..3 {
            collect(&world, &collector).await;
        }
        reads_as(&world, &to, &built).await;
    });
}

#[test]
fn a_pack_that_was_never_registered_is_collected_and_stored_again() {
    block_on(async {
        let world = World::new(6);
        let (pusher, collector) = (world.open().await.unwrap(), world.open().await.unwrap());
        let to = target("data:new");
        let built = made(&world, &pusher, &tree(&[("a", &[1, 2, 3])]));
        let upload = pusher.store.upload(std::slice::from_ref(&to)).await.unwrap();
        add(upload.as_ref(), &built).await.unwrap();
        // The process dies after the upload of the pack, before the catalog names it.
        let before = world.faulty.count();
        let publishing = publish(upload.as_ref(), &built);
        let mut publishing = Box::pin(publishing);
        until(&mut publishing, || packs_written(&world) > 0).await;
        drop(publishing);
        drop(upload);
        assert!(world.faulty.count() > before);
        assert_eq!(collector.datasets.blocks().usage().packs, 0);
        world.env.clock.sleep(Duration::from_secs(100)).await;
        assert!(collect(&world, &collector).await.orphans_deleted >= 1);
        assert!(push(&pusher, &to, &built).await.unwrap() > 0);
        for _ in 0..3 {
            collect(&world, &collector).await;
        }
        reads_as(&world, &to, &built).await;
    });
}

/// BLOCKS-4, at every point where a collection can be: the publisher announces while packs that it
/// relies on are condemned, dying, or just gone.
#[test]
fn a_publication_that_crosses_a_collection_is_whole_or_refused() {
    block_on(async {
        let (mut published, mut refused) = (0, 0);
        for seed in 0..150 {
            let world = World::new(seed);
            let (pusher, collector) = (world.open().await.unwrap(), world.open().await.unwrap());
            let (old, to) = (target("data:old"), target("data:new"));
            let built = made(&world, &pusher, &tree(&[("a", &[1, 2, 3]), ("b", &[4])]));
            push(&pusher, &old, &built).await.unwrap();
            let upload = pusher.store.upload(std::slice::from_ref(&to)).await.unwrap();
            assert_eq!(add(upload.as_ref(), &built).await.unwrap(), 0);
            collector.store.remove(&old).await.unwrap();
            collect(&world, &collector).await;
            world.faulty.set(cairn_sim::calm());
            let late = async {
                world.env.clock.sleep(Duration::from_millis(seed * 4)).await;
                publish(upload.as_ref(), &built).await
            };
            let twice = async {
                world.env.clock.sleep(Duration::from_secs(1)).await;
                collector.datasets.collect(greedy()).await.unwrap();
                collector.datasets.collect(greedy()).await.unwrap();
            };
            let late = async {
                world.env.clock.sleep(Duration::from_millis(900)).await;
                late.await
            };
            let ((), done) = futures::join!(twice, late);
            match done {
                Ok(()) => {
                    published += 1;
                    for _ in 0..3 {
                        collect(&world, &collector).await;
                    }
                    reads_as(&world, &to, &built).await;
                }
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                    let fresh = world.open().await.unwrap();
                    assert!(fresh.store.tag(&to).await.is_err());
                }
            }
        }
        assert!(published > 0 && refused > 0, "{published} published, {refused} refused");
    });
}

/// What Xet's own simulation found in its collector, asked of ours.
mod xet {
    use super::*;

    /// An index object that is on its way out is never changed in place: its name is not its content.
    #[test]
    fn index_runs_and_packs_are_never_written_twice() {
        block_on(async {
            let world = World::new(7);
            let handle = world.open().await.unwrap();
            for round in 0..30 {
                let built = made(&world, &handle, &tree(&[("a", &[round, round + 1])]));
                push(&handle, &target("data:x"), &built).await.unwrap();
                if round % 5 == 0 {
                    collect(&world, &handle).await;
                }
            }
            let mut written = std::collections::BTreeSet::new();
            for entry in world.faulty.log() {
                let immutable = entry.key.starts_with("packs/") || entry.key.starts_with("index/");
                let write = matches!(entry.kind, Kind::Put | Kind::Create | Kind::Update);
                if immutable && write {
                    assert!(written.insert(entry.key.clone()), "{} was written twice", entry.key);
                }
            }
            assert!(written.len() > 60);
        });
    }

    /// Deduplication stops offering a chunk before its pack goes (BLOCKS-3).
    #[test]
    fn what_is_condemned_is_not_offered() {
        block_on(async {
            let world = World::new(8);
            let handle = world.open().await.unwrap();
            let to = target("data:x");
            let built = made(&world, &handle, &tree(&[("a", &[1, 2, 3])]));
            push(&handle, &to, &built).await.unwrap();
            handle.store.remove(&to).await.unwrap();
            assert_eq!(collect(&world, &handle).await.packs_condemned, 1);
            let upload = handle.store.upload(std::slice::from_ref(&to)).await.unwrap();
            let ids = cairn_sim::names_of(&built);
            assert_eq!(upload.claim(&ids).await.unwrap(), vec![true; ids.len()]);
        });
    }

    /// The same content, stored again while its old pack is deleted, is another object.
    #[test]
    fn content_that_returns_while_its_pack_is_deleted_stays() {
        block_on(async {
            for delay in 0..60 {
                let world = World::new(delay);
                let (pusher, collector) =
                    (world.open().await.unwrap(), world.open().await.unwrap());
                let to = target("data:x");
                let built = made(&world, &pusher, &tree(&[("a", &[1, 2, 3])]));
                push(&pusher, &to, &built).await.unwrap();
                pusher.store.remove(&to).await.unwrap();
                collect(&world, &collector).await;
                world.faulty.set(cairn_sim::calm());
                let again = async {
                    world.env.clock.sleep(Duration::from_millis(900 + delay * 10)).await;
                    push(&pusher, &to, &built).await
                };
                let (_, again) = futures::join!(collect(&world, &collector), again);
                if let Err(error) = again {
                    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                    push(&pusher, &to, &built).await.unwrap();
                }
                for _ in 0..3 {
                    collect(&world, &collector).await;
                }
                reads_as(&world, &to, &built).await;
            }
        });
    }

    /// An index entry goes in the same swap as its pack: no process that starts meanwhile is led to
    /// an object that is not there.
    #[test]
    fn the_index_never_names_what_is_gone() {
        block_on(async {
            let world = World::new(9);
            let handle = world.open().await.unwrap();
            let built = made(&world, &handle, &tree(&[("a", &[1, 2, 3])]));
            let kept = made(&world, &handle, &tree(&[("b", &[9, 10, 11])]));
            push(&handle, &target("data:kept"), &kept).await.unwrap();
            push(&handle, &target("data:x"), &built).await.unwrap();
            handle.store.remove(&target("data:x")).await.unwrap();
            collect(&world, &handle).await;
            // A crash in every request of the collection that deletes.
            let mut done = false;
            for _ in 0..60 {
                world.env.clock.sleep(Duration::from_secs(1)).await;
                let number = world.faulty.count() + 1;
                let crash = number + u64::from(!done) * (number % 23);
                world.faulty.crash_at(crash, cairn_bucket::faulty::Crash::Fail);
                done |= handle.datasets.collect(greedy()).await.is_ok();
                world.faulty.heal();
                let fresh = world.open().await.unwrap();
                let usage = fresh.datasets.blocks().usage();
                assert!(usage.packs >= 1);
                let verified = fresh.datasets.verify(std::sync::Arc::new(|_| ())).await.unwrap();
                assert!(verified.blocks.is_clean(), "{:?}", verified.blocks.findings);
            }
            collect(&world, &handle).await;
            reads_as(&world, &target("data:kept"), &kept).await;
        });
    }
}
