//! Metrics, logs and traces. Only this room uses Prometheus, tracing subscribers and OpenTelemetry.

mod counters;
mod export;
pub mod logging;
mod metrics;
mod names;
mod panics;
mod progress;
mod registrar;
mod routes;
mod store_gauges;
mod topics;
mod traces;

pub use metrics::Metrics;
pub use names::Names;
pub use panics::{Panicked, Part};
pub use progress::{Open, Progress};
pub use routes::Route;
pub use store_gauges::{PoolUse, Waiting};
pub use traces::{Side, Span, TRACEPARENT, TraceContext, Tracing};
