//! The role for flights: creation, import, search.

use crate::domain::{Currency, DayKey, FareRules, Flight, FlightId, NewFlight, Timestamp};
use crate::rules::{Claim, RequestKey};
use crate::store::{FlightFilter, FlightPlace, StoreError};
use async_trait::async_trait;

/// Maximum count of [`Numbered::others`].
pub const OTHERS_MAX: i64 = 100;

/// Creates and finds flights.
#[async_trait]
pub trait Catalogue: Send + Sync + 'static {
    /// Creates a flight. The same transaction writes `flight.created` and the invalidation of the day's
    /// cached searches and timetable to the outbox.
    async fn create_flight(
        &self,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Flight, StoreError>;

    /// Creates a flight once per key: [`Self::create_flight`], with the key in the same transaction.
    async fn create_flight_once(
        &self,
        request: &RequestKey,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Claim<Flight>, StoreError>;

    /// Creates the flights that are not stored yet, in one transaction that also invalidates every
    /// cached search. Two flights are the same if flight number (or its absence), route and departure
    /// are. Publishes no event. Returns how many it created.
    async fn import_flights(
        &self,
        flights: &[NewFlight],
        currency: Currency,
        now: Timestamp,
    ) -> Result<usize, StoreError>;

    /// One flight.
    async fn flight(&self, id: FlightId) -> Result<Option<Flight>, StoreError>;

    /// Flights on a route (a [`crate::domain::route_key`]) that depart in `[from, until)`, have a status
    /// that can be booked, and seats left; by departure, then id. The caller applies the closing time
    /// ([`Flight::closes_at`]).
    async fn search(
        &self,
        route: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Flight>, StoreError>;

    /// As [`Self::search`], sold-out flights too.
    async fn search_all(
        &self,
        route: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Flight>, StoreError>;

    /// Flights of every route that depart in `[from, until)` and have a status that can be booked, sold-out
    /// ones too; by departure, then id. The caller applies the closing time.
    async fn on_sale(&self, from: Timestamp, until: Timestamp) -> Result<Vec<Flight>, StoreError>;

    /// Flights that a filter lets through, sold out, departed and cancelled ones too; by departure, then id:
    /// at most `limit`, all after a place. Unreadable rows are left out, and logged and counted by the store.
    async fn flights(
        &self,
        filter: &FlightFilter,
        after: Option<FlightPlace>,
        limit: usize,
    ) -> Result<Vec<Flight>, StoreError>;

    /// Flights of any status that depart in these spans. The spans must not overlap.
    async fn departures(&self, spans: &[RouteSpan]) -> Result<Vec<Flight>, StoreError>;

    /// The last stored version of fare rules, with fees in `currency`; `None` if none is stored.
    async fn fare_rules(
        &self,
        name: &str,
        currency: Currency,
    ) -> Result<Option<FareRules>, StoreError>;

    /// Writes a further version of fare rules: that of `rules`, which must be the next. `false` if another request
    /// wrote it first.
    async fn put_fare_rules(&self, rules: &FareRules, now: Timestamp) -> Result<bool, StoreError>;

    /// Whether no flight is stored, and so no booking.
    async fn is_empty(&self) -> Result<bool, StoreError>;

    /// Compares the stored flights with a list of flight numbers.
    async fn numbered(&self, numbers: &[String]) -> Result<Numbered, StoreError>;
}

/// A time span on a route: departures in `[from, until)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSpan {
    /// A [`crate::domain::route_key`].
    pub route: String,
    /// The first instant.
    pub from: Timestamp,
    /// The first instant after the span.
    pub until: Timestamp,
}

/// The stored flights, compared with a list of flight numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbered {
    /// Flights whose number is not in the list or missing, counted up to [`OTHERS_MAX`].
    pub others: i64,
    /// When the newest flight with a number in the list was created. `None` also where `others` reaches
    /// [`OTHERS_MAX`], since the search for it reads every flight.
    pub newest: Option<Timestamp>,
}
