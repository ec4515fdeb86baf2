//! Invalidations of this process that Redis does not know of yet.
//!
//! Bounded: beyond some thousands of keys all answers count as invalidated.

use crate::domain::DayKey;
use parking_lot::Mutex;
use std::collections::HashMap;

/// Maximum number of keys; beyond it all answers are invalidated.
const KEYS_MAX: usize = 4_096;

/// The list, shared by committing batches, readers and the flush.
#[derive(Debug, Default)]
pub(super) struct PendingInvalidations {
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    /// Each key, and the turn of its last invalidation.
    keys: HashMap<DayKey, u64>,
    /// The turn of the last invalidation of everything, if there was one.
    all: Option<u64>,
    turn: u64,
}

/// The invalidations that one call sends.
#[derive(Debug)]
pub(super) struct Batch {
    /// Whether all answers are invalidated, instead of the keys.
    pub(super) is_all: bool,
    /// Keys, and the turns of their invalidations.
    pub(super) keys: Vec<(DayKey, u64)>,
    turn: u64,
}

impl PendingInvalidations {
    /// Adds keys.
    pub(super) fn add(&self, keys: &[DayKey]) {
        let mut list = self.list.lock();
        list.turn += 1;
        let turn = list.turn;
        if list.all.is_none() {
            list.keys.extend(keys.iter().map(|key| (key.clone(), turn)));
        }
        if list.all.is_some() || list.keys.len() > KEYS_MAX {
            list.keys = HashMap::new();
            list.all = Some(turn);
        }
    }

    /// Whether Redis does not know of an invalidation of the key yet.
    pub(super) fn has(&self, key: &DayKey) -> bool {
        let list = self.list.lock();
        list.all.is_some() || list.keys.contains_key(key)
    }

    pub(super) fn is_empty(&self) -> bool {
        let list = self.list.lock();
        list.all.is_none() && list.keys.is_empty()
    }

    /// The next batch, of up to `max` keys.
    pub(super) fn batch(&self, max: usize) -> Batch {
        let list = self.list.lock();
        let keys = list.keys.iter().take(max).map(|(key, turn)| (key.clone(), *turn)).collect();
        Batch { is_all: list.all.is_some(), keys, turn: list.turn }
    }

    /// Removes a batch that was sent. Keys that were invalidated again since stay.
    pub(super) fn forget(&self, sent: &Batch) {
        let mut list = self.list.lock();
        if sent.is_all && list.all == Some(sent.turn) {
            list.all = None;
        }
        for (key, turn) in &sent.keys {
            if list.keys.get(key) == Some(turn) {
                list.keys.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> DayKey {
        DayKey { route: format!("a#{number}"), date: chrono::NaiveDate::default() }
    }

    #[test]
    fn a_key_that_is_invalidated_again_while_it_is_sent_is_sent_again() {
        let pending = PendingInvalidations::default();
        pending.add(&[key(1), key(2)]);
        let batch = pending.batch(10);
        pending.add(&[key(1)]);
        pending.forget(&batch);
        assert!(pending.has(&key(1)) && !pending.has(&key(2)));
        pending.forget(&pending.batch(10));
        assert!(pending.is_empty());
    }

    #[test]
    fn beyond_the_bound_all_answers_are_invalidated() {
        let pending = PendingInvalidations::default();
        pending.add(&(0..=KEYS_MAX).map(key).collect::<Vec<_>>());
        let batch = pending.batch(10);
        assert!(batch.is_all && batch.keys.is_empty() && pending.has(&key(KEYS_MAX + 7)));
        pending.add(&[key(1)]);
        pending.forget(&batch);
        assert!(!pending.is_empty(), "it ended again meanwhile");
        pending.forget(&pending.batch(10));
        assert!(pending.is_empty());
    }
}
