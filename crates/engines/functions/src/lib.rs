//! Functions: WebAssembly that answers requests, kept and run by the nodes of a cluster.
//!
//! A [`Function`] is `@PROJECT/NAME`. It has releases, of which one answers; routes say which requests it is
//! asked. All of it is rows of one namespace of keys in each project (`rows`), so that it is backed up and
//! restored as keys are. [`Functions`] is the engine on a node.
//!
//! # Invariants
//!
//! - FUNCTIONS-1 Of the routes that fit a request the most particular one answers, whatever the order they were
//!   made in; no two routes are for the same requests.
//! - FUNCTIONS-2 A release answers whole or not at all: a call runs one release from its beginning to its end, and after an answer
//!   to a change of what answers no call begins on what was before, at the node that answered; others follow within seconds.
//! - FUNCTIONS-3 A release that was acknowledged is compiled, also when the node dies meanwhile; what cannot be compiled
//!   never answers.
//! - FUNCTIONS-4 A function reads and changes what its own grants allow, and nothing by who calls it: it is a principal,
//!   `function/@PROJECT/NAME`, asked for and recorded as all others are.
//! - FUNCTIONS-5 A function sends requests only to origins that its release names, and to addresses of this machine and
//!   its networks only where the operator allows it (EGRESS-1).
//! - FUNCTIONS-6 Runs of a schedule are begun one after the other, and what was begun is run to its end or run again, and
//!   told which attempt it is; what came of it is in the schedule's history before the next is begun.
//! - FUNCTIONS-7 A call that was acknowledged to be done later is begun again until it ends, three times at most; of calls
//!   with one idempotency key there is one, and what came of it is kept for a day.
//! - FUNCTIONS-8 A plan that was acknowledged is done to its end, its failure or its cancellation, whatever nodes end meanwhile; a
//!   run that is done is not done again while what it made is kept, unless that was asked for.
//! - FUNCTIONS-9 Functions call functions that their grants let them invoke, past no filter that they could not remove, and
//!   eight deep at most.
//!
//! # Who owns the state, what is durable when, what survives a crash
//!
//! The namespace does: a change is durable when it is acknowledged. Compiled code, logs and counts are this node's, and
//! lost with it. Every node runs functions; the node that has a project's partition changes what is kept of them, others read it
//! in the bucket.

#![forbid(unsafe_code)]

mod agenda;
mod blobs;
mod calls;
mod cgi;
mod direct;
mod error;
mod files;
mod functions;
mod inside;
mod latency;
mod live;
mod logs;
mod model;
mod outside;
mod plans;
mod registry;
mod routes;
mod rows;
mod schedules;
mod slot;
mod stores;
mod tiers;
mod triggers;
mod visits;

pub use cairn_wasm::{
    Body, COMPONENT_BYTES_MAX, Call, Done, Failure, Kept, Kind, Limits, Reuse, held,
    streamed as body, whole,
};
pub use cairn_worker::Workers;
pub use calls::{Asked, CALL_KEPT, CALLS_LISTED_MAX, CallInfo, CallState, call_id};
pub use direct::{ARGUMENTS_MAX, KEY_BYTES_MAX, new_id, takes_header};
pub use error::Error;
pub use functions::{Counted, DECIDED_WAIT_MAX, Functions, Match, NoMatch, Reached, component};
pub use inside::inside;
pub use latency::{ENDS_MS, Latency};
pub use logs::{LINES_MAX, Line};
pub use model::{
    Auth, FilterInfo, Function, Here, Info, Isolation, Release, RouteFiles, RouteInfo, Settings,
    State, Target, names_of,
};
pub use outside::egress;
pub use plans::{MADE_KEPT, PlanInfo, PlanSpec, PlanState, SPLIT_KEYS, Step, StepInfo, StepState};
pub use registry::{FILTERS_MAX, RELEASES_KEPT, ROUTES_MAX};
pub use routes::{Host, Method, Pattern, Segment};
pub use schedules::{Missed, Outcome, Plan, RUNS_KEPT, Run, SCHEDULES_MAX, ScheduleInfo};
pub use tiers::Tiers;
pub use triggers::{TRIGGERS_MAX, TriggerInfo, TriggerSpec};
