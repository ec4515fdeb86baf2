//! Flight use cases: create, change, look up.

use crate::cache::SearchCache;
use crate::clock::Clock;
use crate::domain::{Currency, DayKey, Flight, FlightId, NewFlight, ScheduleZone, route_key};
use crate::engine::{Engine, Error};
use crate::rules::{Claim, Command, Outcome, PutFlight, Refusal, RequestKey};
use crate::store::Catalogue;
use std::panic::resume_unwind;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

/// A flight that was created, now or by an earlier request with the same key.
#[derive(Debug)]
pub struct CreatedFlight {
    /// The flight as it is now.
    pub flight: Flight,
    /// Whether an earlier request with the same key made it.
    pub replayed: bool,
}

/// Flight use cases.
#[derive(Clone)]
pub struct Flights {
    /// Where changes go.
    pub engine: Engine,
    /// Where flights are kept.
    pub store: Arc<dyn Catalogue>,
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
    /// Where creations run, so that one that has begun is finished though its caller has gone.
    pub tasks: TaskTracker,
}

impl Flights {
    /// Creates a flight; with a key, once. Both the row and the end of the answers that it outdates
    /// happen even if the caller does not wait for them.
    pub async fn create(
        &self,
        flight: NewFlight,
        key: Option<RequestKey>,
    ) -> Result<CreatedFlight, Error> {
        let flights = self.clone();
        let creation = self.tasks.spawn(async move { flights.create_here(flight, key).await });
        match creation.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(created) => created,
            Err(Ok(panic)) => resume_unwind(panic),
            Err(Err(_)) => Err(Error::Stopping),
        }
    }

    async fn create_here(
        &self,
        flight: NewFlight,
        key: Option<RequestKey>,
    ) -> Result<CreatedFlight, Error> {
        let day = DayKey {
            route: route_key(&flight.source, &flight.destination),
            date: self.zone.day_of(flight.departs_at),
        };
        let now = self.clock.now();
        let claim = match &key {
            Some(key) => {
                self.store.create_flight_once(key, flight, &day, self.currency, now).await?
            }
            None => Claim::New(self.store.create_flight(flight, &day, self.currency, now).await?),
        };
        match claim {
            Claim::New(flight) => {
                self.cache.end(&[day]);
                self.committed.notify_one();
                Ok(CreatedFlight { flight, replayed: false })
            }
            Claim::Made(id) => {
                Ok(CreatedFlight { flight: self.flight(FlightId(id)).await?, replayed: true })
            }
            Claim::Reused => Err(Refusal::IdempotencyKeyReused.into()),
        }
    }

    /// Changes the fields that the command names.
    pub async fn put(&self, put: PutFlight) -> Result<Flight, Error> {
        self.engine.submit(Command::PutFlight(put)).await.map(flight_of)
    }

    /// Carries out many changes, each by itself; answers in their order.
    pub async fn put_all(&self, puts: Vec<PutFlight>) -> Result<Vec<Result<Flight, Error>>, Error> {
        let commands = puts.into_iter().map(Command::PutFlight).collect();
        let outcomes = self.engine.submit_all(commands, &[]).await?;
        Ok(outcomes.into_iter().map(|outcome| outcome.map(flight_of)).collect())
    }

    /// One flight.
    pub async fn flight(&self, id: FlightId) -> Result<Flight, Error> {
        Ok(self.store.flight(id).await?.ok_or(Refusal::FlightNotFound(id))?)
    }
}

/// The flight that a change of it answers with.
fn flight_of(outcome: Outcome) -> Flight {
    match outcome {
        Outcome::Flight(flight) => flight,
        Outcome::Booking { booking, .. } => {
            unreachable!("a flight's change answered with booking {}", booking.id)
        }
    }
}
