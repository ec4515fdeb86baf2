//! Caught panics: each is counted here and logged once, by the panic hook.

use super::Metrics;
use super::registrar::Registrar;
use futures::FutureExt as _;
use prometheus::IntCounterVec;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The parts of the service whose panics are caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A batch of the booking engine.
    Batch,
    /// A call to the payment gateway.
    GatewayCall,
    /// The task that renews flight locks while a batch runs.
    FlightLocks,
    /// The task that connects to Redis.
    Redis,
    /// An HTTP request.
    Request,
    /// A worker's loop. The process stops then.
    Worker,
}

impl Part {
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

pub(super) fn register(registrar: &Registrar) -> IntCounterVec {
    registrar.counters("panics_total", "Caught panics, by part of the service.", &["part"])
}

/// The work panicked; the panic is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

impl Metrics {
    /// Runs a future that may panic. What it owns is dropped then.
    pub async fn catch<T>(&self, part: Part, work: impl Future<Output = T>) -> Result<T, Panicked> {
        AssertUnwindSafe(work).catch_unwind().await.map_err(|_| self.count_panic(part))
    }

    /// Runs a function that may panic.
    pub fn catch_now<T>(&self, part: Part, work: impl FnOnce() -> T) -> Result<T, Panicked> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|_| self.count_panic(part))
    }

    fn count_panic(&self, part: Part) -> Panicked {
        self.panics(part).inc();
        Panicked
    }
}
