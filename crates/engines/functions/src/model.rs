use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use cairn_access::Resource;
use cairn_base::{DatasetName, ProjectName, TagName};
use cairn_wasm::Limits;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::latency::Latency;
use crate::outside::{ORIGINS_MAX, Origin};
use crate::routes::{Pattern, Segment};

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

impl Function {
    /// What grants say of it.
    #[must_use]
    pub fn resource(&self) -> Resource {
        Resource::Dataset(self.project.clone(), self.name.clone())
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}/{}", self.project, self.name)
    }
}

/// How a function is kept apart from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// By the engine, in the node's process.
    #[default]
    InProcess,
    /// By the kernel too, in a process that the functions of its project share.
    Process,
}

impl Isolation {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProcess => "in_process",
            Self::Process => "process",
        }
    }
}

impl FromStr for Isolation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::InProcess, Self::Process];
        let known = all.into_iter().find(|tier| tier.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is no isolation: in_process or process"))
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
    /// How it is kept apart from others. A node that cannot do that does not run it.
    pub isolation: Isolation,
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
    /// How that stands: `compiling`, `ready` or `failed`.
    pub newest_state: String,
    /// When it was first deployed, in milliseconds since 1970.
    pub made_ms: u64,
    /// What it did on the node that is asked.
    pub here: Here,
}

/// What a function did on a node since that started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Here {
    /// Calls that ended.
    pub calls: u64,
    /// Those among them that did not end well: a limit, a trap, no answer.
    pub failures: u64,
    /// How long those of the last five to ten minutes took, until the head of an answer or the end of a program; none
    /// when there were none.
    pub latency: Option<Latency>,
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

/// The files that a route leads to, of a dataset that has its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteFiles {
    /// The tag whose version is served.
    #[serde(default, with = "as_text")]
    pub tag: TagName,
    /// The folder, or the one file, below which the route's last name `{*rest}` stands; nothing for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The file, below the same folder, that answers where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
}

/// A name as text.
mod as_text {
    use cairn_base::TagName;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(tag: &TagName, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(tag)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<TagName, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl RouteFiles {
    /// Bytes of each of its paths.
    const PATH_BYTES_MAX: usize = 1024;

    /// Fails for paths that name nothing in a dataset, and for a route that is for no GET.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check(&self, pattern: &Pattern) -> Result<(), Error> {
        let invalid = |why| Err(Error::Invalid { why });
        if !pattern.is_for("GET") {
            return invalid(format!("files answer GET and HEAD, and {pattern} is for neither"));
        }
        if pattern.path.iter().any(|segment| matches!(segment, Segment::Param(_))) {
            let why = format!("{pattern} says by {{*path}} alone which file is asked for");
            return Err(Error::Invalid { why });
        }
        let paths = [Some(&self.path), self.fallback.as_ref()];
        let wrong = |path: &&String| {
            path.len() > Self::PATH_BYTES_MAX || (!path.is_empty() && names_of(path).is_none())
        };
        match paths.into_iter().flatten().find(wrong) {
            Some(path) => invalid(format!("{path:?} is no path in a dataset: NAME/NAME...")),
            None => Ok(()),
        }
    }
}

/// The names of a path in a dataset; none for one that could name nothing.
#[must_use]
pub fn names_of(path: &str) -> Option<Vec<Vec<u8>>> {
    let named = |name: &str| {
        let real = !matches!(name, "" | "." | "..") && !name.contains('\0');
        real.then(|| name.as_bytes().to_vec())
    };
    path.split('/').map(named).collect()
}

/// What a route leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The function; of a route to files, the names of their dataset.
    pub function: Function,
    /// The files, when it leads to files.
    pub files: Option<RouteFiles>,
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
    /// The function's name; of a route to files, the name of their dataset.
    pub function: String,
    /// The files, when it leads to files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<RouteFiles>,
    /// Who may use it.
    pub auth: Auth,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// By whom.
    pub by: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_lead_to_what_could_be_files() {
        let site = |path: &str, fallback: Option<&str>| {
            let fallback = fallback.map(str::to_owned);
            RouteFiles { path: path.to_owned(), fallback, ..RouteFiles::default() }
        };
        let get: Pattern = "GET /{*path}".parse().unwrap();
        for good in [site("", None), site("a/b c", Some("index.html")), site("a", Some(""))] {
            assert!(good.check(&get).is_ok(), "{good:?}");
        }
        for wrong in ["/a", "a/", "a//b", "../a", "a/./b", "a\0b", &"a".repeat(2000)] {
            assert!(site(wrong, None).check(&get).is_err(), "{wrong:?}");
            assert!(site("", Some(wrong)).check(&get).is_err(), "{wrong:?}");
        }
        let refused = site("", None).check(&"POST /x".parse().unwrap()).unwrap_err();
        assert!(refused.to_string().contains("files answer GET and HEAD"), "{refused}");
        assert!(site("", None).check(&"/x".parse().unwrap()).is_ok());
    }
}
