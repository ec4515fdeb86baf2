//! The embedded store: one durable SQLite file, for one process.
//!
//! One connection writes, a few read. Write-ahead log with `synchronous = FULL`: an acknowledged commit
//! survives a power cut. The engine's batches make that cheap.

mod batch;
mod columns;
mod connection;
mod roles;
mod schema;

use super::StoreError;
use super::rows::sql::HIGHEST_BOOKING;
use super::rows::unreadable::Unreadable;
use super::schema::{schema_of_service, taken_alone};
use crate::domain::Currency;
use batch::writes::Writes;
use connection::{claim, error, foreign, private};
use roles::outbox;
use schema::{applied, migrate, migrations, route_keys, unit};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqlitePool};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI64;
use std::time::Duration;

pub(crate) use super::rows::sql::json;
pub use connection::claim::{ClaimError, ServiceClaim};
pub(in crate::store) use connection::error::is_away;
pub(crate) use connection::writer::{Writer, begin};

/// Pages in the write-ahead log that start a checkpoint: 32 MiB. At SQLite's default of 1,000 every batch
/// would pay for one.
const CHECKPOINT_PAGES: &str = "8192";

/// Maximum page cache of the writer in SQLite's notation: 16 MiB. The readers have the default of 2.
const WRITER_CACHE_KIB: &str = "-16384";

/// Maximum connections that read.
const READERS: u32 = 4;

/// How long a statement waits for another process' write lock, or for a free connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A SQLite file, for one process.
pub struct SqliteStore {
    writer: Writer,
    reader: SqlitePool,
    last_booking_id: AtomicI64,
    sent: outbox::Sent,
    file: PathBuf,
    unreadable: Unreadable,
}

impl SqliteStore {
    /// Opens the file beside a service that may run on it. Brings its schema up to date only if none does,
    /// and fails if a running service's schema is older.
    pub async fn open_beside(file: &Path, currency: Currency) -> Result<Self, StoreError> {
        let may_open = |applied: &[i64]| schema_of_service(applied, &migrations());
        Self::look_at_schema(file, may_open).await?;
        Self::open(file, currency).await
    }

    /// Opens the file to bring its schema up to date, also beside a service that runs on it. Fails if that
    /// service is of an older release that cannot serve beside this one.
    pub async fn open_to_migrate(file: &Path, currency: Currency) -> Result<Self, StoreError> {
        Self::look_at_schema(file, taken_alone).await?;
        Self::open(file, currency).await
    }

    /// Checks the applied steps of a running service's schema.
    async fn look_at_schema(
        file: &Path,
        may_open: impl Fn(&[i64]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if !file.exists() || !claim::is_claimed(file) {
            return Ok(());
        }
        let looked = async {
            let mut connection = SqliteConnectOptions::new().filename(file).connect().await?;
            may_open(&applied(&mut connection).await?)?;
            let _ = connection.close().await;
            Ok(())
        };
        looked.await.map_err(|error: StoreError| error::of_file(error, file))
    }

    /// Opens the file and brings its schema up to date. A missing file is created, for its owner alone.
    /// Refuses a file whose amounts have other decimals than `currency`, and another program's database.
    pub async fn open(file: &Path, currency: Currency) -> Result<Self, StoreError> {
        Self::open_file(file, currency).await.map_err(|error| error::of_file(error, file))
    }

    async fn open_file(file: &Path, currency: Currency) -> Result<Self, StoreError> {
        foreign::refuse(file).await?;
        // If this fails, so does SQLite, with the reason.
        let _ = private::prepare(file);
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            // Statements sort and keep undo data of a batch at most, which fits in memory.
            .pragma("temp_store", "memory")
            .disable_statement_logging();
        // Overwrites deleted values in pages that are written anyway. Otherwise passengers would stay in the
        // free space of pages.
        let writer = options.clone().pragma("secure_delete", "FAST");
        let writer = Writer::open(writer.pragma("cache_size", WRITER_CACHE_KIB)).await?;
        migrate(&mut *writer.take().await?).await?;
        unit::settle(&mut *writer.take().await?, currency).await?;
        route_keys::renew(&mut *writer.take().await?).await?;
        Writes::prepare(&mut *writer.take().await?).await?;
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

    /// Claims the file for one serving process, since booking numbers are counted in memory. Locks a file
    /// beside it, after following symbolic links. Refuses a file with several hard links: SQLite keeps
    /// the log beside the name, so two names would be two logs.
    pub fn claim(file: &Path) -> Result<ServiceClaim, ClaimError> {
        claim::claim(file)
    }

    /// Fails if this user may not write to the file, before anything is done with it. A missing file is created,
    /// for its owner alone.
    pub fn require_writable(file: &Path) -> Result<(), StoreError> {
        private::require_writable(file).map_err(|error| {
            StoreError::Unavailable(anyhow::Error::new(ClaimError::Io(file.to_owned(), error)))
        })
    }

    /// The file's id: a random number in its header, drawn once. A copy of the file has the same. Prefixes
    /// what several databases share elsewhere.
    pub async fn identity(&self) -> Result<String, StoreError> {
        let mut writing = self.writer.take().await?;
        let kept = "PRAGMA user_version";
        let number: i32 = sqlx::query_scalar(kept).fetch_one(&mut *writing).await?;
        if number != 0 {
            return Ok(number.to_string());
        }
        // Not zero, which is a new file's value, and not negative.
        let drawn = "SELECT (random() & 0x7ffffffe) + 1";
        let drawn: i32 = sqlx::query_scalar(drawn).fetch_one(&mut *writing).await?;
        let keep = AssertSqlSafe(format!("PRAGMA user_version = {drawn}"));
        sqlx::raw_sql(keep).execute(&mut *writing).await?;
        Ok(drawn.to_string())
    }

    /// Adds the file to an error, and what to do.
    fn named<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        outcome.map_err(|error| error::of_file(error, &self.file))
    }

    /// The writer, for adapters that keep rows in the same file.
    pub(crate) fn writer(&self) -> Writer {
        self.writer.clone()
    }

    /// Closes all connections. SQLite then folds the log into the file and deletes it, unless another process has
    /// the file open.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// The highest booking number; 0 without bookings.
async fn highest_booking(reader: &SqlitePool) -> Result<i64, StoreError> {
    let highest: Option<i64> = sqlx::query_scalar(HIGHEST_BOOKING).fetch_one(reader).await?;
    Ok(highest.unwrap_or_default())
}
