//! Messages to travellers.

use super::Metrics;
use super::registrar::Registrar;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};
use strum::{IntoStaticStr, VariantArray};

/// What became of an attempt to send a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum MessageEvent {
    /// The provider took it.
    Sent,
    /// It is tried again later.
    Retried,
    /// It is given up.
    Failed,
}

pub(super) struct MessageMetrics {
    events: IntCounterVec,
    pending: IntGaugeVec,
    age: GaugeVec,
}

impl MessageMetrics {
    pub(super) fn register(registrar: &Registrar) -> Self {
        Self {
            events: registrar.counters(
                "messages_total",
                "Mails and SMS by channel and outcome: sent, retried, failed.",
                &["channel", "outcome"],
            ),
            pending: registrar.gauges(
                "messages_pending",
                "Messages that wait to be sent; set by each process that sends.",
                &["channel"],
            ),
            age: registrar.float_gauges(
                "messages_oldest_age_seconds",
                "Age of the oldest message that waits to be sent; set by each process that sends.",
                &["channel"],
            ),
        }
    }
}

impl Metrics {
    /// Shows a channel's messages from now on.
    pub fn start_messages(&self, channel: &str) {
        for event in MessageEvent::VARIANTS {
            self.messages.events.with_label_values(&[channel, event.into()]);
        }
        self.set_messages_pending(channel, 0, 0.0);
    }

    /// Counts an attempt to send a message.
    pub fn count_message(&self, channel: &str, event: MessageEvent) {
        self.messages.events.with_label_values(&[channel, event.into()]).inc();
    }

    /// Sets how many messages of a channel wait to be sent, and how old the oldest is.
    pub fn set_messages_pending(&self, channel: &str, count: i64, age_seconds: f64) {
        self.messages.pending.with_label_values(&[channel]).set(count);
        self.messages.age.with_label_values(&[channel]).set(age_seconds.max(0.0));
    }
}
