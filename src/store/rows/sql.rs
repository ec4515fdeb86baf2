//! Statements that both stores run as they are. SQLite takes PostgreSQL's `$1` too.
//!
//! Statements that read a flight or a booking get the store's columns.

use crate::store::{GatewayName, NamedPayment, StoreError};
use serde::Serialize;

/// A value as JSON: a column's text, or rows as one parameter of a statement.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data is always JSON")
}

/// Notes what the payer of an open payment must do.
pub(in crate::store) const NOTE_ACTION: &str =
    "UPDATE payments SET next_action = $2 WHERE reference = $1 AND status = 'requested'";

/// Notes why the gateway declined an open payment.
pub(in crate::store) const NOTE_DECLINE: &str =
    "UPDATE payments SET decline_reason = $2 WHERE reference = $1 AND status = 'requested'";

/// Names an open payment at its gateway, once.
pub(in crate::store) const NAME_AT_GATEWAY: &str =
    "UPDATE payments SET gateway = $2, gateway_reference = $3
      WHERE reference = $1 AND gateway_reference IS NULL AND status = 'requested'";

/// An open payment's name at its gateway.
pub(in crate::store) const NAME_OF_OPEN: &str = "SELECT gateway_reference FROM payments
      WHERE reference = $1 AND gateway_reference IS NOT NULL AND status = 'requested'";

/// A payment's name at its gateway, and its currency.
pub(in crate::store) const GATEWAY_NAME: &str = "SELECT gateway_reference, currency FROM payments
      WHERE reference = $1 AND gateway_reference IS NOT NULL";

/// Whether the simulated gateway has captured a payment.
pub(in crate::store) const IS_IN_SIMULATED_BOOKS: &str = "SELECT EXISTS (
     SELECT 1 FROM gateway_ledger WHERE reference = $1 AND state = 'captured')";

/// Payments `p`, each with its refunds or none.
macro_rules! named_payments {
    ($payments:expr) => {
        concat!(
            "SELECT p.reference, p.gateway, p.gateway_reference, r.id
               FROM (SELECT reference, gateway, gateway_reference FROM payments AS p WHERE ",
            $payments,
            ") AS p
               LEFT JOIN refunds AS r ON r.payment_reference_id = p.reference
              ORDER BY p.reference, r.id"
        )
    };
}

/// Whether a gateway should know payment `p`. Payments of an earlier service are known to none.
macro_rules! should_be_known {
    () => {
        "(p.gateway = $1 OR p.gateway_reference IS NOT NULL
          OR (p.status = 'captured' AND p.gateway IS NULL AND p.method <> 'adopted'
              AND NOT EXISTS (SELECT 1 FROM gateway_ledger AS g WHERE g.reference = p.reference)))"
    };
}

pub(in crate::store) use {named_payments, should_be_known};

/// A name from the columns of [`GATEWAY_NAME`].
pub(in crate::store) fn named(
    payment: String,
    (id, currency): (String, String),
) -> Result<GatewayName, StoreError> {
    let currency = currency.parse().map_err(|_| StoreError::Corrupt {
        table: "payments",
        column: "currency",
        row: payment,
    })?;
    Ok(GatewayName { id, currency })
}

/// The columns of [`named_payments!`]: reference, gateway, the gateway's id, a refund's number.
pub(in crate::store) type NamedRow = (String, Option<String>, Option<String>, Option<String>);

/// Payments from the rows of [`named_payments!`].
pub(in crate::store) fn named_from_rows(
    rows: Vec<NamedRow>,
) -> Result<Vec<NamedPayment>, StoreError> {
    let mut all: Vec<NamedPayment> = Vec::new();
    for (text, gateway, id, refund) in rows {
        let corrupt =
            |table, row: &str| StoreError::Corrupt { table, column: "id", row: row.into() };
        let payment = text.parse().map_err(|_| corrupt("payments", &text))?;
        if all.last().is_none_or(|last| last.payment != payment) {
            all.push(NamedPayment { payment, gateway, id, refunds: Vec::new() });
        }
        if let (Some(refund), Some(last)) = (refund, all.last_mut()) {
            last.refunds.push(refund.parse().map_err(|_| corrupt("refunds", &refund))?);
        }
    }
    Ok(all)
}

