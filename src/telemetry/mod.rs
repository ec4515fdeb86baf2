//! What an operator sees: metrics, logs and traces. The only room that knows Prometheus,
//! subscribers and OpenTelemetry.

mod counters;
mod export;
pub mod logging;
mod metrics;
mod names;
mod panics;
mod progress;
mod store_gauges;
mod traces;

pub use metrics::{Metrics, Route};
pub use names::Names;
pub use panics::{Panicked, Part};
pub use progress::{Open, Progress};
pub use store_gauges::{PoolUse, Waiting};
pub use traces::{Side, Span, TRACEPARENT, TraceContext, Tracing};
