//! Changes a column's type, which rewrites its table: only at an operator's request.

use crate::config::PostgresSettings;
use crate::store::StoreError;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::connection::advisory_locks::{
    AdvisoryLock, for_whole_tables, is_served, take_lock,
};
use crate::store::postgres::connection::connect;
use crate::store::postgres::connection::error::is_locked;
use sqlx::{Connection, PgConnection};

/// The width of `flights.version`, in bytes.
const WIDTH: &str = "
SELECT t.typlen::int FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
 WHERE a.attrelid = to_regclass('flights') AND a.attname = 'version'";

/// Requests wait behind a rewrite that waits for its lock, so it gives up soon.
const WAIT: &str = "SET LOCAL lock_timeout = '3s'";

/// Maximum version that the column can hold.
pub(in crate::store) async fn version_limit(
    connection: &mut PgConnection,
) -> Result<i64, StoreError> {
    let is_wide = is_wide(connection).await?;
    Ok(if is_wide { i64::MAX } else { i32::MAX.into() })
}

async fn is_wide(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let width: i32 = sqlx::query_scalar(WIDTH).fetch_one(connection).await?;
    Ok(width == 8)
}

impl PostgresStore {
    /// Fails if a service runs on the database.
    pub async fn refuse_in_use(settings: &PostgresSettings) -> Result<(), StoreError> {
        let mut connection = connect::connect(&connect::options(settings)?).await?;
        refuse_served(&mut connection).await?;
        let _ = connection.close().await;
        Ok(())
    }

    /// Makes `flights.version` a BIGINT, which rewrites the table under an exclusive lock. Returns `false`
    /// if it is one already. Fails while a service runs or another session locks the table.
    pub async fn widen_versions(settings: &PostgresSettings) -> Result<bool, StoreError> {
        let mut connection = connect::connect(&connect::options(settings)?).await?;
        let mut tx = connection.begin().await?;
        for_whole_tables(&mut tx).await?;
        lock_out_starts(&mut tx).await.map_err(refused)?;
        refuse_served(&mut tx).await?;
        if is_wide(&mut tx).await? {
            return Ok(false);
        }
        let widen = "ALTER TABLE flights ALTER COLUMN version TYPE BIGINT";
        sqlx::raw_sql(widen).execute(&mut *tx).await.map_err(refused)?;
        tx.commit().await?;
        let _ = connection.close().await;
        Ok(true)
    }
}

/// Makes a service that starts meanwhile wait for the end of the transaction.
async fn lock_out_starts(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(WAIT).execute(&mut *connection).await?;
    take_lock(connection, AdvisoryLock::Migrate).await
}

async fn refuse_served(connection: &mut PgConnection) -> Result<(), StoreError> {
    if !is_served(connection).await? {
        return Ok(());
    }
    Err(StoreError::Refused(anyhow::anyhow!(
        "a service runs on this database, and a rewrite locks its table `flights`: stop the service \
         first"
    )))
}

fn refused(error: sqlx::Error) -> StoreError {
    if !is_locked(&error) {
        return error.into();
    }
    StoreError::Refused(anyhow::anyhow!(
        "another session locks the table `flights`, and nothing was rewritten: end it \
         (pg_stat_activity shows it), or try again later"
    ))
}