/// Writes a version of fare rules. It is dated after the one before it, so that a sale has one version.
macro_rules! put_fare_rules {
    ($instant:literal, $later:literal) => {
        concat!(
            "INSERT INTO fare_rules (name, version, rows, created_at)
             SELECT $1, $2, $3, CASE WHEN last.at >= ",
            $instant,
            " THEN ",
            $later,
            " ELSE ",
            $instant,
            " END
               FROM (SELECT max(created_at) AS at FROM fare_rules WHERE name = $1) AS last
              WHERE $2 = 1 + coalesce((SELECT max(version) FROM fare_rules WHERE name = $1), $5)
                 ON CONFLICT (name, version) DO NOTHING"
        )
    };
}

/// Whether a flight is stored.
pub(in crate::store) const IS_EMPTY: &str = "SELECT NOT EXISTS (SELECT 1 FROM flights)";

/// The highest booking number below 2⁵². A higher one was written by hand; numbers drawn after it could
/// run out.
pub(in crate::store) const HIGHEST_BOOKING: &str =
    "SELECT max(id) FROM bookings WHERE id < 4503599627370496";

/// Why the `$2` bookings after `$1` failed, by number.
pub(in crate::store) const FAILURES: &str =
    "SELECT id, failure_reason FROM bookings WHERE id > $1 ORDER BY id LIMIT $2";

/// The oldest invalidations.
pub(in crate::store) const OLDEST_INVALIDATIONS: &str =
    "SELECT id, body FROM outdated_answers ORDER BY id LIMIT $1";

/// Appends an invalidation.
pub(in crate::store) const INSERT_INVALIDATION: &str =
    "INSERT INTO outdated_answers (body) VALUES ($1)";

/// One flight.
macro_rules! flight_by_id {
    ($columns:expr) => {
        concat!("SELECT ", $columns, " FROM flights WHERE id = $1")
    };
}

/// One booking.
macro_rules! booking_by_id {
    ($columns:expr) => {
        concat!("SELECT ", $columns, " FROM bookings WHERE id = $1")
    };
}

/// The bookings of the order of one, and that which holds seats for a change of it. Nobody asks for the order of such a
/// booking.
macro_rules! bookings_of_order {
    ($columns:expr) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM bookings WHERE payment_reference_id =
                     (SELECT payment_reference_id FROM bookings WHERE id = $1 AND replaces IS NULL)
               UNION ALL SELECT ",
            $columns,
            " FROM bookings WHERE status = 'pending' AND replaces IN (
                      SELECT id FROM bookings WHERE has_changes AND payment_reference_id =
                             (SELECT payment_reference_id FROM bookings WHERE id = $1))
               ORDER BY segment"
        )
    };
}

/// The payments of the order of a booking, the first attempt first, and that of a change of it which waits for it.
macro_rules! payments_of_order {
    ($columns:expr) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM payments
               WHERE reference = (SELECT payment_reference_id FROM bookings WHERE id = $1)
                  OR (order_reference = (SELECT payment_reference_id FROM bookings WHERE id = $1)
                      AND order_reference IS NOT NULL)
                  OR reference IN (SELECT payment_reference_id FROM bookings
                      WHERE status = 'pending' AND replaces IN (
                            SELECT id FROM bookings WHERE has_changes AND payment_reference_id =
                                   (SELECT payment_reference_id FROM bookings WHERE id = $1)))
               ORDER BY attempt"
        )
    };
}

