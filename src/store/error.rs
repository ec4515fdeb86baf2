//! What can go wrong in a store, in words of no driver.

use super::{postgres, sqlite};
use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;
use std::sync::Arc;

/// Why a call to the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store does not answer, or the connection was lost: the call may have taken effect.
    #[error("the store is unavailable")]
    Unavailable(#[source] anyhow::Error),
    /// Another session holds a row that the call needs. Nothing was written; a repeat may succeed.
    /// Calls on other rows are not affected.
    #[error("another session keeps a row for too long")]
    Locked(#[source] anyhow::Error),
    /// The call was cancelled because it took too long, and nothing was written: the store is slow, or
    /// one of many commands slows the batch.
    #[error("the store took too long")]
    TimedOut(#[source] anyhow::Error),
    /// A stored value cannot be read.
    #[error("{table}.{column} of row {row} is corrupt")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        row: String,
    },
    /// The statement failed and nothing was written: a rule of the schema, or a bug.
    #[error("the store refused")]
    Refused(#[source] anyhow::Error),
}

impl StoreError {
    /// A copy of the error of a load, for one of the callers that shared it: of the same kind and cause.
    pub fn shared(error: Arc<Self>) -> Self {
        match &*error {
            Self::Unavailable(_) => Self::Unavailable(error.into()),
            Self::Locked(_) => Self::Locked(error.into()),
            Self::TimedOut(_) => Self::TimedOut(error.into()),
            Self::Corrupt { table, column, row } => {
                Self::Corrupt { table, column, row: row.clone() }
            }
            Self::Refused(_) => Self::Refused(error.into()),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    /// [`Self::Unavailable`] where the server or the file is at fault, [`Self::Refused`] where the
    /// statement is.
    fn from(error: sqlx::Error) -> Self {
        if is_away(&error) { Self::Unavailable(error.into()) } else { Self::Refused(error.into()) }
    }
}

fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(cause) => {
            cause.try_downcast_ref::<PgDatabaseError>().is_some_and(postgres::is_away)
                || cause.try_downcast_ref::<SqliteError>().is_some_and(sqlite::is_away)
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}
