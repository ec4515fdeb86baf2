//! Flight locks within one process.

use super::{FlightLocks, Taken};
use crate::domain::FlightId;
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::convert::Infallible;

/// The set of locked flights.
#[derive(Debug, Default)]
pub struct MemoryLocks {
    taken: Mutex<HashSet<FlightId>>,
}

#[async_trait]
impl FlightLocks for MemoryLocks {
    async fn take(&self, flights: &[FlightId]) -> Taken {
        let mut taken = self.taken.lock();
        let free = flights.iter().copied().filter(|flight| taken.insert(*flight));
        Taken { flights: free.collect(), token: None }
    }

    async fn keep(&self, _taken: &Taken) -> Infallible {
        std::future::pending().await
    }

    async fn release(&self, given_back: Taken) {
        let mut taken = self.taken.lock();
        for flight in &given_back.flights {
            taken.remove(flight);
        }
    }
}
