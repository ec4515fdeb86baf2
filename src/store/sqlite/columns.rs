//! The columns of rows, for every statement that reads them.

/// The columns of a flight's row.
macro_rules! flight_columns {
    () => {
        "id, flight_number, source, destination, timestamp, arrival_timestamp, available_seats, \
         held_seats, blocked_seats, total_seats, flight_status, price, taxes, fare_rules, currency, \
         waiting, serve_due, gathers_until, passed, passed_max, version, \
         created_at, updated_at"
    };
}

/// The columns of a booking's row, with passengers or (`"NULL"`) without.
macro_rules! booking_columns {
    () => {
        booking_columns!("booking_metadata")
    };
    ($metadata:literal) => {
        concat!(
            "id, flight_id, user_id, status, failure_reason, payment_reference_id, booking_price, \
             booking_taxes, fee, fare_rules, sold_departure, sold_at, replaces, has_changes, \
             coalesce(order_id, id) AS order_id, segment, segments, cancelled_passengers, extended, \
             erased_at IS NOT NULL AS erased, version, seats_booked, ",
            $metadata,
            " AS booking_metadata, hold_expires_at, created_at, updated_at, \
             (SELECT decimals FROM money_unit) AS decimals"
        )
    };
}

/// The departure of a booking's flight.
macro_rules! departure_column {
    () => {
        "(SELECT f.timestamp FROM flights AS f WHERE f.id = bookings.flight_id) AS departs_at"
    };
}

/// The columns of a payment's row.
macro_rules! payment_columns {
    () => {
        "reference, amount, currency, coalesce(order_reference, reference) AS order_reference, attempt, kind, \
         method, status, waits_for, dispute, return_url, next_action, decline_reason, created_at, updated_at, \
         traceparent, version"
    };
}

/// The columns of a refund's row.
macro_rules! refund_columns {
    () => {
        "id, payment_reference_id, booking_id, amount, reason, status, gateway_reference, attempts, \
         created_at, updated_at, version, (SELECT decimals FROM money_unit) AS decimals"
    };
}

/// The columns of an entry's row, with passengers or (`"NULL"`) without.
macro_rules! entry_columns {
    () => {
        entry_columns!("passengers")
    };
    ($passengers:literal) => {
        concat!(
            "id, flight_id, user_id, place, seats, ",
            $passengers,
            " AS passengers, mode, payment_method, max_price, until, status, reason, overtaken, \
             passed_before, gathers_until, payment_reference_id, created_at, updated_at, version, \
             (SELECT decimals FROM money_unit) AS decimals"
        )
    };
}

/// The columns of a webhook's row.
macro_rules! webhook_columns {
    () => {
        "id, owner, url, types, secret, old_secret, old_secret_until, status, failing_since, created_at"
    };
}

/// The columns of a delivery's row `d`.
macro_rules! delivery_columns {
    () => {
        "d.id, d.webhook_id, d.event_id, d.type AS kind, d.flight_id, d.payload, d.status, d.attempts, \
         d.response_status, d.at"
    };
}

pub(super) use {
    booking_columns, delivery_columns, departure_column, entry_columns, flight_columns,
    payment_columns, refund_columns, webhook_columns,
};
