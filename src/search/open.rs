//! What is left of a kept answer as its flights close.

use super::Answer;
use crate::domain::{Flight, Timestamp};
use chrono::Duration;
use std::sync::{Arc, Mutex};

/// An answer of the store, kept for as long as its generation lasts. The store knows no clock: the
/// flights that have closed since are left out here, without asking it again.
#[derive(Debug)]
pub(super) struct KeptAnswer {
    whole: OpenAnswer,
    /// The whole one less what has closed: made when a flight closes, again when the next one does.
    latest: Mutex<Option<OpenAnswer>>,
    closes_before: Option<Duration>,
}

/// An answer, and when it ends because its first flight closes.
#[derive(Debug, Clone)]
struct OpenAnswer {
    answer: Arc<Answer>,
    ends_at: Option<Timestamp>,
}

impl KeptAnswer {
    /// Keeps an answer whose flights close this long before departure; `None`: never.
    pub(super) fn of(answer: Answer, closes_before: Option<Duration>) -> Self {
        let whole = OpenAnswer::of(answer, closes_before);
        Self { whole, latest: Mutex::default(), closes_before }
    }

    /// The answer at this moment. `now` is asked only if a flight of it ever closes.
    pub(super) fn at(&self, now: impl FnOnce() -> Timestamp) -> Arc<Answer> {
        let Some(ends_at) = self.whole.ends_at else { return self.whole.answer.clone() };
        let now = now();
        if now < ends_at { self.whole.answer.clone() } else { self.remaining(now) }
    }

    fn remaining(&self, now: Timestamp) -> Arc<Answer> {
        let mut latest = self.latest.lock().expect("no holder of an answer panics");
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
        let ends_at = answer.flights.iter().filter_map(|f| f.closes_at(closes_before)).min();
        Self { answer: Arc::new(answer), ends_at }
    }

    fn is_open(&self, now: Timestamp) -> bool {
        self.ends_at.is_none_or(|ends_at| now < ends_at)
    }
}
