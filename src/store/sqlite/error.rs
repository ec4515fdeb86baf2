//! From the driver's errors to the store's.

use crate::store::StoreError;

/// SQLite's primary result codes for "not now": busy, locked, I/O error, full, cannot open.
const AWAY: [i32; 5] = [5, 6, 10, 13, 14];

/// Says whether to ask again, or that the statement itself is at fault.
pub(crate) fn store_error(error: sqlx::Error) -> StoreError {
    let away = match &error {
        sqlx::Error::Database(cause) => cause
            .code()
            .and_then(|code| code.parse::<i32>().ok())
            .is_some_and(|extended| AWAY.contains(&(extended & 0xff))),
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    };
    if away { StoreError::Unavailable(error.into()) } else { StoreError::Refused(error.into()) }
}
