//! The state of a rate limiter in a table of a fixed size.
//!
//! governor's own stores keep each key until the program forgets it; a caller with many addresses would
//! fill the memory.

use governor::nanos::Nanos;
use governor::state::StateStore;
use parking_lot::Mutex;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// Keys in one bucket of the table.
const SLOTS: usize = 8;

/// When each key's budget is whole again. A key that is not in the table has a whole budget, so a key
/// that is evicted gets a new burst, and none is refused for another's requests.
pub(super) struct FixedTable {
    buckets: Box<[Mutex<[Slot; SLOTS]>]>,
    /// Seeded at random, so that no caller can choose with whom to share a bucket.
    hasher: RandomState,
}

/// One key, and when its budget is whole again; zero in an empty slot.
#[derive(Clone, Copy, Default)]
struct Slot {
    key: u64,
    whole_at: Nanos,
}

impl FixedTable {
    /// An empty table. It takes 18 bytes a key, all at once.
    pub(super) fn new(keys_max: usize) -> Self {
        let buckets = (0..keys_max.div_ceil(SLOTS)).map(|_| Mutex::default());
        Self { buckets: buckets.collect(), hasher: RandomState::new() }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }
}

impl StateStore for FixedTable {
    type Key = u64;

    /// A refusal writes nothing.
    fn measure_and_replace<T, F, E>(&self, key: &u64, judge: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let at = self.hasher.hash_one(key) as usize % self.buckets.len();
        let mut slots = self.buckets[at].lock();
        let is_known = |slot: &Slot| slot.key == *key && slot.whole_at.as_u64() > 0;
        let known = slots.iter().position(is_known);
        let (answer, whole_at) = judge(known.map(|at| slots[at].whole_at))?;
        let at = known.unwrap_or_else(|| soonest_whole(&slots));
        slots[at] = Slot { key: *key, whole_at };
        Ok(answer)
    }
}

/// The slot to evict: the key that loses least.
fn soonest_whole(slots: &[Slot; SLOTS]) -> usize {
    (1..SLOTS).fold(0, |best, at| if slots[at].whole_at < slots[best].whole_at { at } else { best })
}
