//! Where replay of a copy begins, and from where on it is whole.

use std::io::ErrorKind;
use std::path::Path;

use cairn_pgwal::{Control, Lsn, ServerState};

use crate::base::{check_version, read_control};
use crate::error::Error;

/// What a copy says of itself.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) control: Control,
    /// The first record to be replayed.
    pub(super) redo: Lsn,
    /// The record of the checkpoint that it was taken after.
    pub(super) checkpoint: Lsn,
    pub(super) whole: Whole,
}

/// When a copy and the log are a state that the cluster had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whole {
    /// From a position on.
    From(Lsn),
    /// After the record that ends the backup which began here.
    BackupOf(Lsn),
}

/// Looks at a stopped cluster's directory, or one made by `pg_basebackup`.
pub(super) fn look(path: &Path) -> Result<Copy, Error> {
    let refused = |detail: String| Error::Copy { path: path.to_path_buf(), detail };
    check_version(path)?;
    if let Ok(mut spaces) = std::fs::read_dir(path.join("pg_tblspc"))
        && spaces.next().is_some()
    {
        return Err(refused("it has tablespaces of its own, which are not supported".to_owned()));
    }
    let control = read_control(path)?;
    match std::fs::read_to_string(path.join("backup_label")) {
        Ok(label) => labelled(control, &label)
            .ok_or_else(|| refused("its backup_label cannot be understood".to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => stopped(control).map_err(refused),
        Err(source) => Err(Error::Read { path: path.join("backup_label"), source }),
    }
}

fn stopped(control: Control) -> Result<Copy, String> {
    let redo = control.checkpoint().redo;
    let whole = match control.state() {
        ServerState::ShutDown => redo,
        ServerState::ShutDownInRecovery => redo.max(control.min_recovery()),
        _ => {
            return Err("its server was not stopped when it was copied, and it has no \
                        backup_label; take a copy with pg_basebackup, or stop the server first"
                .to_owned());
        }
    };
    let checkpoint = control.checkpoint_at();
    Ok(Copy { control, redo, checkpoint, whole: Whole::From(whole) })
}

/// A backup's label: lines of `KEY: value`.
fn labelled(control: Control, label: &str) -> Option<Copy> {
    let line =
        |key: &str| label.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    let position = |key: &str| line(key)?.split(' ').next()?.parse::<Lsn>().ok();
    let redo = position("START WAL LOCATION")?;
    let checkpoint = position("CHECKPOINT LOCATION")?;
    let whole = match line("BACKUP FROM") {
        Some("standby") => Whole::From(control.min_recovery()),
        _ => Whole::BackupOf(redo),
    };
    Some(Copy { control, redo, checkpoint, whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control() -> Control {
        let mut bytes = vec![0; cairn_pgwal::CONTROL_BYTES];
        bytes[8..12].copy_from_slice(&1300_u32.to_le_bytes());
        bytes[216..220].copy_from_slice(&8192_u32.to_le_bytes());
        bytes[228..232].copy_from_slice(&(16_u32 << 20).to_le_bytes());
        let crc = cairn_pgwal::checksum(&bytes[..288]);
        bytes[288..292].copy_from_slice(&crc.to_le_bytes());
        Control::read(&bytes).unwrap()
    }

    #[test]
    fn a_label_is_read() {
        let label = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n\
                     CHECKPOINT LOCATION: 0/2000060\nBACKUP METHOD: streamed\nBACKUP FROM: primary\n\
                     START TIME: 2026-01-01 00:00:00 UTC\nLABEL: x\nSTART TIMELINE: 1\n";
        let copy = labelled(control(), label).unwrap();
        assert_eq!((copy.redo, copy.checkpoint), (Lsn(0x200_0028), Lsn(0x200_0060)));
        assert_eq!(copy.whole, Whole::BackupOf(Lsn(0x200_0028)));
        let standby = label.replace("primary", "standby");
        assert_eq!(labelled(control(), &standby).unwrap().whole, Whole::From(Lsn(0)));
        for cut in 0..40 {
            assert!(labelled(control(), &label[..cut]).is_none(), "{cut}");
        }
    }

    #[test]
    fn a_running_server_is_no_copy() {
        assert!(stopped(control()).unwrap_err().contains("pg_basebackup"));
    }
}
