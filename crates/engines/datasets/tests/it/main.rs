//! The engine on real file systems and real buckets: what goes in comes back exactly.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![allow(clippy::large_futures, reason = "a test has few of them")]

mod archives;
mod browsing;
mod defects;
mod editing;
mod following;
mod hooks;
mod measuring;
mod proving;
mod pulling;
mod pushing;
mod round_trip;
mod rules;
mod slow;
mod support;
mod verifying;
mod warm;
