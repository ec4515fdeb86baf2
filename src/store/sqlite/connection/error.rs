//! SQLite's result codes that mean an outage.

use crate::store::StoreError;
use sqlx::error::DatabaseError as _;
use sqlx::sqlite::SqliteError;
use std::path::Path;

/// SQLite's primary result codes that mean "not now": busy, locked, no memory, read-only, I/O error,
/// damaged, full, cannot open, no database.
const AWAY: [i32; 9] = [5, 6, 7, 8, 10, 11, 13, 14, 26];

/// Whether a statement may succeed later: the file or its disk is at fault and not the statement.
pub(in crate::store) fn is_away(error: &SqliteError) -> bool {
    let code = error.code().and_then(|code| code.parse::<i32>().ok());
    code.is_some_and(|extended| AWAY.contains(&(extended & 0xff)))
}

/// Adds the file and the setting that names it.
pub(in crate::store) fn of_file(error: StoreError, file: &Path) -> StoreError {
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
