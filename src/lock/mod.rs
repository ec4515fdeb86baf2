//! The lock port: a mutex on each flight, so that a replica waits for another's batch instead of deciding
//! on rows that are about to change.
//!
//! Locks only save work: the store's version check protects the seats. `memory` serves one process, `redis`
//! many.

pub mod memory;
pub mod redis;

use crate::domain::FlightId;
use async_trait::async_trait;
use std::convert::Infallible;

/// Locks flights for one batch.
#[async_trait]
pub trait FlightLocks: Send + Sync + 'static {
    /// Locks those of the flights that are free and returns them. If the lock service is away, all flights
    /// count as locked by this replica.
    ///
    /// A replica that asks again for a flight that it did not get comes before the one that had it.
    async fn take(&self, flights: &[FlightId]) -> Taken;

    /// Renews the locks until dropped.
    async fn keep(&self, taken: &Taken) -> Infallible;

    /// Releases the locks.
    async fn release(&self, taken: Taken);
}

/// The locks that one call took.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The locked flights.
    pub flights: Vec<FlightId>,
    /// The holder's token, if others could hold the locks.
    token: Option<String>,
}

impl Taken {
    /// The locks that an adapter took, with the token by which its service knows their holder.
    pub const fn new(flights: Vec<FlightId>, token: Option<String>) -> Self {
        Self { flights, token }
    }

    /// The holder's token.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }
}
