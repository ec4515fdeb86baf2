//! What a run consists of, drawn from its seed: how many replicas, clients and operations, and which faults.
//!
//! Each run has some of the faults, at rates of its own ("swarm testing", Groce et al., ISSTA 2012): with all of
//! them at once the rarer bugs hide behind the common failures.

use super::ports::chance::{Fault, Rates};
use fastrand::Rng;
use std::fmt;

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Draws all that happens in the run.
    pub seed: u64,
    /// Replicas, 1 to 5.
    pub replicas: usize,
    /// Clients that book, 1 to 12.
    pub clients: usize,
    /// Requests of each client in each round.
    pub requests: usize,
    /// Flights, 1 to 6.
    pub flights: usize,
    /// Rounds; each ends at a quiet point, where all is checked.
    pub rounds: usize,
    /// The faults and their rates.
    pub rates: Rates,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        // Another stream than the run's own.
        let mut rng = Rng::with_seed(seed ^ 0x5EED_0FA9);
        let mut rates = Rates::new();
        let share = rng.u32(0..=100);
        for fault in Fault::ALL {
            if rng.u32(0..100) < share {
                rates.insert(*fault, [5, 20, 60, 150][rng.usize(0..4)]);
            }
        }
        Self {
            seed,
            replicas: rng.usize(1..=5),
            clients: rng.usize(1..=12),
            requests: rng.usize(4..=12),
            flights: rng.usize(1..=6),
            rounds: rng.usize(1..=3),
            rates,
        }
    }

    /// Smaller plans, the most reduced first. One that fails as well explains the failure better.
    pub fn smaller(&self) -> Vec<Self> {
        let mut plans = Vec::new();
        let mut add = |change: &dyn Fn(&mut Self)| {
            let mut plan = self.clone();
            change(&mut plan);
            if plan != *self {
                plans.push(plan);
            }
        };
        add(&|plan| plan.rounds = 1);
        add(&|plan| plan.replicas = 1);
        add(&|plan| plan.replicas = (plan.replicas - 1).max(1));
        add(&|plan| plan.clients = plan.clients.div_ceil(2));
        add(&|plan| plan.clients = (plan.clients - 1).max(1));
        add(&|plan| plan.requests = plan.requests.div_ceil(2));
        add(&|plan| plan.flights = 1);
        for fault in self.rates.keys() {
            add(&|plan| _ = plan.rates.remove(fault));
        }
        plans
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, replicas, clients, requests, flights, rounds, rates } = self;
        write!(
            f,
            "seed {seed}: {replicas} replicas, {clients} clients × {requests} requests × {rounds} rounds, \
             {flights} flights; faults in thousandths: {rates:?}"
        )
    }
}
