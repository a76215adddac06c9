//! Plans: steps that programs do on data, of which some take what others made (FUNCTIONS-8).
//!
//! A step is done in runs, each of one program on inputs of its own: the parts of files, what other steps made, or nothing.
//! What a run made is kept under a hash of the program, its arguments and its inputs, so that a plan that was cut off
//! goes on where it was, and what was made once is not made again.

mod keys;
mod order;
mod parts;

use std::collections::BTreeMap;
use std::time::Duration;

use cairn_base::DatasetName;
use serde::{Deserialize, Serialize};

pub(crate) use self::keys::Cut;
pub(crate) use self::parts::{Part, parts};
use crate::error::Error;

/// How long it is kept what runs made, and what became of plans.
pub const MADE_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Steps of a plan.
pub(crate) const STEPS_MAX: usize = 100;
/// Runs of a step.
pub(crate) const RUNS_MAX: usize = 10_000;
/// Parts of files have so many bytes at least.
pub(crate) const SPLIT_BYTES_MIN: u64 = 64 << 10;
/// Keys of one run, unless the step says something else.
pub const SPLIT_KEYS: u32 = 10_000;
/// Arguments of a step, and bytes of all that a plan says.
const ARGUMENTS_MAX: usize = 100;
const SPEC_BYTES_MAX: usize = 64 << 10;
/// What a run makes at most.
pub(crate) const OUTPUT_BYTES_MAX: u64 = 64 << 20;
/// Plans of a project that have ended and are remembered.
pub(crate) const ENDED_MAX: usize = 1000;
/// Plans of a project that wait or run.
pub(crate) const PLANS_MAX: usize = 100;

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanSpec {
    /// The steps by their names.
    pub steps: BTreeMap<String, Step>,
}

/// A step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The program: a function of the plan's project.
    pub function: String,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Files of a dataset, `[@PROJECT/]DATASET[:TAG][/PATH]`: a run for each one below that path.
    #[serde(default)]
    pub files: Option<String>,
    /// Longer files are read in parts of about so many bytes, which end where lines do: a run for each part.
    #[serde(default)]
    pub split_bytes: Option<u64>,
    /// Keys of a namespace, `[@PROJECT/]NAMESPACE[/PREFIX]`, as lines of JSON: a run for so many of them at a time.
    #[serde(default)]
    pub keys: Option<String>,
    /// About how many keys a run is given; [`SPLIT_KEYS`] when not said.
    #[serde(default)]
    pub split_keys: Option<u32>,
    /// Steps whose outputs are the inputs, in this order.
    #[serde(default)]
    pub inputs: Vec<String>,
    /// A run for each of these outputs, not one for all.
    #[serde(default)]
    pub each: bool,
    /// Outputs of so many at most in one run, and of what those runs made again so many, until one is left.
    #[serde(default)]
    pub together: Option<u32>,
}

/// How far a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanState {
    /// It was asked for.
    Waiting,
    /// Its steps are done.
    Running,
    /// All of them are.
    Done,
    /// One of them cannot be.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl PlanState {
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Running)
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A plan that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanInfo {
    /// Its id.
    pub id: String,
    /// Its project.
    pub project: String,
    /// Its name.
    pub name: String,
    /// When it was asked for, in milliseconds since 1970.
    pub made_ms: u64,
    /// By whom.
    pub by: String,
    /// How far it is.
    pub state: PlanState,
    /// Why it is so, for people.
    pub what: String,
    /// When it ended, in milliseconds since 1970.
    pub ended_ms: Option<u64>,
    /// Its steps in the order in which they are done.
    pub steps: Vec<StepInfo>,
}

/// How far a step is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepInfo {
    /// Its name.
    pub name: String,
    /// Its program.
    pub function: String,
    /// The steps whose outputs it takes.
    pub inputs: Vec<String>,
    /// Its runs, once it is known how many there are.
    pub runs: Option<u32>,
    /// Those that are done.
    pub done: u32,
    /// Those among them that were done before, by this plan or another.
    pub reused: u32,
    /// How far it is.
    #[serde(default)]
    pub state: StepState,
    /// When it was begun, in milliseconds since 1970; of a plan that was taken up again, since then.
    #[serde(default)]
    pub began_ms: Option<u64>,
    /// When it ended, in milliseconds since 1970.
    #[serde(default)]
    pub ended_ms: Option<u64>,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// It was not begun: steps before it are done, or the plan ended before it came to it.
    #[default]
    Waiting,
    /// Its runs are done.
    Running,
    /// All of them are.
    Done,
    /// One of them cannot be done.
    Failed,
    /// Somebody stopped the plan.
    Cancelled,
}

