//! The departures of a day and the two after: times and prices, without seats.

use crate::domain::{City, Currency, Flight, FlightId, Timestamp, city_key};
use chrono::TimeDelta;
use std::collections::HashMap;

/// Number of a city in its timetable.
pub(super) type Place = usize;

/// A flight on sale.
#[derive(Debug, Clone, Copy)]
pub(super) struct Departure {
    pub(super) id: FlightId,
    pub(super) source: Place,
    pub(super) destination: Place,
    pub(super) departs_at: Timestamp,
    /// `None`: unknown, so the flight connects to nothing.
    pub(super) arrives_at: Option<Timestamp>,
    /// Price of one seat, as the stores count it.
    pub(super) price: i64,
    pub(super) currency: Currency,
    /// When the clock ends its sale; `None`: never.
    closes_at: Option<Timestamp>,
}

impl Departure {
    pub(super) fn is_open(&self, now: Timestamp) -> bool {
        self.closes_at.is_none_or(|closes_at| now < closes_at)
    }
}

/// The flights on sale that depart within three days.
#[derive(Debug)]
pub(super) struct Timetable {
    /// By departure, then id.
    pub(super) departures: Vec<Departure>,
    /// Number of cities.
    pub(super) places: usize,
    pub(super) currencies: Vec<Currency>,
    /// The cities by key ([`city_key`]).
    by_key: HashMap<String, Place>,
    /// The cities by each spelling of a flight.
    by_name: HashMap<City, Place>,
}

impl Timetable {
    /// A timetable of these flights, which close `closes_before` their departure; `None`: never.
    pub(super) fn of(mut flights: Vec<Flight>, closes_before: Option<TimeDelta>) -> Self {
        flights.sort_unstable_by_key(|flight| (flight.departs_at, flight.id));
        let mut timetable = Self {
            departures: Vec::with_capacity(flights.len()),
            places: 0,
            currencies: Vec::new(),
            by_key: HashMap::new(),
            by_name: HashMap::new(),
        };
        for flight in &flights {
            let departure = Departure {
                id: flight.id,
                source: timetable.enter(&flight.source),
                destination: timetable.enter(&flight.destination),
                departs_at: flight.departs_at,
                arrives_at: flight.arrives_at.filter(|arrival| *arrival > flight.departs_at),
                price: flight.price.stored(),
                currency: flight.currency,
                closes_at: flight.closes_at(closes_before),
            };
            timetable.departures.push(departure);
            if !timetable.currencies.contains(&flight.currency) {
                timetable.currencies.push(flight.currency);
            }
        }
        timetable.places = timetable.by_key.len();
        timetable
    }

    fn enter(&mut self, city: &City) -> Place {
        if let Some(place) = self.by_name.get(city) {
            return *place;
        }
        let next = self.by_key.len();
        let place = *self.by_key.entry(city_key(city)).or_insert(next);
        self.by_name.insert(city.clone(), place);
        place
    }

    /// The city with this key, if a flight serves it.
    pub(super) fn place(&self, key: &str) -> Option<Place> {
        self.by_key.get(key).copied()
    }

    /// Whether a stored flight is still as the timetable shows it.
    pub(super) fn shows(&self, departure: &Departure, flight: &Flight) -> bool {
        let serves = |city: &City, place| self.by_name.get(city) == Some(&place);
        serves(&flight.source, departure.source)
            && serves(&flight.destination, departure.destination)
            && flight.departs_at == departure.departs_at
            && flight.arrives_at.filter(|at| *at > flight.departs_at) == departure.arrives_at
            && (flight.price.stored(), flight.currency) == (departure.price, departure.currency)
            && flight.flight_status.is_for_sale()
    }
}
