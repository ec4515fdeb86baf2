//! Cached answers without the flights that have closed since their load.

use super::Answer;
use crate::domain::{Flight, Timestamp};
use chrono::Duration;
use parking_lot::Mutex;
use std::sync::Arc;

/// A cached answer of the store. A flight that closes is left out here and costs no load: the store's
/// answer does not depend on the time.
#[derive(Debug)]
pub(super) struct KeptAnswer {
    whole: OpenAnswer,
    /// The answer without closed flights; made when a flight closes, and again when the next one does.
    latest: Mutex<Option<OpenAnswer>>,
    closes_before: Option<Duration>,
}

/// An answer, and when its first flight closes.
#[derive(Debug, Clone)]
struct OpenAnswer {
    answer: Arc<Answer>,
    closes_at: Option<Timestamp>,
}

impl KeptAnswer {
    /// Keeps an answer. Its flights close `closes_before` their departure; `None`: never.
    pub(super) fn of(answer: Answer, closes_before: Option<Duration>) -> Self {
        let whole = OpenAnswer::of(answer, closes_before);
        Self { whole, latest: Mutex::default(), closes_before }
    }

    /// The flights of the answer that are open now. Calls `now` only if a flight of the answer ever closes.
    pub(super) fn at(&self, now: impl FnOnce() -> Timestamp) -> Arc<Answer> {
        let Some(closes_at) = self.whole.closes_at else { return self.whole.answer.clone() };
        let now = now();
        if now < closes_at { self.whole.answer.clone() } else { self.remaining(now) }
    }

    fn remaining(&self, now: Timestamp) -> Arc<Answer> {
        let mut latest = self.latest.lock();
        match &*latest {
            Some(open) if open.is_open(now) => open.answer.clone(),
            _ => {
                let is_open = |flight: &&Flight| flight.is_bookable(now, self.closes_before);
                let left = self.whole.answer.flights.iter().filter(is_open).cloned().collect();
                let open = OpenAnswer::of(Answer::of(left), self.closes_before);
                latest.insert(open).answer.clone()
            }
        }
    }
}

impl OpenAnswer {
    fn of(answer: Answer, closes_before: Option<Duration>) -> Self {
        let closes_at = answer.flights.iter().filter_map(|f| f.closes_at(closes_before)).min();
        Self { answer: Arc::new(answer), closes_at }
    }

    fn is_open(&self, now: Timestamp) -> bool {
        self.closes_at.is_none_or(|closes_at| now < closes_at)
    }
}
