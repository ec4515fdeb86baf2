//! What a batch needs, read in a few set-based statements, and single rows for the API.
//!
//! The statements of one load share no snapshot: what a decision writes is checked by the commit
//! against what it was decided on.

use super::columns::{booking_columns, flight_columns, payment_columns};
use super::error::store_error;
use super::request_keys;
use crate::domain::{
    Booking, BookingId, Flight, FlightId, Payment, PaymentReference, SeatCount, Timestamp, UserId,
};
use crate::rules::{Holder, IdempotencyRecord, State, Wanted};
use crate::store::rows::{
    BookingRow, FlightRow, PaymentRow, all, instant, micros, read, reference,
};
use crate::store::{Located, StoreError};
use sqlx::{PgConnection, PgPool};
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(super) async fn load(pool: &PgPool, wanted: &Wanted) -> Result<State, StoreError> {
    let mut connection = pool.acquire().await.map_err(store_error)?;
    let mut state = State::default();
    let mut bookings: BTreeSet<BookingId> = wanted.bookings.clone();

    if !wanted.idempotency.is_empty() {
        let (users, keys): (Vec<i64>, Vec<&str>) =
            wanted.idempotency.iter().map(|(user, key)| (user.0, &**key)).unzip();
        let rows: Vec<(i64, String, String, i64, i64)> = sqlx::query_as(
            "SELECT k.user_id, k.key, k.request_hash, k.booking_id, micros(k.created_at)
               FROM unnest($1::bigint[], $2::text[]) AS c (user_id, key)
               JOIN idempotency_keys AS k ON k.user_id = c.user_id AND k.key = c.key",
        )
        .bind(users)
        .bind(keys)
        .fetch_all(&mut *connection)
        .await
        .map_err(store_error)?;
        for (user, key, request_hash, booking, created_at) in rows {
            let corrupt = || StoreError::Corrupt {
                table: "idempotency_keys",
                column: "created_at",
                row: key.clone(),
            };
            let record = IdempotencyRecord {
                user_id: UserId(user),
                created_at: instant(created_at).ok_or_else(corrupt)?,
                key: key.into(),
                request_hash: request_hash.into(),
                booking_id: BookingId(booking),
            };
            bookings.insert(record.booking_id);
            state.idempotency.insert(record.name(), record);
        }
    }

    if !wanted.requests.is_empty() {
        state.requests = request_keys::load(&mut *connection, &wanted.requests).await?;
    }
    if !wanted.payments.is_empty() || !bookings.is_empty() {
        // Without the passengers: no rule asks who flies.
        let rows: Vec<BookingRow> = sqlx::query_as(concat!(
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
        .await
        .map_err(store_error)?;
        for booking in all::<_, Booking>(rows)? {
            state.add_booking(booking);
        }
        let rows: Vec<PaymentRow> = sqlx::query_as(concat!(
            "SELECT ",
            payment_columns!(),
            " FROM payments WHERE reference = ANY($1)"
        ))
        .bind(texts(state.paid_by.keys()))
        .fetch_all(&mut *connection)
        .await
        .map_err(store_error)?;
        let payments: Vec<Payment> = all(rows)?;
        state.payments = payments.into_iter().map(|payment| (payment.reference, payment)).collect();
    }

    if !wanted.pending.is_empty() {
        state.pending = pending(&mut connection, &wanted.pending).await?;
    }

    // Last, so that a flight is at least as new as the bookings that were counted on it.
    let rows: Vec<FlightRow> =
        sqlx::query_as(concat!("SELECT ", flight_columns!(), " FROM flights WHERE id = ANY($1)"))
            .bind(wanted.flights.iter().map(|id| id.0).collect::<Vec<_>>())
            .fetch_all(&mut *connection)
            .await
            .map_err(store_error)?;
    let flights: Vec<Flight> = all(rows)?;
    state.flights = flights.into_iter().map(|flight| (flight.id, flight)).collect();
    Ok(state)
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
                SELECT coalesce(sum(b.seats_booked), 0) FROM bookings AS b
                 WHERE b.flight_id = i.flight AND b.user_id = i.user_id
                   AND b.hold_expires_at > instant(i.at) AND b.status = 'pending')::int
           FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS i (flight, user_id, at)",
    )
    .bind(of(|(holder, _)| holder.0.0))
    .bind(of(|(holder, _)| holder.1.0))
    .bind(of(|(_, at)| micros(*at)))
    .fetch_all(connection)
    .await
    .map_err(store_error)?;
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
              WHERE payment_reference_id = ANY($1)",
        )
        .bind(texts(payments))
        .fetch_all(pool)
        .await
        .map_err(store_error)?;
        for (payment, flight) in rows {
            located.payments.insert(reference(&payment)?, FlightId(flight));
        }
    }
    if !bookings.is_empty() {
        let rows: Vec<(i64, i64)> =
            sqlx::query_as("SELECT id, flight_id FROM bookings WHERE id = ANY($1)")
                .bind(bookings.iter().map(|id| id.0).collect::<Vec<_>>())
                .fetch_all(pool)
                .await
                .map_err(store_error)?;
        let found = rows.into_iter().map(|(id, flight)| (BookingId(id), FlightId(flight)));
        located.bookings.extend(found);
    }
    Ok(located)
}

pub(super) async fn booking(pool: &PgPool, id: BookingId) -> Result<Option<Booking>, StoreError> {
    let row = sqlx::query(concat!("SELECT ", booking_columns!(), " FROM bookings WHERE id = $1"))
        .bind(id.0)
        .fetch_optional(pool)
        .await
        .map_err(store_error)?;
    row.as_ref().map(read::<BookingRow, Booking, _>).transpose()
}
