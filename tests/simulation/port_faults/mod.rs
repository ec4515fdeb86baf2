//! Each fault of the simulated ports happens and is what its name says.

mod bus;
mod bus_members;
mod cache;
mod gateway;
mod locks;
mod replay;

use super::ports::chance::{Chance, Fault};
use super::ports::process::Process;
use airline_booking::tasks::Switch;
use std::time::Duration;
use tokio::time::timeout;

/// Longer than anything takes that ends.
const FOREVER: Duration = Duration::from_secs(3_600);

/// A source of chance in which a fault strikes each time.
fn always(fault: Fault) -> Chance {
    at_rate(fault, 1_000, 1)
}

/// A source of chance in which a fault strikes at some of a thousand opportunities.
fn at_rate(fault: Fault, rate: u32, seed: u64) -> Chance {
    Chance::new(seed, [(fault, rate)].into(), false)
}

/// A process that nobody kills.
fn process(name: &str, chance: &Chance) -> Process {
    Process::new(name, chance, &Switch::default())
}

/// Whether it has not ended within an hour.
async fn hangs(action: impl Future) -> bool {
    timeout(FOREVER, action).await.is_err()
}
