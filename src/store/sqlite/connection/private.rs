//! Permissions of a database's files: only the owner may read them, since they hold passengers' data.
//!
//! SQLite gives its log and its index the permissions of the file beside them.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Suffixes of the files beside it: SQLite's and the claim's.
#[cfg(unix)]
const BESIDE: [&str; 4] = ["-wal", "-shm", "-journal", ".lock"];

/// Permissions to read and write.
const OWNER: u32 = 0o600;
const OWNER_AND_GROUP: u32 = 0o660;

/// The file's name with a suffix.
pub(in crate::store) fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(ending);
    PathBuf::from(path)
}

/// Opens a file to write. A missing file is created, for its owner alone.
pub(in crate::store) fn open(file: &Path) -> io::Result<File> {
    open_with(file, OWNER)
}

/// Fails if this user may not write to the file. A missing one is created.
pub(in crate::store) fn require_writable(file: &Path) -> io::Result<()> {
    open(file).map(drop)
}

/// Opens a database's lock file. A missing one is created, readable for all who may open the database, so
/// that they can check the lock.
pub(super) fn open_lock(lock: &Path, database: &Path) -> io::Result<File> {
    #[cfg(unix)]
    let mode = std::os::unix::fs::PermissionsExt::mode(&database.metadata()?.permissions());
    #[cfg(not(unix))]
    let mode = OWNER;
    open_with(lock, mode & OWNER_AND_GROUP)
}

#[cfg_attr(not(unix), allow(unused_variables, reason = "other systems have no Unix permissions"))]
fn open_with(file: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    options.open(file)
}

/// Creates a missing file, and removes the permissions of group and others from the file and those beside it
/// if every user of the machine may read them. Permissions for the group alone were set on purpose and
/// stay.
///
/// Makes SQLite's files beside it as writable for their owner as the file itself. A command that reads a
/// read-only file leaves read-only ones, with which SQLite would open the file, writable again, only to read.
///
/// A warning names a file whose permissions cannot be changed: another user may own it.
pub(in crate::store) fn prepare(file: &Path) -> io::Result<()> {
    drop(open(file)?);
    #[cfg(unix)]
    {
        let file = file.canonicalize()?;
        close_to_others(&file);
        for ending in BESIDE {
            let beside = beside(&file, ending);
            close_to_others(&beside);
            open_to_owner(&beside, &file);
        }
    }
    Ok(())
}

#[cfg(unix)]
fn close_to_others(file: &Path) {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use tracing::warn;
    const OTHERS: u32 = 0o007;
    // A missing one is created later, as private as the database.
    let Ok(metadata) = file.metadata() else { return };
    let mode = metadata.permissions().mode();
    if !metadata.is_file() || mode & OTHERS == 0 {
        return;
    }
    let file_name = file.display();
    match std::fs::set_permissions(file, Permissions::from_mode(OWNER)) {
        Ok(()) => warn!("{file_name} could be read by every user; now only by its owner"),
        Err(error) => warn!(
            %error, "{file_name} holds passengers' data and can be read by every user; run chmod 600"
        ),
    }
}

#[cfg(unix)]
fn open_to_owner(beside: &Path, database: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    use tracing::warn;
    const WRITE: u32 = 0o200;
    let (Ok(metadata), Ok(of_database)) = (beside.metadata(), database.metadata()) else { return };
    let mut permissions = metadata.permissions();
    let mode = permissions.mode();
    if mode & WRITE != 0 || of_database.permissions().mode() & WRITE == 0 {
        return;
    }
    permissions.set_mode(mode | WRITE);
    if let Err(error) = std::fs::set_permissions(beside, permissions) {
        let file_name = beside.display();
        warn!(%error, "{file_name} is read-only, so nothing can be booked; run chmod u+w");
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(file: &Path) -> u32 {
        file.metadata().expect("a file").permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_made_for_its_owner_and_one_of_all_is_taken_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("a.db");
        prepare(&file).expect("made");
        assert_eq!(mode(&file), 0o600);
        let log = beside(&file, "-wal");
        std::fs::write(&log, "rows").expect("written");
        for (before, after) in
            [(0o644, 0o600), (0o666, 0o600), (0o604, 0o600), (0o640, 0o640), (0o600, 0o600)]
        {
            for path in [&file, &log] {
                let permissions = std::fs::Permissions::from_mode(before);
                std::fs::set_permissions(path, permissions).expect("set");
            }
            prepare(&file).expect("prepared");
            assert_eq!([mode(&file), mode(&log)], [after, after], "{before:o}");
        }
        assert_eq!(std::fs::read(&log).expect("read"), b"rows");
    }

    #[test]
    fn files_beside_it_become_writable_only_if_the_database_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("a.db");
        prepare(&file).expect("made");
        let index = beside(&file, "-shm");
        std::fs::write(&index, "index").expect("written");
        for (of_database, after) in [(0o400, 0o400), (0o600, 0o600)] {
            for (path, mode) in [(&file, of_database), (&index, 0o400)] {
                let permissions = std::fs::Permissions::from_mode(mode);
                std::fs::set_permissions(path, permissions).expect("set");
            }
            // Fails where this user may not open the database.
            let _ = prepare(&file);
            assert_eq!(mode(&index), after, "{of_database:o}");
        }
    }

    #[test]
    fn a_link_leads_to_the_file_that_is_made_private() {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, link) = (directory.path().join("a.db"), directory.path().join("link.db"));
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        prepare(&link).expect("made");
        assert_eq!(mode(&file), 0o600);
    }
}
