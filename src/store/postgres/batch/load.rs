//! The rows that a batch needs, in a few statements over sets.
//!
//! The statements share no snapshot: the commit compares what it writes with what was loaded.

use super::{refunds, request_keys, waitlist};
use crate::domain::{BookingId, FlightId, PaymentReference, SeatCount, Timestamp, UserId};
use crate::rules::{Holder, State, Wanted};
use crate::store::StoreError;
use crate::store::postgres::columns::{booking_columns, flight_columns, payment_columns};
use crate::store::postgres::sets::texts;
use crate::store::rows::loaded::{KeyRow, Loading};
use crate::store::rows::micros;
use crate::store::rows::unreadable::Unreadable;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const KEYS: &str = "
SELECT k.user_id, k.key, k.request_hash, k.booking_id,
       CASE WHEN isfinite(k.created_at) THEN micros(k.created_at) END
  FROM unnest($1::bigint[], $2::text[]) AS c (user_id, key)
  JOIN idempotency_keys AS k ON k.user_id = c.user_id AND k.key = c.key";

/// All bookings of the orders. Without passengers: no rule reads them.
const BOOKINGS: &str = concat!(
    "SELECT ",
    booking_columns!("NULL"),
    " FROM bookings WHERE payment_reference_id = ANY($2 || ARRAY(
            SELECT order_reference FROM payments
             WHERE reference = ANY($2) AND order_reference IS NOT NULL) || ARRAY(
            SELECT payment_reference_id::text FROM bookings WHERE id = ANY($1)))"
);

/// The orders of bookings (`$1`), and the bookings that replace others (`$2`).
const CHANGES: &str = concat!(
    "SELECT ",
    booking_columns!("NULL"),
    " FROM bookings WHERE payment_reference_id = ANY(ARRAY(
            SELECT payment_reference_id::text FROM bookings WHERE id = ANY($1)))
      UNION ALL SELECT ",
    booking_columns!("NULL"),
    " FROM bookings WHERE replaces = ANY($2)"
);

/// Every version of fare rules, by name.
pub(in crate::store::postgres) const FARES: &str = "
SELECT name, version, rows, micros(created_at) FROM fare_rules WHERE name = ANY($1)";

/// All payments of the orders.
const PAYMENTS: &str = concat!(
    "SELECT ",
    payment_columns!(),
    " FROM payments WHERE reference = ANY($1)
      UNION ALL SELECT ",
    payment_columns!(),
    " FROM payments WHERE order_reference = ANY($1) AND order_reference IS NOT NULL"
);
/// Seats in a user's pending bookings of a flight whose holds end after an instant.
const PENDING_SEATS: &str = "
SELECT i.flight, i.user_id, (
       SELECT least(coalesce(sum(b.seats_booked), 0), 2147483647) FROM bookings AS b
        WHERE b.flight_id = i.flight AND b.user_id = i.user_id
          AND b.hold_expires_at > instant(i.at) AND b.status = 'pending')::int
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS i (flight, user_id, at)";

const FLIGHTS: &str = concat!("SELECT ", flight_columns!(), " FROM flights WHERE id = ANY($1)");

pub(in crate::store) async fn load(
    pool: &PgPool,
    unreadable: &Unreadable,
    wanted: &Wanted,
) -> Result<State, StoreError> {
    let mut connection = pool.acquire().await?;
    let mut loading = Loading::new(unreadable);
    if !wanted.idempotency.is_empty() {
        loading.keys(keys(&mut connection, wanted).await?);
    }
    if !wanted.requests.is_empty() {
        let rows = request_keys::load(&mut *connection, &wanted.requests).await?;
        loading.requests(&wanted.requests, rows);
    }
    let ids = loading.bookings_wanted(wanted);
    if !wanted.payments.is_empty() || !ids.is_empty() {
        loading.bookings(&bookings(&mut connection, &ids, wanted).await?);
        let mut seen = BTreeSet::new();
        while let Some((replaced, changed)) = loading.changes_wanted(&mut seen) {
            let rows = sqlx::query(CHANGES).bind(replaced).bind(changed);
            loading.bookings(&rows.fetch_all(&mut *connection).await?);
        }
        let rows = payments(&mut connection, loading.state.paid_by.keys()).await?;
        loading.payments(&rows);
    }
    if wanted.fares {
        let names: Vec<_> = loading.fare_names().into_iter().collect();
        loading.fares(sqlx::query_as(FARES).bind(names).fetch_all(&mut *connection).await?);
    }
    let refunds_of = loading.refunds_wanted(wanted);
    if !wanted.refunds.is_empty() || !refunds_of.is_empty() {
        loading.refunds(&refunds::load(&mut *connection, &wanted.refunds, &refunds_of).await?);
    }
    if !wanted.pending.is_empty() {
        loading.state.pending = pending_seats(&mut connection, &wanted.pending).await?;
    }
    // Last, so that a flight is at least as new as the bookings that were counted on it.
    loading.flights(&flights(&mut connection, &wanted.flights).await?);
    if wanted.has_entries() {
        // After the flights: a commit that adds an entry changes its flight, which the next commit finds stale.
        let ids = loading.entries_wanted(wanted);
        loading.entries(&waitlist::load(&mut connection, wanted, &ids).await?);
        let offers = loading.offers();
        if !offers.is_empty() {
            loading.bookings(&bookings(&mut connection, &offers, &Wanted::default()).await?);
            let rows = payments(&mut connection, loading.state.paid_by.keys()).await?;
            loading.payments(&rows);
        }
    }
    Ok(loading.state)
}

async fn keys(connection: &mut PgConnection, wanted: &Wanted) -> Result<Vec<KeyRow>, sqlx::Error> {
    let (users, keys): (Vec<i64>, Vec<&str>) =
        wanted.idempotency.iter().map(|(user, key)| (user.0, &**key)).unzip();
    sqlx::query_as(KEYS).bind(users).bind(keys).fetch_all(connection).await
}

async fn bookings(
    connection: &mut PgConnection,
    ids: &BTreeSet<BookingId>,
    wanted: &Wanted,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    sqlx::query(BOOKINGS).bind(ids).bind(texts(&wanted.payments)).fetch_all(connection).await
}

async fn payments(
    connection: &mut PgConnection,
    references: impl Iterator<Item = &PaymentReference>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    sqlx::query(PAYMENTS).bind(texts(references)).fetch_all(connection).await
}

async fn pending_seats(
    connection: &mut PgConnection,
    holders: &BTreeMap<Holder, Timestamp>,
) -> Result<HashMap<Holder, SeatCount>, sqlx::Error> {
    let of = |column: fn((&Holder, &Timestamp)) -> i64| -> Vec<i64> {
        holders.iter().map(column).collect()
    };
    let rows: Vec<(i64, i64, i32)> = sqlx::query_as(PENDING_SEATS)
        .bind(of(|(holder, _)| holder.0.0))
        .bind(of(|(holder, _)| holder.1.0))
        .bind(of(|(_, at)| micros(*at)))
        .fetch_all(connection)
        .await?;
    let seats = |(flight, user, seats)| ((FlightId(flight), UserId(user)), seats);
    Ok(rows.into_iter().map(seats).collect())
}

async fn flights(
    connection: &mut PgConnection,
    ids: &BTreeSet<FlightId>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    sqlx::query(FLIGHTS).bind(ids).fetch_all(connection).await
}
