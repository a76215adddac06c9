//! The search for an order, against known histories and against trying every order.

use cairn_env::{Rng as _, SeededRng};
use cairn_sim::partition::keys::{Action, Key};
use cairn_sim::partition::wgl::{Object as _, Timed, Verdict, check};

use Action::{Read, Refused, Swap, Write};

fn timed(begun: u64, ended: u64, action: Action) -> Timed<Action> {
    Timed { begun, ended: Some(ended), action, guess: begun }
}

fn doubt(begun: u64, action: Action) -> Timed<Action> {
    Timed { begun, ended: None, action, guess: u64::MAX }
}

#[test]
fn good_histories_have_an_order() {
    let good = [
        vec![],
        vec![timed(1, 2, Read(None))],
        vec![timed(1, 2, Write(Some(1))), timed(3, 4, Read(Some(1)))],
        // Of two at a time either may come first.
        vec![timed(1, 4, Write(Some(1))), timed(2, 3, Read(None))],
        vec![timed(1, 4, Write(Some(1))), timed(2, 3, Read(Some(1)))],
        vec![
            timed(1, 10, Write(Some(1))),
            timed(2, 9, Write(Some(2))),
            timed(11, 12, Read(Some(1))),
        ],
        vec![timed(1, 4, Swap(None, 1)), timed(2, 3, Refused(None))],
        // A delete of nothing is kept for what it deletes.
        vec![timed(1, 10, Write(None)), timed(2, 5, Write(Some(1))), timed(6, 12, Read(None))],
        // In doubt: never, at once, or much later.
        vec![doubt(1, Write(Some(1))), timed(3, 4, Read(None))],
        vec![doubt(1, Write(Some(1))), timed(3, 4, Read(Some(1)))],
        vec![doubt(1, Write(Some(1))), timed(3, 4, Read(None)), timed(5, 6, Read(Some(1)))],
        vec![
            doubt(1, Write(Some(1))),
            timed(3, 4, Write(Some(2))),
            timed(5, 6, Read(Some(2))),
            timed(7, 8, Read(Some(1))),
        ],
    ];
    for history in good {
        assert_eq!(check(&Key, &history), Verdict::Linearisable, "{history:?}");
    }
}

#[test]
fn bad_histories_have_none() {
    let bad = [
        vec![timed(1, 2, Read(Some(1)))],
        // What was acknowledged is not read.
        vec![timed(1, 2, Write(Some(1))), timed(3, 4, Read(None))],
        // A read goes back.
        vec![timed(1, 10, Write(Some(1))), timed(2, 3, Read(Some(1))), timed(4, 5, Read(None))],
        // It is read before it began.
        vec![timed(1, 2, Read(Some(1))), timed(3, 4, Write(Some(1)))],
        vec![timed(1, 2, Read(Some(1))), doubt(3, Write(Some(1)))],
        // Two swaps of one state.
        vec![timed(1, 5, Swap(None, 1)), timed(2, 6, Swap(None, 2))],
        vec![timed(1, 2, Refused(None))],
        // In doubt, seen, and then not any more.
        vec![doubt(1, Write(Some(1))), timed(2, 3, Read(Some(1))), timed(4, 5, Read(None))],
        // Made twice.
        vec![
            doubt(1, Write(Some(1))),
            timed(2, 3, Read(Some(1))),
            timed(4, 5, Write(None)),
            timed(6, 7, Read(Some(1))),
        ],
        // Two readers see two writes in different orders.
        vec![
            timed(1, 20, Write(Some(1))),
            timed(2, 20, Write(Some(2))),
            timed(3, 4, Read(Some(1))),
            timed(5, 6, Read(Some(2))),
            timed(7, 8, Read(Some(1))),
        ],
    ];
    for history in bad {
        assert_eq!(check(&Key, &history), Verdict::Not, "{history:?}");
    }
}

/// Tries every order.
fn has_order(state: Option<u64>, left: &[Timed<Action>]) -> bool {
    if left.iter().all(|timed| timed.ended.is_none()) {
        return true;
    }
    let first_end = left.iter().filter_map(|timed| timed.ended).min().unwrap_or(u64::MAX);
    (0..left.len()).any(|number| {
        let next = &left[number];
        let mut rest = left.to_vec();
        rest.remove(number);
        let stepped = Key.step(&state, &next.action);
        next.begun < first_end && stepped.is_some_and(|state| has_order(state, &rest))
    })
}

fn random_history(rng: &SeededRng) -> Vec<Timed<Action>> {
    let below = |end: u64| rng.next_u64() % end;
    let some = |number: u64| (number > 0).then_some(number);
    (0..1 + below(7))
        .map(|number| {
            let begun = 2 * below(20);
            let action = match below(6) {
                0..3 => Read(some(below(4))),
                3 => Write(some(number % 4)),
                4 => Swap(some(below(4)), 1 + below(3)),
                _ => Refused(some(below(4))),
            };
            let writes = matches!(action, Write(_) | Swap(..));
            let ended = (!writes || below(4) > 0).then(|| begun + 1 + 2 * below(12));
            Timed { begun, ended, action, guess: below(9) }
        })
        .collect()
}

#[test]
fn the_search_finds_what_trying_all_orders_finds() {
    let rng = SeededRng::new(5);
    let mut good = 0;
    for _ in 0..20_000 {
        let history = random_history(&rng);
        let expected = has_order(None, &history);
        good += u32::from(expected);
        let verdict = if expected { Verdict::Linearisable } else { Verdict::Not };
        assert_eq!(check(&Key, &history), verdict, "{history:?}");
    }
    assert!((2000..18_000).contains(&good), "{good} of them have an order");
}

/// Many at a time, with answers that fit: what was tried is not tried again.
#[test]
fn long_histories_end() {
    let rng = SeededRng::new(6);
    let (mut state, mut history) = (None, Vec::new());
    for number in 1..=1500 {
        let moment = number * 10;
        let action = match rng.next_u64() % 3 {
            0 => {
                state = Some(number);
                Write(state)
            }
            _ => Read(state),
        };
        let spread = |rng: &SeededRng| rng.next_u64() % 60;
        let (begun, ended) = (moment.saturating_sub(spread(&rng)), moment + 1 + spread(&rng));
        history.push(Timed { guess: moment, ..timed(begun, ended, action) });
        if number % 100 == 0 {
            history.push(doubt(moment, Write(Some(1_000_000 + number))));
        }
    }
    assert_eq!(check(&Key, &history), Verdict::Linearisable);
    let settled: Vec<_> = history.into_iter().filter(|timed| timed.ended.is_some()).collect();
    history = settled;
    history.push(timed(20_000, 20_001, Read(Some(1))));
    assert_eq!(check(&Key, &history), Verdict::Not);
}
