//! What was asked of the functions of a cluster, what they wrote down while they ran, and what came of it.

use std::ops::RangeInclusive;

use bytes::Bytes;
use cairn_functions::{CallInfo, CallState, Missed, PlanInfo, Run};
use cairn_partition::Change;

/// Milliseconds since 1970, by the clock that all nodes share.
pub type Ms = u64;

/// What an effect's parts have between them.
const BETWEEN: u8 = 30;

/// What a function wrote down as it began, or as it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// When.
    pub at_ms: Ms,
    /// Which function, by its name.
    pub function: String,
    /// Whether it had done all that it does.
    pub end: bool,
    /// The arguments, without its name.
    pub arguments: Vec<String>,
    /// The tick of a schedule and the attempt, where it was told of them.
    pub tick: Option<(Ms, u32)>,
    /// Its input, or of a plan's run the hash of its inputs.
    pub input: Bytes,
}

impl Effect {
    /// An effect as a guest wrote it.
    #[must_use]
    pub fn parse(at_ms: Ms, function: &str, key: &[u8], value: &[u8]) -> Option<Self> {
        let end = match key {
            b"b" => false,
            b"e" => true,
            _ => return None,
        };
        let mut parts = value.splitn(3, |byte| *byte == BETWEEN);
        let (arguments, environment, input) = (parts.next()?, parts.next()?, parts.next()?);
        let texts = |all: &[u8]| -> Vec<String> {
            let all = String::from_utf8_lossy(all);
            all.split_terminator('\0').map(str::to_owned).collect()
        };
        let environment = texts(environment);
        let told = |name: &str| environment.iter().find_map(|line| line.strip_prefix(name));
        let (tick, attempt) = (told("HTTP_CAIRN_TICK="), told("HTTP_CAIRN_ATTEMPT="));
        let tick = tick.zip(attempt);
        Some(Self {
            at_ms,
            function: function.to_owned(),
            end,
            arguments: texts(arguments).into_iter().skip(1).collect(),
            tick: tick
                .and_then(|(tick, attempt)| Some((tick.parse().ok()?, attempt.parse().ok()?))),
            input: Bytes::copy_from_slice(input),
        })
    }

    /// The first argument, which says what it is for.
    #[must_use]
    pub fn what(&self) -> &str {
        self.arguments.first().map_or("", String::as_str)
    }
}

/// A schedule, and what it remembers of its runs in the end.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// Its name, which its runs have as their second argument.
    pub name: String,
    /// Its ticks are the multiples of so many milliseconds.
    pub every_ms: Ms,
    /// What becomes of ticks that were missed.
    pub missed: Missed,
    /// When it was made.
    pub made_ms: Ms,
    /// Its runs, the oldest first.
    pub runs: Vec<Run>,
}

/// What was told of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When.
    pub at_ms: Ms,
    /// The call.
    pub info: CallInfo,
    /// Its output, once it is done.
    pub output: Option<Bytes>,
}

impl Told {
    /// Whether it was done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.info.state, CallState::Done { .. })
    }
}

/// A call that was acknowledged.
#[derive(Clone, Debug)]
pub struct Called {
    /// Its number, which its runs have as their second argument.
    pub number: String,
    /// Its id.
    pub id: String,
    /// Its input, which is its output.
    pub input: Bytes,
    /// When it was acknowledged.
    pub acknowledged_ms: Ms,
    /// Ids under which the same key was acknowledged again.
    pub again: Vec<String>,
    /// Whether its key was taken for another request.
    pub taken_for_another: bool,
    /// What was told of it.
    pub told: Vec<Told>,
}

/// A trigger, and what it was to tell.
#[derive(Clone, Debug, Default)]
pub struct Triggered {
    /// Its name, which its runs have as their first argument.
    pub name: String,
    /// What was changed since it was made.
    pub truth: Vec<Change>,
    /// Up to which commit it said that it had told all in the end.
    pub told: u64,
}

/// A plan that was acknowledged.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What its runs have as their last argument: plans of one series do the same.
    pub series: String,
    /// Whether all was to be done anew.
    pub fresh: bool,
    /// When it was asked for.
    pub asked_ms: Ms,
    /// What it makes begins with this; none when it fails.
    pub makes: Option<Bytes>,
    /// What became of it.
    pub info: PlanInfo,
    /// What it made.
    pub made: Option<Bytes>,
}

/// A plan whose acknowledgement was lost, which may be done all the same.
#[derive(Clone, Debug)]
pub struct Lost {
    /// As of [`Planned`].
    pub series: String,
    /// As of [`Planned`].
    pub fresh: bool,
    /// As of [`Planned`].
    pub asked_ms: Ms,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What functions wrote down, in its order.
    pub effects: Vec<Effect>,
    /// When nodes ended, or could not reach the bucket, or were taken from.
    pub unrest: Vec<RangeInclusive<Ms>>,
    /// The same of nodes that lived on meanwhile.
    pub cut_off: Vec<RangeInclusive<Ms>>,
    /// When functions were made to fail, by their names.
    pub moods: Vec<(String, RangeInclusive<Ms>)>,
    /// Schedules.
    pub schedules: Vec<Scheduled>,
    /// Calls.
    pub calls: Vec<Called>,
    /// Triggers.
    pub triggers: Vec<Triggered>,
    /// Plans.
    pub plans: Vec<Planned>,
    /// Plans that nobody acknowledged.
    pub lost: Vec<Lost>,
    /// When the end was looked at.
    pub looked_ms: Ms,
}

impl History {
    /// Whether something happened to a node in this time.
    #[must_use]
    pub fn was_unrest(&self, from: Ms, to: Ms) -> bool {
        overlap(&self.unrest, from, to) || self.was_cut_off(from, to)
    }

    /// Whether a node lived on in this time that others may have taken from.
    #[must_use]
    pub fn was_cut_off(&self, from: Ms, to: Ms) -> bool {
        overlap(&self.cut_off, from, to)
    }

    /// Whether a function was made to fail in this time.
    #[must_use]
    pub fn was_moody(&self, function: &str, from: Ms, to: Ms) -> bool {
        let moods = self.moods.iter().filter(|(of, _)| of == function);
        moods.into_iter().any(|(_, mood)| *mood.start() <= to && from <= *mood.end())
    }

    /// What functions wrote down that have this as their first argument.
    pub fn effects_of<'a>(&'a self, what: &'a str) -> impl Iterator<Item = &'a Effect> {
        self.effects.iter().filter(move |effect| effect.what() == what)
    }
}

fn overlap(times: &[RangeInclusive<Ms>], from: Ms, to: Ms) -> bool {
    times.iter().any(|time| *time.start() <= to && from <= *time.end())
}