/// The refunds of the order of a booking, oldest first.
///
/// A reversal of a payment that the simulated gateway had captured is one too: releases before orders cancelled
/// paid bookings so, and a capture that comes after the end of its booking is given back so. It has no row of
/// its own, and is named after its payment.
macro_rules! refunds_of_order {
    ($columns:expr) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM (
                SELECT id, payment_reference_id, booking_id, amount, reason, status, gateway_reference,
                       attempts, created_at, updated_at, version
                  FROM refunds WHERE payment_reference_id IN
                       (SELECT payment_reference_id FROM bookings WHERE id = $1
                         UNION ALL
                        SELECT reference FROM payments
                         WHERE order_reference =
                               (SELECT payment_reference_id FROM bookings WHERE id = $1)
                           AND order_reference IS NOT NULL
                         UNION ALL
                        SELECT payment_reference_id FROM bookings WHERE replaces IN (
                               SELECT id FROM bookings WHERE has_changes AND payment_reference_id =
                                      (SELECT payment_reference_id FROM bookings WHERE id = $1)))
                UNION ALL
                SELECT 'REF-' || substr(p.reference, 5), p.reference, coalesce(b.replaces, b.id), p.amount,
                       CASE WHEN b.status = 'failed' OR p.kind <> 'now' THEN 'late_capture'
                            ELSE 'traveller' END, 'done',
                       NULL, 1, p.updated_at, p.updated_at, 1
                  FROM payments AS p
                  JOIN gateway_ledger AS g ON g.reference = p.reference AND g.state = 'refunded'
                  JOIN bookings AS b ON b.segment = 1
                   AND b.payment_reference_id = coalesce(p.order_reference, p.reference)
                 WHERE p.status = 'reversed' AND p.reference IN
                       (SELECT payment_reference_id FROM bookings WHERE id = $1
                         UNION ALL
                        SELECT reference FROM payments
                         WHERE order_reference =
                               (SELECT payment_reference_id FROM bookings WHERE id = $1)
                           AND order_reference IS NOT NULL
                         UNION ALL
                        SELECT payment_reference_id FROM bookings WHERE replaces IN (
                               SELECT id FROM bookings WHERE has_changes AND payment_reference_id =
                                      (SELECT payment_reference_id FROM bookings WHERE id = $1)))
                   AND NOT EXISTS (SELECT 1 FROM refunds AS r
                                    WHERE r.payment_reference_id = p.reference)) AS refunds
               ORDER BY refunds.created_at, refunds.booking_id, refunds.id"
        )
    };
}

/// The `$4` newest bookings below number `$2` of user `$1`, of status `$3` or, without one, of any.
macro_rules! bookings_of_user {
    ($columns:expr) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM bookings
               WHERE user_id = $1 AND replaces IS NULL AND id < $2 AND ($3 IS NULL OR status = $3)
               ORDER BY id DESC LIMIT $4"
        )
    };
}

/// The `$4` first bookings above number `$2` of flight `$1`, of status `$3` or, without one, of any.
///
/// They are sorted for each page, since an index in this order would cost each booking. `+ 0` keeps both stores from
/// reading the bookings of all flights by their number.
macro_rules! bookings_of_flight {
    ($columns:expr) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM bookings
               WHERE flight_id = $1 AND replaces IS NULL AND id + 0 > $2 AND ($3 IS NULL OR status = $3)
               ORDER BY id + 0 LIMIT $4"
        )
    };
}

/// The `$6` first flights after departure `$1` and number `$2` that depart before `$3`, of status `$5` or,
/// without one, of any; and with `$4`, the key that `$of` compares. `$from` and `$until` are `$1` and `$3` as
/// the store's instants.
macro_rules! flights_listed {
    ($columns:expr, $of:expr, $from:literal, $until:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM flights
               WHERE ",
            $of,
            " AND (flights.timestamp, id) > (",
            $from,
            ", $2) AND flights.timestamp < ",
            $until,
            " AND ($5 IS NULL OR flight_status = $5)
               ORDER BY flights.timestamp, id LIMIT $6"
        )
    };
}

pub(in crate::store) use {
    booking_by_id, bookings_of_flight, bookings_of_order, bookings_of_user, flight_by_id,
    flights_listed, payments_of_order, put_fare_rules, refunds_of_order,
};
