//! How often this process ended answers: counters in a fixed table, shared by keys of one hash.
//!
//! Two keys that share a counter end together, which costs a load and never a stale answer. The
//! table is bounded, and readers share no lock.

use crate::domain::DayKey;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

const COUNTERS: usize = 16_384;

/// The table.
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
    /// How often answers of the key have ended.
    pub(super) fn of(&self, key: &DayKey) -> u64 {
        self.counter(key).load(Ordering::Acquire)
    }

    /// The key's answers have ended.
    pub(super) fn add(&self, key: &DayKey) {
        self.counter(key).fetch_add(1, Ordering::AcqRel);
    }

    /// Every answer has ended.
    pub(super) fn add_all(&self) {
        for counter in &self.counters {
            counter.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn counter(&self, key: &DayKey) -> &AtomicU64 {
        &self.counters[self.hasher.hash_one(key) as usize % COUNTERS]
    }
}
