//! Searches: answers ready to send, cached until a commit touches one of their flights.
//!
//! An answer comes from this process, else from the cache that replicas share, else from the store. It is
//! kept under the generation in which its load began, so a reader of a newer generation never gets it,
//! and a slow load can't bring an old answer back.
//!
//! Replicas share the store's complete answer, which depends on no replica's clock or settings. Each
//! process leaves out closed flights when it sends an answer.

mod answer;
mod calendar;
mod open;

pub use answer::{Answer, FlightList, ListedFlight, WholeFlightList};
pub use calendar::{Calendar, CalendarDay};

use crate::cache::{Generation, SearchCache};
use crate::clock::Clock;
use crate::domain::{DayKey, ScheduleZone};
use crate::engine::Error;
use crate::store::{Catalogue, StoreError};
use crate::telemetry::{Metrics, Side, Tracing};
use chrono::{NaiveDate, TimeDelta};
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use open::KeptAnswer;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The span attribute that names where an answer came from: `process` (also if another caller loaded it
/// at that moment), `redis` or `store`.
const LAYER: &str = "cache.layer";

/// Settings of searches.
#[derive(Debug, Clone, Copy)]
pub struct SearchSettings {
    /// The time zone of schedule days (`SCHEDULE_TIMEZONE`).
    pub zone: ScheduleZone,
    /// How long this process keeps an answer (`CACHE_TTL`).
    pub ttl: Duration,
    /// Maximum answers that this process keeps (`MAX_CACHE_ENTRIES`).
    pub entries_max: u64,
    /// How long before departure a flight closes (`BOOKING_CLOSES_BEFORE`); `None`: never.
    pub closes_before: Option<TimeDelta>,
}

/// Searches flights. Cheap to clone.
#[derive(Clone)]
pub struct Search {
    store: Arc<dyn Catalogue>,
    cache: Arc<dyn SearchCache>,
    clock: Arc<dyn Clock>,
    answers: Cache<(DayKey, Generation), Arc<KeptAnswer>>,
    settings: SearchSettings,
    metrics: Metrics,
    tracing: Tracing,
}

impl Search {
    /// A search with an empty cache.
    pub fn new(
        store: Arc<dyn Catalogue>,
        cache: Arc<dyn SearchCache>,
        clock: Arc<dyn Clock>,
        settings: SearchSettings,
        metrics: Metrics,
        tracing: Tracing,
    ) -> Self {
        // LRU rather than LFU: answers of past generations are never read again, however popular they were.
        let answers = Cache::builder()
            .max_capacity(settings.entries_max)
            .time_to_live(settings.ttl)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { store, cache, clock, answers, settings, metrics, tracing }
    }

    /// Tomorrow in the schedule's time zone.
    pub fn tomorrow(&self) -> NaiveDate {
        let today = self.settings.zone.day_of(self.clock.now());
        today.succ_opt().unwrap_or(today)
    }

    /// The flights for sale on a route that depart on a schedule day.
    pub async fn answer(&self, day: DayKey) -> Result<Arc<Answer>, Error> {
        let generation = self.cache.current(&day).await;
        let key = (day, generation);
        if let Some(kept) = self.answers.get(&key).await {
            self.metrics.cache_hits.inc();
            self.tracing.note(LAYER, "process");
            return Ok(kept.at(|| self.clock.now()));
        }
        self.metrics.cache_misses.inc();
        // One load at a time for each key; callers that come meanwhile share it.
        let layer = OnceLock::new();
        let load = self.load(&key.0, generation, &layer);
        let loaded = self.answers.try_get_with_by_ref(&key, load).await;
        self.tracing.note(LAYER, layer.get().unwrap_or(&"process"));
        let kept = loaded.map_err(|error| Error::Store(StoreError::shared(error)))?;
        Ok(kept.at(|| self.clock.now()))
    }

    /// As [`Self::answer`], sold-out flights too. Read from the store, not cached.
    pub async fn answer_with_sold_out(&self, day: &DayKey) -> Result<Answer, Error> {
        let (from, until) = self.settings.zone.bounds(day.date);
        let mut flights = self.store.search_all(&day.route, from, until).await?;
        let (now, closes_before) = (self.clock.now(), self.settings.closes_before);
        flights.retain(|flight| flight.is_bookable(now, closes_before));
        Ok(Answer::of(flights))
    }

    /// Loads an answer that another replica shared, else from the store, and then shares it.
    async fn load(
        &self,
        day: &DayKey,
        generation: Generation,
        layer: &OnceLock<&'static str>,
    ) -> Result<Arc<KeptAnswer>, StoreError> {
        let keep = |answer| Arc::new(KeptAnswer::of(answer, self.settings.closes_before));
        let shared = self.cache.fetch(day, generation).await;
        if let Some(answer) = shared.and_then(Answer::read) {
            layer.get_or_init(|| "redis");
            return Ok(keep(answer));
        }
        let (from, until) = self.settings.zone.bounds(day.date);
        layer.get_or_init(|| "store");
        let span = self.tracing.span("store.search", Side::Client, &self.tracing.current());
        let found = self.store.search(&day.route, from, until).await;
        if found.is_err() {
            span.fail("store");
        }
        drop(span);
        let answer = Answer::of(found?);
        self.cache.keep(day, generation, &answer.body).await;
        Ok(keep(answer))
    }
}
