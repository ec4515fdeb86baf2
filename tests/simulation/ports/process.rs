//! A replica's process as the ports see it: a name, its share of chance, and whether it is dead.

use super::chance::{Chance, Fault};
use airline_booking::tasks::Switch;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// One run of a replica, from its start to its stop or crash. Every handle to the world belongs to one.
#[derive(Clone)]
pub struct Process {
    name: Arc<str>,
    chance: Chance,
    switch: Switch,
}

impl Process {
    /// The process that `switch` kills. The name is for traces and tells replicas apart.
    pub fn new(name: &str, chance: &Chance, switch: &Switch) -> Self {
        Self { name: name.into(), chance: chance.clone(), switch: switch.clone() }
    }

    /// A process without faults that nobody kills, for contracts.
    pub fn sound(name: &str) -> Self {
        Self::new(name, &Chance::without_faults(), &Switch::default())
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The source of chance.
    pub fn chance(&self) -> &Chance {
        &self.chance
    }

    /// Whether the process was killed.
    pub fn is_dead(&self) -> bool {
        self.switch.is_dead()
    }

    /// Goes on if the process lives. Code of a dead process goes no further than this.
    pub async fn alive(&self) {
        if self.is_dead() {
            pending::<()>().await;
        }
    }

    /// Sleeps for up to `max`.
    pub async fn pause(&self, max: Duration) {
        sleep(self.chance.pause(max)).await;
        self.alive().await;
    }

    /// Whether the fault happens now.
    pub fn strikes(&self, fault: Fault) -> bool {
        self.chance.strikes(fault)
    }

    /// Counts a step of this process.
    pub fn step(&self, line: impl FnOnce() -> String) {
        self.chance.step(|| format!("{}: {}", self.name, line()));
    }
}
