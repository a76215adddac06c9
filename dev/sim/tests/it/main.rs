//! Seeds, the same trace for the same seed, and scenarios that have names; and whether the checkers of
//! partitions see what is wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod functions;
mod histories;
mod marks;
mod nodes;
mod orders;
mod partition;
mod scenarios;
mod seeds;
mod support;
