//! The ports behind the engine and its batches.

use super::waiters::CompletionWaiters;
use crate::cache::SearchCache;
use crate::clock::Clock;
use crate::domain::ScheduleZone;
use crate::lock::FlightLocks;
use crate::rules::Policy;
use crate::store::Commits;
use crate::telemetry::{Metrics, Tracing};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

/// What the engine works with.
#[derive(Clone)]
pub struct EngineParts {
    /// The truth.
    pub store: Arc<dyn Commits>,
    /// Mutexes on flights.
    pub locks: Arc<dyn FlightLocks>,
    /// What a commit outdates.
    pub cache: Arc<dyn SearchCache>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The operator's choices.
    pub policy: Policy,
    /// Whose days cached searches mean.
    pub zone: ScheduleZone,
    /// Counts what happens.
    pub metrics: Metrics,
    /// Follows commands through their batches.
    pub tracing: Tracing,
    /// Who is told at once of bookings that end here.
    pub waiting: CompletionWaiters,
    /// Notified after each commit, to wake the relay.
    pub committed: Arc<Notify>,
    /// Where batches run.
    pub tasks: TaskTracker,
}
