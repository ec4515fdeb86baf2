//! Generations of a single process: counters in a fixed table, shared by keys of the same hash.
//!
//! Two keys that share a counter end together, which costs a load and never a stale answer.

use super::{Generation, Generations};
use crate::domain::DayKey;
use async_trait::async_trait;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

const COUNTERS: usize = 16_384;

/// The table of counters: bounded, and no lock is shared by readers.
#[derive(Debug)]
pub struct MemoryGenerations {
    hasher: RandomState,
    counters: Box<[AtomicU64]>,
}

impl Default for MemoryGenerations {
    fn default() -> Self {
        let counters = (0..COUNTERS).map(|_| AtomicU64::new(0)).collect();
        Self { hasher: RandomState::new(), counters }
    }
}

impl MemoryGenerations {
    fn counter(&self, key: &DayKey) -> &AtomicU64 {
        &self.counters[self.hasher.hash_one(key) as usize % COUNTERS]
    }
}

#[async_trait]
impl Generations for MemoryGenerations {
    async fn current(&self, key: &DayKey) -> Generation {
        Generation(self.counter(key).load(Ordering::Acquire))
    }

    async fn end(&self, keys: &[DayKey]) {
        for key in keys {
            self.counter(key).fetch_add(1, Ordering::AcqRel);
        }
    }

    async fn end_all(&self) {
        for counter in &self.counters {
            counter.fetch_add(1, Ordering::AcqRel);
        }
    }
}
