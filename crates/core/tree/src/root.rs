use alloc::vec::Vec;

use cairn_chunk::ChunkId;

use crate::entry::{Meta, Time, Totals};
use crate::page::ROOT;
use crate::wire::{Reader, VERSION, put_totals, put_varint, unzigzag, zigzag};
use crate::xattrs::Xattrs;
use crate::{Error, Page};

/// What follows the header of a root.
const MAGIC: &[u8; 10] = b"cairn-tree";

/// The root of a manifest: the directory at the top of the tree. Its id names the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Root {
    /// The attributes of the top directory.
    pub meta: Meta,
    /// Its top page; `None` when and only when it is empty.
    pub page: Option<ChunkId>,
    /// What is below it.
    pub totals: Totals,
}

impl Root {
    /// The bytes of the root, a function of the tree alone.
    ///
    /// # Errors
    /// [`Error::Entry`] with an empty name: the attributes break a rule, or the totals do not go
    /// with the page.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let checked = self.meta.check().and_then(|()| self.totals.check(self.page.as_ref()));
        checked.map_err(|fault| fault.of_entry(&[]))?;
        Ok(self.put())
    }

    /// The bytes of a valid root.
    pub(crate) fn put(&self) -> Vec<u8> {
        let mut out = alloc::vec![ROOT, VERSION];
        out.extend_from_slice(MAGIC);
        for value in [self.meta.mode, self.meta.uid, self.meta.gid] {
            put_varint(&mut out, u64::from(value));
        }
        put_varint(&mut out, zigzag(self.meta.mtime.secs));
        put_varint(&mut out, u64::from(self.meta.mtime.nanos));
        self.meta.xattrs.put(&mut out);
        put_totals(&mut out, &self.totals);
        out.extend_from_slice(self.page.as_ref().map_or(&[], |page| &page.0));
        out
    }

    /// Decodes a page that has to be a root.
    ///
    /// # Errors
    /// As [`Page::decode`], and when the page is of another kind.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        match Page::decode(bytes)? {
            Page::Root(root) => Ok(root),
            Page::Directory(_) | Page::Map(_) => Err(Error::Child { what: "kind (a root)" }),
        }
    }

    pub(crate) fn read(mut reader: Reader<'_>) -> Result<Self, Error> {
        let reader = &mut reader;
        if reader.take(MAGIC.len(), "the magic of a root")? != MAGIC {
            return reader.fail("the magic of a root");
        }
        let mode = reader.varint_u32("a mode")?;
        let uid = reader.varint_u32("an owner")?;
        let gid = reader.varint_u32("a group")?;
        let secs = unzigzag(reader.varint("seconds")?);
        let mtime = Time { secs, nanos: reader.varint_u32("nanoseconds")? };
        let meta = Meta { mode, uid, gid, mtime, xattrs: Xattrs::read(reader)? };
        let totals = reader.totals()?;
        let page = if totals.is_empty() { None } else { Some(reader.id()?) };
        reader.end()?;
        let checked = meta.check().and_then(|()| totals.check(page.as_ref()));
        checked.or_else(|fault| reader.fail(fault.expected()))?;
        Ok(Self { meta, page, totals })
    }
}

#[cfg(test)]
mod tests;
