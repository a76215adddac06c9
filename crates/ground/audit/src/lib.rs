//! The audit log: who did what, when, from where, and what was decided about it.
//!
//! One log over all hubs of a bucket and over all doors. It is a chain of **segments**, the objects
//! `audit/…`, numbered from 1 without a gap. Each holds the hash of the one before, so that nothing
//! in the middle can be changed, removed or put in without [`Log::verify`] saying where. A hub appends
//! with put-if-absent of the next number: of two hubs one wins, and the other reads what is there and
//! appends after it. So the log is one line over all hubs, with no lock, and no clock is part of the
//! proof.
//!
//! [`Audit`] writes, [`Log`] reads. This crate knows nothing of principals or grants: a [`Record`] is
//! text that whoever decides has filled in.
//!
//! # Invariants
//!
//! - AUDIT-1 A record that [`Audit::commit`] answered for is in the log, and stays there: a change is
//!   committed before it is acknowledged.
//! - AUDIT-2 A segment is in the log at most once, also when the answer to its writing was lost.
//! - AUDIT-3 A segment that was changed, removed, put in or moved is found by [`Log::verify`]; an end
//!   that was cut off, with a [`Mark`] that was kept elsewhere.
//! - AUDIT-4 No record is dropped: when no more can be kept, [`Audit::record`] refuses, and with it the
//!   request that it is about.
//! - AUDIT-5 No credential is in a record, and no character that acts on a terminal.
//! - AUDIT-6 Decoding any bytes ends in a segment or an error, within memory bounded by constants.
//!
//! # Who owns the state, what is durable when, what survives a crash
//!
//! The bucket does. A hub holds the records of about the last second, at most [`BUFFER_BYTES_MAX`]:
//! they are written [`FLUSH_EVERY`] after the first of them, or at [`FLUSH_BYTES`], or when somebody
//! waits in [`Audit::commit`], with one write for all who wait. So what `kill -9` can lose is a second
//! of decisions that changed nothing. A change is committed twice: the decision before it is made, the
//! outcome before it is acknowledged. A change of which only the first is in the log was cut off, and
//! may have been made.
//!
//! While the bucket takes no segment, changes fail before they are made. Reads go on until what is kept
//! is [`BEHIND_MAX`] old or fills [`BUFFER_BYTES_MAX`]; then they are refused too, until the log is
//! written again.
//!
//! Identical decisions about one caller that wait for the same segment are one record with a count and
//! the time and request of the first.
//!
//! # What it does not prove
//!
//! It is no signature: who can write to the bucket (and, where it is encrypted, has its key) can make
//! a whole log anew. Keep the last [`Mark`] of a verification elsewhere: a log made anew does not have
//! it. Who works on the bucket itself, past all doors, is not in the log.
//!
//! # Absent on purpose
//!
//! Removing old segments: the first one that is left would need a proof of what it follows.

#![forbid(unsafe_code)]

mod audit;
mod buffer;
mod chain;
mod error;
mod filter;
mod log;
mod read;
mod record;
mod segment;
mod verify;

pub use audit::{Audit, BEHIND_MAX, COMMIT_WAIT_MAX, FLUSH_BYTES, FLUSH_EVERY, Status};
pub use buffer::BUFFER_BYTES_MAX;
pub use error::Error;
pub use filter::{Filter, PATTERN_BYTES_MAX};
pub use log::{Log, PREFIX};
pub use read::{Batch, Entry, FOLLOW_EVERY, Gap, Line};
pub use record::{Outcome, Record, TEXT_BYTES_MAX, Text};
pub use segment::{
    Hash, Hub, Link, Malformed, Mark, RECORDS_BYTES_MAX, SEGMENT_BYTES_MAX, SEQ_MAX, Segment,
};
pub use verify::{FINDINGS_MAX, Finding, FindingKind, Verified, Verify};
