//! The shapes of what the engine serializes, for the OpenAPI document. A test holds them to what it
//! really serializes.

#![allow(dead_code, reason = "only their shapes are used")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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

/// A function.
#[derive(Serialize, ToSchema)]
pub struct Function {
    /// Its project.
    project: String,
    /// Its name.
    name: String,
    /// The release that answers; none while the first is not ready.
    current: Option<u32>,
    /// The newest release.
    newest: u32,
    /// How that stands: `compiling`, `ready` or `failed`.
    newest_state: String,
    /// When it was first deployed, in milliseconds since 1970.
    made_ms: u64,
    /// What it did on the node that is asked.
    here: FunctionHere,
}

/// What a function did on a node since that started.
#[derive(Serialize, ToSchema)]
pub struct FunctionHere {
    /// Calls that ended.
    calls: u64,
    /// Those among them that did not end well: a limit, a trap, no answer.
    failures: u64,
    /// How long those of the last five to ten minutes took; none when there were none.
    latency: Option<FunctionLatency>,
}

/// How long calls of a function took, until the head of an answer or the end of a program.
#[derive(Serialize, ToSchema)]
pub struct FunctionLatency {
    /// Calls that were measured.
    calls: u64,
    /// So long took 50 of a hundred at most, in microseconds.
    p50_us: u64,
    /// 95 of a hundred.
    p95_us: u64,
    /// 99 of a hundred.
    p99_us: u64,
}

/// A release of a function.
#[derive(Serialize, ToSchema)]
pub struct Release {
    /// Its number, counted from 1.
    number: u32,
    /// The BLAKE3 hash of its component, in hexadecimal.
    digest: String,
    /// The length of its component, in bytes.
    bytes: u64,
    /// `compiling`, `ready` or `failed`.
    state: String,
    /// How it is called, of one that is ready: `http` or `command`.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// Why it cannot be run, of one that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// When it was deployed, in milliseconds since 1970.
    made_ms: u64,
    /// By whom.
    by: String,
    /// What it is run with.
    settings: FunctionSettings,
}

/// What a release is run with.
#[derive(Serialize, ToSchema)]
pub struct FunctionSettings {
    /// What a call may use.
    limits: FunctionLimits,
    /// Its environment variables.
    environment: std::collections::BTreeMap<String, String>,
    /// Where it may send requests: `SCHEME://HOST[:PORT]`, where the host may be `*.` and a name, or `*`.
    outbound: Vec<String>,
    /// How it is kept apart from others: `in_process`, or `process` for a process of its project's own.
    isolation: String,
}

/// What a call of a function may use.
#[derive(Serialize, ToSchema)]
pub struct FunctionLimits {
    /// Memory of an instance, in bytes.
    memory_bytes: u64,
    /// Computing for one call, in milliseconds.
    cpu_ms: u64,
    /// From the call to the end of its answer, in milliseconds.
    wall_ms: u64,
    /// Bytes of the output of a command.
    output_bytes: u64,
    /// Bytes of stdout and stderr that are kept of one call.
    log_bytes: u64,
    /// Calls that run at a time on a node.
    concurrency: u32,
    /// Calls that wait for that.
    queue: u32,
    /// Requests that one call sends to others.
    requests: u32,
    /// How often an instance is used.
    reuse: FunctionReuse,
}

/// How often an instance of a function is used.
#[derive(Serialize, ToSchema)]
pub struct FunctionReuse {
    /// Requests that one instance answers before it is dropped.
    requests: u32,
    /// Requests that one instance answers at a time.
    at_once: u32,
    /// How long an instance waits for the next request, in milliseconds.
    idle_ms: u64,
}

/// A line that a function wrote.
#[derive(Serialize, ToSchema)]
pub struct LogLine {
    /// Its number, counted from 1 since the node started.
    number: u64,
    /// When it was written, in milliseconds since 1970.
    time_ms: u64,
    /// `stdout`, `stderr`, or `cairn` for what the node says of a call.
    stream: String,
    /// The line.
    text: String,
}

/// A call that is done later.
#[derive(Serialize, ToSchema)]
pub struct LaterCall {
    /// Its id.
    id: String,
    /// The function's project.
    project: String,
    /// The function's name.
    function: String,
    /// When it was asked for, in milliseconds since 1970.
    made_ms: u64,
    /// By whom.
    by: String,
    /// `waiting`, `running`, or `done`.
    state: String,
    /// How often it was begun.
    attempt: u32,
    /// When it was begun last; none while it waits, as of all that follow while it is not done.
    began_ms: Option<u64>,
    /// When it ended.
    ended_ms: Option<u64>,
    /// `ok` or `failed`.
    outcome: Option<String>,
    /// What came of it, for people: a status, an exit code, an error.
    what: Option<String>,
    /// The status of its answer.
    status: Option<u16>,
    /// The exit code of a program.
    exit: Option<i32>,
    /// The type of its output.
    media_type: Option<String>,
}

/// A plan to be done.
#[derive(Serialize, ToSchema)]
pub struct PlanSpec {
    /// Its steps by their names, 1 to 100.
    steps: BTreeMap<String, PlanStepSpec>,
}

