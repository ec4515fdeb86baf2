//! Opens the store that the settings name.

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Database};
use crate::gateway::Gateway;
use crate::gateway::simulated::{PostgresLedger, SimulatedGateway, SqliteLedger};
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::{ServiceClaim, SqliteStore};
use crate::store::{Store, StoreError};
use std::sync::Arc;

/// Opens the store and its clock, for commands that do not serve. `adopt` updates the schema in any
/// case, even one of another service; otherwise the schema is updated only if no service uses the
/// database.
pub async fn open_store(
    config: &Config,
    adopt: bool,
) -> Result<(Arc<dyn Store>, Arc<dyn Clock>), StoreError> {
    let CommandStore { store, clock, .. } = CommandStore::from_config(config, adopt).await?;
    Ok((store, clock))
}

/// The store as a command opens it: a service may run on it.
pub(super) struct CommandStore {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    /// The same store, if replicas share it.
    pub(super) postgres: Option<Arc<PostgresStore>>,
}

impl CommandStore {
    pub(super) async fn from_config(config: &Config, adopt: bool) -> Result<Self, StoreError> {
        match &config.database {
            Database::Sqlite(file) => {
                let store = if adopt {
                    SqliteStore::open(file, config.currency).await?
                } else {
                    SqliteStore::open_beside(file, config.currency).await?
                };
                Ok(Self { store: Arc::new(store), clock: Arc::new(SystemClock), postgres: None })
            }
            Database::Postgres(settings) => {
                if !adopt {
                    PostgresStore::refuse_older_schema_in_use(settings).await?;
                }
                let store = PostgresStore::open(settings, config.currency, adopt).await?;
                let store = Arc::new(store);
                let clock = store.clock();
                Ok(Self { store: store.clone(), clock, postgres: Some(store) })
            }
        }
    }
}

/// The store as a service opens it, with the gateway whose ledger lies in the same database.
pub(super) struct OpenStore {
    pub(super) store: Arc<dyn Store>,
    pub(super) gateway: Arc<dyn Gateway>,
    pub(super) clock: Arc<dyn Clock>,
    /// Unique among the databases that share a Redis.
    pub(super) identity: String,
    /// The store whose clock this process follows.
    pub(super) postgres: Option<Arc<PostgresStore>>,
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
                let gateway =
                    SimulatedGateway::new(SqliteLedger::of(&store), latency, clock.clone());
                let (gateway, claim) = (Arc::new(gateway), Some(claim));
                let identity = format!("embedded-{}", store.identity().await?);
                Ok(Self { store, gateway, clock, identity, postgres: None, claim })
            }
            Database::Postgres(settings) => {
                let store = PostgresStore::open(settings, config.currency, false).await?;
                let store = Arc::new(store);
                let clock = store.clock();
                let gateway =
                    SimulatedGateway::new(PostgresLedger::of(&store), latency, clock.clone());
                let (gateway, postgres) = (Arc::new(gateway), Some(store.clone()));
                let identity = store.identity().await?;
                Ok(Self { store, gateway, clock, identity, postgres, claim: None })
            }
        }
    }
}
