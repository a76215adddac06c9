use cairn_chunk::ChunkId;
use proptest::prelude::*;

use super::*;
use crate::refs::HISTORY_MAX;

fn version(number: u8) -> Version {
    Version {
        root: ChunkId([number % 3; 32]),
        time_ns: i64::from(number),
        by: "ada".to_owned(),
        message: None,
        expires_ns: None,
        files: 0,
        bytes: 0,
        new_bytes: 0,
        stored_bytes: 0,
    }
}

#[derive(Clone, Debug)]
enum Step {
    Move,
    Remove,
    /// Retention leaves so many superseded versions.
    Keep(usize),
    Look,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Move),
        1 => Just(Step::Remove),
        1 => (0..4usize).prop_map(Step::Keep),
        3 => Just(Step::Look),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    /// DATASETS-5: a follower sees versions in the order in which they were made, none twice, and misses only
    /// what the ref itself does not know any more.
    #[test]
    fn datasets_5_a_follower_sees_each_version_once_and_in_order(steps in steps()) {
        let mut state = RefState::default();
        let (mut made, mut seen, mut last) = (0u8, Vec::new(), None::<String>);
        let mut owed: VecDeque<u8> = VecDeque::new();
        for step in steps.iter().chain([&Step::Look]) {
            match step {
                Step::Move => {
                    made += 1;
                    if let Some(old) = state.current.replace(version(made)) {
                        state.history.insert(0, old);
                        state.history.truncate(HISTORY_MAX);
                    }
                    owed.push_back(made);
                }
                Step::Remove => {
                    state = RefState::default();
                    owed.clear();
                }
                Step::Keep(kept) => {
                    state.history.truncate(*kept);
                    let left = state.history.len() + usize::from(state.current.is_some());
                    while owed.len() > left {
                        owed.pop_front();
                    }
                }
                Step::Look => {
                    let first = last.is_none();
                    let told = news(Some(&state), last.as_deref());
                    if first {
                        prop_assert_eq!(told.len(), 1, "at first it is told what is");
                        prop_assert_eq!(&told[0], &state.current);
                    } else if state.current.is_some() {
                        let told: Vec<i64> = told.iter().flatten().map(|v| v.time_ns).collect();
                        let owed: Vec<i64> = owed.iter().map(|number| i64::from(*number)).collect();
                        prop_assert_eq!(told, owed);
                    }
                    for state in told {
                        last = Some(state_id(state.as_ref()));
                        seen.extend(state.map(|version| version.time_ns));
                    }
                    owed.clear();
                }
            }
        }
        prop_assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", seen);
    }
}

#[test]
fn a_tag_that_is_not_there_is_told_once() {
    assert_eq!(news(None, None), [None]);
    assert_eq!(news(None, Some(REMOVED)), VecDeque::<Option<Version>>::new());
    let removed = RefState { removed_ns: Some(1), ..RefState::default() };
    assert_eq!(news(Some(&removed), Some(&version(1).id())), [None]);
    let again = RefState { current: Some(version(2)), ..RefState::default() };
    assert_eq!(news(Some(&again), Some(REMOVED)), [Some(version(2))]);
}
