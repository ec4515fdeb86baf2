//! Metrics of webhooks.

use super::registrar::Registrar;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};
use std::time::Duration;

/// From ten milliseconds to ten seconds, the time-out.
const SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Counts and gauges of deliveries. The gauges are set by the process that sends.
pub struct WebhookMetrics {
    attempts: IntCounterVec,
    /// Seconds of an attempt.
    pub seconds: Seconds,
    pending: IntGauge,
    failing: IntGauge,
    disabled: IntGauge,
    circuits_open: IntGauge,
    /// Webhooks that were disabled.
    pub disabled_total: IntCounter,
}

/// A histogram of durations. Cheap to clone.
#[derive(Clone)]
pub struct Seconds(Histogram);

impl Seconds {
    /// Counts one.
    pub fn observe(&self, took: Duration) {
        self.0.observe(took.as_secs_f64());
    }
}

impl WebhookMetrics {
    pub(super) fn register(registrar: &Registrar) -> Self {
        let attempts = registrar.counters(
            "webhook_attempts_total",
            "Attempts to deliver an event to a webhook: delivered, retried, failed for good.",
            &["outcome"],
        );
        for outcome in ["delivered", "retried", "failed"] {
            attempts.with_label_values(&[outcome]);
        }
        Self {
            attempts,
            seconds: Seconds(registrar.histogram(
                "webhook_seconds",
                "Seconds of an attempt to deliver an event to a webhook.",
                SECONDS,
            )),
            pending: registrar.gauge(
                "webhook_deliveries_pending",
                "Deliveries to webhooks that have not ended; set by the process that sends them.",
            ),
            failing: registrar.gauge(
                "webhooks_failing",
                "Active webhooks whose last attempt failed; set by the process that sends.",
            ),
            disabled: registrar
                .gauge("webhooks_disabled", "Disabled webhooks; set by the process that sends."),
            circuits_open: registrar.gauge(
                "webhook_circuits_open",
                "Webhooks to which no call goes out for now; set by the process that sends.",
            ),
            disabled_total: registrar.counter(
                "webhooks_disabled_total",
                "Webhooks that were disabled: they failed for three days, or are gone.",
            ),
        }
    }

    /// Counts an attempt.
    pub fn count(&self, outcome: &str) {
        self.attempts.with_label_values(&[outcome]).inc();
    }

    /// Sets how many deliveries are pending, and how many webhooks fail and are disabled.
    pub fn set_waiting(&self, pending: i64, failing: i64, disabled: i64) {
        self.pending.set(pending);
        self.failing.set(failing);
        self.disabled.set(disabled);
    }

    /// Sets to how many webhooks no call goes out.
    pub fn set_circuits_open(&self, open: usize) {
        self.circuits_open.set(open as i64);
    }
}
