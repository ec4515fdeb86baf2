//! The parts behind the ports, chosen by the settings.

use crate::bus::Bus;
use crate::bus::kafka::KafkaBus;
use crate::bus::memory::MemoryBus;
use crate::cache::SearchCache;
use crate::cache::memory::MemoryCache;
use crate::cache::redis::RedisCache;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Database};
use crate::gateway::Gateway;
use crate::gateway::simulated::{PostgresLedger, SimulatedGateway, SqliteLedger};
use crate::lock::FlightLocks;
use crate::lock::memory::MemoryLocks;
use crate::lock::redis::RedisLocks;
use crate::messages::Topic;
use crate::redis::Redis;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::{ServiceClaim, SqliteStore};
use crate::store::{Job, Lease, Store, StoreError};
use crate::telemetry::{Metrics, Names, Tracing};
use anyhow::Context;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

/// The parts behind the ports.
#[derive(Clone)]
pub struct Parts {
    /// The truth.
    pub store: Arc<dyn Store>,
    /// Moves the money.
    pub gateway: Arc<dyn Gateway>,
    /// Carries messages.
    pub bus: Arc<dyn Bus>,
    /// Mutexes on flights.
    pub locks: Arc<dyn FlightLocks>,
    /// What cached answers are worth, and those that replicas share.
    pub cache: Arc<dyn SearchCache>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Counters, which some of the parts add to.
    pub metrics: Metrics,
    /// Spans.
    pub tracing: Tracing,
}

/// The store that the settings name and its clock, for commands that work on it without serving.
/// `adopt`: brings the schema up to date in any case, also of one that has another service's schema;
/// else only if no service runs on the database.
pub async fn open_store(
    config: &Config,
    adopt: bool,
) -> Result<(Arc<dyn Store>, Arc<dyn Clock>), StoreError> {
    let Opened { store, clock, .. } = Opened::by(config, adopt).await?;
    Ok((store, clock))
}

/// A store that a command opened.
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    /// The same store, where it is one that replicas share.
    pub(super) postgres: Option<Arc<PostgresStore>>,
}

impl Opened {
    pub(super) async fn by(config: &Config, adopt: bool) -> Result<Self, StoreError> {
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

/// The store, and what is kept and counted beside it.
struct Kept {
    store: Arc<dyn Store>,
    gateway: Arc<dyn Gateway>,
    clock: Arc<dyn Clock>,
    /// What no other database that shares a Redis is called.
    identity: String,
    /// Whose clock is to be followed.
    postgres: Option<Arc<PostgresStore>>,
    claim: Option<ServiceClaim>,
}

impl Kept {
    async fn open(config: &Config) -> anyhow::Result<Self> {
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

/// What keeps a second process from serving where only one can; given back when dropped.
#[derive(Default)]
pub(super) struct Claims {
    /// An embedded database's file.
    _file: Option<ServiceClaim>,
    /// A database whose topics stay in the process.
    database: Option<DatabaseClaim>,
}

/// The right to serve from a database alone.
struct DatabaseClaim {
    lease: Box<dyn Lease>,
    store: Arc<dyn Store>,
}

/// How often it is looked whether a database's claim is held.
const CLAIM_INTERVAL: Duration = Duration::from_secs(1);

/// How long a claim may be another session's before it counts as lost: longer than a server takes to
/// notice that our own session has ended.
const CLAIM_LOST_AFTER: Duration = Duration::from_secs(20);

impl Claims {
    /// Waits until another process serves where only one can; for ever where that cannot be.
    pub(super) async fn lost(&mut self) {
        match &mut self.database {
            Some(claim) => claim.lost().await,
            None => std::future::pending().await,
        }
    }
}

impl DatabaseClaim {
    /// The claim ends with its session, as when the database is started again. It is then taken again,
    /// unless another process was faster.
    async fn lost(&mut self) {
        let mut refused_at: Option<Instant> = None;
        loop {
            sleep(CLAIM_INTERVAL).await;
            if self.lease.is_held().await {
                continue;
            }
            match self.store.lease(Job::Serve).await {
                Ok(Some(lease)) => {
                    self.lease = lease;
                    refused_at = None;
                    warn!("the claim on the database was lost and taken again");
                }
                Ok(None) => {
                    let since = *refused_at.get_or_insert_with(Instant::now);
                    if since.elapsed() >= CLAIM_LOST_AFTER {
                        return;
                    }
                }
                // Nobody else is let in by it either.
                Err(error) => debug!(%error, "the claim on the database could not be taken again"),
            }
        }
    }
}

/// The parts that the settings name.
pub(super) struct Chosen {
    pub(super) parts: Parts,
    /// Whose clock is to be followed.
    pub(super) postgres: Option<Arc<PostgresStore>>,
    pub(super) claims: Claims,
}

impl Chosen {
    pub(super) async fn by(config: &Config) -> anyhow::Result<Self> {
        let kept = Kept::open(config).await?;
        let sole = if config.kafka.is_none() {
            let lease = kept.store.lease(Job::Serve).await?;
            Some(lease.context(
                "another airline-booking serves from this database already; replicas need \
                 KAFKA_BROKERS",
            )?)
        } else {
            None
        };
        let metrics = Metrics::new();
        let tracing = match &config.tracing {
            Some(settings) => Tracing::start(settings, metrics.clone())?,
            None => Tracing::default(),
        };
        let bus: Arc<dyn Bus> = match &config.kafka {
            Some(kafka) => Arc::new(KafkaBus::connect(kafka, metrics.clone())?),
            None => Arc::new(MemoryBus::default()),
        };
        let redis = match &config.redis {
            Some(settings) => {
                Some(Redis::new(settings, metrics.clone()).context("REDIS_HOST or REDIS_URL")?)
            }
            None => None,
        };
        let locks: Arc<dyn FlightLocks> = match &redis {
            Some(redis) if config.flight_locks => {
                Arc::new(RedisLocks::new(redis.clone(), &format!("flight_lock:{}:", kept.identity)))
            }
            _ => Arc::new(MemoryLocks::default()),
        };
        let cache: Arc<dyn SearchCache> = match redis {
            Some(redis) => {
                let prefix = format!("search:{}:", kept.identity);
                Arc::new(RedisCache::new(
                    redis,
                    &prefix,
                    config.answers_kept_for(),
                    metrics.clone(),
                ))
            }
            None if sole.is_some() || kept.claim.is_some() => Arc::new(MemoryCache::default()),
            None => Arc::new(MemoryCache::among_replicas()),
        };
        let (store, gateway, clock) = (kept.store, kept.gateway, kept.clock);
        let parts = Parts { store, gateway, bus, locks, cache, clock, metrics, tracing };
        let database = sole.map(|lease| DatabaseClaim { lease, store: parts.store.clone() });
        let claims = Claims { _file: kept.claim, database };
        Ok(Self { parts, postgres: kept.postgres, claims })
    }
}

/// What traces call the parts outside.
pub(super) fn names(config: &Config) -> Names {
    let topics = config.kafka.as_ref().map(|kafka| &kafka.topics);
    Names {
        database: match config.database {
            Database::Sqlite(_) => "sqlite",
            Database::Postgres(_) => "postgresql",
        },
        topics: topics.map_or_else(HashMap::new, |names| {
            HashMap::from([
                (Topic::PaymentRequests, names.payment_requests.clone()),
                (Topic::PaymentEvents, names.payment_events.clone()),
                (Topic::FlightBookings, names.flight_bookings.clone()),
                (Topic::AirlineEvents, names.airline_events.clone()),
            ])
        }),
    }
}
