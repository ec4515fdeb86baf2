//! From the driver's errors to the store's.

use crate::store::StoreError;

/// Classes of SQLSTATE for "not now": connection, resources, operator (and `statement_timeout`),
/// system, a login that is refused, as while a password is changed; then a lock that is not to be had
/// in `lock_timeout`, a session that is in an aborted transaction or rested too long in one, a database
/// that is not there, and read-only, which is what a server answers that is no longer the primary.
const AWAY: [&str; 10] =
    ["08", "53", "57", "58", "28", "55P03", "25P02", "25P03", "3D000", "25006"];

/// Classes of SQLSTATE after which other connections of the pool may be no better: connection, a server
/// that is shut down, and a transaction that was left open.
const DOUBTFUL: [&str; 4] = ["08", "57P", "25P02", "25P03"];

/// Serialization failure and deadlock: nothing was written, and a repeat may well succeed.
const AGAIN: [&str; 2] = ["40001", "40P01"];

/// Says whether to ask again, or that the statement itself is at fault.
pub(crate) fn store_error(error: sqlx::Error) -> StoreError {
    let away = match &error {
        sqlx::Error::Database(cause) => {
            let code = cause.code().unwrap_or_default();
            AWAY.iter().any(|class| code.starts_with(class)) || AGAIN.contains(&&*code)
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    };
    if away { StoreError::Unavailable(error.into()) } else { StoreError::Refused(error.into()) }
}

/// Whether the connection was lost, or was in a state in which the pool gives out none.
pub(super) fn casts_doubt(error: &StoreError) -> bool {
    let StoreError::Unavailable(cause) = error else { return false };
    match cause.downcast_ref() {
        Some(sqlx::Error::Database(cause)) => {
            let code = cause.code().unwrap_or_default();
            DOUBTFUL.iter().any(|class| code.starts_with(class))
        }
        Some(sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_)) => true,
        _ => false,
    }
}

/// Whether a repeat of the same statement may succeed, nothing having been written.
pub(super) fn is_worth_repeating(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| AGAIN.contains(&&*code))
}

/// Whether another session kept a row or a table for longer than `lock_timeout`.
pub(super) fn is_locked(error: &sqlx::Error) -> bool {
    has_code(error, "55P03")
}

/// Whether the statement was broken off: `statement_timeout`, or an operator.
pub(super) fn is_timed_out(error: &sqlx::Error) -> bool {
    has_code(error, "57014")
}

fn has_code(error: &sqlx::Error, wanted: &str) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == wanted)
}

/// Whether another commit took a key first.
pub(super) fn is_taken_key(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}
