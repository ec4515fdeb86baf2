//! The state of a rate limiter in a table of a fixed size.
//!
//! governor's own stores grow with each new key until the program clears them; a caller with many addresses
//! would fill the memory.

use governor::nanos::Nanos;
use governor::state::StateStore;
use parking_lot::{Mutex, MutexGuard};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Number of keys in one bucket of the table.
const SLOTS: usize = 8;

/// Maximum keys in one exchange with the other replicas. Further keys are counted by this replica alone until a
/// later exchange.
const SHARED_MAX: usize = 1_024;

/// When each key's budget is whole again. A key that is not in the table has a whole budget, so an
/// evicted key gets a new burst, and no key is refused because of another's requests. Cheap to clone.
#[derive(Clone)]
pub(super) struct FixedTable(Arc<Table>);

struct Table {
    buckets: Box<[Mutex<Bucket>]>,
    /// Seeded at random, so that no caller can choose keys that share a bucket.
    hasher: RandomState,
    /// `None` if the table is not shared with other replicas.
    shared: Option<Shared>,
}

#[derive(Default)]
struct Bucket {
    slots: [Slot; SLOTS],
    /// Requests of each slot since it was shared, up to the maximum of the type.
    unshared: [u16; SLOTS],
}

/// One key, and when its budget is whole again; zero in an empty slot.
#[derive(Clone, Copy, Default)]
struct Slot {
    key: u64,
    whole_at: Nanos,
}

/// The keys of the next exchange.
struct Shared {
    /// Minimum unshared requests of a key in the exchange. Clients that ask once stay below it, so however many they
    /// are they can't displace those that ask often.
    from: u16,
    keys: Mutex<Vec<u64>>,
}

/// What a key has spent since it was last taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) key: u64,
    pub(super) requests: u16,
    pub(super) whole_at: Nanos,
}

impl FixedTable {
    /// An empty table. It takes 19 bytes a key, all at once. With `shared_from` it notes the keys that have
    /// spent at least that many requests.
    pub(super) fn new(keys_max: usize, shared_from: Option<u16>) -> Self {
        let buckets = (0..keys_max.div_ceil(SLOTS)).map(|_| Mutex::default());
        let shared = shared_from.map(|from| Shared { from, keys: Mutex::default() });
        Self(Arc::new(Table { buckets: buckets.collect(), hasher: RandomState::new(), shared }))
    }

    /// Returns what the noted keys have spent, and resets their counts to zero.
    pub(super) fn take(&self) -> Vec<Taken> {
        let Some(shared) = &self.0.shared else { return Vec::new() };
        let keys = std::mem::take(&mut *shared.keys.lock());
        keys.into_iter().filter_map(|key| self.0.bucket(key).take(key)).collect()
    }

    /// Moves the moment when a key's budget is whole forward, if it is in the table.
    pub(super) fn delay(&self, key: u64, whole_at: Nanos) {
        let mut bucket = self.0.bucket(key);
        if let Some(at) = bucket.position(key) {
            let slot = &mut bucket.slots[at];
            slot.whole_at = slot.whole_at.max(whole_at);
        }
    }

    /// Moves the moment when a key's budget is whole back, if it is in the table.
    pub(super) fn give_back(&self, key: u64, time: Nanos) {
        let mut bucket = self.0.bucket(key);
        if let Some(at) = bucket.position(key) {
            let slot = &mut bucket.slots[at];
            slot.whole_at = Nanos::new(slot.whole_at.as_u64().saturating_sub(time.as_u64()));
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.0.buckets)
    }
}

impl Table {
    fn bucket(&self, key: u64) -> MutexGuard<'_, Bucket> {
        let at = self.hasher.hash_one(key) as usize % self.buckets.len();
        self.buckets[at].lock()
    }
}

impl Bucket {
    fn position(&self, key: u64) -> Option<usize> {
        let is_known = |slot: &Slot| slot.key == key && slot.whole_at.as_u64() > 0;
        self.slots.iter().position(is_known)
    }

