//! The rows that a batch needs, in a few statements over sets and one snapshot.

use super::request_keys;
use crate::domain::{FlightId, SeatCount, UserId};
use crate::rules::{State, Wanted};
use crate::store::StoreError;
use crate::store::rows::loaded::{KeyRow, Loading};
use crate::store::rows::micros;
use crate::store::rows::sql::json;
use crate::store::rows::unreadable::Unreadable;
use crate::store::sqlite::columns::{
    booking_columns, entry_columns, flight_columns, payment_columns, refund_columns,
};
use sqlx::SqlitePool;
use std::collections::BTreeSet;

const FLIGHTS: &str = concat!(
    "SELECT ",
    flight_columns!(),
    " FROM flights WHERE id IN (SELECT value FROM json_each($1))"
);

const KEYS: &str = "
SELECT k.user_id, k.key, k.request_hash, k.booking_id, k.created_at
  FROM json_each($1) AS c
  JOIN idempotency_keys AS k ON k.user_id = c.value ->> 0 AND k.key = c.value ->> 1";

/// All bookings of the orders. Without passengers: no rule reads them.
const BOOKINGS: &str = concat!(
    "SELECT ",
    booking_columns!("NULL"),
    " FROM bookings WHERE payment_reference_id IN (
            SELECT value FROM json_each($2)
             UNION ALL
            SELECT order_reference FROM payments
             WHERE reference IN (SELECT value FROM json_each($2)) AND order_reference IS NOT NULL
             UNION ALL
            SELECT payment_reference_id FROM bookings
             WHERE id IN (SELECT value FROM json_each($1)))"
);

/// The orders of bookings (`$1`), and the bookings that replace others (`$2`).
const CHANGES: &str = concat!(
    "SELECT ",
    booking_columns!("NULL"),
    " FROM bookings WHERE payment_reference_id IN (
            SELECT payment_reference_id FROM bookings
             WHERE id IN (SELECT value FROM json_each($1)))
      UNION ALL SELECT ",
    booking_columns!("NULL"),
    " FROM bookings WHERE replaces IN (SELECT value FROM json_each($2))"
);

const REFUNDS: &str = concat!(
    "SELECT ",
    refund_columns!(),
    " FROM refunds WHERE id IN (SELECT value FROM json_each($1))
                        OR payment_reference_id IN (SELECT value FROM json_each($2))"
);

/// Every version of fare rules, by name.
pub(in crate::store::sqlite) const FARES: &str = "
SELECT name, version, rows, created_at FROM fare_rules
 WHERE name IN (SELECT value FROM json_each($1))";

/// All payments of the orders.
const PAYMENTS: &str = concat!(
    "SELECT ",
    payment_columns!(),
    " FROM payments WHERE reference IN (SELECT value FROM json_each($1))
      UNION ALL SELECT ",
    payment_columns!(),
    " FROM payments
      WHERE order_reference IN (SELECT value FROM json_each($1)) AND order_reference IS NOT NULL"
);

const ENTRIES: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM waitlist WHERE id IN (
            SELECT value FROM json_each($1)
             UNION
            SELECT id FROM waitlist
             WHERE flight_id IN (SELECT value FROM json_each($2))
               AND status IN ('waiting', 'offered')
             UNION
            SELECT w.id FROM json_each($3) AS c
              JOIN waitlist AS w ON w.flight_id = c.value ->> 0 AND w.user_id = c.value ->> 1
             WHERE w.status IN ('waiting', 'offered'))"
);

/// Seats in a user's pending bookings of a flight whose holds end after an instant.
const PENDING_SEATS: &str = "
SELECT c.value ->> 0, c.value ->> 1, (
       SELECT min(coalesce(sum(b.seats_booked), 0), 2147483647) FROM bookings AS b
        WHERE b.flight_id = c.value ->> 0 AND b.user_id = c.value ->> 1
          AND b.hold_expires_at > c.value ->> 2 AND b.status = 'pending')
  FROM json_each($1) AS c";

pub(in crate::store) async fn load(
    reader: &SqlitePool,
    unreadable: &Unreadable,
    wanted: &Wanted,
) -> Result<State, StoreError> {
    let mut tx = reader.begin().await?;
    let mut loading = Loading::new(unreadable);
    let flights = sqlx::query(FLIGHTS).bind(json(&wanted.flights));
    loading.flights(&flights.fetch_all(&mut *tx).await?);
    if !wanted.idempotency.is_empty() {
        let keys = sqlx::query_as::<_, KeyRow>(KEYS).bind(json(&wanted.idempotency));
        loading.keys(keys.fetch_all(&mut *tx).await?);
    }
    if !wanted.requests.is_empty() {
        let rows = request_keys::load(&mut tx, &wanted.requests).await?;
        loading.requests(&wanted.requests, rows);
    }
    let ids = loading.bookings_wanted(wanted);
    if !wanted.payments.is_empty() || !ids.is_empty() {
        let bookings = sqlx::query(BOOKINGS).bind(json(&ids)).bind(json(&wanted.payments));
        loading.bookings(&bookings.fetch_all(&mut *tx).await?);
        let mut seen = BTreeSet::new();
        while let Some((replaced, changed)) = loading.changes_wanted(&mut seen) {
            let rows = sqlx::query(CHANGES).bind(json(&replaced)).bind(json(&changed));
            loading.bookings(&rows.fetch_all(&mut *tx).await?);
        }
        let references: Vec<_> = loading.state.paid_by.keys().collect();
        let payments = sqlx::query(PAYMENTS).bind(json(&references));
        loading.payments(&payments.fetch_all(&mut *tx).await?);
    }
    if wanted.fares {
        let fares = sqlx::query_as(FARES).bind(json(&loading.fare_names()));
        loading.fares(fares.fetch_all(&mut *tx).await?);
    }
    let refunds_of = loading.refunds_wanted(wanted);
    if !wanted.refunds.is_empty() || !refunds_of.is_empty() {
        let refunds = sqlx::query(REFUNDS).bind(json(&wanted.refunds)).bind(json(&refunds_of));
        loading.refunds(&refunds.fetch_all(&mut *tx).await?);
    }
    if wanted.has_entries() {
        let entrants: Vec<_> = wanted.entrants.iter().collect();
        let entries = sqlx::query(ENTRIES)
            .bind(json(&loading.entries_wanted(wanted)))
            .bind(json(&wanted.lines))
            .bind(json(&entrants));
        loading.entries(&entries.fetch_all(&mut *tx).await?);
        let offers = loading.offers();
        if !offers.is_empty() {
            let bookings = sqlx::query(BOOKINGS).bind(json(&offers)).bind("[]");
            loading.bookings(&bookings.fetch_all(&mut *tx).await?);
            let references: Vec<_> = loading.state.paid_by.keys().collect();
            let payments = sqlx::query(PAYMENTS).bind(json(&references));
            loading.payments(&payments.fetch_all(&mut *tx).await?);
        }
    }
    if !wanted.pending.is_empty() {
        let holders: Vec<_> =
            wanted.pending.iter().map(|((flight, user), at)| (flight, user, micros(*at))).collect();
        let pending = sqlx::query_as(PENDING_SEATS).bind(json(&holders));
        let rows: Vec<(i64, i64, SeatCount)> = pending.fetch_all(&mut *tx).await?;
        let seats = |(flight, user, seats)| ((FlightId(flight), UserId(user)), seats);
        loading.state.pending = rows.into_iter().map(seats).collect();
    }
    Ok(loading.state)
}
