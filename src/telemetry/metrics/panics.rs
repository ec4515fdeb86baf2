//! Caught panics: each is counted here and logged once, by the panic hook.

use super::Metrics;
use super::registrar::Registrar;
use futures::FutureExt as _;
use prometheus::IntCounterVec;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use strum::{IntoStaticStr, VariantArray};

/// The parts of the service whose panics are caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
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