impl StepState {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl StepInfo {
    /// A step of which nothing was done.
    pub(crate) fn waiting(name: &str, step: &Step) -> Self {
        Self {
            name: name.to_owned(),
            function: step.function.clone(),
            inputs: step.inputs.clone(),
            runs: None,
            done: 0,
            reused: 0,
            state: StepState::Waiting,
            began_ms: None,
            ended_ms: None,
        }
    }

    pub(crate) fn begin(&mut self, now_ms: u64) {
        (self.state, self.began_ms) = (StepState::Running, Some(now_ms));
    }

    pub(crate) fn end(&mut self, state: StepState, now_ms: u64) {
        (self.state, self.ended_ms) = (state, Some(now_ms));
    }
}

impl PlanInfo {
    /// It ends so, and with it the step that was being done.
    pub(crate) fn close(&mut self, now_ms: u64, state: PlanState, what: String) {
        (self.state, self.what, self.ended_ms) = (state, what, Some(now_ms));
        let ended = match state {
            PlanState::Cancelled => StepState::Cancelled,
            _ => StepState::Failed,
        };
        let begun = self.steps.iter_mut().filter(|step| step.state == StepState::Running);
        begun.for_each(|step| step.end(ended, now_ms));
    }
}

impl PlanSpec {
    /// A plan as people write it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no TOML or has other fields, with its line and column.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
            let why = format!("line {line}, column {column}: {}", error.message());
            Error::Invalid { why }
        })
    }

    /// The names of the steps in an order in which they can be done.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no plan, with the step and what is wrong with it.
    pub fn order(&self) -> Result<Vec<&str>, Error> {
        let invalid = |why: String| Error::Invalid { why };
        if self.steps.is_empty() || self.steps.len() > STEPS_MAX {
            return Err(invalid(format!("a plan has 1 to {STEPS_MAX} steps")));
        }
        let bytes = serde_json::to_vec(self).map_or(usize::MAX, |spec| spec.len());
        if bytes > SPEC_BYTES_MAX {
            return Err(invalid(format!("a plan has at most {SPEC_BYTES_MAX} bytes")));
        }
        for (name, step) in &self.steps {
            name.parse::<DatasetName>()
                .map_err(|error| invalid(format!("step {name:?}: {error}")))?;
            step.check(&self.steps).map_err(|why| invalid(format!("step {name}: {why}")))?;
        }
        order::order(&self.steps)
            .map_err(|circle| invalid(format!("steps wait for each other: {}", circle.join(" → "))))
    }

    /// Which steps there are, and what they take of each other.
    pub(crate) fn outline(&self) -> Self {
        let outline = |(name, step): (&String, &Step)| {
            let inputs = step.inputs.clone();
            (name.clone(), Step { inputs, ..Step::default() })
        };
        Self { steps: self.steps.iter().map(outline).collect() }
    }

    /// The steps that no other step takes: what they make is what the plan makes.
    #[must_use]
    pub fn last(&self) -> Vec<&str> {
        let taken = |name: &String| self.steps.values().any(|step| step.inputs.contains(name));
        self.steps.keys().filter(|name| !taken(name)).map(String::as_str).collect()
    }
}

