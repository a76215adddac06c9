//! Prepared transactions: a file each, until they end (`access/transam/twophase.c`).

use std::io::ErrorKind;
use std::path::Path;

use cairn_pgwal::checksum;
use cairn_pgwal::effects::Effect;

use crate::error::Error;

const DIRECTORY: &str = "pg_twophase";

pub(super) fn apply(directory: &Path, effect: &Effect<'_>) -> Result<(), Error> {
    let path = |xid: u32| directory.join(DIRECTORY).join(format!("{xid:08X}"));
    match effect {
        Effect::Prepared(prepared) => {
            let crc = checksum(prepared.state).to_le_bytes();
            let path = path(prepared.xid);
            std::fs::write(&path, [prepared.state, crc.as_slice()].concat())
                .map_err(|source| Error::Write { path, source })
        }
        Effect::Finished(finished) if finished.was_prepared => {
            let path = path(finished.xid);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    Err(Error::Write { path, source: error })
                }
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}
