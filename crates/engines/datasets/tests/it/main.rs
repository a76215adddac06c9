//! The engine on real file systems and real buckets: what goes in comes back exactly.

mod archives;
mod browsing;
mod defects;
mod pulling;
mod pushing;
mod round_trip;
mod rules;
mod support;
mod verifying;