impl Step {
    fn check(&self, steps: &BTreeMap<String, Self>) -> Result<(), String> {
        self.function.parse::<DatasetName>().map_err(|error| format!("function: {error}"))?;
        if self.arguments.len() > ARGUMENTS_MAX {
            return Err(format!("at most {ARGUMENTS_MAX} arguments"));
        }
        if self.arguments.iter().any(|argument| argument.contains('\0')) {
            return Err("an argument has no zero byte".to_owned());
        }
        for (at, input) in self.inputs.iter().enumerate() {
            if !steps.contains_key(input) {
                return Err(format!("inputs: there is no step {input:?}"));
            }
            if self.inputs[..at].contains(input) {
                return Err(format!("inputs: {input} is there twice"));
            }
        }
        let sources = [self.files.is_some(), self.keys.is_some(), !self.inputs.is_empty()];
        if sources.into_iter().filter(|given| *given).count() > 1 {
            return Err("it takes files, keys or inputs, not two of them: read files and keys in \
                        steps before"
                .to_owned());
        }
        match self.split_keys {
            Some(_) if self.keys.is_none() => return Err("split_keys is of keys".to_owned()),
            Some(0) => return Err("split_keys: at least 1".to_owned()),
            _ => {}
        }
        if (self.each || self.together.is_some()) && self.inputs.is_empty() {
            return Err("each and together are of inputs, and it has none".to_owned());
        }
        if self.each && self.together.is_some() {
            return Err("each or together, not both".to_owned());
        }
        if self.together.is_some_and(|together| together < 2) {
            return Err("together: at least 2".to_owned());
        }
        match self.split_bytes {
            Some(_) if self.files.is_none() => Err("split_bytes is of files".to_owned()),
            Some(bytes) if bytes < SPLIT_BYTES_MIN => {
                Err(format!("split_bytes: at least {SPLIT_BYTES_MIN}"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PlanSpec, Step};

    fn plan(steps: &[(&str, Step)]) -> PlanSpec {
        let named = |(name, step): &(&str, Step)| ((*name).to_owned(), step.clone());
        PlanSpec { steps: steps.iter().map(named).collect() }
    }

    fn step(inputs: &[&str]) -> Step {
        let inputs = inputs.iter().map(|&name| name.to_owned()).collect();
        Step { function: "f".to_owned(), inputs, ..Step::default() }
    }

    #[test]
    fn steps_are_done_after_those_they_wait_for() {
        let all = plan(&[
            ("a", step(&["d", "c"])),
            ("b", step(&[])),
            ("c", step(&["b"])),
            ("d", step(&["b", "c"])),
        ]);
        assert_eq!(all.order().unwrap(), ["b", "c", "d", "a"]);
        assert_eq!(all.last(), ["a"]);
    }

    #[test]
    fn what_is_no_toml_is_told_where() {
        for (text, why) in [
            ("[steps.a]\nfunction = 7", "line 2, column 12: invalid type"),
            ("[steps.a]\n  fiels = \"d\"", "line 2, column 3: unknown field `fiels`"),
            ("steps", "line 1, column 6: "),
            (
                "[steps.\"ä\"]\nfunction = \"f\"\nfunction = \"f\"",
                "line 3, column 1: duplicate key",
            ),
        ] {
            let error = PlanSpec::from_toml(text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}, not {why}");
        }
        let spec = PlanSpec::from_toml("[steps.b]\nfunction = \"f\"").unwrap();
        assert_eq!(spec, plan(&[("b", step(&[]))]));
    }

    #[test]
    fn what_is_no_plan_is_told_what_is_wrong() {
        let files = |files: &str| Step { files: Some(files.to_owned()), ..step(&[]) };
        let keys = |keys: &str| Step { keys: Some(keys.to_owned()), ..step(&[]) };
        for (steps, why) in [
            (&[][..], "1 to 100 steps"),
            (&[("a b", step(&[]))], "step \"a b\""),
            (&[("a", Step { function: "?".to_owned(), ..step(&[]) })], "step a: function"),
            (&[("a", step(&["b"]))], "there is no step \"b\""),
            (&[("a", step(&["a"]))], "a → a"),
            (&[("a", step(&["b"])), ("b", step(&["c"])), ("c", step(&["b"]))], "b → c → b"),
            (&[("a", Step { each: true, ..step(&[]) })], "it has none"),
            (&[("a", step(&[])), ("b", Step { together: Some(1), ..step(&["a"]) })], "at least 2"),
            (&[("a", step(&[])), ("b", step(&["a", "a"]))], "twice"),
            (&[("a", Step { split_bytes: Some(1), ..files("d") })], "at least 65536"),
            (&[("a", Step { split_bytes: Some(1 << 20), ..step(&[]) })], "is of files"),
            (&[("a", Step { split_keys: Some(10), ..step(&[]) })], "is of keys"),
            (&[("a", Step { split_keys: Some(0), ..keys("k") })], "at least 1"),
            (&[("a", Step { keys: Some("k".to_owned()), ..files("d") })], "not two of them"),
            (
                &[("a", step(&[])), ("b", Step { inputs: vec!["a".to_owned()], ..files("d") })],
                "not two of them",
            ),
        ] {
            let error = plan(steps).order().unwrap_err().to_string();
            assert!(error.contains(why), "{error}, not {why}");
        }
    }
}
