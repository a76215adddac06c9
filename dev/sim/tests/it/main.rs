//! Seeds, the same trace for the same seed, and scenarios that have names.

mod scenarios;
mod seeds;