/// A step of a plan.
#[derive(Serialize, ToSchema)]
pub struct PlanStepSpec {
    /// The program: a function of the plan's project.
    function: String,
    /// Its arguments.
    #[schema(required = false)]
    arguments: Vec<String>,
    /// Files of a dataset, `[@PROJECT/]DATASET[:TAG][/PATH]`: a run for each one below that path.
    files: Option<String>,
    /// Longer files are read in parts of about so many bytes, which end where lines do: a run for each part.
    #[schema(minimum = 65536)]
    split_bytes: Option<u64>,
    /// Keys of a namespace, `[@PROJECT/]NAMESPACE[/PREFIX]`, as lines of JSON: a run for so many of them at a time.
    keys: Option<String>,
    /// About how many keys a run is given; 10,000 when not said.
    #[schema(minimum = 1)]
    split_keys: Option<u32>,
    /// Steps whose outputs are the inputs, in this order.
    #[schema(required = false)]
    inputs: Vec<String>,
    /// A run for each of these outputs, not one for all.
    #[schema(required = false)]
    each: bool,
    /// Outputs of so many at most in one run, and of what those runs made again so many, until one is left.
    #[schema(minimum = 2)]
    together: Option<u32>,
}

/// A plan that was asked for.
#[derive(Serialize, ToSchema)]
pub struct Plan {
    /// Its id.
    id: String,
    /// Its project.
    project: String,
    /// Its name.
    name: String,
    /// When it was asked for, in milliseconds since 1970.
    made_ms: u64,
    /// By whom.
    by: String,
    /// `waiting`, `running`, `done`, `failed` or `cancelled`.
    state: String,
    /// Why it is so, for people.
    what: String,
    /// When it ended, in milliseconds since 1970.
    ended_ms: Option<u64>,
    /// Its steps in the order in which they are done.
    steps: Vec<PlanStep>,
}

/// How far a step of a plan is.
#[derive(Serialize, ToSchema)]
pub struct PlanStep {
    /// Its name.
    name: String,
    /// Its program.
    function: String,
    /// The steps whose outputs it takes.
    inputs: Vec<String>,
    /// Its runs, once it is known how many there are.
    runs: Option<u32>,
    /// Those that are done.
    done: u32,
    /// Those among them that were done before, by this plan or another.
    reused: u32,
    /// `waiting`, `running`, `done`, `failed` or `cancelled`.
    state: String,
    /// When it was begun, in milliseconds since 1970; of a plan that was taken up again, since then.
    began_ms: Option<u64>,
    /// When it ended, in milliseconds since 1970.
    ended_ms: Option<u64>,
}

/// A function that requests pass before another.
#[derive(Serialize, ToSchema)]
pub struct Filter {
    /// The project of both.
    project: String,
    /// Whose requests.
    function: String,
    /// What they pass.
    filter: String,
    /// Lower ones are passed first.
    priority: u16,
    /// When it was made, in milliseconds since 1970.
    made_ms: u64,
    /// By whom.
    by: String,
}

/// A trigger of a function.
#[derive(Serialize, ToSchema)]
pub struct Trigger {
    /// Its name, one of its function's.
    name: String,
    /// The function's project.
    project: String,
    /// The function's name.
    function: String,
    /// The namespace whose changes are told.
    namespace: String,
    /// What its keys begin with; none for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    /// What a function that answers requests is asked to POST to.
    path: String,
    /// When it was made, in milliseconds since 1970.
    made_ms: u64,
    /// By whom.
    by: String,
    /// The commit of the namespace up to which the function was told.
    told: u64,
    /// How often in a row what comes next could not be told.
    failures: u32,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// When it is tried again, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    again_ms: Option<u64>,
}

/// A schedule of a function.
#[derive(Serialize, ToSchema)]
pub struct Schedule {
    /// Its name, one of its function's.
    name: String,
    /// The function's project.
    project: String,
    /// The function's name.
    function: String,
    /// Minute, hour, day of the month, month and day of the week, with seconds before them where there are six.
    schedule: String,
    /// The time zone.
    zone: String,
    /// What becomes of ticks that were missed: `skip`, `once` or `all`.
    missed: String,
    /// What a function that answers requests is asked to POST to.
    path: String,
    /// Arguments of a program.
    arguments: Vec<String>,
    /// When it was made, in milliseconds since 1970.
    made_ms: u64,
    /// By whom.
    by: String,
    /// The next tick, in milliseconds since 1970; none when there is no more.
    next_ms: Option<u64>,
    /// Whether it runs now.
    running: bool,
    /// The last run that ended, or tick that was left out.
    last: Option<ScheduleRun>,
}

/// One run of a schedule, or a tick that was left out.
#[derive(Serialize, ToSchema)]
pub struct ScheduleRun {
    /// When it was due, in milliseconds since 1970.
    tick_ms: u64,
    /// When it was begun.
    began_ms: u64,
    /// When it ended.
    ended_ms: u64,
    /// How often it was begun: more than once after nodes ended in the middle of it.
    attempt: u32,
    /// `ok`, `failed`, or `missed`.
    outcome: String,
    /// What came of it, for people: a status, an exit code, an error.
    what: String,
}

/// The files that a route leads to: GET and HEAD, with ETags and ranges; of a folder its `index.html`.
#[derive(Serialize, ToSchema)]
pub struct RouteFiles {
    /// The tag whose version is served; `latest` when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    /// The folder, or the one file, in which the route's `{*rest}` is a path; all of the version when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// The file below the same folder that answers where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<String>,
}

/// A route to a function, or to files of a dataset.
#[derive(Serialize, ToSchema)]
pub struct FunctionRoute {
    /// Which requests it is for.
    pattern: String,
    /// The function's project.
    project: String,
    /// The function's name; of a route to files, the name of their dataset.
    function: String,
    /// The files, when it leads to files.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<RouteFiles>,
    /// Who may use it: `cairn` for callers with a credential of the cluster, `none` for all.
    auth: String,
    /// When it was made, in milliseconds since 1970.
    made_ms: u64,
    /// By whom.
    by: String,
}
