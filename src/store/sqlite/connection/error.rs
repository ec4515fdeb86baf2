//! SQLite's result codes that mean an outage.

use crate::store::StoreError;
use sqlx::error::DatabaseError as _;
use sqlx::sqlite::SqliteError;
use std::path::Path;

/// SQLite's primary result codes that mean "not now": busy, locked, no memory, read-only, I/O error,
/// damaged, full, cannot open, no database.
const AWAY: [i32; 9] = [5, 6, 7, 8, 10, 11, 13, 14, 26];

/// The message for a table that is missing, which has no result code of its own.
const NO_TABLE: &str = "no such table";

/// Whether a statement may succeed later: the file or its disk is at fault and not the statement.
///
/// The migrations make every table that a statement names. Where SQLite misses one, it reads the schema of a
/// damaged file.
pub(in crate::store) fn is_away(error: &SqliteError) -> bool {
    let code = error.code().and_then(|code| code.parse::<i32>().ok());
    code.is_some_and(|extended| AWAY.contains(&(extended & 0xff)))
        || error.message().starts_with(NO_TABLE)
}

/// Adds the file, the setting that names it, and what to do.
pub(in crate::store) fn of_file(error: StoreError, file: &Path) -> StoreError {
    let context = |cause: &anyhow::Error| {
        let advice = primary_code(cause).and_then(advice).unwrap_or_default();
        format!("SQLite in {} (DATABASE_URL){advice}", file.display())
    };
    match error {
        StoreError::Unavailable(cause) => {
            let context = context(&cause);
            StoreError::Unavailable(cause.context(context))
        }
        StoreError::Refused(cause) => {
            let context = context(&cause);
            StoreError::Refused(cause.context(context))
        }
        other => other,
    }
}

/// SQLite's primary result code, of an error that it caused.
fn primary_code(error: &anyhow::Error) -> Option<i32> {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<sqlx::Error>());
    let code = causes.find_map(|cause| cause.as_database_error()?.code());
    code?.parse::<i32>().ok().map(|extended| extended & 0xff)
}

/// What a result code means for an operator, and what to do.
fn advice(code: i32) -> Option<&'static str> {
    Some(match code {
        5 | 6 => ": another process locks it; end that process, then start again",
        8 | 14 => ": use a file and a folder to which this user may write",
        10 => ": the disk fails, or is full; free space or repair it, then start again",
        11 => " is damaged; keep it, and restore a backup",
        13 => ": the disk is full; free space, then start again",
        26 => {
            " is not a SQLite database, or its header is damaged; name another file, or restore a backup"
        }
        _ => return None,
    })
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
            // As SQLite reads some damaged files.
            ("DROP TABLE t", true),
        ] {
            let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
            let table = "CREATE TABLE t (n CHECK (n > 0))";
            sqlx::raw_sql(table).execute(&mut connection).await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(before)).execute(&mut connection).await.unwrap();
            let grow = "INSERT INTO t VALUES (randomblob(99999)), (-1)";
            let refused = sqlx::raw_sql(grow).execute(&mut connection).await.unwrap_err();
            let error = StoreError::from(refused);
            assert_eq!(matches!(error, StoreError::Unavailable(_)), is_away, "{before}: {error:?}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [b'x'; 4_096]).unwrap();
        let url = format!("sqlite:{}", file.path().display());
        let look = async {
            let mut connection = SqliteConnection::connect(&url).await?;
            sqlx::raw_sql("SELECT * FROM sqlite_master").execute(&mut connection).await
        };
        let error = StoreError::from(look.await.unwrap_err());
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
}
