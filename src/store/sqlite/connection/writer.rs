//! The one connection that writes.

use crate::store::StoreError;
use crate::store::sqlite::BUSY_TIMEOUT;
use crate::store::sqlite::batch::writes::Writes;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Sqlite, SqliteConnection, Transaction};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};
use tracing::warn;

/// Minimum interval between two probes of the writer.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Time limit of a probe. Less than a health check's.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// How long other writers, e.g. an import, may delay the probe before the store counts as down.
const OTHERS_WRITE_MAX: Duration = Duration::from_secs(30);

/// The right to write. Dropping it passes it to the next waiter at once. (A pool would first check the
/// connection: two more round trips to its thread per batch.)
pub(crate) type Writing<'a> = MappedMutexGuard<'a, SqliteConnection>;

/// The one connection that writes, granted in the order of requests. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Writer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    connection: Mutex<Option<SqliteConnection>>,
    options: SqliteConnectOptions,
    /// A write failed, and none has succeeded since.
    is_suspect: AtomicBool,
    /// When the writer last proved that it writes.
    proved_at: parking_lot::Mutex<Instant>,
}

impl Writer {
    pub(in crate::store) async fn open(options: SqliteConnectOptions) -> Result<Self, StoreError> {
        let connection = options.connect().await?;
        Ok(Self(Arc::new(Shared {
            connection: Mutex::new(Some(connection)),
            options,
            is_suspect: AtomicBool::new(false),
            proved_at: parking_lot::Mutex::new(Instant::now()),
        })))
    }

    /// Waits for the writer, as long as for another process' write lock. Reopens a connection whose thread
    /// has ended, or on which every new transaction would fail.
    pub(crate) async fn take(&self) -> Result<Writing<'_>, StoreError> {
        let turn = tokio::time::timeout(BUSY_TIMEOUT, self.0.connection.lock()).await;
        let turn = turn.map_err(|_| away("other writers hold the writer for too long"))?;
        let mut writing =
            MutexGuard::try_map(turn, Option::as_mut).map_err(|_| away("the store is closed"))?;
        let is_suspect = self.0.is_suspect.load(Ordering::Relaxed) || writing.is_in_transaction();
        if is_suspect && !is_sound(&mut writing).await {
            let mut reopened = self.0.options.connect().await?;
            Writes::prepare(&mut reopened).await?;
            *writing = reopened;
            warn!("the connection that writes was lost and is open again");
        }
        Ok(writing)
    }

    /// Records the outcome of a write.
    pub(in crate::store) fn note<T>(&self, written: &Result<T, StoreError>) {
        match written {
            Err(StoreError::Unavailable(_)) => self.0.is_suspect.store(true, Ordering::Relaxed),
            Ok(_) if self.0.is_suspect.load(Ordering::Relaxed) => self.prove(),
            _ => {}
        }
    }

    /// Succeeds if the file can be written. Asks the writer at most once a second. Other writers that hold it
    /// count as an answer, up to [`OTHERS_WRITE_MAX`]. After a failed write the probe rewrites a page without
    /// a change, since only a write notices a full disk.
    pub(in crate::store) async fn probe(&self) -> Result<(), StoreError> {
        let is_suspect = self.0.is_suspect.load(Ordering::Relaxed);
        let proved_before = self.0.proved_at.lock().elapsed();
        if !is_suspect && proved_before < PROBE_EVERY {
            return Ok(());
        }
        let probing = async {
            let mut writing = self.take().await?;
            let mut tx = begin(&mut writing).await?;
            if is_suspect {
                let version: i32 =
                    sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *tx).await?;
                let again = AssertSqlSafe(format!("PRAGMA user_version = {version}"));
                sqlx::raw_sql(again).execute(&mut *tx).await?;
                return Ok(tx.commit().await?);
            }
            Ok(tx.rollback().await?)
        };
        match tokio::time::timeout(PROBE_TIMEOUT, probing).await {
            Ok(Ok(())) => {
                self.prove();
                Ok(())
            }
            Ok(Err(error)) => {
                self.0.is_suspect.store(true, Ordering::Relaxed);
                Err(error)
            }
            Err(_) if !is_suspect && proved_before < OTHERS_WRITE_MAX => Ok(()),
            Err(_) => Err(away("the writer stays taken")),
        }
    }

    fn prove(&self) {
        self.0.is_suspect.store(false, Ordering::Relaxed);
        *self.0.proved_at.lock() = Instant::now();
    }

    /// Whether the writer is taken.
    pub(in crate::store) fn is_taken(&self) -> bool {
        self.0.connection.try_lock().is_err()
    }

    pub(in crate::store) async fn close(&self) {
        if let Some(connection) = self.0.connection.lock().await.take() {
            // If this fails, the next open folds the log into the file.
            let _ = connection.close().await;
        }
    }
}

/// Whether the connection answers, and its transactions have ended.
///
/// SQLite rolls a transaction back by itself when the disk is full or fails. The driver's own rollback fails then,
/// and it takes the connection to be in that transaction for good. A rollback that is on its way has ended by the
/// answer.
async fn is_sound(connection: &mut SqliteConnection) -> bool {
    connection.ping().await.is_ok() && !connection.is_in_transaction()
}

/// An open write transaction. A drop rolls it back.
pub(crate) type Tx<'a> = Transaction<'a, Sqlite>;

/// Begins a transaction that holds the file's write lock from the start.
pub(crate) async fn begin(connection: &mut SqliteConnection) -> Result<Tx<'_>, StoreError> {
    connection.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from)
}

fn away(why: &'static str) -> StoreError {
    StoreError::Unavailable(anyhow::anyhow!(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn only_reads(writer: &Writer, only_reads: bool) {
        let setting = AssertSqlSafe(format!("PRAGMA query_only = {only_reads}"));
        sqlx::raw_sql(setting).execute(&mut *writer.take().await.unwrap()).await.unwrap();
    }

    #[tokio::test]
    async fn a_transaction_that_sqlite_has_rolled_back_by_itself_fails_no_later_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let options = SqliteConnectOptions::new().filename(file.path());
        let writer = Writer::open(options).await.unwrap();
        for _ in 0..3 {
            let mut writing = writer.take().await.unwrap();
            let mut tx = begin(&mut writing).await.unwrap();
            // As SQLite does on a full disk.
            sqlx::raw_sql("ROLLBACK").execute(&mut *tx).await.unwrap();
        }
        let mut writing = writer.take().await.unwrap();
        begin(&mut writing).await.unwrap().commit().await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_refused_a_write_is_not_well_until_one_succeeds() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let options = SqliteConnectOptions::new().filename(file.path());
        let writer = Writer::open(options).await.unwrap();
        writer.probe().await.unwrap();
        only_reads(&writer, true).await;
        let failed: Result<(), _> = Err(away("a disk that is read-only"));
        writer.note(&failed);
        writer.probe().await.unwrap_err();
        writer.probe().await.unwrap_err();
        only_reads(&writer, false).await;
        writer.probe().await.unwrap();
        assert!(!writer.0.is_suspect.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn others_that_write_for_a_moment_are_no_outage() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let options = SqliteConnectOptions::new().filename(file.path());
        let writer = Writer::open(options).await.unwrap();
        *writer.0.proved_at.lock() -= PROBE_EVERY;
        let writing = writer.take().await.unwrap();
        writer.probe().await.unwrap();
        *writer.0.proved_at.lock() -= OTHERS_WRITE_MAX;
        writer.probe().await.unwrap_err();
        drop(writing);
        writer.probe().await.unwrap();
    }
}
