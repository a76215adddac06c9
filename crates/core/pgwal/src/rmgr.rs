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

/// The names of the kinds of records of each resource manager, by the upper four bits of the info; a
/// dash for bits that no record has.
const KINDS: [&str; 22] = [
    "CHECKPOINT_SHUTDOWN CHECKPOINT_ONLINE NOOP NEXTOID SWITCH BACKUP_END \
     PARAMETER_CHANGE RESTORE_POINT FPW_CHANGE END_OF_RECOVERY FPI_FOR_HINT FPI - \
     OVERWRITE_CONTRECORD",
    "COMMIT PREPARE ABORT COMMIT_PREPARED ABORT_PREPARED ASSIGNMENT INVALIDATION",
    "- CREATE TRUNCATE",
    "ZEROPAGE TRUNCATE",
    "CREATE_FILE_COPY CREATE_WAL_LOG DROP",
    "CREATE DROP",
    "ZERO_OFF_PAGE ZERO_MEM_PAGE CREATE_ID TRUNCATE_ID",
    "UPDATE",
    "LOCK RUNNING_XACTS INVALIDATIONS",
    "REWRITE PRUNE VACUUM FREEZE_PAGE VISIBLE MULTI_INSERT LOCK_UPDATED NEW_CID",
    "INSERT DELETE UPDATE TRUNCATE HOT_UPDATE HEAP_CONFIRM LOCK INPLACE",
    "INSERT_LEAF INSERT_UPPER INSERT_META SPLIT_L SPLIT_R INSERT_POST DEDUP DELETE \
     UNLINK_PAGE UNLINK_PAGE_META NEWROOT MARK_PAGE_HALFDEAD VACUUM REUSE_PAGE \
     META_CLEANUP",
    "INIT_META_PAGE INIT_BITMAP_PAGE INSERT ADD_OVFL_PAGE SPLIT_ALLOCATE_PAGE SPLIT_PAGE \
     SPLIT_COMPLETE MOVE_PAGE_CONTENTS SQUEEZE_PAGE DELETE SPLIT_CLEANUP UPDATE_META_PAGE \
     VACUUM_ONE_PAGE",
    "- CREATE_PTREE INSERT SPLIT VACUUM_PAGE DELETE_PAGE UPDATE_META_PAGE INSERT_LISTPAGE \
     DELETE_LISTPAGE VACUUM_DATA_LEAF_PAGE",
    "PAGE_UPDATE DELETE PAGE_REUSE PAGE_SPLIT - - PAGE_DELETE ASSIGN_LSN",
    "LOG",
    "- ADD_LEAF MOVE_LEAFS ADD_NODE SPLIT_TUPLE PICKSPLIT VACUUM_LEAF VACUUM_ROOT \
     VACUUM_REDIRECT",
    "CREATE_INDEX INSERT UPDATE SAMEPAGE_UPDATE REVMAP_EXTEND DESUMMARIZE",
    "ZEROPAGE TRUNCATE",
    "SET DROP",
    "APPLY",
    "MESSAGE",
];

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

    /// What `pg_waldump` calls records with these bits of the info, without what it adds for pages
    /// that are begun anew; empty for bits that no record has.
    #[must_use]
    pub fn kind_name(self, kind: u8) -> &'static str {
        // These use the highest bit for something beside the kind.
        let kind = match self {
            Self::Transaction | Self::Heap | Self::Heap2 | Self::Brin => kind & 0x70,
            _ => kind & 0xf0,
        };
        let mut names = KINDS[usize::from(self.number())].split(' ');
        names.nth(usize::from(kind >> 4)).filter(|name| *name != "-").unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_names_of_pg_waldump() {
        assert_eq!(Rmgr::Heap.kind_name(0x80), "INSERT");
        assert_eq!(Rmgr::Heap2.kind_name(0xd0), "MULTI_INSERT");
        assert_eq!(Rmgr::Btree.kind_name(0xe0), "META_CLEANUP");
        assert_eq!(Rmgr::Xlog.kind_name(0xd0), "OVERWRITE_CONTRECORD");
        assert_eq!(Rmgr::Clog.kind_name(0xf0), "");
    }
}
