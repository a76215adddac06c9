use std::sync::{Mutex, MutexGuard, PoisonError};

use cairn_partition::Durable;

use super::history::{Answer, Call, Moment, Number, Operation, Owner};

/// Writes down operations as they begin and end.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<State>);

#[derive(Default)]
struct State {
    last: Moment,
    operations: Vec<Operation>,
}

impl State {
    fn moment(&mut self) -> Moment {
        self.last += 1;
        self.last
    }
}

impl Recorder {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now.
    pub(crate) fn moment(&self) -> Moment {
        self.state().moment()
    }

    /// An operation that began at a moment, and has no answer yet.
    pub(crate) fn begin(
        &self,
        client: u32,
        owner: Owner,
        level: Durable,
        begun: Moment,
        call: Call,
    ) -> Number {
        let mut state = self.state();
        let (ended, answer) = (Moment::MAX, Answer::Doubt);
        let operation = Operation { client, owner, level, begun, ended, call, answer };
        state.operations.push(operation);
        state.operations.len() as Number - 1
    }

    /// Its answer has come.
    pub(crate) fn end(&self, number: Number, answer: Answer) {
        let mut state = self.state();
        let ended = state.moment();
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(operation) = state.operations.get_mut(at) {
            (operation.ended, operation.answer) = (ended, answer);
        }
    }

    /// All of them.
    pub(crate) fn done(&self) -> Vec<Operation> {
        self.state().operations.clone()
    }
}
