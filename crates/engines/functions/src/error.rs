use cairn_base::ErrorKind;
use cairn_wasm::Failure;
use thiserror::Error;

use crate::Function;

/// Why something could not be done with a function.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// What is kept of functions.
    #[error(transparent)]
    Kept(#[from] cairn_kv::Error),
    /// The upload cannot be a function.
    #[error("{message}")]
    Code {
        /// What a caller can do about it.
        kind: ErrorKind,
        /// Why not.
        message: String,
    },
    /// There is no such function.
    #[error("there is no function {function}; `cairn fn deploy` makes one")]
    NoFunction {
        /// Which one.
        function: Function,
    },
    /// There is no such release of it.
    #[error("{function} has no release {number}; `cairn fn versions {function}` lists them")]
    NoRelease {
        /// The function.
        function: Function,
        /// The release.
        number: u32,
    },
    /// A release cannot be run.
    #[error("release {number} of {function} is {state}, and cannot be what answers")]
    NotReady {
        /// The function.
        function: Function,
        /// The release.
        number: u32,
        /// What it is.
        state: &'static str,
    },
    /// No release of it can be run yet.
    #[error(
        "{function} has no release that is ready yet: `cairn fn versions {function}` says how they stand"
    )]
    NoneReady {
        /// The function.
        function: Function,
    },
    /// No pattern of a route.
    #[error(
        "{pattern:?} is no pattern of a route: {why}; write it as in 'GET example.org/hello/{{who}}'"
    )]
    Pattern {
        /// What was given.
        pattern: String,
        /// Why not.
        why: String,
    },
    /// There is a route for the same requests.
    #[error("the route {pattern:?} to {function} is for the same requests: remove it first")]
    RouteExists {
        /// Its pattern.
        pattern: String,
        /// What it leads to.
        function: Function,
    },
    /// There is no such route.
    #[error("there is no route {pattern:?}; `cairn route ls` lists them")]
    NoRoute {
        /// What was given.
        pattern: String,
    },
    /// There is a schedule of this name.
    #[error("{function} has a schedule {name} already: remove it first, or choose another name")]
    ScheduleExists {
        /// The function.
        function: Function,
        /// The schedule's name.
        name: String,
    },
    /// There is no such schedule.
    #[error("{function} has no schedule {name}; `cairn cron ls` lists them")]
    NoSchedule {
        /// The function.
        function: Function,
        /// What was given.
        name: String,
    },
    /// There is a trigger of this name.
    #[error("{function} has a trigger {name} already: remove it first, or choose another name")]
    TriggerExists {
        /// The function.
        function: Function,
        /// The trigger's name.
        name: String,
    },
    /// There is no such trigger.
    #[error("{function} has no trigger {name}; `cairn trigger ls` lists them")]
    NoTrigger {
        /// The function.
        function: Function,
        /// What was given.
        name: String,
    },
    /// It is no filter of this function.
    #[error("{filter} is no filter of {function}; `cairn filter ls` lists them")]
    NoFilter {
        /// The function.
        function: Function,
        /// What was given.
        filter: String,
    },
    /// Requests of others pass it.
    #[error("{function} is a filter of {others}: remove it there first (`cairn filter rm`)")]
    IsFilter {
        /// The function.
        function: Function,
        /// Those.
        others: String,
    },
    /// There is no such call, or it was another's.
    #[error("{function} has no call {id}: what came of one is kept for a day")]
    NoCall {
        /// The function.
        function: Function,
        /// What was given.
        id: String,
    },
    /// An idempotency key was used for something else.
    #[error("this idempotency key was used for another call of {function}: choose another")]
    OtherCall {
        /// The function.
        function: Function,
    },
    /// What is read of a dataset.
    #[error("{message}")]
    Data {
        /// What kind of error.
        kind: ErrorKind,
        /// What is told.
        message: String,
    },
    /// What is no name.
    #[error(transparent)]
    Name(#[from] cairn_base::name::Error),
    /// There is no such plan, or it ended long ago.
    #[error("there is no plan {id} of {plan}: plans that have ended are kept for a week")]
    NoPlan {
        /// What it is called.
        plan: Function,
        /// What was given.
        id: String,
    },
    /// As many plans wait or run as may.
    #[error("{max} plans of this project wait or run already: try again later, or cancel some")]
    TooManyPlans {
        /// How many may.
        max: usize,
    },
    /// A plan has made nothing of this kind, or not yet.
    #[error("the plan has no such output: {why}")]
    NoOutput {
        /// Why not.
        why: String,
    },
    /// As many calls wait as may.
    #[error("{max} calls of functions of this project wait already: try again later")]
    TooManyCalls {
        /// How many may.
        max: usize,
    },
    /// Something leads to it still.
    #[error(
        "routes lead to {function}: {routes}; remove them first, or all at once with --with-routes"
    )]
    InUse {
        /// The function.
        function: Function,
        /// Their patterns.
        routes: String,
    },
    /// The request makes no sense.
    #[error("{why}")]
    Invalid {
        /// Why not, and what to do.
        why: String,
    },
    /// Others change the same at the same time.
    #[error("others change {function} at the same time: try again")]
    Contended {
        /// The function.
        function: Function,
    },
    /// A row that this version does not understand.
    #[error("what is kept under {key} cannot be read: {why}")]
    Row {
        /// Its key.
        key: String,
        /// Why not.
        why: String,
    },
    /// A call did not end well.
    #[error("{function}: {failure}")]
    Failed {
        /// The function.
        function: Function,
        /// What happened.
        failure: Failure,
    },
}

impl From<cairn_wasm::Error> for Error {
    fn from(error: cairn_wasm::Error) -> Self {
        Self::Code { kind: error.kind(), message: error.to_string() }
    }
}

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Kept(error) => error.kind(),
            Self::Code { kind, .. } | Self::Data { kind, .. } => *kind,
            Self::NoFunction { .. }
            | Self::NoRelease { .. }
            | Self::NoRoute { .. }
            | Self::NoCall { .. }
            | Self::NoPlan { .. }
            | Self::NoOutput { .. }
            | Self::NoFilter { .. }
            | Self::NoTrigger { .. }
            | Self::NoSchedule { .. } => ErrorKind::NotFound,
            Self::NotReady { .. }
            | Self::RouteExists { .. }
            | Self::ScheduleExists { .. }
            | Self::TriggerExists { .. }
            | Self::OtherCall { .. }
            | Self::IsFilter { .. }
            | Self::InUse { .. } => ErrorKind::Conflict,
            Self::NoneReady { .. }
            | Self::Contended { .. }
            | Self::TooManyCalls { .. }
            | Self::TooManyPlans { .. } => ErrorKind::Retry,
            Self::Pattern { .. } | Self::Invalid { .. } | Self::Name(_) => ErrorKind::Invalid,
            Self::Row { .. } => ErrorKind::Corrupt,
            Self::Failed { failure, .. } => failure.kind(),
        }
    }
}

impl From<cairn_datasets::Error> for Error {
    fn from(error: cairn_datasets::Error) -> Self {
        Self::Data { kind: error.kind(), message: error.to_string() }
    }
}
