//! Counters of which each stands alone.

use super::metrics::Maker;
use prometheus::IntCounter;

pub(super) fn deferred(made: &Maker) -> IntCounter {
    made.counter(
        "payments_deferred_total",
        "Requests for payment left to the sweeper: too many calls wait for the gateway.",
    )
}

pub(super) fn unanswered(made: &Maker) -> IntCounter {
    made.counter("payment_gateway_errors_total", "Calls that the payment gateway did not answer.")
}

pub(super) fn refused(made: &Maker) -> IntCounter {
    made.counter(
        "http_connections_refused_total",
        "Connections closed because their client had MAX_CONNECTIONS_PER_CLIENT.",
    )
}

pub(super) fn limit_conflicts(made: &Maker) -> IntCounter {
    made.counter(
        "booking_limit_conflicts_total",
        "Commands decided again because a user held more seats unpaid than this process knew of.",
    )
}

pub(super) fn erased(made: &Maker) -> IntCounter {
    made.counter(
        "passengers_erased_total",
        "Bookings whose passengers were erased, PASSENGER_RETENTION after departure.",
    )
}

pub(super) fn lock_waits(made: &Maker) -> IntCounter {
    made.counter("booking_lock_waits_total", "Commands that waited for another replica's lock.")
}

pub(super) fn version_conflicts(made: &Maker) -> IntCounter {
    made.counter(
        "booking_version_conflicts_total",
        "Commands decided again because another commit was first.",
    )
}

pub(super) fn redis_errors(made: &Maker) -> IntCounter {
    made.counter("redis_errors_total", "Calls to Redis that failed.")
}
