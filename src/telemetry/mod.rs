//! What an operator sees: metrics and logs. The only room that knows Prometheus and subscribers.

pub mod logging;
mod metrics;

pub use metrics::{Metrics, Route};
