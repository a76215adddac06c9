//! The shapes of what the engine serializes, for the OpenAPI document. A test holds them to what it
//! really serializes.

#![allow(dead_code, reason = "only their shapes are used")]

mod functions;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::functions::*;

/// One version: a manifest and who published it when.
#[derive(Serialize, ToSchema)]
pub struct Version {
    /// The id of the manifest's root: the same tree has the same root.
    root: String,
    /// When it was published, in nanoseconds since 1970 UTC.
    time_ns: i64,
    /// Who published it.
    by: String,
    /// What the publisher said about it.
    message: Option<String>,
    /// When the tag is to be removed, in nanoseconds since 1970 UTC.
    expires_ns: Option<i64>,
    /// Regular files.
    files: u64,
    /// Bytes of all files.
    bytes: u64,
    /// Bytes before compression that no earlier version had.
    new_bytes: u64,
    /// Bytes that it added to the bucket.
    stored_bytes: u64,
}

/// A tag and its versions, the newest first.
#[derive(Serialize, ToSchema)]
pub struct Tag {
    /// Its name.
    tag: String,
    /// Where it points.
    current: Version,
    /// Where it pointed before.
    history: Vec<Version>,
}

/// A dataset in a listing.
#[derive(Serialize, ToSchema)]
pub struct Summary {
    /// Its project.
    project: String,
    /// Its name.
    name: String,
    /// Its tags.
    tags: Vec<String>,
    /// The newest version among its tags.
    newest: Version,
}

/// How long versions are kept.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Superseded versions kept per tag, the newest ones.
    history_keep: u32,
    /// Superseded versions younger than this are kept in any case, in seconds.
    history_seconds: u64,
    /// Tags kept, the newest ones; none means all.
    tags_keep: Option<u32>,
    /// Tags younger than this are kept in any case, in seconds.
    tags_seconds: Option<u64>,
}

/// A webhook of a dataset.
#[derive(Serialize, ToSchema)]
pub struct Hook {
    /// Its id, 16 hexadecimal digits.
    id: String,
    /// Where requests go.
    url: String,
    /// Which tags it is about, with `*` for any characters.
    tags: String,
    /// Who made it.
    created_by: String,
    /// When, in nanoseconds since 1970 UTC.
    created_ns: i64,
    /// Failed attempts since the last delivery.
    failures: u32,
    /// Why the last attempt failed.
    error: Option<String>,
    /// When it is tried again, in nanoseconds since 1970 UTC.
    next_try_ns: Option<i64>,
}

/// An entry of a version.
#[derive(Serialize, ToSchema)]
pub struct Node {
    /// The path from the root, with U+FFFD in place of what is not UTF-8.
    path: String,
    /// The exact bytes of the path in hexadecimal, when it is not UTF-8.
    path_hex: Option<String>,
    /// `file`, `directory`, `symlink` or `hardlink`.
    kind: String,
    /// The length of a file; of a directory, of all files below.
    size: u64,
    /// Files below a directory.
    files: Option<u64>,
    /// Permission bits.
    mode: u32,
    /// The owner's number.
    uid: u32,
    /// The group's number.
    gid: u32,
    /// Seconds since 1970 UTC.
    mtime: i64,
    /// And nanoseconds.
    mtime_ns: u32,
    /// The target of a link.
    target: Option<String>,
    /// The BLAKE3 hash of a file of more than one chunk.
    blake3: Option<String>,
}

/// A directory and a page of what is in it, or another entry alone.
#[derive(Serialize, ToSchema)]
pub struct Listing {
    /// The entry at the path.
    entry: Node,
    /// Its children of this page, by name.
    children: Option<Vec<Node>>,
    /// `?after=` of the next page, percent-encoded bytes; none on the last.
    next: Option<String>,
}

/// A path that differs between two versions.
#[derive(Serialize, ToSchema)]
pub struct Change {
    /// `added`, `removed`, `modified` or `attributes`.
    change: String,
    /// The path, with U+FFFD in place of what is not UTF-8.
    path: String,
    /// The exact bytes of the path in hexadecimal, when it is not UTF-8.
    path_hex: Option<String>,
    /// The old entry.
    old: Option<Node>,
    /// The new entry.
    new: Option<Node>,
}

