//! Whether a history is linearisable: whether each operation can be given a moment between its
//! beginning and its end such that a sequential object, which does them in that order, gives the answers
//! that were given. The search is Wing and Gong's with Lowe's memory of what was tried
//! (Testing for Linearizability, 2017): a set of operations that are done and the state that this led
//! to are looked at once.
//!
//! An operation without an end may be done at any moment after its beginning, or never.

use std::collections::BTreeSet;

use super::history::Moment;

/// What is looked at before the search gives up.
const LOOKS_MAX: usize = 1_000_000;

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

/// Looks for an order.
pub fn check<O: Object>(object: &O, actions: &[Timed<O::Action>]) -> Verdict {
    let mut order: Vec<&Timed<O::Action>> = actions.iter().collect();
    order.sort_by_key(|timed| (timed.ended.unwrap_or(Moment::MAX), timed.begun));
    let mut tried: BTreeSet<(Done, O::State)> = BTreeSet::new();
    let mut stack = vec![(vec![0; order.len().div_ceil(64)], object.start())];
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
        // The one that ends first is looked at first, and lies on top of the stack.
        for number in candidates(&order, &done).into_iter().rev() {
            let Some(next) = object.step(&state, &order[number].action) else { continue };
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
    order: &[&Timed<O::Action>],
    done: &mut Done,
    state: &O::State,
) -> bool {
    loop {
        let same = |number: &usize| {
            let timed = order[*number];
            object.reads(&timed.action) && object.step(state, &timed.action).is_some()
        };
        let found: Vec<usize> = candidates(order, done).into_iter().filter(same).collect();
        if found.is_empty() {
            let left = |number| !is_set(done, number) && order[number].ended.is_some();
            return !(0..order.len()).any(left);
        }
        found.into_iter().for_each(|number| set(done, number));
    }
}

/// What may be next: what began before anything that is left had ended.
fn candidates<A>(order: &[&Timed<A>], done: &Done) -> Vec<usize> {
    let left = (0..order.len()).filter(|number| !is_set(done, *number));
    let mut first_end = Moment::MAX;
    let mut found = Vec::new();
    for number in left {
        // They are in the order of their ends: the first one that is left ends first.
        first_end = first_end.min(order[number].ended.unwrap_or(Moment::MAX));
        if order[number].begun < first_end {
            found.push(number);
        }
    }
    found
}

fn is_set(done: &Done, number: usize) -> bool {
    done[number / 64] >> (number % 64) & 1 == 1
}

fn set(done: &mut Done, number: usize) {
    done[number / 64] |= 1 << (number % 64);
}
