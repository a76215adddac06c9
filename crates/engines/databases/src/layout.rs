//! Where a cluster has its files, below its data directory.

use cairn_pgwal::{Fork, Relation};

/// Blocks of one file; a relation has several files when it is longer.
pub(crate) const FILE_BLOCKS: u32 = 131_072;
/// `pg_default`.
pub(crate) const DEFAULT_TABLESPACE: u32 = 1663;
/// `pg_global`.
pub(crate) const GLOBAL_TABLESPACE: u32 = 1664;

/// The directory of a database; `None` in other tablespaces than the two that every cluster has.
pub(crate) fn database_directory(tablespace: u32, database: u32) -> Option<String> {
    match tablespace {
        GLOBAL_TABLESPACE => Some("global".to_owned()),
        DEFAULT_TABLESPACE => Some(format!("base/{database}")),
        _ => None,
    }
}

/// The suffix of a fork's files.
pub(crate) const fn fork_suffix(fork: Fork) -> &'static str {
    match fork {
        Fork::Main => "",
        Fork::FreeSpace => "_fsm",
        Fork::Visibility => "_vm",
        Fork::Init => "_init",
    }
}

/// The file of a fork, the first or a later one; `None` as for [`database_directory`].
pub(crate) fn fork_file(relation: Relation, fork: Fork, part: u32) -> Option<String> {
    let directory = database_directory(relation.tablespace, relation.database)?;
    let name = format!("{directory}/{}{}", relation.number, fork_suffix(fork));
    Some(if part == 0 { name } else { format!("{name}.{part}") })
}

/// The file of a block, below the data directory.
pub(crate) fn block_file(relation: Relation, fork: Fork, number: u32) -> Option<String> {
    fork_file(relation, fork, number / FILE_BLOCKS)
}

/// The name of a segment of WAL.
pub(crate) fn segment_name(timeline: u32, number: u64, segment_bytes: u64) -> String {
    let per_file = 0x1_0000_0000 / segment_bytes;
    format!("{timeline:08X}{:08X}{:08X}", number / per_file, number % per_file)
}
