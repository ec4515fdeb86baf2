//! The lock port: a mutex on each flight, so that replicas wait for one another instead of deciding
//! on rows that the other is about to change.
//!
//! Only an accelerator: the store's version check is what protects the seats. `memory` serves one
//! process, `redis` many.

pub mod memory;
pub mod redis;

use crate::domain::FlightId;
use async_trait::async_trait;
use std::convert::Infallible;

/// Takes flights for one batch.
#[async_trait]
pub trait FlightLocks: Send + Sync + 'static {
    /// Takes those of the flights that are free and says which those are; the others stay with
    /// whoever has them. Where the lock itself is away, every flight counts as taken by us.
    ///
    /// Who asks again for a flight that it did not get comes before the one that had it.
    async fn take(&self, flights: &[FlightId]) -> Taken;

    /// Keeps what was taken from lapsing, until dropped.
    async fn keep(&self, taken: &Taken) -> Infallible;

    /// Gives back what was taken.
    async fn release(&self, taken: Taken);
}

/// What one call took.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The flights that are ours until released.
    pub flights: Vec<FlightId>,
    /// What names us as their holder, where others could hold them.
    token: Option<String>,
}
