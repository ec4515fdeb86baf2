//! A file or a folder that this user may not write to, and a lock of another process, at a start or a command.

use super::full_disk::Mounted;
use super::{COMMANDS, Database, FILE, assert_one_line, get, post, upcoming};
use crate::support::booking;
use crate::support::process::Server;
use futures::future::join_all;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a start waits for another process' lock.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Longest wait that a busy machine makes of it.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(60);

/// Commands that write, and those that only read.
fn writing() -> &'static [&'static [&'static str]] {
    &COMMANDS[..4]
}

fn reading() -> &'static [&'static [&'static str]] {
    &COMMANDS[4..]
}

/// The files of a folder that hold data, and their bytes. SQLite's index holds none.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let named = entries.map(|entry| {
        let bytes = fs::read(entry.path()).expect("a file");
        (entry.file_name().into_string().expect("UTF-8"), bytes)
    });
    named.filter(|(name, bytes)| !name.ends_with("-shm") && !bytes.is_empty()).collect()
}

impl Database {
    fn set(&self, file: u32, folder: u32) {
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
        };
        mode(self.directory.path(), 0o700);
        mode(&self.file(), file);
        mode(self.directory.path(), folder);
    }

    /// Every command that writes is refused; each that reads succeeds, or is refused too.
    async fn assert_read_only(&self, what: &str, reads_succeed: bool) {
        let before = files(self.directory.path());
        for command in writing() {
            let (code, told) = self.run(command).await;
            assert_eq!(code, Some(1), "{what}: {command:?}: {told}");
            assert_one_line(&told, "may write");
        }
        for command in reading() {
            let (code, told) = self.run(command).await;
            if reads_succeed {
                assert_eq!((code, told.as_str()), (Some(0), ""), "{what}: {command:?}");
            } else {
                assert_eq!(code, Some(1), "{what}: {command:?}: {told}");
                assert_one_line(&told, "may write");
            }
        }
        assert_eq!(before, files(self.directory.path()), "{what}: a file has changed");
    }

    /// It can be read, and written.
    async fn assert_works(&self) {
        let server = Server::start(self.directory.path(), &[("PAYMENT_LATENCY", "0s")]).await;
        let shown = get(&server, &format!("/bookings/{}", self.booking["booking_id"])).await.1;
        assert_eq!(shown["payment_reference_id"], self.booking["payment_reference_id"], "{shown}");
        let (status, created) = post(&server, "/flights", &upcoming()).await;
        assert_eq!(status, 201, "{created}");
        let flight = created["id"].as_i64().expect("an id");
        let (status, booked) = post(&server, "/bookings", &booking(flight, 1)).await;
        assert_eq!(status, 201, "{booked}");
        assert!(server.terminate().await);
    }

    /// A connection of another process that keeps everybody else out.
    async fn locked_by_another(&self) -> SqliteConnection {
        let exclusive = SqliteConnectOptions::new().pragma("locking_mode", "EXCLUSIVE");
        let mut other = self.connect(exclusive).await;
        sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut other).await.expect("locked");
        other
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_file_is_read_but_not_written_and_works_once_it_is_writable() {
    let database = Database::create().await;
    database.set(0o400, 0o700);
    database.assert_read_only("a read-only file", true).await;
    database.set(0o600, 0o700);
    database.assert_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_a_read_only_folder_is_refused_and_works_once_the_folder_is_writable() {
    let database = Database::create().await;
    for file in [0o600, 0o400] {
        database.set(file, 0o500);
        database.assert_read_only("a read-only folder", false).await;
        database.set(0o600, 0o700);
        database.assert_works().await;
    }
    // Nor can the lock file be created.
    fs::remove_file(database.directory.path().join(format!("{FILE}.lock"))).expect("removed");
    database.set(0o600, 0o500);
    database.assert_read_only("a read-only folder without a lock file", false).await;
    database.set(0o600, 0o700);
    database.assert_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_on_a_read_only_disk_is_refused_and_kept_as_it_is() {
    let database = Database::create().await;
    let folder = database.directory.path();
    let csv = fs::read(folder.join("flights.csv")).expect("a file");
    let Some(disk) = Mounted::over(folder).await else { return };
    fs::write(database.file(), &database.sound).expect("written");
    fs::write(folder.join("flights.csv"), csv).expect("written");
    disk.protect().await;
    database.assert_read_only("a read-only disk", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_another_process_locks_is_refused_after_five_seconds_and_kept_as_it_is() {
    let database = Database::create().await;
    let other = database.locked_by_another().await;
    let waits = COMMANDS.iter().map(async |command| {
        let began = Instant::now();
        let (code, told) = database.run(command).await;
        let took = began.elapsed();
        assert_eq!(code, Some(1), "{command:?}: {told}");
        assert_one_line(&told, "another process locks it");
        assert!((LOCK_WAIT..LOCK_WAIT_MAX).contains(&took), "{command:?} took {took:?}");
        eprintln!("{command:?} was refused after {took:?}");
    });
    join_all(waits).await;
    other.close().await.expect("closed");
    assert!(fs::read(database.file()).expect("a file") == database.sound, "the file has changed");
    database.assert_works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_get_the_write_lock_names_the_file_and_reading_goes_on() {
    let database = Database::create().await;
    let mut other = database.connect(SqliteConnectOptions::new()).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.expect("locked");
    let erase = COMMANDS[3];
    let writes =
        [COMMANDS[1], &["import", "--update", "flights.csv"], erase].map(async |command| {
            let (code, told) = database.run(command).await;
            assert_eq!(code, Some(1), "{command:?}: {told}");
            assert_one_line(&told, "another process locks it");
        });
    join_all(writes).await;
    for command in reading() {
        let (code, told) = database.run(command).await;
        assert_eq!((code, told.as_str()), (Some(0), ""), "{command:?}");
    }
    other.close().await.expect("closed");
    assert!(fs::read(database.file()).expect("a file") == database.sound, "the file has changed");
    database.assert_works().await;
}
