//! From the driver's errors to the store's.

use crate::store::StoreError;
use std::path::Path;

/// SQLite's primary result codes for "not now": busy, locked, no memory, read-only, I/O error, damaged,
/// full, cannot open, no database. Of these the file or its disk is at fault, and no statement.
const AWAY: [i32; 9] = [5, 6, 7, 8, 10, 11, 13, 14, 26];

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

/// The error with the file in which it came up, and the setting that names another.
pub(super) fn of_file(error: StoreError, file: &Path) -> StoreError {
    let context = || format!("SQLite in {} (DATABASE_URL)", file.display());
    match error {
        StoreError::Unavailable(cause) => StoreError::Unavailable(cause.context(context())),
        StoreError::Refused(cause) => StoreError::Refused(cause.context(context())),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

    #[tokio::test]
    async fn what_the_disk_or_the_file_refuses_is_an_outage_and_what_a_rule_refuses_is_not() {
        for (before, is_away) in [
            ("PRAGMA query_only = 1", true),
            ("PRAGMA max_page_count = 1", true),
            ("PRAGMA query_only = 0", false),
        ] {
            let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
            let table = "CREATE TABLE t (n CHECK (n > 0))";
            sqlx::raw_sql(table).execute(&mut connection).await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(before)).execute(&mut connection).await.unwrap();
            let grow = "INSERT INTO t VALUES (randomblob(99999)), (-1)";
            let refused = sqlx::raw_sql(grow).execute(&mut connection).await.unwrap_err();
            let error = store_error(refused);
            assert_eq!(matches!(error, StoreError::Unavailable(_)), is_away, "{before}: {error:?}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [b'x'; 4_096]).unwrap();
        let url = format!("sqlite:{}", file.path().display());
        let look = async {
            let mut connection = SqliteConnection::connect(&url).await?;
            sqlx::raw_sql("SELECT * FROM sqlite_master").execute(&mut connection).await
        };
        let error = store_error(look.await.unwrap_err());
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
}
