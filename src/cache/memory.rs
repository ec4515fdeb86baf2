//! The cache port of a process that shares no answers.

use super::counts::InvalidationCounts;
use super::{CacheAway, Generation, SearchCache};
use crate::domain::{DayKey, Invalidation};
use async_trait::async_trait;
use bytes::Bytes;
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer lives if another replica may invalidate it without notice.
const LIFE_AMONG_REPLICAS: Duration = Duration::from_millis(100);

/// Generations of one process.
#[derive(Debug, Default)]
pub struct MemoryCache {
    invalidations: InvalidationCounts,
    /// When it was made, if other replicas may write without notice; `None`: there are none.
    among_others_since: Option<Instant>,
    /// Whether commits write their invalidations to the outbox, for a service beside this process.
    needs_outbox: bool,
}

impl MemoryCache {
    /// For a replica that others can't notify of invalidations: its answers live for 100 ms.
    pub fn among_replicas() -> Self {
        Self { among_others_since: Some(Instant::now()), ..Self::default() }
    }

    /// For a command that keeps no answers, beside a service that does and whose relay invalidates them.
    pub fn beside_a_service() -> Self {
        Self { needs_outbox: true, ..Self::default() }
    }
}

#[async_trait]
impl SearchCache for MemoryCache {
    async fn current(&self, key: &DayKey) -> Generation {
        let spans = |since: Instant| since.elapsed().as_nanos() / LIFE_AMONG_REPLICAS.as_nanos();
        let token = self.among_others_since.map_or(0, |since| spans(since) as u64);
        Generation { token, is_shared: false, invalidations: self.invalidations.of(key) }
    }

    async fn fetch(&self, _key: &DayKey, _generation: Generation) -> Option<Bytes> {
        None
    }

    async fn keep(&self, _key: &DayKey, _generation: Generation, _answer: &Bytes) {}

    fn invalidate(&self, keys: &[DayKey]) {
        for key in keys {
            self.invalidations.add(key);
        }
    }

    fn needs_outbox(&self) -> bool {
        self.needs_outbox
    }

    async fn invalidate_everywhere(&self, what: &Invalidation) -> Result<(), CacheAway> {
        match what {
            Invalidation::All => self.invalidations.add_all(),
            Invalidation::Days(days) => self.invalidate(&super::keys_of(days)),
        }
        Ok(())
    }

    async fn run(&self) {
        std::future::pending::<()>().await;
    }

    async fn ping(&self) -> Result<(), CacheAway> {
        Ok(())
    }
}
