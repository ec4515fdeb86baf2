//! A store and an engine for commands that change flights while a service may run.

use super::open_store::{Access, CommandStore};
use super::ports::redis_locks;
use super::{batches, policy};
use crate::booking::Flights;
use crate::cache::memory::MemoryCache;
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::{AfterCommit, CompletionWaiters, Engine, EngineLimits, EngineParts};
use crate::ids::RandomIds;
use crate::lock::FlightLocks;
use crate::lock::memory::MemoryLocks;
use crate::redis::Redis;
use crate::store::Store;
use crate::store::sqlite::SqliteStore;
use crate::tasks::Tasks;
use crate::telemetry::{Metrics, Tracing};
use anyhow::Context;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A store and the use cases that change its flights.
pub struct Beside {
    /// The source of truth.
    pub store: Arc<dyn Store>,
    /// The current time.
    pub clock: Arc<dyn Clock>,
    /// Flight use cases.
    pub flights: Flights,
    /// The store that [`Beside::close`] closes.
    embedded: Option<Arc<SqliteStore>>,
}

impl Beside {
    /// Opens the store that the settings name. Updates its schema only if no service uses it.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let CommandStore { store, clock, postgres, embedded } =
            CommandStore::from_config(config, Access::Write).await?;
        // With the replicas' locks, the command gets its turn on flights that they sell all the time.
        let locks: Arc<dyn FlightLocks> = match (&config.redis, &postgres) {
            (Some(settings), Some(postgres)) if config.flight_locks => {
                let redis = Redis::new(settings, Metrics::new());
                let redis = redis.context("REDIS_HOST or REDIS_URL")?;
                redis_locks(redis, &postgres.identity().await?)
            }
            _ => Arc::new(MemoryLocks::default()),
        };
        let flights = Flights {
            engine: engine_with(config, store.clone(), clock.clone(), locks),
            store: store.clone(),
            after_commit: after_commit(),
            clock: clock.clone(),
            currency: config.currency,
            zone: config.schedule_timezone,
            tasks: Tasks::default(),
        };
        Ok(Self { store, clock, flights, embedded })
    }

    /// Closes an embedded store.
    pub async fn close(self) {
        if let Some(embedded) = self.embedded {
            embedded.close().await;
        }
    }
}

/// An engine on a store that a service may use too. Flight versions detect conflicts with the service;
/// events and invalidations wait in the store for the service's relay.
pub fn engine_beside(config: &Config, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Engine {
    engine_with(config, store, clock, Arc::new(MemoryLocks::default()))
}

/// Wakes no relay: the service's own relay finds what commits leave in the store.
fn after_commit() -> AfterCommit {
    AfterCommit { cache: Arc::new(MemoryCache::beside_a_service()), relay: Arc::default() }
}

fn engine_with(
    config: &Config,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    locks: Arc<dyn FlightLocks>,
) -> Engine {
    let (batches_max, between_batches) = batches(&config.database);
    Engine::new(
        EngineParts {
            store,
            locks,
            after_commit: after_commit(),
            clock,
            ids: Arc::new(RandomIds),
            policy: policy(config),
            zone: config.schedule_timezone,
            metrics: Metrics::new(),
            tracing: Tracing::default(),
            waiters: CompletionWaiters::new(0, CancellationToken::new()),
            tasks: Tasks::default(),
        },
        EngineLimits { queued_holds_max: 1, batches_max, batch_interval_min: between_batches },
    )
}