    /// The slot to evict: the key that loses least.
    fn soonest_whole(&self) -> usize {
        let sooner = |best: usize, at: usize| {
            if self.slots[at].whole_at < self.slots[best].whole_at { at } else { best }
        };
        (1..SLOTS).fold(0, sooner)
    }

    /// `None` if the key was evicted.
    fn take(&mut self, key: u64) -> Option<Taken> {
        let at = self.position(key)?;
        let requests = std::mem::take(&mut self.unshared[at]);
        let taken = Taken { key, requests, whole_at: self.slots[at].whole_at };
        (requests > 0).then_some(taken)
    }

    /// Counts a request of a slot.
    fn count(&mut self, at: usize, shared: &Shared) {
        self.unshared[at] = self.unshared[at].saturating_add(1);
        if self.unshared[at] != shared.from {
            return;
        }
        let mut keys = shared.keys.lock();
        if keys.len() < SHARED_MAX {
            keys.push(self.slots[at].key);
        } else {
            // The next request tries again.
            self.unshared[at] -= 1;
        }
    }
}

impl StateStore for FixedTable {
    type Key = u64;

    /// A refusal writes nothing.
    fn measure_and_replace<T, F, E>(&self, key: &u64, judge: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut bucket = self.0.bucket(*key);
        let known = bucket.position(*key);
        let (answer, whole_at) = judge(known.map(|at| bucket.slots[at].whole_at))?;
        let at = known.unwrap_or_else(|| {
            let at = bucket.soonest_whole();
            bucket.unshared[at] = 0;
            at
        });
        bucket.slots[at] = Slot { key: *key, whole_at };
        if let Some(shared) = &self.0.shared {
            bucket.count(at, shared);
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(table: &FixedTable, key: u64) {
        let judge = |known: Option<Nanos>| {
            let before = known.map_or(0, Nanos::as_u64);
            Ok::<_, ()>(((), Nanos::new(before + 1)))
        };
        table.measure_and_replace(&key, judge).expect("admitted");
    }

    #[test]
    fn a_key_is_shared_once_it_has_spent_enough_and_then_counts_from_zero() {
        let table = FixedTable::new(64, Some(3));
        spend(&table, 7);
        spend(&table, 7);
        assert_eq!(table.take(), []);
        spend(&table, 7);
        spend(&table, 7);
        assert_eq!(table.take(), [Taken { key: 7, requests: 4, whole_at: Nanos::new(4) }]);
        assert_eq!(table.take(), []);
        for _ in 0..3 {
            spend(&table, 7);
        }
        assert_eq!(table.take(), [Taken { key: 7, requests: 3, whole_at: Nanos::new(7) }]);
    }

    #[test]
    fn the_moment_when_a_budget_is_whole_only_moves_forward() {
        let table = FixedTable::new(64, Some(1));
        spend(&table, 7);
        for whole_at in [9, 5] {
            table.delay(7, Nanos::new(whole_at));
        }
        table.delay(8, Nanos::new(9));
        spend(&table, 7);
        spend(&table, 8);
        let mut whole: Vec<_> = table.take().iter().map(|taken| taken.whole_at.as_u64()).collect();
        whole.sort_unstable();
        assert_eq!(whole, [1, 10]);
    }

    #[test]
    fn an_exchange_has_a_bounded_number_of_keys_and_the_next_has_the_rest() {
        let table = FixedTable::new(65_536, Some(2));
        for key in 0..100_000 {
            spend(&table, key);
        }
        assert_eq!(table.take(), [], "clients that ask once are not shared");
        let busy = 1_000_000..1_003_000;
        for key in busy.clone() {
            spend(&table, key);
            spend(&table, key);
        }
        assert_eq!(table.take().len(), SHARED_MAX);
        for key in busy {
            spend(&table, key);
        }
        assert_eq!(table.take().len(), SHARED_MAX);
    }
}
