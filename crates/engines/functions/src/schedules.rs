//! Schedules: when a function is called without anybody asking.
//!
//! The node that has a project's partition keeps its schedules. It writes down that a tick is begun before it
//! calls, and that it ended after it; one that a crash cut off is run again by the node that comes after, and is
//! told so (FUNCTIONS-6).

mod times;

use serde::{Deserialize, Serialize};

use crate::direct::ARGUMENTS_MAX;
pub(crate) use times::Times;

/// A schedule by its names.
pub(crate) type Key = crate::agenda::Key<cairn_base::DatasetName>;

/// Schedules of a project.
pub const SCHEDULES_MAX: usize = 1000;
/// Runs of a schedule that are remembered.
pub const RUNS_KEPT: usize = 100;
/// How often a run is begun that the ends of nodes cut off.
pub(crate) const ATTEMPTS_MAX: u32 = 3;
/// A tick that is later than this was missed, in milliseconds.
pub(crate) const LATE_MS: u64 = 60_000;
/// Missed ticks that are older are left out, whatever the schedule says.
pub(crate) const OLD_MS: u64 = 24 * 3_600_000;
/// The longest path, and arguments of a program with their bytes.
const PATH_BYTES_MAX: usize = 8 << 10;

/// What becomes of ticks at which no node was there, or the run before was not at its end, for more than a
/// minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missed {
    /// They are left out.
    #[default]
    Skip,
    /// The last of them is run.
    Once,
    /// All of the last day are run, one after the other.
    All,
}

impl Missed {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Once => "once",
            Self::All => "all",
        }
    }
}

/// When a function is called, and with what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Minute, hour, day of the month, month and day of the week, with seconds before them where there are six.
    pub schedule: String,
    /// The time zone, by its name in the IANA database.
    #[serde(default = "utc")]
    pub zone: String,
    /// What becomes of ticks that were missed.
    #[serde(default)]
    pub missed: Missed,
    /// What one that answers requests is asked to POST to.
    #[serde(default = "root")]
    pub path: String,
    /// Arguments of a program.
    #[serde(default)]
    pub arguments: Vec<String>,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn root() -> String {
    "/".to_owned()
}

impl Plan {
    /// These times in UTC, with nothing else said.
    #[must_use]
    pub fn new(schedule: String) -> Self {
        let (zone, path, arguments) = (utc(), root(), Vec::new());
        Self { schedule, zone, missed: Missed::default(), path, arguments }
    }

    /// Fails for a plan that makes no sense, or that has no time after `now_ms`.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn check(&self, now_ms: u64) -> Result<(), String> {
        let bytes: usize = self.arguments.iter().map(String::len).sum();
        if !self.path.starts_with('/') || self.path.len() > PATH_BYTES_MAX {
            return Err(format!(
                "a path begins with a slash and has at most {PATH_BYTES_MAX} bytes"
            ));
        }
        if self.arguments.len() > ARGUMENTS_MAX || bytes > PATH_BYTES_MAX {
            return Err(format!("at most {ARGUMENTS_MAX} arguments of {PATH_BYTES_MAX} bytes"));
        }
        let times = Times::of(&self.schedule, &self.zone)?;
        match times.after(now_ms) {
            Some(_) => Ok(()),
            None => Err(format!("{:?} is a time that never comes", self.schedule)),
        }
    }
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleInfo {
    /// Its name, one of its function's.
    pub name: String,
    /// The function's project.
    pub project: String,
    /// The function.
    pub function: String,
    /// When it is called, and with what.
    #[serde(flatten)]
    pub plan: Plan,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// By whom.
    pub by: String,
    /// The next tick, in milliseconds since 1970; none when there is no more.
    pub next_ms: Option<u64>,
    /// Whether it runs now.
    pub running: bool,
    /// The last run that ended, or tick that was left out.
    pub last: Option<Run>,
}

/// One run of a schedule, or a tick that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// When it was due, in milliseconds since 1970.
    pub tick_ms: u64,
    /// When it was begun.
    pub began_ms: u64,
    /// When it ended.
    pub ended_ms: u64,
    /// How often it was begun: more than once after nodes ended in the middle of it.
    pub attempt: u32,
    /// `ok`, `failed`, or `missed`.
    pub outcome: Outcome,
    /// What came of it, for people: a status, an exit code, an error.
    pub what: String,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// An answer with a status below 400, or the exit code 0.
    Ok,
    /// Anything else.
    Failed,
    /// It was not begun.
    Missed,
}

