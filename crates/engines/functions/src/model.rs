use std::collections::BTreeMap;
use std::fmt;

use cairn_base::{DatasetName, ProjectName};
use cairn_wasm::Limits;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::outside::{ORIGINS_MAX, Origin};

/// Variables of one release, and bytes of all of them.
const VARIABLES_MAX: usize = 128;
const VARIABLES_BYTES_MAX: usize = 64 << 10;

/// A function by its names, whether it is there or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Function {
    /// The project.
    pub project: ProjectName,
    /// Its name in it. Patterns of grants cover it as they cover a dataset of this name.
    pub name: DatasetName,
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}/{}", self.project, self.name)
    }
}

/// What a release is run with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What a call may use.
    pub limits: Limits,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
    /// Where it may send requests: `SCHEME://HOST[:PORT]`, where the host may be `*.` and a name, or `*`.
    pub outbound: Vec<String>,
}

impl Settings {
    /// Fails for what is above what a server allows.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check(&self) -> Result<(), Error> {
        let invalid = |why| Err(Error::Invalid { why });
        if let Some(why) = self.limits.wrong(&Limits::caps()) {
            return invalid(why);
        }
        if self.outbound.len() > ORIGINS_MAX {
            return invalid(format!("it names more than {ORIGINS_MAX} origins"));
        }
        if let Some(why) = self.outbound.iter().find_map(|text| text.parse::<Origin>().err()) {
            return invalid(why);
        }
        let bytes: usize =
            self.environment.iter().map(|(name, value)| name.len() + value.len()).sum();
        if self.environment.len() > VARIABLES_MAX || bytes > VARIABLES_BYTES_MAX {
            let why = format!(
                "it has more than {VARIABLES_MAX} environment variables, or {VARIABLES_BYTES_MAX} bytes of them"
            );
            return invalid(why);
        }
        let wrong = |name: &String| name.is_empty() || name.contains(['=', '\0']);
        match self.environment.iter().find(|(name, value)| wrong(name) || value.contains('\0')) {
            Some((name, _)) => invalid(format!(
                "{name:?} is no environment variable: no =, no zero byte, not empty"
            )),
            None => Ok(()),
        }
    }
}

/// How a release stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// It waits to be compiled, or is.
    Compiling,
    /// It can be run.
    Ready {
        /// How it is called: `http` or `command`.
        kind: String,
    },
    /// It cannot.
    Failed {
        /// Why not.
        why: String,
    },
}

impl State {
    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Compiling => "compiling",
            Self::Ready { .. } => "ready",
            Self::Failed { .. } => "failed",
        }
    }
}

/// One release of a function: its code and what it is run with, which never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its number, counted from 1.
    pub number: u32,
    /// The hash of its component, in hexadecimal: BLAKE3.
    pub digest: String,
    /// The length of its component, in bytes.
    pub bytes: u64,
    /// How it stands.
    #[serde(flatten)]
    pub state: State,
    /// When it was deployed, in milliseconds since 1970.
    pub made_ms: u64,
    /// By whom.
    pub by: String,
    /// What it is run with.
    pub settings: Settings,
}

/// A function as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Its project.
    pub project: String,
    /// Its name.
    pub name: String,
    /// The release that answers; none while the first is not ready.
    pub current: Option<u32>,
    /// The newest release.
    pub newest: u32,
    /// When it was first deployed, in milliseconds since 1970.
    pub made_ms: u64,
}

/// A function that requests pass before another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterInfo {
    /// The project of both.
    pub project: String,
    /// Whose requests.
    pub function: String,
    /// What they pass.
    pub filter: String,
    /// Lower ones are passed first.
    pub priority: u16,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// By whom.
    pub by: String,
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Callers show a credential of the cluster, and may invoke the function.
    #[default]
    Cairn,
    /// What callers show is the function's own business: all of them come as nobody in particular, who must be
    /// allowed to invoke it.
    None,
}

/// What a route leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The function.
    pub function: Function,
    /// The route's pattern.
    pub pattern: String,
    /// Who may use the route.
    pub auth: Auth,
    pub(crate) made_ms: u64,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteInfo {
    /// Which requests it is for.
    pub pattern: String,
    /// The function's project.
    pub project: String,
    /// The function's name.
    pub function: String,
    /// Who may use it.
    pub auth: Auth,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// By whom.
    pub by: String,
}
