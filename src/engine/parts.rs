//! What the engine and its batches use.

use super::waiters::CompletionWaiters;
use crate::cache::SearchCache;
use crate::clock::Clock;
use crate::domain::{DayKey, ScheduleZone};
use crate::ids::Ids;
use crate::lock::FlightLocks;
use crate::rules::Policy;
use crate::store::Commits;
use crate::tasks::Tasks;
use crate::telemetry::{Metrics, Tracing};
use std::sync::Arc;
use tokio::sync::Notify;

/// What the engine uses.
#[derive(Clone)]
pub struct EngineParts {
    /// The source of truth.
    pub store: Arc<dyn Commits>,
    /// Mutexes on flights.
    pub locks: Arc<dyn FlightLocks>,
    /// Follows each commit.
    pub after_commit: AfterCommit,
    /// Time of the decisions.
    pub clock: Arc<dyn Clock>,
    /// New ids for holds whose ids are taken.
    pub ids: Arc<dyn Ids>,
    /// The operator's choices.
    pub policy: Policy,
    /// Time zone of the days in cached searches.
    pub zone: ScheduleZone,
    /// Metrics of commands and batches.
    pub metrics: Metrics,
    /// Traces of commands and batches.
    pub tracing: Tracing,
    /// Callers to wake when their booking ends.
    pub waiters: CompletionWaiters,
    /// Runs the batches.
    pub tasks: Tasks,
}

/// What follows each commit: it invalidates cached search answers and wakes the relay.
#[derive(Clone)]
pub struct AfterCommit {
    /// Holds the search answers.
    pub cache: Arc<dyn SearchCache>,
    /// Wakes the relay.
    pub relay: Arc<Notify>,
}

impl AfterCommit {
    /// Runs after a commit that invalidates the answers of these routes and days.
    pub fn run(&self, days: &[DayKey]) {
        self.cache.invalidate(days);
        self.relay.notify_one();
    }
}
