//! What a batch needs, read in a few set-based statements, and single rows for the API.
//!
//! The statements of one load share no snapshot: what a decision writes is checked by the commit
//! against what it was decided on.

use super::columns::{booking_columns, flight_columns, payment_columns};
use super::request_keys;
use crate::domain::{Booking, BookingId, FlightId, PaymentReference, SeatCount, Timestamp, UserId};
use crate::rules::{Holder, State, Wanted};
use crate::store::loaded::{KeyRow, Loading};
use crate::store::rows::{BookingRow, micros, read, reference};
use crate::store::unreadable::Unreadable;
use crate::store::{Located, StoreError};
use sqlx::{PgConnection, PgPool};
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(super) async fn load(
    pool: &PgPool,
    unreadable: &Unreadable,
    wanted: &Wanted,
) -> Result<State, StoreError> {
    let mut connection = pool.acquire().await?;
    let mut loading = Loading::new(unreadable);
    let mut bookings: BTreeSet<BookingId> = wanted.bookings.clone();

    if !wanted.idempotency.is_empty() {
        let (users, keys): (Vec<i64>, Vec<&str>) =
            wanted.idempotency.iter().map(|(user, key)| (user.0, &**key)).unzip();
        let rows: Vec<KeyRow> = sqlx::query_as(
            "SELECT k.user_id, k.key, k.request_hash, k.booking_id,
                    CASE WHEN isfinite(k.created_at) THEN micros(k.created_at) END
               FROM unnest($1::bigint[], $2::text[]) AS c (user_id, key)
               JOIN idempotency_keys AS k ON k.user_id = c.user_id AND k.key = c.key",
        )
        .bind(users)
        .bind(keys)
        .fetch_all(&mut *connection)
        .await?;
        loading.keys(rows);
        bookings.extend(loading.state.idempotency.values().map(|record| record.booking_id));
    }

    if !wanted.requests.is_empty() {
        let rows = request_keys::load(&mut *connection, &wanted.requests).await?;
        loading.requests(&wanted.requests, rows);
    }
    if !wanted.payments.is_empty() || !bookings.is_empty() {
        // Without the passengers: no rule asks who flies.
        let rows = sqlx::query(concat!(
            "SELECT ",
            booking_columns!("NULL"),
            " FROM bookings WHERE id = ANY($1)
              UNION
              SELECT ",
            booking_columns!("NULL"),
            " FROM bookings WHERE payment_reference_id = ANY($2)"
        ))
        .bind(bookings.iter().map(|id| id.0).collect::<Vec<_>>())
        .bind(texts(&wanted.payments))
        .fetch_all(&mut *connection)
        .await?;
        loading.bookings(&rows);
        let rows = sqlx::query(concat!(
            "SELECT ",
            payment_columns!(),
            " FROM payments WHERE reference = ANY($1)"
        ))
        .bind(texts(loading.state.paid_by.keys()))
        .fetch_all(&mut *connection)
        .await?;
        loading.payments(&rows);
    }

    if !wanted.pending.is_empty() {
        loading.state.pending = pending(&mut connection, &wanted.pending).await?;
    }

    // Last, so that a flight is at least as new as the bookings that were counted on it.
    let flights =
        sqlx::query(concat!("SELECT ", flight_columns!(), " FROM flights WHERE id = ANY($1)"));
    let rows = flights
        .bind(wanted.flights.iter().map(|id| id.0).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
    loading.flights(&rows);
    Ok(loading.state)
}

/// The seats that users hold unpaid.
async fn pending(
    connection: &mut PgConnection,
    holders: &BTreeMap<Holder, Timestamp>,
) -> Result<HashMap<Holder, SeatCount>, StoreError> {
    let of = |column: fn((&Holder, &Timestamp)) -> i64| -> Vec<i64> {
        holders.iter().map(column).collect()
    };
    let rows: Vec<(i64, i64, i32)> = sqlx::query_as(
        "SELECT i.flight, i.user_id, (
                SELECT least(coalesce(sum(b.seats_booked), 0), 2147483647) FROM bookings AS b
                 WHERE b.flight_id = i.flight AND b.user_id = i.user_id
                   AND b.hold_expires_at > instant(i.at) AND b.status = 'pending')::int
           FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS i (flight, user_id, at)",
    )
    .bind(of(|(holder, _)| holder.0.0))
    .bind(of(|(holder, _)| holder.1.0))
    .bind(of(|(_, at)| micros(*at)))
    .fetch_all(connection)
    .await?;
    let seats = |(flight, user, seats)| ((FlightId(flight), UserId(user)), seats);
    Ok(rows.into_iter().map(seats).collect())
}

/// References as the driver sends them.
pub(super) fn texts<'a>(references: impl IntoIterator<Item = &'a PaymentReference>) -> Vec<String> {
    references.into_iter().map(ToString::to_string).collect()
}

pub(super) async fn locate(
    pool: &PgPool,
    payments: &[PaymentReference],
    bookings: &[BookingId],
) -> Result<Located, StoreError> {
    let mut located = Located::default();
    if !payments.is_empty() {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT payment_reference_id, flight_id FROM bookings
              WHERE payment_reference_id = ANY($1) AND flight_id IS NOT NULL",
        )
        .bind(texts(payments))
        .fetch_all(pool)
        .await?;
        for (payment, flight) in rows {
            located.payments.insert(reference(&payment)?, FlightId(flight));
        }
    }
    if !bookings.is_empty() {
        let rows: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT id, flight_id FROM bookings WHERE id = ANY($1) AND flight_id IS NOT NULL",
        )
        .bind(bookings.iter().map(|id| id.0).collect::<Vec<_>>())
        .fetch_all(pool)
        .await?;
        let found = rows.into_iter().map(|(id, flight)| (BookingId(id), FlightId(flight)));
        located.bookings.extend(found);
    }
    Ok(located)
}

pub(super) async fn booking(pool: &PgPool, id: BookingId) -> Result<Option<Booking>, StoreError> {
    let row = sqlx::query(concat!("SELECT ", booking_columns!(), " FROM bookings WHERE id = $1"))
        .bind(id.0)
        .fetch_optional(pool)
        .await?;
    row.as_ref().map(read::<BookingRow, Booking, _>).transpose()
}
