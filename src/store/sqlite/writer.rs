//! The one connection that writes.

use super::BUSY_TIMEOUT;
use super::error::store_error;
use crate::store::StoreError;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection, Transaction};
use std::sync::Arc;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

/// The right to write; whoever drops it gives it to the next who waits, at once. (A pool would ask
/// the connection first whether it is well: two more ways to its thread and back for each batch.)
pub(crate) type Writing<'a> = MappedMutexGuard<'a, SqliteConnection>;

/// The one connection that writes, taken in turns, in the order of asking. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Writer(Arc<Mutex<Option<SqliteConnection>>>);

impl Writer {
    pub(super) async fn open(options: &SqliteConnectOptions) -> Result<Self, StoreError> {
        let connection = options.connect().await.map_err(store_error)?;
        Ok(Self(Arc::new(Mutex::new(Some(connection)))))
    }

    /// Waits for one's turn, as long as for another process' write lock.
    pub(crate) async fn take(&self) -> Result<Writing<'_>, StoreError> {
        let turn = tokio::time::timeout(BUSY_TIMEOUT, self.0.lock()).await;
        let turn = turn.map_err(|_| away("others write for too long"))?;
        MutexGuard::try_map(turn, Option::as_mut).map_err(|_| away("the store is closed"))
    }

    /// Whether somebody writes.
    pub(super) fn is_taken(&self) -> bool {
        self.0.try_lock().is_err()
    }

    pub(super) async fn close(&self) {
        if let Some(connection) = self.0.lock().await.take() {
            // The log is folded into the file now, or when it is next opened.
            let _ = connection.close().await;
        }
    }
}

/// An open write transaction; rolls back when dropped.
pub(crate) type Tx<'a> = Transaction<'a, Sqlite>;

/// Begins a transaction that holds the file's write lock from the start.
pub(crate) async fn begin(connection: &mut SqliteConnection) -> Result<Tx<'_>, StoreError> {
    connection.begin_with("BEGIN IMMEDIATE").await.map_err(store_error)
}

fn away(why: &'static str) -> StoreError {
    StoreError::Unavailable(anyhow::anyhow!(why))
}
