//! What ended in this process and Redis does not know yet.
//!
//! Bounded: beyond some thousands of keys it is simply everything.

use crate::domain::DayKey;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

/// Keys that are remembered one by one.
const KEYS_MAX: usize = 4_096;

/// The list, shared by committing batches, readers and the flush.
#[derive(Debug, Default)]
pub(super) struct PendingInvalidations {
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    /// Each key, and the turn in which it last ended.
    keys: HashMap<DayKey, u64>,
    /// The turn in which everything ended last, if it did.
    all: Option<u64>,
    turn: u64,
}

/// What one call sends.
#[derive(Debug)]
pub(super) struct Batch {
    /// Everything, in place of the keys.
    pub(super) is_all: bool,
    /// Keys, and the turns in which they ended.
    pub(super) keys: Vec<(DayKey, u64)>,
    turn: u64,
}

impl PendingInvalidations {
    /// These keys have ended.
    pub(super) fn add(&self, keys: &[DayKey]) {
        let mut list = self.list();
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

    /// Whether Redis has yet to be told of the key's end.
    pub(super) fn has(&self, key: &DayKey) -> bool {
        let list = self.list();
        list.all.is_some() || list.keys.contains_key(key)
    }

    pub(super) fn is_empty(&self) -> bool {
        let list = self.list();
        list.all.is_none() && list.keys.is_empty()
    }

    /// What to send next, at most `max` keys.
    pub(super) fn batch(&self, max: usize) -> Batch {
        let list = self.list();
        let keys = list.keys.iter().take(max).map(|(key, turn)| (key.clone(), *turn)).collect();
        Batch { is_all: list.all.is_some(), keys, turn: list.turn }
    }

    /// A batch was sent; what ended again since it was made stays.
    pub(super) fn forget(&self, sent: &Batch) {
        let mut list = self.list();
        if sent.is_all && list.all == Some(sent.turn) {
            list.all = None;
        }
        for (key, turn) in &sent.keys {
            if list.keys.get(key) == Some(turn) {
                list.keys.remove(key);
            }
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().expect("no holder of the list panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> DayKey {
        DayKey { route: format!("a#{number}"), date: chrono::NaiveDate::default() }
    }

    #[test]
    fn what_ends_again_while_it_is_sent_is_sent_again() {
        let unsent = PendingInvalidations::default();
        unsent.add(&[key(1), key(2)]);
        let batch = unsent.batch(10);
        unsent.add(&[key(1)]);
        unsent.forget(&batch);
        assert!(unsent.has(&key(1)) && !unsent.has(&key(2)));
        unsent.forget(&unsent.batch(10));
        assert!(unsent.is_empty());
    }

    #[test]
    fn beyond_the_bound_everything_has_ended() {
        let unsent = PendingInvalidations::default();
        unsent.add(&(0..=KEYS_MAX).map(key).collect::<Vec<_>>());
        let batch = unsent.batch(10);
        assert!(batch.is_all && batch.keys.is_empty() && unsent.has(&key(KEYS_MAX + 7)));
        unsent.add(&[key(1)]);
        unsent.forget(&batch);
        assert!(!unsent.is_empty(), "it ended again meanwhile");
        unsent.forget(&unsent.batch(10));
        assert!(unsent.is_empty());
    }
}
