//! What the tests run on: each test has a database of its own.
//!
//! `TEST_DEPLOYMENT=shared` repeats the tests on PostgreSQL (`TEST_DATABASE_URL`, cloned from one
//! migrated template) and Redis (`TEST_REDIS_URL`); without it they run embedded. `tests/run` does
//! both. Topics stay in the process in either, so that a test can step what is on them; replicas with
//! Kafka are processes of their own (`replicas`).

use airline_booking::clock::Clock;
use airline_booking::config::{Config, Database, PostgresSettings, Secret};
use airline_booking::domain::{Currency, References};
use airline_booking::gateway::simulated::{PostgresLedger, SimulatedGateway, SqliteLedger};
use airline_booking::ids::reference_key;
use airline_booking::store::postgres::PostgresStore;
use airline_booking::store::sqlite::SqliteStore;
use airline_booking::store::{EventLog, ReferenceKeys, Store};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Connections of one test's service; several tests run at once.
const CONNECTIONS: u32 = 8;

/// Whether the tests run on what replicas share.
pub fn is_shared() -> bool {
    std::env::var("TEST_DEPLOYMENT").is_ok_and(|deployment| deployment == "shared")
}

/// A variable that `tests/run` sets.
pub fn required(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `tests/run`, or `tests/run --services` and its exports")
    })
}

/// One test's database.
#[derive(Debug)]
pub enum TestDatabase {
    /// A file in a directory of its own.
    Sqlite(TempDir),
    /// A clone of the template; its URL.
    Postgres(String),
}

/// A store with the gateway whose books it keeps.
pub struct Opened {
    pub store: Arc<dyn Store>,
    pub gateway: SimulatedGateway,
    pub references: References,
    pub close: Close,
}

/// The way to take a store away.
pub enum Close {
    Sqlite(Arc<SqliteStore>),
    Postgres(Arc<PostgresStore>),
}

impl TestDatabase {
    /// A new one on the deployment under test.
    pub async fn create() -> Self {
        if is_shared() { Self::postgres().await } else { Self::sqlite() }
    }

    /// A new file.
    pub fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("a directory"))
    }

    /// A new clone of the migrated template.
    pub async fn postgres() -> Self {
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        let template = TEMPLATE
            .get_or_init(|| async {
                let Self::Postgres(url) = Self::empty_postgres().await else { unreachable!() };
                let config = Config::from_env(|_| None).expect("the defaults");
                let store = PostgresStore::open(&settings(&url), config.currency, false).await;
                store.expect("the schema").close().await;
                url.rsplit_once('/').expect("a URL with a database").1.to_owned()
            })
            .await;
        Self::made_by(&format!("TEMPLATE {template}")).await
    }

    /// A new database with nothing in it.
    pub async fn empty_postgres() -> Self {
        Self::made_by("").await
    }

    async fn made_by(how: &str) -> Self {
        let server = required("TEST_DATABASE_URL");
        let name = format!("test_{}", Uuid::new_v4().simple());
        let mut admin = PgConnection::connect(&server).await.expect("PostgreSQL answers");
        let statement = AssertSqlSafe(format!("CREATE DATABASE {name} {how}"));
        sqlx::raw_sql(statement).execute(&mut admin).await.expect("a database");
        admin.close().await.expect("closed");
        let (server, _) = server.rsplit_once('/').expect("TEST_DATABASE_URL names a database");
        Self::Postgres(format!("{server}/{name}"))
    }

    /// As the service's settings name it.
    pub fn setting(&self) -> Database {
        match self {
            Self::Sqlite(directory) => Database::Sqlite(file_in(directory)),
            Self::Postgres(url) => Database::Postgres(settings(url)),
        }
    }

    /// As `DATABASE_URL` names it.
    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(directory) => format!("sqlite:{}", file_in(directory).display()),
            Self::Postgres(url) => url.clone(),
        }
    }

    /// Opens it.
    pub async fn open(&self, latency: Duration, clock: Arc<dyn Clock>) -> Opened {
        let config = Config::from_env(|_| None).expect("the defaults");
        self.open_in(config.currency, latency, clock).await
    }

    /// Opens it for amounts of a currency.
    pub async fn open_in(
        &self,
        currency: Currency,
        latency: Duration,
        clock: Arc<dyn Clock>,
    ) -> Opened {
        match self.setting() {
            Database::Sqlite(file) => {
                let store = Arc::new(SqliteStore::open(&file, currency).await.expect("a store"));
                let gateway = SimulatedGateway::new(SqliteLedger::of(&store), latency, clock);
                let references = references(&*store).await;
                Opened { close: Close::Sqlite(store.clone()), store, gateway, references }
            }
            Database::Postgres(settings) => {
                let store = PostgresStore::open(&settings, currency, false).await;
                let store = Arc::new(store.expect("a store"));
                let gateway = SimulatedGateway::new(PostgresLedger::of(&store), latency, clock);
                let references = references(&*store).await;
                Opened { close: Close::Postgres(store.clone()), store, gateway, references }
            }
        }
    }

    /// Runs a statement past the service and past the schema's checks; says how many rows it wrote.
    pub async fn plant(&self, statement: &str) -> u64 {
        match self {
            Self::Sqlite(directory) => {
                let options = sqlx::sqlite::SqliteConnectOptions::new()
                    .filename(file_in(directory))
                    .foreign_keys(false)
                    .pragma("ignore_check_constraints", "ON");
                let connection = sqlx::SqliteConnection::connect_with(&options).await;
                let mut connection = connection.expect("a connection");
                let done = sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await;
                connection.close().await.expect("closed");
                done.expect("planted").rows_affected()
            }
            Self::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.expect("a connection");
                for step in [WITHOUT_CHECKS, WITHOUT_FOREIGN_KEYS] {
                    sqlx::raw_sql(step).execute(&mut connection).await.expect("unchecked");
                }
                let done = sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await;
                connection.close().await.expect("closed");
                done.expect("planted").rows_affected()
            }
        }
    }
}

/// The booking references of a store's database.
pub async fn references(store: &dyn ReferenceKeys) -> References {
    References::new(&store.reference_key(reference_key()).await.expect("a key"))
}

/// Drops every check. Each is dropped in a transaction of its own: one that locked several tables would deadlock
/// with the service's statements, which lock them in another order.
const WITHOUT_CHECKS: &str = "
DO $$
DECLARE c record;
BEGIN
    FOR c IN SELECT conrelid::regclass AS t, conname FROM pg_constraint
              WHERE contype = 'c' AND connamespace = 'public'::regnamespace LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.t, c.conname);
        COMMIT;
    END LOOP;
END $$";

/// Keeps foreign keys from being looked at.
const WITHOUT_FOREIGN_KEYS: &str = "SET session_replication_role = replica";

impl Close {
    /// Where events are kept.
    pub fn log(&self) -> Arc<dyn EventLog> {
        match self {
            Self::Sqlite(store) => store.clone(),
            Self::Postgres(store) => store.clone(),
        }
    }

    /// Closes the store for good.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}

fn file_in(directory: &TempDir) -> PathBuf {
    directory.path().join("test.db")
}

fn settings(url: &str) -> PostgresSettings {
    let config = Config::from_env(|name| (name == "DB_HOST").then(|| "unused".to_owned()));
    let Database::Postgres(settings) = config.expect("sound").database else { unreachable!() };
    let url = Some(Secret::from(url));
    PostgresSettings { url, connections_max: CONNECTIONS, ..settings }
}
