//! How often this process invalidated answers: a table of counters, by the key's hash.
//!
//! Keys that share a counter are invalidated together, which costs a load and never gives a stale answer.
//! The table has a fixed size, and readers share no lock.

use crate::domain::DayKey;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

const COUNTERS: usize = 16_384;

/// The table of counters.
#[derive(Debug)]
pub(super) struct InvalidationCounts {
    hasher: RandomState,
    counters: Box<[AtomicU64]>,
}

impl Default for InvalidationCounts {
    fn default() -> Self {
        let counters = (0..COUNTERS).map(|_| AtomicU64::new(0)).collect();
        Self { hasher: RandomState::new(), counters }
    }
}

impl InvalidationCounts {
    /// How often answers of the key were invalidated.
    pub(super) fn of(&self, key: &DayKey) -> u64 {
        self.counter(key).load(Ordering::Acquire)
    }

    /// Counts an invalidation of the key.
    pub(super) fn add(&self, key: &DayKey) {
        self.counter(key).fetch_add(1, Ordering::AcqRel);
    }

    /// Counts an invalidation of all keys.
    pub(super) fn add_all(&self) {
        for counter in &self.counters {
            counter.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn counter(&self, key: &DayKey) -> &AtomicU64 {
        &self.counters[self.hasher.hash_one(key) as usize % COUNTERS]
    }
}
