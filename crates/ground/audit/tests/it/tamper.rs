//! AUDIT-3: what was done to the log afterwards is found, and where.

use std::sync::Arc;

use bytes::Bytes;
use cairn_audit::Outcome;
use cairn_audit::{Filter, FindingKind, Hub, Line, Link, Log, Mark, Segment, Verified, Verify};
use cairn_bucket::{Bucket, Memory};
use cairn_env::Env;
use futures::StreamExt as _;

use crate::support::{change, hub, lines, log, record, resources, simulate};

const COUNT: u64 = 12;

fn key(seq: u64) -> String {
    format!("audit/0000000000000/{seq:03x}")
}

struct World {
    bucket: Bucket,
    log: Log,
    head: Mark,
}

impl World {
    async fn new(env: Env) -> Self {
        let bucket = Bucket::from_store(Arc::new(Memory::new(&env)), "memory://", &env);
        let hub = hub(&bucket, &env);
        for number in 1..=COUNT {
            change(&hub, "a", &number.to_string()).await;
        }
        let log = log(&bucket, &env);
        let verified = log.verify(Verify::default(), |_| {}).await.unwrap();
        assert_eq!((verified.segments, verified.records), (COUNT, COUNT));
        assert_eq!(verified.findings, []);
        let head = verified.head.unwrap().parse().unwrap();
        Self { bucket, log, head }
    }

    async fn bytes(&self, seq: u64) -> Bytes {
        self.bucket.get(&key(seq)).await.unwrap().bytes
    }

    async fn put(&self, seq: u64, bytes: impl Into<Bytes>) {
        self.bucket.put(&key(seq), bytes.into()).await.unwrap();
    }

    async fn verify(&self) -> Verified {
        self.log.verify(Verify::default(), |_| {}).await.unwrap()
    }

    async fn verify_with_head(&self) -> Verified {
        let what = Verify { head: Some(self.head), from: None };
        self.log.verify(what, |_| {}).await.unwrap()
    }
}

fn found(verified: &Verified) -> Vec<(u64, FindingKind)> {
    verified.findings.iter().map(|finding| (finding.seq, finding.kind)).collect()
}

#[test]
fn audit_3_a_flipped_byte() {
    simulate(1, |env| async move {
        let world = World::new(env).await;
        let whole = world.bytes(5).await;
        for at in [0, 4, 5, 8, 20, 50, 57, 70, whole.len() - 1] {
            let mut bad = whole.to_vec();
            bad[at] ^= 0x10;
            world.put(5, bad).await;
            assert_eq!(found(&world.verify().await), [(5, FindingKind::Damaged)], "byte {at}");
        }
        let all = lines(&world.log, Filter::default()).await;
        assert!(matches!(&all[4], Line::Gap(gap) if gap.seq == 5), "readers see it too");
        assert_eq!(all.len(), 12);
    });
}

#[test]
fn audit_3_a_segment_that_was_changed_with_its_checksum() {
    simulate(2, |env| async move {
        let world = World::new(env).await;
        let (mut segment, _) = Segment::decode(&world.bytes(5).await).unwrap();
        segment.records[0].caller = "nobody".into();
        world.put(5, segment.encode().0).await;
        assert_eq!(found(&world.verify().await), [(6, FindingKind::OutOfChain)]);
        // The last one has no successor that tells: only a mark does.
        let (mut last, _) = Segment::decode(&world.bytes(COUNT).await).unwrap();
        last.records.push(record("a", Outcome::Changed, "forged"));
        last.records[1].count = 1;
        world.put(COUNT, last.encode().0).await;
        assert_eq!(found(&world.verify().await), [(6, FindingKind::OutOfChain)]);
        assert_eq!(
            found(&world.verify_with_head().await),
            [(6, FindingKind::OutOfChain), (COUNT, FindingKind::OtherThanMarked)]
        );
    });
}

