//! Manifests: the stored form of a dataset's tree, as a Merkle tree of pages.
//!
//! A directory is a sequence of entries sorted by name, cut into leaf pages; where there are
//! several, index pages stand above them. A long file is a sequence of slices of chunks, cut into
//! map pages in the same way. A root page names the top directory, and its id names the tree. Each
//! page is stored as a chunk of its own: its id is the keyed hash of its bytes, so equal parts of
//! trees are equal pages, stored once and skipped when trees are compared.
//!
//! This crate does no I/O: [`DirectoryBuilder`] and [`StreamBuilder`] hand pages to a callback,
//! [`Page::decode`] takes a page's bytes, [`Diff`] says which page it needs next.
//!
//! # Invariants
//! - TREE-1 Pages are a function of the sequence of entries (or slices) alone, not of its history.
//!   One change rewrites the pages on its path and, where a cut comes or goes, their neighbours.
//! - TREE-2 A page has one encoding: what decodes encodes to the same bytes.
//! - TREE-3 A page has at most [`PAGE_BYTES_MAX`] bytes, and any valid entry fits into one.
//! - TREE-4 Decoding any bytes ends in a page or an error, within memory in proportion to a page.
//! - TREE-5 A child's level, first name, totals or length are those that its parent names, levels
//!   descend; [`DirectoryChild::check`] and [`MapChild::check`] say so.
//!
//! Absent on purpose: I/O and caches (the engine has them), merging of trees (it needs a policy),
//! sets of hard links (an entry names the first path), and device nodes, sockets and pipes.
//!
//! # Format, version 1
//! `varint` is LEB128 of at most 64 bits without superfluous bytes; `zigzag` is a signed number as
//! a varint; `id` is a chunk id of 32 bytes. A column has an element for each item in order, unless
//! said otherwise. Columns follow each other without lengths or padding, and the last ends the
//! page.
//!
//! | every page | |
//! |---|---|
//! | kind | 1 byte: 1 directory leaf, 2 directory index, 3 map leaf, 4 map index, 5 root |
//! | version | 1 byte: 1 |
//!
//! | directory leaf | |
//! |---|---|
//! | count | varint, at least 1 |
//! | names | column of varints: bytes shared with the name before, as many as can be; column of varints: bytes that follow; column of those bytes |
//! | kinds | column of bytes, below |
//! | owners | table of (mode varint, uid varint, gid varint) |
//! | seconds | column of zigzags: difference to the entry before (to 0), modulo 2^64 |
//! | nanoseconds | column of varints |
//! | attributes | table of sets: count varint, then per attribute, names ascending, name and value, each a varint length and bytes |
//! | sizes | per file: varint |
//! | totals | per directory: varints of files, directories, symlinks, hard links, bytes |
//! | target lengths | per symlink and hard link: varint |
//! | targets | per symlink and hard link: bytes |
//! | streams | per file: length varint if it has a recipe, slices; then for the hash tree and the recipe, if it has them: form byte, length varint, slices |
//! | roots | per file that has one: 32 bytes |
//! | ids | per file the ids of its streams in order; per directory its page, if it has one |
//!
//! A *table* is: the count of distinct values as a varint; the values in order of first use; and,
//! if there are two or more, a column of varints: positions in the table. *Slices* are nothing but
//! for a stream of form 2: the count as a varint, and per slice a varint, 0 for a hole or 1 + the
//! bytes skipped in its chunk, and its length as a varint.
//!
//! | kind byte | |
//! |---|---|
//! | bits 0–1 | 0 file, 1 directory, 2 symlink, 3 hard link |
//! | bits 2–3 | file: form of the stream, 0 empty, 1 chunk, 2 slices, 3 map; directory: 1 if it has a page |
//! | bits 4, 5, 6 | file: has a root, a hash tree, a recipe |
//!
//! | directory index | |
//! |---|---|
//! | level | 1 byte, 1 to 64: the levels below |
//! | count | varint, at least 1 |
//! | names | as in a leaf: the first name on or below each child |
//! | totals | column of the five varints |
//! | ids | column of ids |
//!
//! | map leaf | |
//! |---|---|
//! | count | varint, at least 1 |
//! | heads | column of varints: 0 hole; 1 start of a chunk not named on the page before; 2 a later part of such a chunk; 3 the chunk of the slice before, holes left aside; 4 + n the n-th chunk of the page |
//! | lengths | column of varints |
//! | skips | head 2: varint, the bytes skipped; heads 3 and above: zigzag, the difference to the end of the last slice of that chunk |
//! | ids | per head 1 or 2: the id |
//!
//! | map index | |
//! |---|---|
//! | level | 1 byte, 1 to 64 |
//! | count | varint, at least 1 |
//! | lengths | column of varints: the bytes on and below each child |
//! | ids | column of ids |
//!
//! | root | |
//! |---|---|
//! | magic | `cairn-tree` |
//! | owner | varints of mode, uid, gid |
//! | time | zigzag seconds, varint nanoseconds |
//! | attributes | a set, as above |
//! | totals | the five varints |
//! | page | id of the top page, if there is any entry |

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod column;
mod cut;
mod directory;
mod entry;
mod error;
mod map;
mod page;
mod root;
mod stream;
mod tower;
mod wire;
mod xattrs;

pub use directory::{
    Diff, DirectoryBuilder, DirectoryChild, DirectoryIndex, DirectoryLeaf, DirectoryPage, Find,
    Side, Step,
};
pub use entry::{Content, Entry, Kind, Meta, Time, Totals};
pub use error::Error;
pub use map::{MapChild, MapFind, MapIndex, MapLeaf, MapPage, StreamBuilder};
pub use page::{Page, Reference};
pub use root::Root;
pub use stream::{SLICE_END_MAX, SLICES_INLINE_MAX, STREAM_BYTES_MAX, Slice, Source, Stream};
pub use xattrs::{XATTR_NAME_BYTES_MAX, XATTRS_BYTES_MAX, Xattrs};

/// The longest page, in bytes.
pub const PAGE_BYTES_MAX: usize = 64 * 1024;
/// The longest name of an entry, in bytes.
pub const NAME_BYTES_MAX: usize = 1024;
/// The longest target of a symbolic link, in bytes.
pub const TARGET_BYTES_MAX: usize = 4096;
/// The longest path of a hard link's first name, in bytes.
pub const PATH_BYTES_MAX: usize = 16 * 1024;
/// The highest level of an index page. A million entries have two or three.
pub const LEVEL_MAX: u8 = 64;
