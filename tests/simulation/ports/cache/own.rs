//! What a process itself knows of generations: its own invalidations, and what it last heard of the others'.

use airline_booking::domain::DayKey;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// The books of one process.
#[derive(Default)]
pub(super) struct Own {
    /// How often this process has invalidated answers of a day, and of all days.
    ends: BTreeMap<DayKey, u64>,
    all_ends: u64,
    /// Days whose invalidation the shared cache does not know of yet, each with its turn.
    unsent: BTreeMap<DayKey, u64>,
    turn: u64,
    /// Generations as last asked for.
    pub(super) heard: BTreeMap<DayKey, Heard>,
    /// Whether the shared cache was away since it last answered.
    pub(super) was_away: bool,
}

/// A day's generation in the shared cache.
#[derive(Clone, Copy)]
pub(super) struct Heard {
    pub(super) token: u64,
    /// `false` if the shared cache was away: the token is this process' own.
    pub(super) is_shared: bool,
    /// When it was asked for.
    pub(super) asked_at: Instant,
}

impl Own {
    pub(super) fn ends(&self, key: &DayKey) -> u64 {
        self.all_ends + self.ends.get(key).copied().unwrap_or_default()
    }

    pub(super) fn end(&mut self, keys: &[DayKey]) {
        for key in keys {
            *self.ends.entry(key.clone()).or_default() += 1;
        }
    }

    pub(super) fn end_all(&mut self) {
        self.all_ends += 1;
    }

    /// Notes days of which the shared cache must learn.
    pub(super) fn owe(&mut self, keys: &[DayKey]) {
        self.turn += 1;
        self.unsent.extend(keys.iter().map(|key| (key.clone(), self.turn)));
    }

    pub(super) fn owes(&self, key: &DayKey) -> bool {
        self.unsent.contains_key(key)
    }

    pub(super) fn owed(&self) -> BTreeMap<DayKey, u64> {
        self.unsent.clone()
    }

    /// Forgets what was sent, but not what was invalidated again since.
    pub(super) fn paid(&mut self, sent: &BTreeMap<DayKey, u64>) {
        self.unsent.retain(|key, turn| sent.get(key) != Some(turn));
    }
}