#[test]
fn audit_3_removed_segments() {
    simulate(3, |env| async move {
        let world = World::new(env.clone()).await;
        for seq in [4, 7, 8] {
            world.bucket.delete(&key(seq)).await.unwrap();
        }
        let verified = world.verify().await;
        assert_eq!(found(&verified), [(4, FindingKind::Missing), (7, FindingKind::Missing)]);
        assert!(verified.findings[1].detail.contains("7 to 8"), "{:?}", verified.findings);
        // A hub that fills the hole does not mend the chain.
        for number in 0..6 {
            change(&hub(&world.bucket, &env), "a", &number.to_string()).await;
        }
        let verified = world.verify().await;
        assert_ne!(verified.findings, []);
    });
}

#[test]
fn audit_3_two_swapped_segments() {
    simulate(4, |env| async move {
        let world = World::new(env).await;
        let (three, nine) = (world.bytes(3).await, world.bytes(9).await);
        world.put(3, nine).await;
        world.put(9, three).await;
        let verified = world.verify().await;
        assert_eq!(found(&verified), [(3, FindingKind::Damaged), (9, FindingKind::Damaged)]);
        assert!(verified.findings[0].detail.contains("it is segment 9"));
    });
}

#[test]
fn audit_3_an_end_that_was_cut_off_needs_a_mark() {
    simulate(5, |env| async move {
        let world = World::new(env.clone()).await;
        for seq in [COUNT - 1, COUNT] {
            world.bucket.delete(&key(seq)).await.unwrap();
        }
        assert_eq!(world.verify().await.findings, [], "nothing tells without a mark");
        assert_eq!(found(&world.verify_with_head().await), [(COUNT, FindingKind::Missing)]);
        // Nor does it help to write on.
        let hub = hub(&world.bucket, &env);
        for number in 0..5 {
            change(&hub, "b", &number.to_string()).await;
        }
        assert_eq!(world.verify().await.findings, []);
        assert_eq!(found(&world.verify_with_head().await), [(COUNT, FindingKind::OtherThanMarked)]);
    });
}

#[test]
fn audit_3_a_log_made_anew_is_not_the_one_that_was_marked() {
    simulate(6, |env| async move {
        let world = World::new(env.clone()).await;
        for seq in 1..=COUNT {
            world.bucket.delete(&key(seq)).await.unwrap();
        }
        let hub = hub(&world.bucket, &env);
        for number in 0..20 {
            change(&hub, "b", &number.to_string()).await;
        }
        assert_eq!(found(&world.verify_with_head().await), [(COUNT, FindingKind::OtherThanMarked)]);
    });
}

#[test]
fn audit_3_what_was_put_in() {
    simulate(7, |env| async move {
        let world = World::new(env).await;
        let before = Link { hash: world.head.hash, unreadable: false };
        let mut forged = record("a", Outcome::Changed, "forged");
        forged.count = 1;
        let segment =
            |seq, before| Segment { seq, before, hub: Hub([1; 8]), records: vec![forged.clone()] };
        let bytes = world.bytes(6).await;
        world.put(6, segment(6, before).encode().0).await;
        let verified = world.verify().await;
        assert_eq!(found(&verified), [(6, FindingKind::OutOfChain), (7, FindingKind::OutOfChain)]);
        world.put(6, bytes).await;
        let link = Link { hash: world.head.hash, unreadable: true };
        world.put(COUNT + 1, segment(COUNT + 1, link).encode().0).await;
        assert_eq!(found(&world.verify().await), [(COUNT + 1, FindingKind::OutOfChain)]);
        // Far away and with strange names, also a number that would take for ever to count to.
        world.bucket.delete(&key(COUNT + 1)).await.unwrap();
        world.bucket.put("audit/notes.txt", "x".into()).await.unwrap();
        world.bucket.put("audit/0ffffffffffff/fff", "x".into()).await.unwrap();
        let far = 0x0fff_ffff_ffff_ffff_u64;
        assert_eq!(
            found(&world.verify().await),
            [
                (0, FindingKind::Stranger),
                (COUNT + 1, FindingKind::Missing),
                (far, FindingKind::Damaged),
            ]
        );
    });
}

