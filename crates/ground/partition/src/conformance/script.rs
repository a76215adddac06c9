//! Random scripts of operations, played on a partition and compared with the oracle.

mod player;
mod reads;
mod transactions;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::Subject;
use crate::{KeyRange, Op};

pub use player::play;

/// All that scripts use: the ends of the order, prefixes of each other, and neighbours.
const KEYS: [&[u8]; 12] = [
    b"\0",
    b"\0\xff",
    b"a",
    b"a\0",
    b"ab",
    b"b",
    b"b\xff",
    b"c",
    b"d",
    b"\x7f",
    b"\xff",
    b"\xff\xff",
];
/// Tries to make a failing script smaller.
const SHRINKS_MAX: usize = 2000;
/// Commits back that a script reads at most.
const BACK_MAX: u8 = 12;

/// Which state a script reads.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// What is acknowledged.
    Durable,
    /// The newest.
    Newest,
    /// So many commits back.
    Back(u8),
    /// So many milliseconds ago.
    Ago(u16),
}

/// One change of a script. Ends are relative to the time of the commit, in milliseconds.
#[derive(Clone, Debug)]
pub enum Make {
    /// Puts the key of this number.
    Put(u8, u8, Option<i16>),
    /// Deletes it.
    Delete(u8),
    /// Deletes a range between two of them; none is open.
    DeleteRange(Option<u8>, Option<u8>),
}

/// What a condition of a script expects.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    /// What is there.
    Right,
    /// Nothing.
    Absent,
    /// What was there so many commits ago.
    Stale(u8),
}

/// A step in an open transaction.
#[derive(Clone, Debug)]
pub enum Act {
    /// Reads a key.
    Get(u8),
    /// Reads a range.
    Scan(Option<u8>, Option<u8>, u8),
    /// Makes a change; ends are left out.
    Make(Make),
    /// Ends it.
    Commit,
}

/// One step of a script.
#[derive(Clone, Debug)]
pub enum Step {
    /// Commits changes on conditions.
    Commit(Vec<Make>, Vec<(u8, Expect)>),
    /// Reads a key.
    Get(u8, When),
    /// Begins a scan: its range, direction, limit, and whether values are left out.
    Scan(Option<u8>, Option<u8>, bool, u8, bool, When),
    /// Reads the next page of an open scan.
    More(u8),
    /// Begins a transaction.
    Begin,
    /// Goes on with one.
    Act(u8, Act),
    /// Watches from so many commits back.
    Watch(u8),
    /// Asks which commit was the last so many milliseconds ago.
    SeqAt(u16),
    /// Lets time pass, in milliseconds.
    Sleep(u16),
    /// Closes and opens the store, where it can.
    Reopen,
}

fn key(number: u8) -> Bytes {
    Bytes::from_static(KEYS[usize::from(number) % KEYS.len()])
}

fn range(from: Option<u8>, to: Option<u8>) -> KeyRange {
    KeyRange { from: from.map_or_else(Bytes::new, key), to: to.map(key) }
}

impl Make {
    fn op(&self, now_ms: u64) -> Op {
        match self {
            Self::Put(number, value, end) => {
                let expires_ms = end.map(|end| now_ms.saturating_add_signed(end.into()));
                let (key, bytes) = (key(*number), Bytes::from(vec![*value; 3]));
                // Some are references, which are read as they were given like values.
                if value % 5 == 4 {
                    return Op::Refer { key, reference: bytes, expires_ms };
                }
                Op::Put { key, value: bytes, expires_ms }
            }
            Self::Delete(number) => Op::Delete { key: key(*number) },
            Self::DeleteRange(from, to) => Op::DeleteRange(range(*from, *to)),
        }
    }
}

fn any_key() -> impl Strategy<Value = u8> {
    0..u8::try_from(KEYS.len()).unwrap()
}

fn any_end() -> impl Strategy<Value = Option<u8>> {
    prop_oneof![1 => Just(None), 4 => any_key().prop_map(Some)]
}

fn any_make() -> BoxedStrategy<Make> {
    let end = prop_oneof![6 => Just(None), 3 => (-5..10_000_i16).prop_map(Some)];
    prop_oneof![
        6 => (any_key(), any::<u8>(), end).prop_map(|(key, value, end)| Make::Put(key, value, end)),
        2 => any_key().prop_map(Make::Delete),
        1 => (any_end(), any_end()).prop_map(|(from, to)| Make::DeleteRange(from, to)),
    ]
    .boxed()
}

fn any_when() -> impl Strategy<Value = When> {
    prop_oneof![
        4 => Just(When::Durable),
        1 => Just(When::Newest),
        4 => (0..BACK_MAX).prop_map(When::Back),
        1 => (0..30_000_u16).prop_map(When::Ago),
    ]
}

fn any_act() -> BoxedStrategy<Act> {
    prop_oneof![
        4 => any_key().prop_map(Act::Get),
        2 => (any_end(), any_end(), 0..6_u8).prop_map(|(from, to, limit)| Act::Scan(from, to, limit)),
        4 => any_make().prop_map(Act::Make),
        3 => Just(Act::Commit),
    ]
    .boxed()
}

fn any_step() -> BoxedStrategy<Step> {
    let expect = prop_oneof![
        3 => Just(Expect::Right),
        1 => Just(Expect::Absent),
        1 => (1..BACK_MAX).prop_map(Expect::Stale),
    ];
    let conditions = prop_oneof![2 => Just(Vec::new()), 1 => vec((any_key(), expect), 1..3)];
    let scan = (any_end(), any_end(), any::<bool>(), 1..6_u8, any::<bool>(), any_when());
    prop_oneof![
        12 => (vec(any_make(), 1..5), conditions).prop_map(|(ops, on)| Step::Commit(ops, on)),
        6 => (any_key(), any_when()).prop_map(|(key, when)| Step::Get(key, when)),
        6 => scan.prop_map(|(from, to, reverse, limit, keys_only, when)| {
            Step::Scan(from, to, reverse, limit, keys_only, when)
        }),
        6 => any::<u8>().prop_map(Step::More),
        3 => Just(Step::Begin),
        10 => (any::<u8>(), any_act()).prop_map(|(which, act)| Step::Act(which, act)),
        3 => (0..BACK_MAX).prop_map(Step::Watch),
        2 => (0..30_000_u16).prop_map(Step::SeqAt),
        4 => (1..4000_u16).prop_map(Step::Sleep),
        1 => Just(Step::Reopen),
    ]
    .boxed()
}

/// Scripts of at most `count` steps.
pub fn steps(count: usize) -> BoxedStrategy<Vec<Step>> {
    vec(any_step(), 1..=count.max(1)).boxed()
}

/// Plays one script of `seed` with at most `count` steps on a store that `make` gives; a script that
/// fails is made as small as it gets first, each try on a store of its own.
///
/// # Panics
/// When the partition does what the oracle does not.
pub async fn random<S: Subject>(make: impl AsyncFn() -> S, seed: u64, count: usize) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut tree = steps(count).new_tree(&mut runner).unwrap();
    let mut script = tree.current();
    let Err(mut why) = play(&make().await, &script).await else { return };
    for _ in 0..SHRINKS_MAX {
        if !tree.simplify() {
            break;
        }
        loop {
            match play(&make().await, &tree.current()).await {
                Err(error) => {
                    (script, why) = (tree.current(), error);
                    break;
                }
                Ok(()) if tree.complicate() => {}
                Ok(()) => break,
            }
        }
    }
    panic!("seed {seed}: {why}\nafter these steps: {script:#?}");
}
