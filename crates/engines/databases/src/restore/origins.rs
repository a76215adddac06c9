//! How far the changes of replication origins are here: `pg_logical/replorigin_checkpoint`
//! (`replication/logical/origin.c`): a magic number, 16 bytes an origin (`u16` number, 6 unused, `u64`
//! position), and the CRC-32C of it all.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use cairn_pgwal::{Lsn, checksum};

use crate::error::Error;

const FILE: &str = "pg_logical/replorigin_checkpoint";
const MAGIC: [u8; 4] = 0x1257_dade_u32.to_le_bytes();
const ENTRY_BYTES: usize = 16;

pub(super) fn read(directory: &Path) -> Result<BTreeMap<u16, Lsn>, Error> {
    let path = directory.join(FILE);
    match std::fs::read(&path) {
        Ok(bytes) => decode(&bytes).ok_or_else(|| {
            let detail = "it is damaged: its CRC or its length is wrong".to_owned();
            Error::Damaged { path, detail }
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(source) => Err(Error::Read { path, source }),
    }
}

pub(super) fn write(directory: &Path, origins: &BTreeMap<u16, Lsn>) -> Result<(), Error> {
    let path = directory.join(FILE);
    std::fs::write(&path, encode(origins)).map_err(|source| Error::Write { path, source })
}

fn encode(origins: &BTreeMap<u16, Lsn>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (origin, position) in origins {
        bytes.extend_from_slice(&origin.to_le_bytes());
        bytes.extend_from_slice(&[0; 6]);
        bytes.extend_from_slice(&position.0.to_le_bytes());
    }
    let crc = checksum(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<BTreeMap<u16, Lsn>> {
    let (body, crc) = bytes.split_last_chunk()?;
    let entries = body.strip_prefix(&MAGIC)?;
    if checksum(body) != u32::from_le_bytes(*crc) || !entries.len().is_multiple_of(ENTRY_BYTES) {
        return None;
    }
    let (entries, _) = entries.as_chunks::<ENTRY_BYTES>();
    let entry = |entry: &[u8; ENTRY_BYTES]| {
        let (number, position) = (entry.first_chunk(), entry.last_chunk());
        Some((u16::from_le_bytes(*number?), Lsn(u64::from_le_bytes(*position?))))
    };
    entries.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_return_and_damage_is_noticed() {
        let origins = BTreeMap::from([(1, Lsn(7)), (65_535, Lsn(u64::MAX))]);
        let bytes = encode(&origins);
        assert_eq!(decode(&bytes), Some(origins));
        assert_eq!(decode(&encode(&BTreeMap::new())), Some(BTreeMap::new()));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert_eq!(decode(&bad), None, "{at}");
        }
    }
}
