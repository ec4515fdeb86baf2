//! Panics that one piece of work survives: each is counted here, and logged once by the panic hook.

use super::Metrics;
use super::metrics::Maker;
use futures::FutureExt as _;
use prometheus::IntCounterVec;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The parts of the service whose panics are caught, as the metric names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A batch of the booking engine.
    Batch,
    /// A call to the payment gateway.
    GatewayCall,
    /// Keeping flight locks while a batch runs.
    FlightLocks,
    /// Connecting to Redis.
    Redis,
    /// An HTTP request.
    Request,
    /// A worker's loop; the process stops.
    Worker,
}

impl Part {
    /// Every part.
    pub(super) const ALL: [Self; 6] = [
        Self::Batch,
        Self::GatewayCall,
        Self::FlightLocks,
        Self::Redis,
        Self::Request,
        Self::Worker,
    ];

    /// The metric's label.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::GatewayCall => "gateway_call",
            Self::FlightLocks => "flight_locks",
            Self::Redis => "redis",
            Self::Request => "request",
            Self::Worker => "worker",
        }
    }
}

/// The counter, by part.
pub(super) fn made_by(made: &Maker) -> IntCounterVec {
    made.counters("panics_total", "Panics that were caught, by part of the service.", &["part"])
}

/// Work that ended in a panic, which was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

impl Metrics {
    /// Runs work that may panic. What it had in its hands is dropped.
    pub async fn catch<T>(&self, part: Part, work: impl Future<Output = T>) -> Result<T, Panicked> {
        AssertUnwindSafe(work).catch_unwind().await.map_err(|_| self.count_panic(part))
    }

    /// Runs work that may panic and does not wait.
    pub fn catch_now<T>(&self, part: Part, work: impl FnOnce() -> T) -> Result<T, Panicked> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|_| self.count_panic(part))
    }

    fn count_panic(&self, part: Part) -> Panicked {
        self.panics(part).inc();
        Panicked
    }
}