impl Outcome {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Missed => "missed",
        }
    }
}

/// What is to be done at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing before this time.
    At(u64),
    /// There is no tick any more.
    Never,
    /// This tick is run.
    Tick(u64),
    /// All ticks up to this one are left out.
    Missed(u64),
}

/// What is due at `now_ms` of what comes after `last_ms`.
pub(crate) fn due(times: &Times, missed: Missed, last_ms: u64, now_ms: u64) -> Due {
    // A clock that was ahead has no say for long.
    let last_ms = if last_ms > now_ms + LATE_MS { now_ms } else { last_ms };
    let first = match times.after(last_ms) {
        None => return Due::Never,
        Some(tick) if tick > now_ms => return Due::At(tick),
        Some(tick) => tick,
    };
    let latest = times.upto(now_ms).unwrap_or(first).max(first);
    let in_time = now_ms - latest <= LATE_MS;
    match missed {
        Missed::Skip if !in_time => Due::Missed(latest),
        Missed::Skip | Missed::Once => Due::Tick(latest),
        Missed::All => {
            let oldest = now_ms.saturating_sub(OLD_MS);
            let tick = if first < oldest { times.after(oldest).unwrap_or(latest) } else { first };
            Due::Tick(tick.min(latest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    fn every_minute() -> Times {
        Times::of("* * * * *", "UTC").unwrap()
    }

    #[test]
    fn nothing_is_due_before_its_time_and_then_one_tick() {
        for missed in [Missed::Skip, Missed::Once, Missed::All] {
            assert_eq!(due(&every_minute(), missed, 0, MINUTE - 1), Due::At(MINUTE));
            assert_eq!(due(&every_minute(), missed, 0, MINUTE), Due::Tick(MINUTE));
            assert_eq!(due(&every_minute(), missed, MINUTE, MINUTE + 1), Due::At(2 * MINUTE));
        }
    }

    #[test]
    fn what_was_missed_is_as_the_schedule_says() {
        let hourly = Times::of("0 * * * *", "UTC").unwrap();
        let (hour, now) = (60 * MINUTE, 5 * 60 * MINUTE + 2 * MINUTE);
        assert_eq!(due(&hourly, Missed::Skip, 0, now), Due::Missed(5 * hour));
        assert_eq!(due(&hourly, Missed::Once, 0, now), Due::Tick(5 * hour));
        assert_eq!(due(&hourly, Missed::All, 0, now), Due::Tick(hour));
        assert_eq!(due(&hourly, Missed::All, 4 * hour, now), Due::Tick(5 * hour));
        assert_eq!(due(&hourly, Missed::Skip, 90 * hour, 5 * hour - 1), Due::At(5 * hour));
        // One that is late by less than a minute is no missed one.
        assert_eq!(due(&hourly, Missed::Skip, 0, 5 * hour + 1000), Due::Tick(5 * hour));
        let month = 30 * 24 * hour;
        assert_eq!(due(&hourly, Missed::All, 0, month), Due::Tick(month - OLD_MS + hour));
    }

    #[test]
    fn a_plan_that_makes_no_sense_is_refused_with_its_cause() {
        let plan = |schedule: &str, zone: &str| {
            let (schedule, zone) = (schedule.to_owned(), zone.to_owned());
            let (missed, path, arguments) = (Missed::Skip, root(), Vec::new());
            Plan { schedule, zone, missed, path, arguments }
        };
        let now_ms = 1_795_000_000_000;
        plan("0 4 * * MON-FRI", "Europe/Berlin").check(now_ms).unwrap();
        for (schedule, zone, why) in [
            ("0 0 30 2 *", "UTC", "never comes"),
            ("61 * * * *", "UTC", "61"),
            ("* * * *", "UTC", "* * * *"),
            ("", "UTC", "no schedule"),
            ("* * * * *", "Nowhere/Else", "Nowhere/Else"),
        ] {
            let refused = plan(schedule, zone).check(now_ms).unwrap_err();
            assert!(refused.contains(why), "{schedule}: {refused}");
        }
        let relative = Plan { path: "x".to_owned(), ..plan("* * * * *", "UTC") };
        assert!(relative.check(now_ms).unwrap_err().contains("slash"));
    }
}
