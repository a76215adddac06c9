//! Namespaces of keys on real nodes, disks and stores (LOG-1 to LOG-4): what was acknowledged is there
//! whole, in order and once, whatever is killed, stopped, cut off, full or gone.
//!
//! Clients speak HTTP by hand and write down what they asked and heard. A watch tells all that
//! happened. [`history`] compares the two.

mod bucket;
mod client;
mod cut;
mod fresh;
mod history;
mod killed;
mod redis;
mod rivals;
mod starved;
mod work;

/// The words that start a node whose log is kept.
const DATA: &str = "--data-dir data";
