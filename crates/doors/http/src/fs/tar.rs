//! A tar in GNU's dialect, in one zstd stream.

use std::io::Write as _;

use ::tar::{EntryType, Header};

use super::archive::{Format, Item, ItemKind};
use crate::error::Error;

const LEVEL: i32 = 3;
const BLOCK_BYTES: usize = 512;
/// What fits the name field of a header.
const NAME_BYTES: usize = 100;

pub(super) struct Tar {
    zstd: zstd::stream::write::Encoder<'static, Vec<u8>>,
    /// Bytes of the file so far.
    len: u64,
}

fn failed(error: std::io::Error) -> Error {
    Error::Internal { detail: format!("a tar could not be written: {error}") }
}

impl Tar {
    pub(super) fn new() -> Result<Self, Error> {
        let zstd = zstd::stream::write::Encoder::new(Vec::new(), LEVEL).map_err(failed)?;
        Ok(Self { zstd, len: 0 })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.zstd.write_all(bytes).map_err(failed)
    }

    fn pad(&mut self, len: u64) -> Result<(), Error> {
        let over = usize::try_from(len % BLOCK_BYTES as u64).expect("it is below 512");
        if over == 0 { Ok(()) } else { self.put(&[0; BLOCK_BYTES][over..]) }
    }

    /// An entry before the one that needs it, which holds what its header cannot.
    fn long(&mut self, kind: EntryType, text: &[u8]) -> Result<(), Error> {
        let mut header = Header::new_gnu();
        put_name(&mut header.as_old_mut().name, b"././@LongLink");
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(text.len() as u64 + 1);
        header.set_cksum();
        self.put(header.as_bytes())?;
        self.put(text)?;
        self.put(&[0])?;
        self.pad(text.len() as u64 + 1)
    }
}

fn put_name(field: &mut [u8; NAME_BYTES], name: &[u8]) {
    let len = name.len().min(NAME_BYTES);
    field[..len].copy_from_slice(&name[..len]);
}

impl Format for Tar {
    fn entry(&mut self, item: &Item) -> Result<(), Error> {
        let mut header = Header::new_gnu();
        let mut name = item.path.clone();
        let (kind, size) = match &item.kind {
            ItemKind::File { len } => (EntryType::Regular, *len),
            ItemKind::Directory => {
                name.push(b'/');
                (EntryType::Directory, 0)
            }
            ItemKind::Symlink { target } => {
                if target.len() > NAME_BYTES {
                    self.long(EntryType::GNULongLink, target)?;
                }
                put_name(&mut header.as_old_mut().linkname, target);
                (EntryType::Symlink, 0)
            }
        };
        if name.len() > NAME_BYTES {
            self.long(EntryType::GNULongName, &name)?;
        }
        put_name(&mut header.as_old_mut().name, &name);
        header.set_entry_type(kind);
        header.set_mode(item.mode);
        header.set_uid(u64::from(item.uid));
        header.set_gid(u64::from(item.gid));
        header.set_mtime(u64::try_from(item.mtime).unwrap_or(0));
        header.set_size(size);
        header.set_cksum();
        self.len = 0;
        self.put(header.as_bytes())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.len += bytes.len() as u64;
        self.put(bytes)
    }

    fn file_end(&mut self) -> Result<(), Error> {
        self.pad(self.len)
    }

    fn end(&mut self) -> Result<(), Error> {
        self.put(&[0; 2 * BLOCK_BYTES])?;
        self.zstd.do_finish().map_err(failed)
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.zstd.get_mut())
    }

    fn held(&self) -> usize {
        self.zstd.get_ref().len()
    }
}
