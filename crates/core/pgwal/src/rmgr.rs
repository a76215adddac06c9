/// Resource managers, by their numbers in `access/rmgrlist.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are PostgreSQL's")]
pub enum Rmgr {
    Xlog = 0,
    Transaction = 1,
    Storage = 2,
    Clog = 3,
    Database = 4,
    Tablespace = 5,
    MultiXact = 6,
    RelMap = 7,
    Standby = 8,
    Heap2 = 9,
    Heap = 10,
    Btree = 11,
    Hash = 12,
    Gin = 13,
    Gist = 14,
    Sequence = 15,
    SpGist = 16,
    Brin = 17,
    CommitTs = 18,
    ReplicationOrigin = 19,
    Generic = 20,
    LogicalMessage = 21,
}

impl Rmgr {
    /// All of them, each at the place of its number.
    pub const ALL: [Self; 22] = [
        Self::Xlog,
        Self::Transaction,
        Self::Storage,
        Self::Clog,
        Self::Database,
        Self::Tablespace,
        Self::MultiXact,
        Self::RelMap,
        Self::Standby,
        Self::Heap2,
        Self::Heap,
        Self::Btree,
        Self::Hash,
        Self::Gin,
        Self::Gist,
        Self::Sequence,
        Self::SpGist,
        Self::Brin,
        Self::CommitTs,
        Self::ReplicationOrigin,
        Self::Generic,
        Self::LogicalMessage,
    ];

    /// The one with this number; extensions have numbers from 128 on and no name here.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// What `pg_waldump` calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xlog => "XLOG",
            Self::Transaction => "Transaction",
            Self::Storage => "Storage",
            Self::Clog => "CLOG",
            Self::Database => "Database",
            Self::Tablespace => "Tablespace",
            Self::MultiXact => "MultiXact",
            Self::RelMap => "RelMap",
            Self::Standby => "Standby",
            Self::Heap2 => "Heap2",
            Self::Heap => "Heap",
            Self::Btree => "Btree",
            Self::Hash => "Hash",
            Self::Gin => "Gin",
            Self::Gist => "Gist",
            Self::Sequence => "Sequence",
            Self::SpGist => "SPGist",
            Self::Brin => "BRIN",
            Self::CommitTs => "CommitTs",
            Self::ReplicationOrigin => "ReplicationOrigin",
            Self::Generic => "Generic",
            Self::LogicalMessage => "LogicalMessage",
        }
    }
}