/// A file of an edit.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct EditFile {
    /// Its path.
    path: String,
    /// The length that it will have.
    size: u64,
    /// Bytes that were received.
    received: u64,
    /// Whether it is whole.
    done: bool,
}

/// A page of what an edit has so far.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct EditStatus {
    /// The project of its dataset.
    project: String,
    /// The name of its dataset.
    name: String,
    /// The tag that is to move.
    tag: String,
    /// Files, by path.
    files: Vec<EditFile>,
    /// Paths that are taken out of the version to come.
    removed: Vec<String>,
    /// `?after=` of the next page; none on the last.
    next: Option<String>,
}

/// What one version cost.
#[derive(Serialize, ToSchema)]
pub struct Performance {
    /// The version.
    version: Version,
    /// The root of the version it is compared with.
    compared_with: Option<String>,
    /// Bytes of all files.
    bytes: u64,
    /// Bytes that the older version has too. This and the two below count what is inside of opened
    /// archives, so together they may be more than `bytes`.
    reused_bytes: u64,
    /// Bytes that it has not, each counted where it first stands.
    new_bytes: u64,
    /// Bytes that stand more than once within this version.
    repeated_bytes: u64,
    /// Where new bytes are, the largest first.
    files: Vec<Share>,
    /// The same by file name ending.
    types: Vec<Share>,
    /// Archives whose members were opened.
    archives_opened: u64,
    /// Files that look like archives and could not be opened.
    archives_closed: u64,
    /// What the producer could do.
    advice: Vec<String>,
}

/// A part of the new bytes.
#[derive(Serialize, ToSchema)]
pub struct Share {
    /// A path, or a file name ending.
    name: String,
    /// Its bytes.
    bytes: u64,
    /// Those of them that are new.
    new_bytes: u64,
}

/// Where a namespace of keys stands.
#[derive(Serialize, ToSchema)]
pub struct NamespaceInfo {
    /// Its project.
    project: String,
    /// Its name.
    name: String,
    /// When changes are acknowledged: `log` or `bucket`.
    durable: String,
    /// For how long what was overwritten or deleted stays readable, in milliseconds.
    history_ms: u64,
    /// The last commit.
    seq: u64,
    /// The last commit that is acknowledged.
    durable_seq: u64,
    /// The oldest state that can be read; watches begin after it at the earliest.
    oldest_seq: u64,
    /// The log of an owner was lost: what was acknowledged at level `log` between its times may be lost.
    lost: Option<NamespaceLoss>,
}

/// A log that was not there when another node took the namespace over.
#[derive(Serialize, ToSchema)]
pub struct NamespaceLoss {
    /// The log.
    log: String,
    /// The node that had it.
    node: String,
    /// When the last of what was shipped of it was written, in milliseconds since 1970; none when
    /// nothing was.
    after_ms: Option<u64>,
    /// When the namespace was taken over, in milliseconds since 1970.
    noticed_ms: u64,
}

/// What the end of a key was set to.
#[derive(Serialize, ToSchema)]
pub struct KeyTouched {
    /// The commit that did.
    seq: u64,
    /// When the key is over, in milliseconds since 1970; never when none.
    expires_ms: Option<u64>,
}

/// What an import put.
#[derive(Serialize, ToSchema)]
pub struct KeysImported {
    /// Entries.
    entries: u64,
    /// Bytes of keys and values.
    bytes: u64,
    /// The last commit; 0 when there was nothing to put.
    seq: u64,
}

/// A line of an export or an import: a key with its value, each in one of two fields.
#[derive(Serialize, ToSchema)]
pub struct KeyLine {
    /// The key.
    key: Option<String>,
    /// The key in base64, when it is not UTF-8.
    key_base64: Option<String>,
    /// The value.
    value: Option<String>,
    /// The value in base64, when it is not UTF-8.
    value_base64: Option<String>,
    /// In place of a large value: its length, in bytes. An import refuses such a line.
    size: Option<u64>,
    /// When it is over, in milliseconds since 1970; never when not there.
    expires_ms: Option<u64>,
}
