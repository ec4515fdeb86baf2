//! Flight use cases: create, change, look up.

use crate::clock::Clock;
use crate::domain::{
    Currency, DayKey, FareName, FareRules, Flight, FlightId, Invalid, NewFlight, ScheduleZone,
    route_key,
};
use crate::engine::{AfterCommit, Engine, Error};
use crate::rules::{Claim, PutFlight, Refusal, RequestKey};
use crate::store::{Catalogue, FlightFilter, FlightPlace};
use crate::tasks::Tasks;
use std::panic::resume_unwind;
use std::sync::Arc;

/// A flight that this request, or an earlier one with the same key, created.
#[derive(Debug)]
pub struct CreatedFlight {
    /// The flight as it is now.
    pub flight: Flight,
    /// Whether an earlier request with the same key created it.
    pub replayed: bool,
}

/// Flight use cases.
#[derive(Clone)]
pub struct Flights {
    /// Runs the changes.
    pub engine: Engine,
    /// Holds the flights.
    pub store: Arc<dyn Catalogue>,
    /// Dates new flights.
    pub clock: Arc<dyn Clock>,
    /// Currency of new flights.
    pub currency: Currency,
    /// Time zone of the days in searches.
    pub zone: ScheduleZone,
    /// Follows each commit of a new flight.
    pub after_commit: AfterCommit,
    /// Runs creations, so that one that has started finishes even if its caller disconnects.
    pub tasks: Tasks,
}

impl Flights {
    /// Creates a flight; with a key, once. Both the insert and the invalidation of cached answers
    /// complete even if the caller disconnects.
    pub async fn create(
        &self,
        flight: NewFlight,
        key: Option<RequestKey>,
    ) -> Result<CreatedFlight, Error> {
        let flights = self.clone();
        let creation = self.tasks.spawn(async move { flights.create_now(flight, key).await });
        match creation.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(created) => created,
            Err(Ok(panic)) => resume_unwind(panic),
            Err(Err(_)) => Err(Error::Stopping),
        }
    }

    async fn create_now(
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
                self.after_commit.run(&day.with_timetable());
                Ok(CreatedFlight { flight, replayed: false })
            }
            Claim::Made(id) => {
                Ok(CreatedFlight { flight: self.flight(FlightId(id)).await?, replayed: true })
            }
            Claim::Reused => Err(Refusal::IdempotencyKeyReused.into()),
        }
    }

    /// The last version of fare rules; `None`: there are none of this name.
    pub async fn fare_rules(&self, name: &str) -> Result<Option<FareRules>, Error> {
        let stored = self.store.fare_rules(name, self.currency).await?;
        Ok(stored.or_else(|| FareRules::shipped_as(name, self.currency)))
    }

    /// Makes a further version of fare rules, unless the last one has the same rows. What was sold keeps its version.
    /// Returns the rules, and whether the name is new.
    pub async fn put_fare_rules(&self, rules: FareRules) -> Result<(FareRules, bool), Error> {
        loop {
            let last = self.fare_rules(&rules.name).await?;
            if let Some(last) = last.as_ref().filter(|last| last.rows == rules.rows) {
                return Ok((last.clone(), false));
            }
            let version = last.as_ref().map_or(0, |last| last.version) + 1;
            let next = FareRules { version, ..rules.clone() };
            if self.store.put_fare_rules(&next, self.clock.now()).await? {
                return Ok((next, last.is_none()));
            }
        }
    }

    /// Notes it if a flight would have fare rules that there are not.
    pub async fn check_fare_rules(
        &self,
        name: Option<&FareName>,
        invalid: &mut Invalid,
    ) -> Result<(), Error> {
        let Some(name) = name.filter(|name| name.stored().is_some()) else { return Ok(()) };
        if self.fare_rules(name.as_str()).await?.is_none() {
            invalid.add(
                "/fare_rules",
                "must be the name of fare rules: PUT /fare-rules/{name} makes them",
            );
        }
        Ok(())
    }

    /// Changes the fields that the command names.
    pub async fn put(&self, put: PutFlight) -> Result<Flight, Error> {
        self.engine.put_flight(put).await
    }

    /// Runs many changes, each atomic by itself; the answers are in the order of the changes.
    pub async fn put_all(&self, puts: Vec<PutFlight>) -> Result<Vec<Result<Flight, Error>>, Error> {
        self.engine.put_flights(puts).await
    }

    /// One flight.
    pub async fn flight(&self, id: FlightId) -> Result<Flight, Error> {
        Ok(self.store.flight(id).await?.ok_or(Refusal::FlightNotFound(id))?)
    }

    /// Flights on sale and not, by departure, then id: up to `limit` flights after a place.
    pub async fn list(
        &self,
        filter: &FlightFilter,
        after: Option<FlightPlace>,
        limit: usize,
    ) -> Result<Vec<Flight>, Error> {
        Ok(self.store.flights(filter, after, limit).await?)
    }
}
