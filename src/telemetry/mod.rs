//! Metrics, logs and traces. Only this room uses Prometheus, tracing subscribers and OpenTelemetry.

pub mod logging;
mod metrics;
mod traces;

pub use metrics::{
    BacklogGauges, CircuitGauge, CircuitState, MessageEvent, Metrics, Open, Panicked, Part,
    PoolUse, Progress, Route, Seconds, WebhookMetrics,
};
pub use traces::{Names, Side, Span, TRACEPARENT, TraceContext, Tracing};
