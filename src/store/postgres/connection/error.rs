//! PostgreSQL's error codes: which mean an outage, a repeat, a lock or a taken key.

use crate::store::StoreError;
use sqlx::postgres::PgDatabaseError;

/// Classes of SQLSTATE that mean "not now": connection, resources, operator (with `statement_timeout`),
/// system, and a refused login (a password is being changed); then a lock that `lock_timeout` gave up
/// on, a session in an aborted transaction or idle too long in one, a missing database, and read-only,
/// which a server answers that is no longer the primary.
const AWAY: [&str; 10] =
    ["08", "53", "57", "58", "28", "55P03", "25P02", "25P03", "3D000", "25006"];

/// Classes of SQLSTATE after which the pool's other connections may be broken too: connection, a server
/// that shuts down, and a transaction that was left open.
const DOUBTFUL: [&str; 4] = ["08", "57P", "25P02", "25P03"];

/// Serialization failure and deadlock: nothing was written, and a repeat may succeed.
const AGAIN: [&str; 2] = ["40001", "40P01"];

/// Whether a statement may succeed later: the server is at fault and not the statement.
pub(in crate::store) fn is_away(error: &PgDatabaseError) -> bool {
    let code = error.code();
    AWAY.iter().any(|class| code.starts_with(class)) || AGAIN.contains(&code)
}

/// Whether the connection was lost, or was in a state in which the pool must not lend it.
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

/// Whether nothing was written and a repeat of the same statement may succeed.
pub(in crate::store) fn is_worth_repeating(error: &sqlx::Error) -> bool {
    AGAIN.iter().any(|code| has_code(error, code))
}

/// Whether another session held a row or table for longer than `lock_timeout`.
pub(in crate::store) fn is_locked(error: &sqlx::Error) -> bool {
    has_code(error, "55P03")
}

/// Whether the statement was cancelled: by `statement_timeout` or an operator.
pub(in crate::store) fn is_timed_out(error: &sqlx::Error) -> bool {
    has_code(error, "57014")
}

fn has_code(error: &sqlx::Error, wanted: &str) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == wanted)
}

/// Whether another commit took a key first.
pub(in crate::store) fn is_taken_key(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}
