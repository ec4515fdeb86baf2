//! What is asked, and what is answered.

use crate::domain::{Currency, Flight, Money, SeatCount, Timestamp};
use chrono::NaiveDate;
use serde::Serialize;
use std::cmp::Ordering;

/// A search for itineraries.
#[derive(Debug, Clone)]
pub struct Question {
    /// City of departure ([`crate::domain::city_key`]).
    pub source: String,
    /// City of arrival ([`crate::domain::city_key`]).
    pub destination: String,
    /// Schedule day of the first departure.
    pub date: NaiveDate,
    /// Maximum stops, up to [`Question::STOPS_MAX`].
    pub stops_max: usize,
    /// Seats that each flight must have free.
    pub seats: SeatCount,
    /// Order of the itineraries.
    pub sort: Sort,
    /// Maximum itineraries.
    pub limit: usize,
}

impl Question {
    /// The largest number of stops.
    pub const STOPS_MAX: usize = super::front::LEGS_MAX - 1;
    /// The largest limit.
    pub const LIMIT_MAX: usize = 200;
    /// The limit unless another is asked for.
    pub const LIMIT_DEFAULT: usize = 50;
}

/// Order of itineraries. Equal ones are in order of departure, arrival, price, stops and flights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// The earliest departure first.
    #[default]
    Departure,
    /// The shortest first; unknown arrivals last.
    Duration,
    /// The lowest price first.
    Price,
}

/// Flights one after the other, with a connection between two.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Itinerary {
    /// The flights in order; one is a direct flight.
    pub segments: Vec<Flight>,
    /// Number of connections.
    pub stops: usize,
    /// Time from departure to arrival; `null` for a flight whose arrival is unknown.
    pub duration_minutes: Option<i64>,
    /// Price of one passenger.
    pub price: Money,
    /// The price's currency.
    #[schema(value_type = String, example = "INR")]
    pub currency: Currency,
    /// The fewest free seats of a segment.
    pub seats: SeatCount,
}

impl Itinerary {
    /// An itinerary of these flights, of which there is at least one; all prices are in `currency`.
    pub(super) fn of(segments: Vec<Flight>, currency: Currency) -> Self {
        let price: i64 = segments.iter().map(|flight| flight.price.stored()).sum();
        let departs_at = segments.first().map(|flight| flight.departs_at);
        let arrives_at = segments.last().and_then(|flight| flight.arrives_at);
        let duration = departs_at.zip(arrives_at).map(|(from, until)| until - from);
        Self {
            stops: segments.len().saturating_sub(1),
            duration_minutes: duration.map(|duration| duration.num_minutes()),
            price: Money::from_stored(price, currency.decimals()),
            currency,
            seats: segments.iter().map(Flight::free_seats).min().unwrap_or_default(),
            segments,
        }
    }

    pub(super) fn departs_at(&self) -> Option<Timestamp> {
        self.segments.first().map(|flight| flight.departs_at)
    }

    pub(super) fn arrives_at(&self) -> Option<Timestamp> {
        self.segments.last().and_then(|flight| flight.arrives_at)
    }
}

impl Sort {
    /// Compares two itineraries. `main` is the currency whose prices come first.
    pub(super) fn compare(self, one: &Itinerary, other: &Itinerary, main: Currency) -> Ordering {
        let arrival = |it: &Itinerary| (it.arrives_at().is_none(), it.arrives_at());
        let price = |it: &Itinerary| (it.currency != main, it.currency, it.price);
        let duration = |it: &Itinerary| match (it.departs_at(), it.arrives_at()) {
            (Some(from), Some(until)) => (false, Some(until - from)),
            _ => (true, None),
        };
        let asked = match self {
            Self::Departure => Ordering::Equal,
            Self::Duration => duration(one).cmp(&duration(other)),
            Self::Price => price(one).cmp(&price(other)),
        };
        let flights = |it: &Itinerary| {
            it.segments.iter().map(|flight| (flight.departs_at, flight.id)).collect::<Vec<_>>()
        };
        asked
            .then_with(|| one.departs_at().cmp(&other.departs_at()))
            .then_with(|| arrival(one).cmp(&arrival(other)))
            .then_with(|| price(one).cmp(&price(other)))
            .then_with(|| one.stops.cmp(&other.stops))
            .then_with(|| flights(one).cmp(&flights(other)))
    }
}
