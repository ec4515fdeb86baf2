//! Flight use cases: create, change, look up.

use super::command::{Command, Outcome, PutFlight, Refusal};
use super::engine::Engine;
use crate::cache::SearchCache;
use crate::clock::Clock;
use crate::domain::{Currency, DayKey, Flight, FlightId, NewFlight, ScheduleZone, route_key};
use crate::error::Error;
use crate::store::Store;
use std::sync::Arc;
use tokio::sync::Notify;

/// Flight use cases.
#[derive(Clone)]
pub struct Flights {
    /// Where changes go.
    pub engine: Engine,
    /// Where flights are kept.
    pub store: Arc<dyn Store>,
    /// What a new flight outdates.
    pub cache: Arc<dyn SearchCache>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What new flights are priced in.
    pub currency: Currency,
    /// Whose days searches mean.
    pub zone: ScheduleZone,
    /// Wakes the relay.
    pub committed: Arc<Notify>,
}

impl Flights {
    /// Creates a flight.
    pub async fn create(&self, flight: NewFlight) -> Result<Flight, Error> {
        let day = DayKey {
            route: route_key(&flight.source, &flight.destination),
            date: self.zone.day_of(flight.departs_at),
        };
        let now = self.clock.now();
        let flight = self.store.create_flight(flight, &day, self.currency, now).await?;
        self.cache.end(&[day]);
        self.committed.notify_one();
        Ok(flight)
    }

    /// Changes the fields that the command names.
    pub async fn put(&self, put: PutFlight) -> Result<Flight, Error> {
        match self.engine.submit(Command::PutFlight(put)).await? {
            Outcome::Flight(flight) => Ok(flight),
            Outcome::Booking { booking, .. } => {
                unreachable!("a flight's change answered with booking {}", booking.id)
            }
        }
    }

    /// One flight.
    pub async fn flight(&self, id: FlightId) -> Result<Flight, Error> {
        Ok(self.store.flight(id).await?.ok_or(Refusal::FlightNotFound(id))?)
    }
}