/// A damaged end does not stop the hubs, and stays in the log as what it is.
#[test]
fn a_log_goes_on_after_a_damaged_end() {
    simulate(8, |env| async move {
        let world = World::new(env.clone()).await;
        let whole = world.bytes(COUNT).await;
        let mut bad = whole.to_vec();
        bad[60] ^= 1;
        world.put(COUNT, bad.clone()).await;
        let hub = hub(&world.bucket, &env);
        change(&hub, "b", "after").await;
        change(&hub, "b", "later").await;
        assert_eq!(found(&world.verify().await), [(COUNT, FindingKind::Damaged)]);
        bad[61] ^= 1;
        world.put(COUNT, bad).await;
        assert_eq!(
            found(&world.verify().await),
            [(COUNT, FindingKind::Damaged), (COUNT + 1, FindingKind::OutOfChain)],
            "it was damaged in another way then"
        );
        world.put(COUNT, whole).await;
        let verified = world.verify().await;
        assert_eq!(found(&verified), [(COUNT + 1, FindingKind::OutOfChain)]);
    });
}

#[test]
fn a_verification_begins_at_a_mark() {
    simulate(9, |env| async move {
        let world = World::new(env.clone()).await;
        world.bucket.delete(&key(2)).await.unwrap();
        change(&hub(&world.bucket, &env), "b", "one").await;
        world.bucket.delete(&key(2)).await.unwrap();
        let (middle, hash) = Segment::decode(&world.bytes(5).await).unwrap();
        let from = Mark { seq: middle.seq, hash };
        let verify = |from, head| world.log.verify(Verify { from, head }, |_| {});
        let verified = verify(Some(from), Some(world.head)).await.unwrap();
        assert_eq!((verified.segments, found(&verified)), (COUNT - 4, vec![]));
        let other = Mark { seq: 5, ..world.head };
        let verified = verify(Some(other), None).await.unwrap();
        assert_eq!(found(&verified), [(5, FindingKind::OtherThanMarked)]);
        let beyond = Mark { seq: 99, ..world.head };
        let verified = verify(Some(beyond), None).await.unwrap();
        assert_eq!(found(&verified), [(99, FindingKind::Missing)]);
        let verified = verify(Some(world.head), Some(from)).await.unwrap();
        assert_eq!(found(&verified), [(5, FindingKind::Missing)], "it was not looked at");
    });
}

#[test]
fn records_are_read_in_order_and_by_filter() {
    simulate(10, |env| async move {
        let world = World::new(env.clone()).await;
        let numbers: Vec<String> = (1..=COUNT).map(|number| number.to_string()).collect();
        assert_eq!(resources(&world.log).await, numbers);
        let filter = Filter { resource: Some("1*".to_owned()), ..Filter::default() };
        assert_eq!(lines(&world.log, filter).await.len(), 4);
        env.clock.sleep(std::time::Duration::from_secs(7200)).await;
        let since_ms = Some(env.clock.wall_ns() / 1_000_000);
        change(&hub(&world.bucket, &env), "b", "late").await;
        let filter = Filter { since_ms, ..Filter::default() };
        assert_eq!(lines(&world.log, filter.clone()).await.len(), 1);
        let mut followed = Box::pin(world.log.follow(COUNT - 1, filter).await.unwrap());
        let mut next = async || followed.next().await.unwrap().unwrap();
        let mut seen = Vec::new();
        for _ in 0..4 {
            let batch = next().await;
            seen.push((batch.seq, batch.lines.len()));
        }
        let next_seq = COUNT + 1;
        let told = [(next_seq, 1), (next_seq, 0), (next_seq, 0), (next_seq, 0)];
        assert_eq!(seen, told, "what is older by hours is not looked at");
        change(&hub(&world.bucket, &env), "b", "more").await;
        let batch = next().await;
        assert_eq!((batch.seq, batch.lines.len()), (COUNT + 2, 1));
    });
}
