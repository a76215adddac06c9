//! Any sequence of appends, flushes, crashes and reopenings against a naive model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// To which partition, and how many bytes.
    Append(u8, u16),
    Flush(u8),
    /// Flushes, and waits for it.
    Settle(u8),
    Release(u8),
    Wait(u16),
    Crash,
    Kill,
    Close,
    FailWrite(u8),
    FailSync(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let partition = 0..3u8;
    prop_oneof![
        10 => (partition.clone(), 1..3000u16).prop_map(|(to, bytes)| Step::Append(to, bytes)),
        3 => partition.clone().prop_map(Step::Flush),
        4 => partition.clone().prop_map(Step::Settle),
        2 => partition.prop_map(Step::Release),
        3 => (0..5000u16).prop_map(Step::Wait),
        2 => Just(Step::Crash),
        1 => Just(Step::Kill),
        1 => Just(Step::Close),
        1 => (1..4u8).prop_map(Step::FailWrite),
        1 => (1..4u8).prop_map(Step::FailSync),
    ]
}

/// What must be there of one partition, and what may.
#[derive(Default)]
struct Expected {
    /// All appends in their order: commit and bytes.
    appends: Vec<(u64, Vec<u8>)>,
    acknowledged: u64,
    released: (u64, u64),
    epoch: u64,
}

struct World {
    env: Env,
    disk: SimDisk,
    log: Log,
    writers: Vec<Writer>,
    expected: BTreeMap<u8, Expected>,
}

fn index(seq: u64) -> usize {
    usize::try_from(seq).unwrap()
}

impl World {
    async fn new(seed: u64) -> Self {
        let (env, disk) = (Env::simulated(seed), SimDisk::new());
        let log = open(&disk, &env).await.unwrap();
        let expected = (0..3).map(|number| (number, Expected::default())).collect();
        let mut world = Self { env, disk, log, writers: Vec::new(), expected };
        world.check().await;
        world
    }

    fn note_acknowledged(&mut self) {
        for (number, writer) in (0u8..).zip(&self.writers) {
            let expected = self.expected.get_mut(&number).unwrap();
            let durable = writer.status().last_durable_seq.map_or(0, |seq| seq.0);
            assert!(durable >= expected.acknowledged || durable == 0);
            expected.acknowledged = expected.acknowledged.max(durable);
        }
    }

    /// Replays everything: all that was acknowledged, in order, nothing half and nothing twice.
    async fn check(&mut self) {
        self.writers.clear();
        for (number, expected) in &mut self.expected {
            let frames =
                replayed(&self.log, partition(*number), expected.released.0).await.unwrap();
            let mut seq = expected.released.1;
            let mut last_id = expected.released.0;
            for frame in &frames {
                assert!(frame.id > last_id);
                last_id = frame.id;
                assert_eq!(frame.first_seq, Seq(seq + 1));
                let range = index(seq)..index(frame.last_seq.0);
                let bytes: Vec<u8> =
                    expected.appends[range].iter().flat_map(|(_, bytes)| bytes.clone()).collect();
                assert_eq!(frame.payload, bytes);
                seq = frame.last_seq.0;
            }
            assert!(seq >= expected.acknowledged, "{seq} of {} are there", expected.acknowledged);
            expected.appends.truncate(index(seq));
            expected.acknowledged = seq;
            expected.epoch += 1;
            let epoch = Epoch(expected.epoch);
            self.writers.push(self.log.writer(partition(*number), epoch, last_id).unwrap());
        }
    }

    async fn reopen(&mut self, disk: SimDisk) {
        self.note_acknowledged();
        self.disk = disk;
        self.log = open(&self.disk, &self.env).await.unwrap();
        self.check().await;
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Append(to, bytes) => {
                let expected = self.expected.get_mut(&to).unwrap();
                let seq = expected.appends.len() as u64 + 1;
                let bytes = vec![(seq % 251) as u8; usize::from(bytes)];
                if self.writers[usize::from(to)].append(&bytes, Seq(seq), Seq(seq)).is_ok() {
                    expected.appends.push((seq, bytes));
                }
            }
            Step::Flush(to) => drop(self.writers[usize::from(to)].flush()),
            Step::Settle(to) => {
                let flush = self.writers[usize::from(to)].flush().1;
                if flush.await.is_ok() {
                    let expected = self.expected.get_mut(&to).unwrap();
                    expected.acknowledged = expected.appends.len() as u64;
                }
            }
            Step::Release(to) => {
                let status = self.writers[usize::from(to)].status();
                if let Some(seq) = status.last_durable_seq {
                    self.writers[usize::from(to)].release(status.last_durable_id);
                    let expected = self.expected.get_mut(&to).unwrap();
                    expected.released = (status.last_durable_id, seq.0);
                }
            }
            Step::Wait(us) => self.env.clock.sleep(Duration::from_micros(us.into())).await,
            Step::Crash => self.reopen(self.disk.crash(self.env.rng.as_ref())).await,
            Step::Kill => self.reopen(self.disk.kill()).await,
            Step::Close => {
                let closed = self.log.close().await;
                self.note_acknowledged();
                if closed.is_ok() {
                    for expected in self.expected.values_mut() {
                        expected.acknowledged = expected.appends.len() as u64;
                    }
                }
                self.reopen(self.disk.kill()).await;
            }
            Step::FailWrite(number) => self.disk.fail_write(number.into()),
            Step::FailSync(number) => self.disk.fail_sync(number.into()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn acknowledged_appends_survive(
        steps in prop::collection::vec(step(), 1..80), seed: u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut world = World::new(seed).await;
            for step in steps {
                world.step(step).await;
            }
            world.reopen(world.disk.crash(world.env.rng.as_ref())).await;
        });
    }
}
