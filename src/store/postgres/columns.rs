//! The columns of rows, for every statement that reads them: instants as microseconds, money as
//! hundredths, or thousandths of a currency with three decimals.

/// The columns of a flight's row.
macro_rules! flight_columns {
    () => {
        "id, flight_number, source, destination, micros(timestamp) AS timestamp, \
         micros(arrival_timestamp) AS arrival_timestamp, available_seats, held_seats, \
         blocked_seats, total_seats, flight_status, minor(price) AS price, currency, \
         version::bigint AS version, micros(created_at) AS created_at, \
         micros(updated_at) AS updated_at"
    };
}

/// The columns of a booking's row, with who flies or (`NULL`) without.
macro_rules! booking_columns {
    () => {
        booking_columns!("booking_metadata")
    };
    ($metadata:literal) => {
        concat!(
            "id, flight_id, user_id, status, failure_reason, payment_reference_id, \
             minor(booking_price) AS booking_price, seats_booked, ",
            $metadata,
            "::text AS booking_metadata, micros(hold_expires_at) AS hold_expires_at, \
             micros(created_at) AS created_at, micros(updated_at) AS updated_at, \
             (SELECT decimals FROM money_unit) AS decimals"
        )
    };
}

/// The columns of a payment's row.
macro_rules! payment_columns {
    () => {
        "reference, minor(amount) AS amount, currency, method, status, \
         micros(created_at) AS created_at, micros(updated_at) AS updated_at, traceparent"
    };
}

pub(super) use {booking_columns, flight_columns, payment_columns};
