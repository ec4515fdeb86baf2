//! The embedded store: one SQLite file, durable and alone.
//!
//! One connection writes, a few read. Write-ahead log with `synchronous = FULL`: a commit that was
//! answered survives a power cut; the engine's batches make that cheap.

mod bookings;
mod catalogue;
mod claim;
mod columns;
mod commit;
mod commits;
mod error;
mod leases;
mod load;
mod maintenance;
mod operations;
mod outbox;
mod personal;
mod private;
mod request_keys;
mod route_keys;
mod unit;
mod writer;
mod writes;

use super::StoreError;
use super::schema::{Step, migrator, schema_of_service, steps};
use super::sql::HIGHEST_BOOKING;
use super::unreadable::Unreadable;
use crate::domain::Currency;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection, SqlitePool};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI64;
use std::time::Duration;

pub use claim::{ClaimError, ServiceClaim};
pub(crate) use commit::json;
pub(in crate::store) use error::is_away;
pub(crate) use writer::{Writer, begin};

/// The schema's steps.
const STEPS: &[Step] = steps! { "sqlite":
    "0001_initial",
    "0003_payment_traces",
    "0005_outbox_lanes",
    "0006_outbox_by_lane",
    "0007_bookings_by_flight",
    "0009_request_keys",
    "0010_money",
    "0011_route_keys",
    "0013_bookings_by_holder",
    "0014_erasures",
};

fn migrations() -> Migrator {
    migrator(STEPS)
}

/// Pages in the write-ahead log that start a checkpoint: 32 MiB. At SQLite's own 1,000 every batch
/// would pay for one.
const CHECKPOINT_PAGES: &str = "8192";

/// The writer's page cache at most, as SQLite writes 16 MiB; the readers have its default of 2.
const WRITER_CACHE_KIB: &str = "-16384";

/// Connections that read.
const READERS: u32 = 4;

/// How long a statement waits for another process' write lock, or for a free connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One SQLite file.
pub struct SqliteStore {
    writer: Writer,
    reader: SqlitePool,
    last_booking_id: AtomicI64,
    sent: outbox::Sent,
    file: PathBuf,
    unreadable: Unreadable,
}

impl SqliteStore {
    /// Opens the file beside a service that may run on it: its schema is brought up to date only if
    /// none does.
    pub async fn open_beside(file: &Path, currency: Currency) -> Result<Self, StoreError> {
        if file.exists() && claim::is_claimed(file) {
            let options = SqliteConnectOptions::new().filename(file);
            let connected = options.connect().await.map_err(StoreError::from);
            let mut connection = connected.map_err(|error| error::of_file(error, file))?;
            schema_of_service(&applied(&mut connection).await?, &migrations())?;
            let _ = connection.close().await;
        }
        Self::open(file, currency).await
    }

    /// Opens the file, made for its owner alone if it is missing, and brings its schema up to date.
    /// Refuses a file whose amounts have other decimals than `currency`.
    pub async fn open(file: &Path, currency: Currency) -> Result<Self, StoreError> {
        // Where that fails, SQLite says why it cannot have the file.
        let _ = private::prepare(file);
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            // What a statement over a set sorts or may have to take back: a batch's, not a file's.
            .pragma("temp_store", "memory")
            .disable_statement_logging();
        // Deleted values are overwritten where their page is written anyway: passengers would else stay in
        // the free space of pages.
        let writer = options.clone().pragma("secure_delete", "FAST");
        let writer = Writer::open(writer.pragma("cache_size", WRITER_CACHE_KIB)).await;
        let writer = writer.map_err(|error| error::of_file(error, file))?;
        let migrated = migrations().run(&mut *writer.take().await?).await;
        migrated.map_err(|error| StoreError::Refused(error.into()))?;
        unit::settle(&mut *writer.take().await?, currency).await?;
        route_keys::renew(&mut *writer.take().await?).await?;
        writes::Writes::prepare(&mut *writer.take().await?).await?;
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(BUSY_TIMEOUT)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options);
        let last = highest_booking(&reader).await?;
        Ok(Self {
            writer,
            reader,
            last_booking_id: AtomicI64::new(last),
            sent: outbox::Sent::default(),
            file: file.to_owned(),
            unreadable: Unreadable::default(),
        })
    }

    /// Claims a database for one serving process: booking numbers are counted in memory. By the file,
    /// whatever links its path follows, with a lock beside it. A file of several names (hard links) is
    /// refused: SQLite keeps the log beside the name, so two names are two logs.
    pub fn claim(file: &Path) -> Result<ServiceClaim, ClaimError> {
        claim::claim(file)
    }

    /// What no other file is called: a number that was drawn once and is kept in the file's own
    /// header, so a copy of the file has it too. Keeps apart what databases share elsewhere.
    pub async fn identity(&self) -> Result<String, StoreError> {
        let mut writing = self.writer.take().await?;
        let kept = "PRAGMA user_version";
        let number: i32 = sqlx::query_scalar(kept).fetch_one(&mut *writing).await?;
        if number != 0 {
            return Ok(number.to_string());
        }
        // Never zero, which is what a new file says, and never negative.
        let drawn = "SELECT (random() & 0x7ffffffe) + 1";
        let drawn: i32 = sqlx::query_scalar(drawn).fetch_one(&mut *writing).await?;
        let keep = AssertSqlSafe(format!("PRAGMA user_version = {drawn}"));
        sqlx::raw_sql(keep).execute(&mut *writing).await?;
        Ok(drawn.to_string())
    }

    /// The writer, for adapters that keep their rows in the same file.
    pub(crate) fn writer(&self) -> Writer {
        self.writer.clone()
    }

    /// Closes all connections; the log is folded into the file.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// The highest number of a booking; 0 without any.
async fn highest_booking(reader: &SqlitePool) -> Result<i64, StoreError> {
    let highest: Option<i64> = sqlx::query_scalar(HIGHEST_BOOKING).fetch_one(reader).await?;
    Ok(highest.unwrap_or_default())
}

/// The schema's steps that the file has taken.
async fn applied(connection: &mut SqliteConnection) -> Result<Vec<i64>, StoreError> {
    let versions = "SELECT version FROM _sqlx_migrations WHERE success";
    sqlx::query_scalar(versions).fetch_all(connection).await.map_err(StoreError::from)
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn the_steps_are_those_of_the_folder() {
        crate::store::schema::assert_in_step_with("sqlite", &super::migrations()).await;
    }
}
