//! Databases of other programs: refused before a byte of them changes.

use crate::store::StoreError;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use std::path::Path;
use std::time::Duration;

/// Whether there are tables, and none of them is the record of this program's migrations.
const IS_FOREIGN: &str = "
SELECT count(*) > 0 AND sum(name = '_sqlx_migrations') = 0
  FROM sqlite_master WHERE type = 'table'";

/// Fails if the file is another program's database. Reads it only. A file that cannot be read so is left to the
/// writer, which knows the reason.
pub(in crate::store) async fn refuse(file: &Path) -> Result<(), StoreError> {
    // Does not wait for a lock: the writer does.
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let options = options.busy_timeout(Duration::ZERO).disable_statement_logging();
    let Ok(mut connection) = options.connect().await else { return Ok(()) };
    let is_foreign: Result<Option<bool>, _> =
        sqlx::query_scalar(IS_FOREIGN).fetch_one(&mut connection).await;
    // A connection that only read has nothing to lose.
    let _ = connection.close().await;
    if matches!(is_foreign, Ok(Some(true))) {
        return Err(StoreError::Refused(anyhow::anyhow!(
            "it is a database of another program; name another file"
        )));
    }
    Ok(())
}
