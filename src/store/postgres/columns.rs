//! The columns of rows, for every statement that reads them: instants as microseconds, money in
//! hundredths, or thousandths of a currency with three decimals. Infinity, NaN and amounts out of range
//! read as NULL, so that they fail no statement that also reads other rows.

/// A column of instants, in microseconds.
macro_rules! instant_column {
    ($name:literal) => {
        concat!("CASE WHEN isfinite(", $name, ") THEN micros(", $name, ") END AS ", $name)
    };
}

/// A column of amounts, within the bounds of its check.
macro_rules! money_column {
    ($name:literal) => {
        concat!("CASE WHEN abs(", $name, ") <= 9999999999 THEN minor(", $name, ") END AS ", $name)
    };
}

/// The columns of a flight's row.
macro_rules! flight_columns {
    () => {
        concat!(
            "id, flight_number, source, destination, ",
            $crate::store::postgres::columns::instant_column!("timestamp"),
            ", ",
            $crate::store::postgres::columns::instant_column!("arrival_timestamp"),
            ", available_seats, held_seats, blocked_seats, total_seats, flight_status, ",
            $crate::store::postgres::columns::money_column!("price"),
            ", ",
            $crate::store::postgres::columns::money_column!("taxes"),
            ", fare_rules, currency, waiting, serve_due, ",
            $crate::store::postgres::columns::instant_column!("gathers_until"),
            ", passed, passed_max, version::bigint AS version, ",
            $crate::store::postgres::columns::instant_column!("created_at"),
            ", ",
            $crate::store::postgres::columns::instant_column!("updated_at")
        )
    };
}

/// The columns of a booking's row, with passengers or (`"NULL"`) without.
macro_rules! booking_columns {
    () => {
        booking_columns!("booking_metadata")
    };
    ($metadata:literal) => {
        concat!(
            "id, flight_id, user_id, status, failure_reason, payment_reference_id, ",
            $crate::store::postgres::columns::money_column!("booking_price"),
            ", ",
            $crate::store::postgres::columns::money_column!("booking_taxes"),
            ", ",
            $crate::store::postgres::columns::money_column!("fee"),
            ", fare_rules, ",
            $crate::store::postgres::columns::instant_column!("sold_departure"),
            ", ",
            $crate::store::postgres::columns::instant_column!("sold_at"),
            ", replaces, has_changes, coalesce(order_id, id) AS order_id, segment::int AS segment, segments::int AS segments, \
             cancelled_passengers, extended, erased_at IS NOT NULL AS erased, version, seats_booked, ",
            $metadata,
            "::text AS booking_metadata, ",
            $crate::store::postgres::columns::instant_column!("hold_expires_at"),
            ", ",
            $crate::store::postgres::columns::instant_column!("created_at"),
            ", ",
            $crate::store::postgres::columns::instant_column!("updated_at"),
            ", (SELECT decimals FROM money_unit) AS decimals"
        )
    };
}

/// The departure of a booking's flight.
macro_rules! departure_column {
    () => {
        "(SELECT CASE WHEN isfinite(f.timestamp) THEN micros(f.timestamp) END FROM flights AS f
           WHERE f.id = bookings.flight_id) AS departs_at"
    };
}

/// The columns of a payment's row.
macro_rules! payment_columns {
    () => {
        concat!(
            "reference, ",
            $crate::store::postgres::columns::money_column!("amount"),
            ", currency, coalesce(order_reference, reference) AS order_reference, attempt::int AS attempt, kind, \
             method, status, waits_for, dispute, return_url, next_action, decline_reason, ",
            $crate::store::postgres::columns::instant_column!("created_at"),
            ", ",
            $crate::store::postgres::columns::instant_column!("updated_at"),
            ", traceparent, version"
        )
    };
}

/// The columns of a refund's row.
macro_rules! refund_columns {
    () => {
        concat!(
            "id, payment_reference_id, booking_id, ",
            $crate::store::postgres::columns::money_column!("amount"),
            ", reason, status, gateway_reference, attempts, ",
            $crate::store::postgres::columns::instant_column!("created_at"),
            ", ",
            $crate::store::postgres::columns::instant_column!("updated_at"),
            ", version, (SELECT decimals FROM money_unit) AS decimals"
        )
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
            "::text AS passengers, mode, payment_method, ",
            $crate::store::postgres::columns::money_column!("max_price"),
            ", ",
            $crate::store::postgres::columns::instant_column!("until"),
            ", status, reason, overtaken, passed_before, ",
            $crate::store::postgres::columns::instant_column!("gathers_until"),
            ", payment_reference_id, ",
            $crate::store::postgres::columns::instant_column!("created_at"),
            ", ",
            $crate::store::postgres::columns::instant_column!("updated_at"),
            ", version, (SELECT decimals FROM money_unit) AS decimals"
        )
    };
}

/// The columns of a webhook's row.
macro_rules! webhook_columns {
    () => {
        concat!(
            "id, owner, url, types, secret, old_secret, ",
            $crate::store::postgres::columns::instant_column!("old_secret_until"),
            ", status, ",
            $crate::store::postgres::columns::instant_column!("failing_since"),
            ", ",
            $crate::store::postgres::columns::instant_column!("created_at")
        )
    };
}

/// The columns of a delivery's row `d`.
macro_rules! delivery_columns {
    () => {
        "d.id, d.webhook_id, d.event_id, d.type AS kind, d.flight_id, d.payload, d.status, d.attempts, \
         d.response_status, CASE WHEN isfinite(d.at) THEN micros(d.at) END AS at"
    };
}

pub(super) use {
    booking_columns, delivery_columns, departure_column, entry_columns, flight_columns,
    instant_column, money_column, payment_columns, refund_columns, webhook_columns,
};
