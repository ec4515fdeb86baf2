//! Itineraries: direct flights and connections from one city to another.
//!
//! A timetable of the day and the two after is kept in memory: times and prices, without seats. It is
//! kept under the generations of its days ([`DayKey::timetable`]), as answers of searches are: a commit that
//! changes more than seats ends them, for this process at once and for others within 100 ms. The seats of
//! the flights found are read from the store. A flight that is no longer as the timetable shows it makes the
//! timetable be loaded again.

mod front;
mod question;
mod scan;
mod seats;
mod timetable;

pub use question::{Itinerary, Question, Sort};

use crate::cache::{Generation, SearchCache};
use crate::clock::Clock;
use crate::domain::{Currency, DayKey, ScheduleZone, Timestamp};
use crate::engine::Error;
use crate::store::{Store, StoreError};
use chrono::{Days, NaiveDate, TimeDelta};
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use scan::Request;
use seats::{Confirmed, confirmed};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use timetable::Timetable;

/// Days of a timetable: that of the first departure, and those on which later flights depart.
const DAYS: usize = 3;

/// Maximum flights of the timetables in memory, at about 100 bytes each.
const FLIGHTS_MAX: u64 = 500_000;

/// Settings of itineraries.
#[derive(Debug, Clone)]
pub struct ItinerarySettings {
    /// The time zone of schedule days (`SCHEDULE_TIMEZONE`).
    pub zone: ScheduleZone,
    /// How long this process keeps a timetable (`CACHE_TTL`).
    pub ttl: Duration,
    /// How long before departure a flight closes (`BOOKING_CLOSES_BEFORE`); `None`: never.
    pub closes_before: Option<TimeDelta>,
    /// How long after an arrival the next flight departs (`MIN_CONNECTION` to `MAX_CONNECTION`).
    pub connection: RangeInclusive<TimeDelta>,
    /// The currency whose prices come first (`CURRENCY`).
    pub currency: Currency,
}

/// A day, and the generations of the days of its timetable.
type Key = (NaiveDate, [Generation; DAYS]);

/// Finds itineraries. Cheap to clone.
#[derive(Clone)]
pub struct Itineraries {
    store: Arc<dyn Store>,
    cache: Arc<dyn SearchCache>,
    clock: Arc<dyn Clock>,
    timetables: Cache<Key, Arc<Timetable>>,
    settings: Arc<ItinerarySettings>,
}

impl Itineraries {
    /// Itineraries without a timetable in memory.
    pub fn new(
        store: Arc<dyn Store>,
        cache: Arc<dyn SearchCache>,
        clock: Arc<dyn Clock>,
        settings: ItinerarySettings,
    ) -> Self {
        let flights = |_: &Key, timetable: &Arc<Timetable>| {
            u32::try_from(timetable.departures.len() + 1).unwrap_or(u32::MAX)
        };
        // LRU, since timetables of past generations are never read again.
        let timetables = Cache::builder()
            .max_capacity(FLIGHTS_MAX)
            .weigher(flights)
            .time_to_live(settings.ttl)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { store, cache, clock, timetables, settings: Arc::new(settings) }
    }

    /// The itineraries that no other beats in departure, arrival, price and stops together.
    pub async fn find(&self, question: &Question) -> Result<Vec<Itinerary>, Error> {
        let mut found = self.find_all(question, None).await?;
        found.truncate(question.limit);
        Ok(found)
    }

    /// The itineraries of each leg of a journey with several destinations. A leg begins after the earliest
    /// arrival of the leg before it, or after its earliest departure if no arrival is known.
    pub async fn find_legs(&self, legs: &[Question]) -> Result<Vec<Vec<Itinerary>>, Error> {
        let mut all = Vec::with_capacity(legs.len());
        let mut earliest = None;
        for leg in legs {
            let mut found = self.find_all(leg, earliest).await?;
            let arrival = found.iter().filter_map(Itinerary::arrives_at).min();
            let departure = || found.iter().filter_map(Itinerary::departs_at).min();
            earliest = arrival.or_else(departure).or(earliest);
            found.truncate(leg.limit);
            all.push(found);
        }
        Ok(all)
    }

    /// All itineraries, sorted, that depart at `earliest` or later.
    async fn find_all(
        &self,
        question: &Question,
        earliest: Option<Timestamp>,
    ) -> Result<Vec<Itinerary>, Error> {
        let mut found = self.journeys(question, earliest).await?;
        if found.is_stale {
            // Not again if this answer is stale too: flights may change all the time.
            found = self.journeys(question, earliest).await?;
        }
        let itinerary = |(segments, currency)| Itinerary::of(segments, currency);
        let mut found: Vec<_> = found.journeys.into_iter().map(itinerary).collect();
        let main = self.settings.currency;
        found.sort_by(|one, other| question.sort.compare(one, other, main));
        Ok(found)
    }

    /// Searches the timetable. Forgets it if a flight is no longer as it shows.
    async fn journeys(
        &self,
        question: &Question,
        earliest: Option<Timestamp>,
    ) -> Result<Confirmed, Error> {
        let key = self.key(question.date).await;
        let timetable = self.timetable(&key).await?;
        let places = (timetable.place(&question.source), timetable.place(&question.destination));
        let (Some(source), Some(destination)) = places else {
            return Ok(Confirmed { journeys: Vec::new(), is_stale: false });
        };
        let (from, until) = self.settings.zone.bounds(question.date);
        let request = Request {
            source,
            destination,
            departing: earliest.map_or(from, |earliest| earliest.max(from))..until,
            legs_max: question.stops_max + 1,
            connection: self.settings.connection.clone(),
            equals_max: question.limit,
        };
        let now = self.clock.now();
        let found = confirmed(&*self.store, &timetable, &request, question.seats, now).await?;
        if found.is_stale {
            self.timetables.invalidate(&key).await;
        }
        Ok(found)
    }

    async fn key(&self, date: NaiveDate) -> Key {
        let [first, second, third] = days(date).map(DayKey::timetable);
        let generations = tokio::join!(
            self.cache.current(&first),
            self.cache.current(&second),
            self.cache.current(&third)
        );
        (date, generations.into())
    }

    /// The timetable from memory, else from the store. One load at a time for each key.
    async fn timetable(&self, key: &Key) -> Result<Arc<Timetable>, Error> {
        let load = async {
            let [first, .., last] = days(key.0);
            let from = self.settings.zone.bounds(first).0;
            let until = self.settings.zone.bounds(last).1;
            let flights = self.store.on_sale(from, until).await?;
            Ok(Arc::new(Timetable::of(flights, self.settings.closes_before)))
        };
        let loaded = self.timetables.try_get_with_by_ref(key, load).await;
        loaded.map_err(|error| Error::Store(StoreError::shared(error)))
    }
}

/// The days of the timetable that begins on a day.
fn days(date: NaiveDate) -> [NaiveDate; DAYS] {
    [0, 1, 2].map(|after| date.checked_add_days(Days::new(after)).unwrap_or(NaiveDate::MAX))
}
