//! The lock of the one process that serves from a file.

use super::private;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// The suffix of the lock file.
const LOCK: &str = ".lock";

/// The right to serve from a file. A drop gives it back, and so does the operating system when the process
/// dies.
#[derive(Debug)]
pub struct ServiceClaim {
    _lock: File,
}

/// Why a file cannot be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another process serves from the file.
    #[error(
        "another airline-booking serves from {0} already; stop it, or set DATABASE_URL to another file"
    )]
    Taken(PathBuf),
    /// The file has more than one name.
    #[error(
        "{0} is one of {1} names of the same file (hard links): remove the others, then start again"
    )]
    ManyNames(PathBuf, u64),
    /// The lock file cannot be used.
    #[error(
        "cannot open {0} to write: {1}; set DATABASE_URL=sqlite:FILE to a file in a directory that this user may write to"
    )]
    Io(PathBuf, std::io::Error),
}

/// Claims a file, as [`SqliteStore::claim`](crate::store::sqlite::SqliteStore::claim) says.
pub(in crate::store) fn claim(file: &Path) -> Result<ServiceClaim, ClaimError> {
    let failed = |path: &Path, error| ClaimError::Io(path.to_owned(), error);
    // A file that exists is opened to write too: a service that can only read would refuse every booking.
    private::open(file).map_err(|error| failed(file, error))?;
    let file = file.canonicalize().map_err(|error| failed(file, error))?;
    let path = private::beside(&file, LOCK);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let names = file.metadata().map_err(|error| failed(&file, error))?.nlink();
        if names > 1 {
            return Err(ClaimError::ManyNames(file, names));
        }
    }
    let lock = private::open_lock(&path, &file).map_err(|error| failed(&path, error))?;
    match lock.try_lock() {
        Ok(()) => Ok(ServiceClaim { _lock: lock }),
        Err(TryLockError::WouldBlock) => Err(ClaimError::Taken(file)),
        Err(TryLockError::Error(error)) => Err(failed(&path, error)),
    }
}

/// Whether a process has claimed the file to serve from it.
pub(in crate::store) fn is_claimed(file: &Path) -> bool {
    let lock = file.canonicalize().and_then(|file| File::open(private::beside(&file, LOCK)));
    // A shared lock, so that two processes that only check do not take each other for a service.
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}
