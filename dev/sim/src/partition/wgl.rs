//! Whether a history is linearisable: whether each operation can be given a moment between its
//! beginning and its end such that a sequential object, which does them in that order, gives the answers
//! that were given. The search is Wing and Gong's with Lowe's memory of what was tried
//! (Testing for Linearizability, 2017): a set of operations that are done and the state that this led
//! to are looked at once.
//!
//! An operation without an end may be done at any moment after its beginning, or never.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::history::Moment;

/// What is looked at before the search gives up.
const LOOKS_MAX: usize = 100_000;

/// A sequential object.
pub trait Object {
    /// What it is at a moment.
    type State: Clone + Ord;
    /// What can be done with it, with the answer that was given.
    type Action;

    /// What it is at first.
    fn start(&self) -> Self::State;

    /// Whether an action never changes anything, whatever the state.
    fn reads(&self, action: &Self::Action) -> bool;

    /// What it is after an action; `None` when the action would have had another answer.
    fn step(&self, state: &Self::State, action: &Self::Action) -> Option<Self::State>;
}

/// An action, and when it was under way.
#[derive(Clone, Debug)]
pub struct Timed<A> {
    /// It was not done before this.
    pub begun: Moment,
    /// It was done before this; `None`: nobody knows whether it ever was.
    pub ended: Option<Moment>,
    /// What it is.
    pub action: A,
    /// Where it is likely to stand among the others. A good guess makes the search short; the verdict
    /// does not depend on it.
    pub guess: u64,
}

/// What the search has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is such an order.
    Linearisable,
    /// There is none.
    Not,
    /// The search was given up.
    Undecided,
}

type Done = Vec<u64>;

/// Actions in the order of their ends.
struct Order<'a, A> {
    timed: Vec<&'a Timed<A>>,
    /// The first beginning of each one and all after it.
    begun: Vec<Moment>,
}

impl<'a, A> Order<'a, A> {
    fn new(actions: &'a [Timed<A>]) -> Self {
        let mut timed: Vec<&Timed<A>> = actions.iter().collect();
        timed.sort_by_key(|timed| (timed.ended.unwrap_or(Moment::MAX), timed.begun));
        let mut begun: Vec<Moment> = timed.iter().map(|timed| timed.begun).collect();
        for at in (1..begun.len()).rev() {
            begun[at - 1] = begun[at - 1].min(begun[at]);
        }
        Self { timed, begun }
    }

    /// What may be next: what began before anything that is left had ended.
    fn candidates(&self, done: &Done) -> Vec<usize> {
        let mut first_end = Moment::MAX;
        let mut found = Vec::new();
        for number in left(done, self.timed.len()) {
            // The first one that is left ends first.
            first_end = first_end.min(self.timed[number].ended.unwrap_or(Moment::MAX));
            if self.begun[number] >= first_end {
                break;
            }
            if self.timed[number].begun < first_end {
                found.push(number);
            }
        }
        found
    }
}

/// The numbers below `count` that are not done.
fn left(done: &Done, count: usize) -> impl Iterator<Item = usize> {
    let words = done.iter().enumerate().filter(|(_, word)| **word != u64::MAX);
    let bits = words.flat_map(|(at, word)| {
        (0..64).filter(move |bit| word >> bit & 1 == 0).map(move |bit| at * 64 + bit)
    });
    bits.take_while(move |number| *number < count)
}

/// Looks for an order.
pub fn check<O: Object>(object: &O, actions: &[Timed<O::Action>]) -> Verdict {
    let order = Order::new(actions);
    let mut tried: BTreeSet<(Done, O::State)> = BTreeSet::new();
    let mut stack = vec![(vec![0; actions.len().div_ceil(64)], object.start())];
    while let Some((mut done, state)) = stack.pop() {
        if reads(object, &order, &mut done, &state) {
            return Verdict::Linearisable;
        }
        if !tried.insert((done.clone(), state.clone())) {
            continue;
        }
        if tried.len() > LOOKS_MAX {
            return Verdict::Undecided;
        }
        // The one that is likely to be next lies on top of the stack.
        let mut candidates = order.candidates(&done);
        candidates.sort_by_key(|number| Reverse(order.timed[*number].guess));
        for number in candidates {
            let Some(next) = object.step(&state, &order.timed[number].action) else { continue };
            let mut with = done.clone();
            set(&mut with, number);
            stack.push((with, next));
        }
    }
    Verdict::Not
}

/// Does every action that may be next and only reads: doing it at once takes nothing from the others.
/// Whether all that must be done is.
fn reads<O: Object>(
    object: &O,
    order: &Order<O::Action>,
    done: &mut Done,
    state: &O::State,
) -> bool {
    loop {
        let same = |number: &usize| {
            let timed = order.timed[*number];
            object.reads(&timed.action) && object.step(state, &timed.action).is_some()
        };
        let found: Vec<usize> = order.candidates(done).into_iter().filter(same).collect();
        if found.is_empty() {
            let mut left = left(done, order.timed.len());
            return left.all(|number| order.timed[number].ended.is_none());
        }
        found.into_iter().for_each(|number| set(done, number));
    }
}

fn set(done: &mut Done, number: usize) {
    done[number / 64] |= 1 << (number % 64);
}
