use alloc::vec::Vec;

use cairn_chunk::ChunkId;

use crate::Error;
use crate::directory::{DirectoryIndex, DirectoryLeaf, DirectoryPage};
use crate::map::{MapIndex, MapLeaf, MapPage};
use crate::root::Root;
use crate::wire::Reader;

/// The kind bytes.
pub(crate) const DIRECTORY_LEAF: u8 = 1;
pub(crate) const DIRECTORY_INDEX: u8 = 2;
pub(crate) const MAP_LEAF: u8 = 3;
pub(crate) const MAP_INDEX: u8 = 4;
pub(crate) const ROOT: u8 = 5;

/// A decoded page of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// Entries of a directory, or pages of them.
    Directory(DirectoryPage),
    /// Slices of a stream, or pages of them.
    Map(MapPage),
    /// The top of a manifest.
    Root(Root),
}

/// A chunk that something refers to, and what it is. Whoever walks learns from the reference, never
/// from the bytes, whether a chunk is a page: data may look like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// A directory page: decode it, and walk on.
    DirectoryPage(ChunkId),
    /// A map page: decode it, and walk on.
    MapPage(ChunkId),
    /// Bytes of a file, of a hash tree or of a recipe.
    Data(ChunkId),
    /// A root: only something outside the tree, a ref, refers to one.
    Root(ChunkId),
}

impl Reference {
    /// The chunk.
    #[must_use]
    pub const fn id(&self) -> ChunkId {
        match self {
            Self::DirectoryPage(id) | Self::MapPage(id) | Self::Data(id) | Self::Root(id) => *id,
        }
    }

    /// Whether there is no page behind it.
    #[must_use]
    pub const fn is_data(&self) -> bool {
        matches!(self, Self::Data(_))
    }

    /// Decodes the page behind this reference.
    ///
    /// # Errors
    /// As [`Page::decode`]; and [`Error::Child`] when the page is of another kind than the
    /// reference says, always so for [`Reference::Data`].
    pub fn decode(&self, bytes: &[u8]) -> Result<Page, Error> {
        match (self, Page::decode(bytes)?) {
            (Self::DirectoryPage(_), page @ Page::Directory(_))
            | (Self::MapPage(_), page @ Page::Map(_))
            | (Self::Root(_), page @ Page::Root(_)) => Ok(page),
            _ => Err(Error::Child { what: "kind" }),
        }
    }
}

impl Page {
    /// Decodes a page. Accepts its one canonical form only: what is decoded encodes to `bytes`
    /// again (TREE-2). Memory: less than 200 times the page, in the worst case of long names that
    /// share all but a byte.
    ///
    /// # Errors
    /// [`Error::Corrupt`], and [`Error::Version`] for a page of a newer program.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let (kind, reader) = Reader::open(bytes)?;
        Ok(match kind {
            DIRECTORY_LEAF => Self::Directory(DirectoryPage::Leaf(DirectoryLeaf::decode(reader)?)),
            DIRECTORY_INDEX => {
                Self::Directory(DirectoryPage::Index(DirectoryIndex::decode(reader)?))
            }
            MAP_LEAF => Self::Map(MapPage::Leaf(MapLeaf::decode(reader)?)),
            MAP_INDEX => Self::Map(MapPage::Index(MapIndex::decode(reader)?)),
            ROOT => Self::Root(Root::read(reader)?),
            _ => return Err(Error::Corrupt { offset: 0, expected: "a kind of page" }),
        })
    }

    /// The bytes that decode to this page.
    ///
    /// # Errors
    /// Those of [`Root::encode`]; pages of directories and maps are valid as they are.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Directory(page) => Ok(page.encode()),
            Self::Map(page) => Ok(page.encode()),
            Self::Root(root) => root.encode(),
        }
    }

    /// All chunks that this page refers to, in its order. A leaf of a directory may name a chunk
    /// more than once.
    #[must_use]
    pub fn children(&self) -> Vec<Reference> {
        match self {
            Self::Directory(DirectoryPage::Leaf(leaf)) => leaf.references(),
            Self::Directory(DirectoryPage::Index(index)) => index.references(),
            Self::Map(MapPage::Leaf(leaf)) => leaf.references(),
            Self::Map(MapPage::Index(index)) => index.references(),
            Self::Root(root) => root.page.map(Reference::DirectoryPage).into_iter().collect(),
        }
    }
}
