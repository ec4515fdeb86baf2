//! The shared cache: generations of days, and the answers that replicas share.

use airline_booking::domain::DayKey;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The cache that all replicas share. A clone is the same cache.
#[derive(Clone, Default)]
pub struct CacheServer(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    days: BTreeMap<DayKey, Day>,
    /// Number of the epoch; a day of an earlier one is invalid.
    epoch: u64,
    /// Tokens drawn so far. Each generation has its own.
    tokens: u64,
}

struct Day {
    token: u64,
    epoch: u64,
    answer: Option<Bytes>,
}

impl CacheServer {
    /// The day's generation; a new one if it has none that is valid.
    pub(super) fn current(&self, key: &DayKey) -> u64 {
        let mut table = self.0.lock();
        let epoch = table.epoch;
        if let Some(day) = table.days.get(key).filter(|day| day.epoch == epoch) {
            return day.token;
        }
        table.tokens += 1;
        let token = table.tokens;
        table.days.insert(key.clone(), Day { token, epoch, answer: None });
        token
    }

    /// The answer of a generation that is still current.
    pub(super) fn fetch(&self, key: &DayKey, token: u64) -> Option<Bytes> {
        let table = self.0.lock();
        let day = table.days.get(key)?;
        (day.token == token && day.epoch == table.epoch).then(|| day.answer.clone())?
    }

    /// Keeps the first answer of a generation that is still current.
    pub(super) fn keep(&self, key: &DayKey, token: u64, answer: &Bytes) {
        let mut table = self.0.lock();
        if let Some(day) = table.days.get_mut(key).filter(|day| day.token == token) {
            day.answer.get_or_insert_with(|| answer.clone());
        }
    }

    /// Ends the generations of these days.
    pub(super) fn end<'a>(&self, keys: impl IntoIterator<Item = &'a DayKey>) {
        let mut table = self.0.lock();
        for key in keys.into_iter().filter(|_| !planted!(invalidations_are_dropped)) {
            table.days.remove(key);
        }
    }

    /// Ends all generations.
    pub fn end_all(&self) {
        self.0.lock().epoch += 1;
    }
}
