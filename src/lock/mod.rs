//! The lock port: a mutex on each flight, so that replicas wait for one another instead of deciding
//! on rows that the other is about to change.
//!
//! Only an accelerator: the store's version check is what protects the seats. `memory` serves one
//! process.

pub mod memory;

use crate::domain::FlightId;
use async_trait::async_trait;

/// Takes flights for one batch.
#[async_trait]
pub trait FlightLocks: Send + Sync + 'static {
    /// Takes those of the flights that are free and says which those are; the others stay with
    /// whoever has them. Where the lock itself is away, every flight counts as taken by us.
    async fn take(&self, flights: &[FlightId]) -> Taken;

    /// Gives back what was taken.
    async fn release(&self, taken: Taken);
}

/// What one call took.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The flights that are ours until released.
    pub flights: Vec<FlightId>,
}
