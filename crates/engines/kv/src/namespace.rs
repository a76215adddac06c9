use std::fmt;

use cairn_base::{DatasetName, ProjectName};
use cairn_partition::{AnyPartition, Durable, Loss, Name, Seq};
use serde::{Deserialize, Serialize};

use crate::Error;

/// What the partitions of namespaces are below.
pub(crate) const ROOM: &str = "kv";

/// How the names of namespaces begin that engines keep what is theirs in.
const OWN: &str = "cairn.";

/// A namespace by its names, whether it is there or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace {
    /// The project.
    pub project: ProjectName,
    /// Its name in it. Patterns of grants cover it as they cover a dataset of this name.
    pub name: DatasetName,
}

impl Namespace {
    /// Whether an engine keeps what is its own there: no door reaches it (KV-2).
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.name.as_str().starts_with(OWN)
    }

    /// What its partition is called.
    ///
    /// # Errors
    /// [`Error::Name`]: partitions have no upper-case letters in their names.
    pub fn partition(&self) -> Result<Name, Error> {
        let text = format!("{ROOM}/{}/{}", self.project, self.name);
        Name::new(&text).map_err(|_| Error::Name { namespace: self.clone() })
    }

    /// Fails when `to` cannot be a clone of this one: large values are shared in a project.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check_clone(&self, to: &Self) -> Result<(), Error> {
        if self.project == to.project {
            return Ok(());
        }
        let (project, name) = (&self.project, &to.name);
        let why = format!("a clone is in the project of its source: name it @{project}/{name}");
        Err(Error::Invalid { why })
    }

    /// The namespace of a partition, when it is one.
    pub(crate) fn of(name: &Name) -> Option<Self> {
        let (project, name) =
            name.as_str().strip_prefix(ROOM)?.strip_prefix('/')?.split_once('/')?;
        Some(Self { project: project.parse().ok()?, name: name.parse().ok()? })
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}/{}", self.project, self.name)
    }
}

/// Where a namespace stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Its project.
    pub project: String,
    /// Its name.
    pub name: String,
    /// When changes are acknowledged, at the least.
    pub durable: Durable,
    /// For how long what was overwritten or deleted stays readable, in milliseconds.
    pub history_ms: u64,
    /// The last commit.
    pub seq: Seq,
    /// The last commit that is acknowledged.
    pub durable_seq: Seq,
    /// The oldest state that can be read; watches begin after it at the earliest.
    pub oldest_seq: Seq,
    /// The log of an owner was lost: what was acknowledged between its times may be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Loss>,
}

impl Info {
    pub(crate) fn new(namespace: &Namespace, partition: &AnyPartition) -> Self {
        let status = partition.status();
        Self {
            project: namespace.project.to_string(),
            name: namespace.name.to_string(),
            durable: status.settings.durable,
            history_ms: status.settings.history_ms,
            seq: status.newest,
            durable_seq: status.durable,
            oldest_seq: status.oldest,
            lost: partition.loss(),
        }
    }
}
