//! Searching flights: answers ready to send, cached until a commit touches one of their flights.
//!
//! In this process first, then what replicas share, then the store. An answer is kept under the
//! generation in which its load began: whoever reads the newer generation can't be given the older
//! answer, and a slow load can't put it back.
//!
//! What is shared is the store's answer whole, so that it depends on no replica's clock or settings;
//! each process leaves out the flights that have closed when it gives an answer.

mod open;

use crate::cache::{Generation, SearchCache};
use crate::clock::Clock;
use crate::domain::{DayKey, Flight, ScheduleZone, route_key};
use crate::engine::Error;
use crate::store::{Store, StoreError};
use crate::telemetry::{Metrics, Side, Tracing};
use bytes::Bytes;
use chrono::{NaiveDate, TimeDelta};
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use open::KeptAnswer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What traces call the layer that answered: `process`, also for who shared another's load, `redis`
/// or `store`.
const LAYER: &str = "cache.layer";

/// Flights of one route and day, as they were at some moment after the question came.
#[derive(Debug)]
pub struct Answer {
    /// The answer to the plain question, as JSON: `{"flights":[…],"count":n}`.
    pub body: Bytes,
    /// Names the body: quoted, as the `ETag` header wants it.
    pub etag: String,
    /// The flights, by departure.
    pub flights: Vec<Flight>,
    /// The compressed body, made for the first client that accepts it.
    zipped: OnceLock<Bytes>,
}

/// The answer's JSON.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct FlightList<'a> {
    /// Flights for sale, by departure unless sorted otherwise.
    #[schema(value_type = Vec<Flight>)]
    pub flights: Vec<&'a Flight>,
    /// How many.
    pub count: usize,
}

impl<'a> FlightList<'a> {
    /// A list of these flights.
    pub fn of(flights: Vec<&'a Flight>) -> Self {
        Self { count: flights.len(), flights }
    }
}

impl Answer {
    /// The body as `zip` compresses it: done once for each answer, however many clients ask.
    pub fn zipped(&self, zip: impl FnOnce(&[u8]) -> Bytes) -> Bytes {
        self.zipped.get_or_init(|| zip(&self.body)).clone()
    }

    fn of(flights: Vec<Flight>) -> Self {
        let body = serde_json::to_vec(&FlightList::of(flights.iter().collect()))
            .expect("flights are plain data");
        Self::with(body.into(), flights)
    }

    /// The answer that another replica serialised; nothing if this one would not understand it.
    fn read(body: Bytes) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            flights: Vec<Flight>,
        }
        let Body { flights } = serde_json::from_slice(&body).ok()?;
        Some(Self::with(body, flights))
    }

    fn with(body: Bytes, flights: Vec<Flight>) -> Self {
        let digest: [u8; 32] = Sha256::digest(&body).into();
        let (tag, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
        let etag = format!("\"{:016x}\"", u64::from_be_bytes(*tag));
        Self { body, etag, flights, zipped: OnceLock::new() }
    }
}

/// The operator's choices for searches.
#[derive(Debug, Clone, Copy)]
pub struct SearchSettings {
    /// Whose days are meant (`SCHEDULE_TIMEZONE`).
    pub zone: ScheduleZone,
    /// How long an answer is kept at most (`CACHE_TTL`).
    pub ttl: Duration,
    /// How many answers this process keeps at most (`MAX_CACHE_ENTRIES`).
    pub entries_max: u64,
    /// How long before departure a flight is no longer found (`BOOKING_CLOSES_BEFORE`); `None`: it
    /// always is.
    pub closes_before: Option<TimeDelta>,
}

/// Searches flights. Cheap to clone.
#[derive(Clone)]
pub struct Search {
    store: Arc<dyn Store>,
    cache: Arc<dyn SearchCache>,
    clock: Arc<dyn Clock>,
    answers: Cache<(DayKey, Generation), Arc<KeptAnswer>>,
    settings: SearchSettings,
    metrics: Metrics,
    tracing: Tracing,
}

impl Search {
    /// A search that keeps no answer yet.
    pub fn new(
        store: Arc<dyn Store>,
        cache: Arc<dyn SearchCache>,
        clock: Arc<dyn Clock>,
        settings: SearchSettings,
        metrics: Metrics,
        tracing: Tracing,
    ) -> Self {
        // Answers of ended generations are never asked for again, however often they once were.
        let answers = Cache::builder()
            .max_capacity(settings.entries_max)
            .time_to_live(settings.ttl)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { store, cache, clock, answers, settings, metrics, tracing }
    }

    /// The next day of the schedule's time zone.
    pub fn tomorrow(&self) -> NaiveDate {
        let today = self.settings.zone.day_of(self.clock.now());
        today.succ_opt().unwrap_or(today)
    }

    /// The flights for sale from `source` to `destination` (however they are written)
    /// that depart on `date` of the schedule's time zone.
    pub async fn answer(
        &self,
        source: &str,
        destination: &str,
        date: NaiveDate,
    ) -> Result<Arc<Answer>, Error> {
        let day = DayKey { route: route_key(source, destination), date };
        let generation = self.cache.current(&day).await;
        let key = (day, generation);
        if let Some(kept) = self.answers.get(&key).await {
            self.metrics.cache_hits.inc();
            self.tracing.note(LAYER, "process");
            return Ok(kept.at(|| self.clock.now()));
        }
        self.metrics.cache_misses.inc();
        // One load at a time for each key; who comes meanwhile shares it.
        let layer = OnceLock::new();
        let load = self.load(&key.0, generation, &layer);
        let loaded = self.answers.try_get_with_by_ref(&key, load).await;
        self.tracing.note(LAYER, layer.get().unwrap_or(&"process"));
        let kept = loaded.map_err(|error| Error::Store(shared(error)))?;
        Ok(kept.at(|| self.clock.now()))
    }

    /// From another replica if one has shared it, else from the store, to be shared.
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

/// The failure of a load that several callers shared, for one of them: the same kind and cause.
fn shared(error: Arc<StoreError>) -> StoreError {
    match &*error {
        StoreError::Unavailable(_) => StoreError::Unavailable(error.into()),
        StoreError::Locked(_) => StoreError::Locked(error.into()),
        StoreError::TimedOut(_) => StoreError::TimedOut(error.into()),
        StoreError::Corrupt { table, column, row } => {
            StoreError::Corrupt { table, column, row: row.clone() }
        }
        StoreError::Refused(_) => StoreError::Refused(error.into()),
    }
}
