use serde::{Deserialize, Serialize};

/// The format that this version writes.
pub(crate) const FORMAT: u32 = 1;

/// What a backup is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    pub(crate) format: u32,
    /// Its id.
    pub id: String,
    /// What its maker said of it.
    pub note: String,
    /// When it was begun, in ns since 1970: what was acknowledged before is in it.
    pub started_ns: i64,
    /// When it was whole: nothing that was changed after is in it.
    pub finished_ns: i64,
    /// Tags of datasets.
    pub tags: u64,
    /// Versions of datasets, each once.
    pub versions: u64,
    /// Pages of records.
    pub(crate) pages: u32,
    /// Objects that it keeps as they were.
    pub records: u64,
    /// Their bytes.
    pub record_bytes: u64,
    /// The partitions.
    pub partitions: Vec<PartitionPoint>,
    /// The last segment of the audit log that it has.
    pub(crate) audit_last: Option<String>,
}

/// A partition in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionPoint {
    /// Its name.
    pub name: String,
    /// Its id, in hexadecimal.
    pub id: String,
    /// The objects that it is made of beside its record.
    pub objects: Vec<String>,
}
