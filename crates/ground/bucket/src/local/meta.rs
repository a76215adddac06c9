//! What is stored beside an object's bytes: the extended attribute `user.cairn`.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 1 | format: 1 |
//! | 1 | 16 | version, random: the ETag is its lower-case hex in quotes |
//! | 17 | … | attributes, one after the other |
//!
//! One attribute, lengths in little endian:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | 1 content-disposition, 2 content-encoding, 3 content-language, 4 content-type, 5 cache-control, 6 storage class, 7 metadata |
//! | 2 + n | only for metadata: the length of its name, and the name |
//! | 2 + n | the length of the value, and the value |

use std::fmt::Write as _;
use std::os::fd::OwnedFd;

use object_store::path::Path;
use object_store::{Attribute, Attributes, ObjectMeta};
use rustix::io::Errno;

use super::{Failure, time_of_ns};

/// The name of the extended attribute.
pub(super) const XATTR: &str = "user.cairn";
/// What S3 allows for metadata, too; ext4 has room for little more than one block.
const LEN_MAX: usize = 2048 + 17;
const FORMAT: u8 = 1;

/// The version of an object that is being written.
pub(super) type Id = [u8; 16];

/// An object's metadata as read from its file.
pub(super) struct Meta {
    pub(super) e_tag: String,
    pub(super) attributes: Attributes,
    pub(super) size: u64,
    pub(super) modified_ns: i64,
}

impl Meta {
    pub(super) fn object(&self, location: &Path) -> ObjectMeta {
        ObjectMeta {
            location: location.clone(),
            last_modified: time_of_ns(self.modified_ns).into(),
            size: self.size,
            e_tag: Some(self.e_tag.clone()),
            version: None,
        }
    }
}

pub(super) fn e_tag(id: &Id) -> String {
    format!("\"{:032x}\"", u128::from_be_bytes(*id))
}

/// The value of the extended attribute.
pub(super) fn encode(id: &Id, attributes: &Attributes) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::with_capacity(64);
    out.push(FORMAT);
    out.extend_from_slice(id);
    for (name, value) in attributes {
        let (tag, key) = match name {
            Attribute::ContentDisposition => (1, None),
            Attribute::ContentEncoding => (2, None),
            Attribute::ContentLanguage => (3, None),
            Attribute::ContentType => (4, None),
            Attribute::CacheControl => (5, None),
            Attribute::StorageClass => (6, None),
            Attribute::Metadata(key) => (7, Some(key.as_ref())),
            _ => return Err(Failure::Unsupported),
        };
        out.push(tag);
        for text in key.into_iter().chain([value.as_ref()]) {
            let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&len.to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
    }
    if out.len() > LEN_MAX {
        return Err(Failure::AttributesTooLarge { len: out.len(), max: LEN_MAX });
    }
    Ok(out)
}

fn decode(mut bytes: &[u8]) -> Option<(Id, Attributes)> {
    let (&FORMAT, rest) = bytes.split_first()? else { return None };
    let (id, rest) = rest.split_first_chunk::<16>()?;
    bytes = rest;
    let mut attributes = Attributes::new();
    while let Some((&tag, rest)) = bytes.split_first() {
        bytes = rest;
        let name = match tag {
            1 => Attribute::ContentDisposition,
            2 => Attribute::ContentEncoding,
            3 => Attribute::ContentLanguage,
            4 => Attribute::ContentType,
            5 => Attribute::CacheControl,
            6 => Attribute::StorageClass,
            7 => Attribute::Metadata(text(&mut bytes)?.into()),
            _ => return None,
        };
        attributes.insert(name, text(&mut bytes)?.into());
    }
    Some((*id, attributes))
}

fn text(bytes: &mut &[u8]) -> Option<String> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}

/// Reads the metadata of an open file; `None` when it is not a regular file.
pub(super) fn read(file: &OwnedFd, path: &str) -> Result<Option<Meta>, Failure> {
    let failed = |error: Errno| Failure::io("look at", path.as_ref(), error);
    let stat = rustix::fs::fstat(file).map_err(failed)?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Ok(None);
    }
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    #[allow(clippy::unnecessary_cast, reason = "the width differs between platforms")]
    let modified_ns = (stat.st_mtime as i64)
        .saturating_mul(1_000_000_000)
        .saturating_add(i64::try_from(stat.st_mtime_nsec).unwrap_or(0));
    let mut value = [0; LEN_MAX];
    let (e_tag, attributes) = match rustix::fs::fgetxattr(file, XATTR, &mut value) {
        Ok(len) => {
            let stored = value.get(..len).and_then(decode);
            let (id, attributes) =
                stored.ok_or_else(|| Failure::Damaged { path: path.to_owned() })?;
            (e_tag(&id), attributes)
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => (foreign(&stat), Attributes::new()),
        Err(Errno::RANGE) => return Err(Failure::Damaged { path: path.to_owned() }),
        Err(error) => return Err(failed(error)),
    };
    Ok(Some(Meta { e_tag, attributes, size, modified_ns }))
}

/// The ETag of a file that we did not write. The store never changes a file in place, and whoever
/// does changes `ctime`.
fn foreign(stat: &rustix::fs::Stat) -> String {
    let mut tag = String::from("\"f");
    let parts = [
        i128::from(stat.st_ino),
        i128::from(stat.st_size),
        i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec),
        i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec),
    ];
    for part in parts {
        // Writing to a string cannot fail.
        write!(tag, "-{part:x}").unwrap_or_default();
    }
    tag.push('"');
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Attributes {
        Attributes::from_iter([
            (Attribute::ContentType, "text/plain"),
            (Attribute::CacheControl, ""),
            (Attribute::Metadata("ä".into()), "ö"),
            (Attribute::Metadata("b".into()), "c"),
        ])
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for attributes in [Attributes::new(), all()] {
            let bytes = encode(&[7; 16], &attributes).unwrap();
            assert_eq!(decode(&bytes).unwrap(), ([7; 16], attributes));
        }
    }

    #[test]
    fn damage_is_noticed_and_never_panics() {
        let bytes = encode(&[7; 16], &all()).unwrap();
        // Cut between attributes it is a shorter list: the filesystem keeps the length.
        let whole: Vec<usize> =
            (0..bytes.len()).filter(|&len| decode(&bytes[..len]).is_some()).collect();
        assert_eq!(whole.len(), 4, "{whole:?}");
        for index in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[index] ^= 0x80;
            drop(decode(&bytes));
        }
        assert!(decode(&[]).is_none());
        assert!(decode(&[2; 17]).is_none());
    }

    #[test]
    fn attributes_are_bounded() {
        let long = Attributes::from_iter([(Attribute::ContentType, "x".repeat(70_000))]);
        assert!(matches!(encode(&[0; 16], &long), Err(Failure::AttributesTooLarge { .. })));
    }

    #[test]
    fn the_format_is_the_documented_one() {
        let attributes = Attributes::from_iter([(Attribute::Metadata("k".into()), "vv")]);
        let bytes = encode(&[0xab; 16], &attributes).unwrap();
        let mut expected = vec![1];
        expected.extend([0xab; 16]);
        expected.extend([7, 1, 0, b'k', 2, 0, b'v', b'v']);
        assert_eq!(bytes, expected);
        assert_eq!(e_tag(&[0xab; 16]), format!("\"{}\"", "ab".repeat(16)));
    }
}
