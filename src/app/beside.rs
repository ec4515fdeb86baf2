//! The engine for a command that changes seats without serving, beside a service that may run.

use super::{batches, policy};
use crate::booking::{Engine, EngineLimits, EngineParts, Waiting};
use crate::cache::memory::MemoryCache;
use crate::clock::Clock;
use crate::config::Config;
use crate::lock::memory::MemoryLocks;
use crate::store::Store;
use crate::telemetry::{Metrics, Tracing};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// An engine over a store. Versions keep it and the service apart; what it tells and which answers it
/// outdates waits in the store for the service's relay.
pub fn engine_beside(config: &Config, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Engine {
    let (batches_max, between_batches) = batches(&config.database);
    Engine::new(
        EngineParts {
            store,
            locks: Arc::new(MemoryLocks::default()),
            cache: Arc::new(MemoryCache::beside_a_service()),
            clock,
            policy: policy(config),
            zone: config.schedule_timezone,
            metrics: Metrics::new(),
            tracing: Tracing::default(),
            waiting: Waiting::new(0, CancellationToken::new()),
            committed: Arc::default(),
            tasks: TaskTracker::new(),
        },
        EngineLimits { queued_holds_max: 1, batches_max, between_batches },
    )
}
