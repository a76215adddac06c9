//! The seam to the disk that a log lies on.

mod real;
mod sim;

use std::fmt::Debug;
use std::io;

use cairn_base::ErrorKind;

use crate::Error;

pub use real::RealDisk;
pub use sim::SimDisk;

/// Files in one directory, for one log. Files have a fixed length from their creation on. An error with
/// [`io::ErrorKind::StorageFull`] or [`io::ErrorKind::QuotaExceeded`] says that space is missing.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Whether calls block their thread for as long as a device takes.
    fn blocks(&self) -> bool;

    /// The name of a file as a person finds it.
    fn describe(&self, name: &str) -> String;

    /// The names and lengths of all files.
    ///
    /// # Errors
    /// As the system says, here and below.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;

    /// Makes a file of `bytes` zeros, which are written and synced; its name is not. After an error
    /// there is no such file.
    ///
    /// # Errors
    /// Also when the file is there already.
    fn create(&self, name: &str, bytes: u64) -> io::Result<()>;

    /// Gives a file another name, which no file has.
    ///
    /// # Errors
    /// As the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes what was created, renamed and removed durable.
    ///
    /// # Errors
    /// As the system says.
    fn sync_dir(&self) -> io::Result<()>;

    /// Writes all of `bytes`, within the file.
    ///
    /// # Errors
    /// Then it is not known what was written.
    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// Then what was written since the last sync may be lost, whatever a later sync says.
    fn sync(&self, name: &str) -> io::Result<()>;

    /// Fills all of `out`, within the file.
    ///
    /// # Errors
    /// As the system says.
    fn read_at(&self, name: &str, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Gives the directory free for another log; this one can do nothing more.
    fn close(&self);
}

/// Whether space is missing.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The error that a log fails with when its disk does.
pub(super) fn failed(disk: &dyn Disk, what: &'static str, name: &str, error: &io::Error) -> Error {
    if is_full(error) {
        return Error::Full { what: format!("the log at {}", disk.describe(name)) };
    }
    let why = format!("{}: {error}", disk.describe(name));
    Error::Storage { what, why, kind: ErrorKind::Closed }
}
