//! Counters of a kind each.

use super::registrar::Registrar;
use crate::telemetry::logging;
use prometheus::{IntCounter, IntCounterVec};
use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) fn entries(registrar: &Registrar) -> IntCounterVec {
    registrar.counters(
        "waitlist_total",
        "Entries of waiting lists by event: waiting, offered, promoted, declined, lapsed, left.",
        &["event"],
    )
}

pub(super) fn spans(registrar: &Registrar) -> IntCounterVec {
    registrar.counters(
        "trace_spans_total",
        "Spans that ended, were sent to the collector, or could not be sent.",
        &["outcome"],
    )
}

pub(super) fn payments_deferred(registrar: &Registrar) -> IntCounter {
    registrar.counter(
        "payments_deferred_total",
        "Payment requests left to the sweeper because too many gateway calls wait.",
    )
}

pub(super) fn gateway_errors(registrar: &Registrar) -> IntCounter {
    registrar.counter(
        "payment_gateway_errors_total",
        "Calls that the payment gateway did not answer or refused.",
    )
}

pub(super) fn connections_refused(registrar: &Registrar) -> IntCounter {
    registrar.counter(
        "http_connections_refused_total",
        "Connections closed because their client had MAX_CONNECTIONS_PER_CLIENT.",
    )
}

pub(super) fn event_streams_cut(registrar: &Registrar) -> IntCounter {
    registrar.counter(
        "event_streams_cut_total",
        "Streams of events cut off because their client was too slow.",
    )
}

pub(super) fn event_streams_refused(registrar: &Registrar) -> IntCounter {
    registrar.counter(
        "event_streams_refused_total",
        "Streams of events refused because there were MAX_EVENT_STREAMS.",
    )
}

pub(super) fn limit_conflicts(registrar: &Registrar) -> IntCounter {
    registrar.counter(
        "booking_limit_conflicts_total",
        "Commands decided again because a user held more unpaid seats than this process knew.",
    )
}

pub(super) fn passengers_erased(registrar: &Registrar) -> IntCounter {
    registrar.counter(
        "passengers_erased_total",
        "Bookings whose passengers were erased, PASSENGER_RETENTION after departure.",
    )
}

pub(super) fn lock_waits(registrar: &Registrar) -> IntCounter {
    registrar
        .counter("booking_lock_waits_total", "Commands that waited for another replica's lock.")
}

pub(super) fn version_conflicts(registrar: &Registrar) -> IntCounter {
    registrar.counter(
        "booking_version_conflicts_total",
        "Commands decided again because another commit came first.",
    )
}

pub(super) fn redis_errors(registrar: &Registrar) -> IntCounter {
    registrar.counter("redis_errors_total", "Calls to Redis that failed.")
}

/// Lost lines of the log. The log counts them, and rendering brings the metric up to date.
pub(super) struct LinesLost {
    counter: IntCounter,
    counted: AtomicUsize,
}

impl LinesLost {
    pub(super) fn register(registrar: &Registrar) -> Self {
        let counter = registrar.counter(
            "log_lines_lost_total",
            "Log lines lost because standard error was read too slowly.",
        );
        Self { counter, counted: AtomicUsize::new(0) }
    }

    pub(super) fn refresh(&self) {
        let lost = logging::lines_lost();
        // Of two renderings at once only one adds the difference.
        let counted = self.counted.fetch_max(lost, Ordering::Relaxed);
        self.counter.inc_by(lost.saturating_sub(counted) as u64);
    }
}
