//! Opens the store that the settings name.

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Database, StripeSettings};
use crate::domain::References;
use crate::gateway::Gateway;
use crate::gateway::sandbox::Sandbox;
use crate::gateway::simulated::{Ledger, PostgresLedger, SimulatedGateway, SqliteLedger};
use crate::gateway::stripe::StripeGateway;
use crate::ids;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::{ServiceClaim, SqliteStore};
use crate::store::{EventLog, GatewayNames, ReferenceKeys, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// What a command does with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads: a file may be read-only. Updates the schema if no service uses the database.
    Read,
    /// Writes. Updates the schema if no service uses the database.
    Write,
    /// Writes, and updates the schema in any case, even one of another service.
    Migrate,
}

/// Opens the store and its clock for a command, and closes it after the work, whatever its outcome: an
/// embedded database that nobody else uses is one file then.
pub async fn with_store<T>(
    config: &Config,
    access: Access,
    work: impl AsyncFnOnce(Arc<dyn Store>, Arc<dyn Clock>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let opened = CommandStore::from_config(config, access).await?;
    let done = work(opened.store.clone(), opened.clock.clone()).await;
    opened.close().await;
    done
}

/// The store as a command opens it: a service may run on it.
pub(super) struct CommandStore {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    /// The same store, if replicas share it.
    pub(super) postgres: Option<Arc<PostgresStore>>,
    /// The same store, if it is a file.
    pub(super) embedded: Option<Arc<SqliteStore>>,
}

impl CommandStore {
    pub(super) async fn from_config(config: &Config, access: Access) -> Result<Self, StoreError> {
        let adopt = access == Access::Migrate;
        match &config.database {
            Database::Sqlite(file) => {
                if access != Access::Read {
                    SqliteStore::require_writable(file)?;
                }
                let store = if adopt {
                    SqliteStore::open_to_migrate(file, config.currency).await?
                } else {
                    SqliteStore::open_beside(file, config.currency).await?
                };
                let (store, clock) = (Arc::new(store), Arc::new(SystemClock));
                Ok(Self { store: store.clone(), clock, postgres: None, embedded: Some(store) })
            }
            Database::Postgres(settings) => {
                if !adopt {
                    PostgresStore::refuse_older_schema_in_use(settings).await?;
                }
                let store = PostgresStore::open(settings, config.currency, adopt).await?;
                let store = Arc::new(store);
                let clock = store.clock();
                Ok(Self { store: store.clone(), clock, postgres: Some(store), embedded: None })
            }
        }
    }

    /// Where a gateway's names for payments stand.
    pub(super) fn names(&self) -> Arc<dyn GatewayNames> {
        match (&self.postgres, &self.embedded) {
            (Some(store), _) => store.clone(),
            (None, Some(store)) => store.clone(),
            (None, None) => unreachable!("a store is one of the two"),
        }
    }

    /// Closes an embedded store.
    pub(super) async fn close(self) {
        if let Some(embedded) = self.embedded {
            embedded.close().await;
        }
    }
}

/// The store as a service opens it, with the gateway: Stripe, or the simulated one, whose ledger lies in the same
/// database.
pub(super) struct OpenStore {
    pub(super) store: Arc<dyn Store>,
    pub(super) gateway: Arc<dyn Gateway>,
    /// The page of the simulated gateway.
    pub(super) sandbox: Option<Arc<dyn Sandbox>>,
    pub(super) clock: Arc<dyn Clock>,
    /// Unique among the databases that share a Redis.
    pub(super) identity: String,
    /// The booking references of this database.
    pub(super) references: References,
    /// Where events are kept without Kafka.
    pub(super) log: Arc<dyn EventLog>,
    /// The store whose clock this process follows.
    pub(super) postgres: Option<Arc<PostgresStore>>,
    /// The store that the stop closes.
    pub(super) embedded: Option<Arc<SqliteStore>>,
    pub(super) claim: Option<ServiceClaim>,
}

impl OpenStore {
    pub(super) async fn from_config(config: &Config) -> anyhow::Result<Self> {
        let latency = config.payment_latency;
        match &config.database {
            Database::Sqlite(file) => {
                let claim = SqliteStore::claim(file)?;
                let clock: Arc<dyn Clock> = Arc::new(SystemClock);
                let store = Arc::new(SqliteStore::open(file, config.currency).await?);
                let (gateway, sandbox) = match &config.stripe {
                    Some(settings) => (stripe(settings, store.clone())? as Arc<dyn Gateway>, None),
                    None => simulated(SqliteLedger::of(&store), latency, &clock),
                };
                let claim = Some(claim);
                let identity = format!("embedded-{}", store.identity().await?);
                let references = references(&*store).await?;
                let (embedded, log) = (Some(store.clone()), store.clone());
                Ok(Self {
                    store,
                    gateway,
                    sandbox,
                    clock,
                    identity,
                    references,
                    log,
                    postgres: None,
                    embedded,
                    claim,
                })
            }
            Database::Postgres(settings) => {
                let store = PostgresStore::open(settings, config.currency, false).await?;
                let store = Arc::new(store);
                let clock = store.clock();
                let (gateway, sandbox) = match &config.stripe {
                    Some(settings) => (stripe(settings, store.clone())? as Arc<dyn Gateway>, None),
                    None => simulated(PostgresLedger::of(&store), latency, &clock),
                };
                let (postgres, log) = (Some(store.clone()), store.clone());
                let identity = store.identity().await?;
                let references = references(&*store).await?;
                let (embedded, claim) = (None, None);
                Ok(Self {
                    store,
                    gateway,
                    sandbox,
                    clock,
                    identity,
                    references,
                    log,
                    postgres,
                    embedded,
                    claim,
                })
            }
        }
    }
}

/// The references of a database. Draws its key if it is the first process that serves from it.
async fn references(store: &dyn ReferenceKeys) -> Result<References, StoreError> {
    let key = store.reference_key(ids::reference_key()).await?;
    Ok(References::new(&key))
}

/// The simulated gateway, and its page.
fn simulated(
    ledger: impl Ledger,
    latency: Duration,
    clock: &Arc<dyn Clock>,
) -> (Arc<dyn Gateway>, Option<Arc<dyn Sandbox>>) {
    let gateway = Arc::new(SimulatedGateway::new(ledger, latency, clock.clone()));
    (gateway.clone(), Some(gateway))
}

/// Stripe, which writes the ids of its intents to the store.
pub(super) fn stripe(
    settings: &StripeSettings,
    names: Arc<dyn GatewayNames>,
) -> anyhow::Result<Arc<StripeGateway>> {
    let key = settings.secret_key.expose();
    Ok(Arc::new(StripeGateway::new(&settings.api_base, key, names)?))
}
