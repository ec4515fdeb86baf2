//! The implementations behind the ports, chosen by the settings.

use super::claims::{Claims, DatabaseClaim};
use super::open_store::OpenStore;
use crate::bus::Bus;
use crate::bus::kafka::KafkaBus;
use crate::bus::memory::MemoryBus;
use crate::cache::SearchCache;
use crate::cache::memory::MemoryCache;
use crate::cache::redis::RedisCache;
use crate::clock::Clock;
use crate::config::{Config, Database};
use crate::domain::References;
use crate::gateway::Gateway;
use crate::gateway::sandbox::Sandbox;
use crate::ids::{Ids, RandomIds};
use crate::limits::redis::RedisLimits;
use crate::limits::{Once, SharedLimits};
use crate::lock::FlightLocks;
use crate::lock::memory::MemoryLocks;
use crate::lock::redis::RedisLocks;
use crate::messages::Topic;
use crate::redis::Redis;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;
use crate::store::{Job, Lease, Store};
use crate::tasks::Tasks;
use crate::telemetry::{Metrics, Names, Tracing};
use anyhow::Context;
use std::collections::HashMap;
use std::sync::Arc;

/// One implementation of each port. Cheap to clone.
#[derive(Clone)]
pub struct Ports {
    /// The source of truth.
    pub store: Arc<dyn Store>,
    /// Moves money.
    pub gateway: Arc<dyn Gateway>,
    /// The simulated gateway's page, if that gateway moves the money.
    pub sandbox: Option<Arc<dyn Sandbox>>,
    /// Carries messages.
    pub bus: Arc<dyn Bus>,
    /// Mutexes on flights.
    pub locks: Arc<dyn FlightLocks>,
    /// Generations of search answers, and the answers that replicas share.
    pub cache: Arc<dyn SearchCache>,
    /// The current time.
    pub clock: Arc<dyn Clock>,
    /// Fresh ids.
    pub ids: Arc<dyn Ids>,
    /// The booking references of the store's database.
    pub references: References,
    /// The tasks of this process.
    pub tasks: Tasks,
    /// Metrics of this process.
    pub metrics: Metrics,
    /// Makes spans.
    pub tracing: Tracing,
}

/// The ports of a service, and what only the process itself needs.
pub(super) struct Opening {
    pub(super) ports: Ports,
    /// Rate limits that replicas share.
    pub(super) limits: Option<Arc<dyn SharedLimits>>,
    /// Notes what may happen once in all replicas.
    pub(super) once: Arc<Once>,
    /// The store whose clock this process follows.
    pub(super) postgres: Option<Arc<PostgresStore>>,
    /// The store that the stop closes.
    pub(super) embedded: Option<Arc<SqliteStore>>,
    pub(super) claims: Claims,
}

impl Opening {
    pub(super) async fn from_config(config: &Config) -> anyhow::Result<Self> {
        let opened = OpenStore::from_config(config).await?;
        let sole = sole_lease(config, &*opened.store).await?;
        let metrics = Metrics::new();
        let tracing = match &config.tracing {
            Some(settings) => Tracing::start(settings, metrics.clone())?,
            None => Tracing::default(),
        };
        let bus: Arc<dyn Bus> = match &config.kafka {
            Some(kafka) => Arc::new(KafkaBus::connect(kafka, metrics.clone())?),
            None => Arc::new(MemoryBus::with_log(opened.log.clone(), opened.clock.clone())),
        };
        let redis = config.redis.as_ref().map(|settings| Redis::new(settings, metrics.clone()));
        let redis = redis.transpose().context("REDIS_HOST or REDIS_URL")?;
        let locks: Arc<dyn FlightLocks> = match &redis {
            Some(redis) if config.flight_locks => redis_locks(redis.clone(), &opened.identity),
            _ => Arc::new(MemoryLocks::default()),
        };
        let limits = redis.clone().map(|redis| redis_limits(redis, &opened.identity));
        let once = redis.clone().map(|redis| redis_once(redis, &opened.identity));
        let once = Arc::new(once.unwrap_or_default());
        let cache: Arc<dyn SearchCache> = match redis {
            Some(redis) => {
                let prefix = format!("search:{}:", opened.identity);
                let ttl = config.answers_kept_for();
                Arc::new(RedisCache::new(redis, &prefix, ttl, metrics.clone()))
            }
            None if sole.is_some() || opened.claim.is_some() => Arc::new(MemoryCache::default()),
            None => Arc::new(MemoryCache::among_replicas()),
        };
        let OpenStore {
            store, gateway, sandbox, clock, references, postgres, embedded, claim, ..
        } = opened;
        let database = sole.map(|lease| DatabaseClaim { lease, store: store.clone() });
        let claims = Claims { _file: claim, database };
        let (ids, tasks) = (Arc::new(RandomIds), Tasks::default());
        let ports = Ports {
            store,
            gateway,
            sandbox,
            bus,
            locks,
            cache,
            clock,
            ids,
            references,
            tasks,
            metrics,
            tracing,
        };
        Ok(Self { ports, limits, once, postgres, embedded, claims })
    }
}

/// The lease of a process whose topics stay in it: only one such process can serve from a database.
async fn sole_lease(config: &Config, store: &dyn Store) -> anyhow::Result<Option<Box<dyn Lease>>> {
    if config.kafka.is_some() {
        return Ok(None);
    }
    let lease = store.lease(Job::Serve).await?;
    let lease = lease.context(
        "another airline-booking serves from this database already; replicas need KAFKA_BROKERS",
    )?;
    Ok(Some(lease))
}

/// The locks that replicas share on the flights of a database.
pub(super) fn redis_locks(redis: Redis, identity: &str) -> Arc<dyn FlightLocks> {
    Arc::new(RedisLocks::new(redis, &format!("flight_lock:{identity}:")))
}

/// The rate limits that the replicas of a database share.
fn redis_limits(redis: Redis, identity: &str) -> Arc<dyn SharedLimits> {
    Arc::new(RedisLimits::new(redis, &format!("rate_limit:{identity}:")))
}

/// What may happen once in the replicas of a database.
fn redis_once(redis: Redis, identity: &str) -> Once {
    Once::shared(redis, &format!("once:{identity}:"))
}

/// The names of external systems in spans.
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
