//! What a batch needs, read in a few set-based statements.

use super::columns::{booking_columns, flight_columns, payment_columns};
use super::commit::json;
use super::request_keys;
use crate::domain::{Booking, BookingId, FlightId, PaymentReference, SeatCount, UserId};
use crate::rules::{State, Wanted};
use crate::store::loaded::{KeyRow, Loading};
use crate::store::rows::{BookingRow, micros, read, reference};
use crate::store::unreadable::Unreadable;
use crate::store::{Located, StoreError};
use sqlx::SqlitePool;
use std::collections::BTreeSet;

/// The seats that users hold unpaid: of each flight and user, in holds that end after a moment.
const PENDING: &str = "
SELECT c.value ->> 0, c.value ->> 1, (
       SELECT min(coalesce(sum(b.seats_booked), 0), 2147483647) FROM bookings AS b
        WHERE b.flight_id = c.value ->> 0 AND b.user_id = c.value ->> 1
          AND b.hold_expires_at > c.value ->> 2 AND b.status = 'pending')
  FROM json_each(?1) AS c";

pub(super) async fn load(
    reader: &SqlitePool,
    unreadable: &Unreadable,
    wanted: &Wanted,
) -> Result<State, StoreError> {
    let mut tx = reader.begin().await?;
    let mut loading = Loading::new(unreadable);

    let rows = sqlx::query(concat!(
        "SELECT ",
        flight_columns!(),
        " FROM flights WHERE id IN (SELECT value FROM json_each(?1))"
    ))
    .bind(json(&wanted.flights))
    .fetch_all(&mut *tx)
    .await?;
    loading.flights(&rows);

    let mut bookings: BTreeSet<BookingId> = wanted.bookings.clone();
    if !wanted.idempotency.is_empty() {
        let rows: Vec<KeyRow> = sqlx::query_as(
            "SELECT k.user_id, k.key, k.request_hash, k.booking_id, k.created_at
               FROM json_each(?1) AS c
               JOIN idempotency_keys AS k ON k.user_id = c.value ->> 0 AND k.key = c.value ->> 1",
        )
        .bind(json(&wanted.idempotency))
        .fetch_all(&mut *tx)
        .await?;
        loading.keys(rows);
        bookings.extend(loading.state.idempotency.values().map(|record| record.booking_id));
    }

    if !wanted.requests.is_empty() {
        let rows = request_keys::load(&mut tx, &wanted.requests).await?;
        loading.requests(&wanted.requests, rows);
    }
    if !wanted.payments.is_empty() || !bookings.is_empty() {
        // Without the passengers: no rule asks who flies.
        let rows = sqlx::query(concat!(
            "SELECT ",
            booking_columns!("NULL"),
            " FROM bookings WHERE id IN (SELECT value FROM json_each(?1))
                  UNION
                  SELECT ",
            booking_columns!("NULL"),
            " FROM bookings WHERE payment_reference_id IN (SELECT value FROM json_each(?2))"
        ))
        .bind(json(&bookings))
        .bind(json(&wanted.payments))
        .fetch_all(&mut *tx)
        .await?;
        loading.bookings(&rows);

        let references: Vec<_> = loading.state.paid_by.keys().collect();
        let rows = sqlx::query(concat!(
            "SELECT ",
            payment_columns!(),
            " FROM payments WHERE reference IN (SELECT value FROM json_each(?1))"
        ))
        .bind(json(&references))
        .fetch_all(&mut *tx)
        .await?;
        loading.payments(&rows);
    }

    if !wanted.pending.is_empty() {
        let holders: Vec<_> =
            wanted.pending.iter().map(|((flight, user), at)| (flight, user, micros(*at))).collect();
        let rows: Vec<(i64, i64, SeatCount)> =
            sqlx::query_as(PENDING).bind(json(&holders)).fetch_all(&mut *tx).await?;
        let seats = |(flight, user, seats)| ((FlightId(flight), UserId(user)), seats);
        loading.state.pending = rows.into_iter().map(seats).collect();
    }
    Ok(loading.state)
}

pub(super) async fn locate(
    reader: &SqlitePool,
    payments: &[PaymentReference],
    bookings: &[BookingId],
) -> Result<Located, StoreError> {
    let mut located = Located::default();
    if !payments.is_empty() {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT payment_reference_id, flight_id FROM bookings
              WHERE payment_reference_id IN (SELECT value FROM json_each(?1))",
        )
        .bind(json(&payments))
        .fetch_all(reader)
        .await?;
        for (payment, flight) in rows {
            located.payments.insert(reference(&payment)?, FlightId(flight));
        }
    }
    if !bookings.is_empty() {
        let rows: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT id, flight_id FROM bookings WHERE id IN (SELECT value FROM json_each(?1))",
        )
        .bind(json(&bookings))
        .fetch_all(reader)
        .await?;
        let found = rows.into_iter().map(|(id, flight)| (BookingId(id), FlightId(flight)));
        located.bookings.extend(found);
    }
    Ok(located)
}

pub(super) async fn booking(
    reader: &SqlitePool,
    id: BookingId,
) -> Result<Option<Booking>, StoreError> {
    let row = sqlx::query(concat!("SELECT ", booking_columns!(), " FROM bookings WHERE id = ?1"))
        .bind(id.0)
        .fetch_optional(reader)
        .await?;
    row.as_ref().map(read::<BookingRow, Booking, _>).transpose()
}
