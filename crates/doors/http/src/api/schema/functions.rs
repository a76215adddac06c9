//! Functions, and what leads to them, as the description tells them.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

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
