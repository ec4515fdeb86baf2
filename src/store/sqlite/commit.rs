//! A batch's commit: write it, one statement a table; only if a row was stale, find out which, sum
//! up the rest and write that.
//!
//! Sets travel as one JSON parameter each (`json_each`), so a batch of 512 costs what one costs.

use super::error::{refused, store_error};
use crate::booking::{Change, ChangeSet, Folded, IdempotencyRecord, Stale, Told};
use crate::domain::{
    Booking, BookingId, BookingStatus, Flight, FlightId, Outdated, Payment, PaymentStatus, UserId,
    route_key,
};
use crate::store::outbox;
use crate::store::rows::micros;
use crate::store::{Committed, OutboxEntry, StoreError};
use serde::Serialize;
use sqlx::{Sqlite, SqlitePool, Transaction};
use std::collections::HashSet;
use std::sync::Arc;

/// An open write transaction; rolls back when dropped.
pub(super) type Tx = Transaction<'static, Sqlite>;

/// Begins a transaction that holds the only write lock from the start.
pub(super) async fn begin(writer: &SqlitePool) -> Result<Tx, StoreError> {
    writer.begin_with("BEGIN IMMEDIATE").await.map_err(store_error)
}

/// A set as one statement's parameter.
pub(super) fn json(rows: &impl Serialize) -> String {
    serde_json::to_string(rows).expect("rows of numbers and texts are always JSON")
}

pub(super) async fn commit(
    writer: &SqlitePool,
    changes: &ChangeSet,
) -> Result<Committed, StoreError> {
    let mut tx = begin(writer).await?;
    let whole = changes.fold(&Stale::default());
    let stale = Stale { keys: taken_keys(&mut tx, &whole).await?, ..Stale::default() };
    let folded = if stale.keys.is_empty() { whole } else { changes.fold(&stale) };
    // Nearly always all is as it was decided on; what is not, the statements themselves find out.
    let refused = match write(&mut tx, &folded, changes).await {
        Ok(()) => {
            tx.commit().await.map_err(store_error)?;
            return Ok(Committed { stale: folded.stale });
        }
        Err(refused @ StoreError::Refused(_)) => refused,
        Err(error) => return Err(error),
    };
    tx.rollback().await.map_err(store_error)?;
    // Others may have committed since: all is looked at again, in the transaction that then writes.
    let mut tx = begin(writer).await?;
    let stale = find_stale(&mut tx, &changes.fold(&Stale::default())).await?;
    let rest = changes.fold(&stale);
    if rest.stale == folded.stale {
        return Err(refused);
    }
    write(&mut tx, &rest, changes).await?;
    tx.commit().await.map_err(store_error)?;
    Ok(Committed { stale: rest.stale })
}

/// The rows that are not as they were decided on.
async fn find_stale(tx: &mut Tx, folded: &Folded) -> Result<Stale, StoreError> {
    let mut stale = Stale { keys: taken_keys(tx, folded).await?, ..Stale::default() };
    let flights: Vec<_> = folded.flights.iter().map(|c| (c.after.id.0, c.was.version)).collect();
    let rows: Vec<i64> = sqlx::query_scalar(
        "SELECT c.value ->> 0 FROM json_each(?1) AS c
           LEFT JOIN flights AS f ON f.id = c.value ->> 0
          WHERE f.version IS NOT c.value ->> 1",
    )
    .bind(json(&flights))
    .fetch_all(&mut **tx)
    .await
    .map_err(store_error)?;
    stale.flights.extend(rows.into_iter().map(FlightId));

    let bookings: Vec<_> =
        folded.bookings.iter().map(|c| (c.after.id.0, c.was.map(BookingStatus::as_str))).collect();
    let rows: Vec<i64> = sqlx::query_scalar(
        "SELECT c.value ->> 0 FROM json_each(?1) AS c
           LEFT JOIN bookings AS b ON b.id = c.value ->> 0
          WHERE b.status IS NOT c.value ->> 1",
    )
    .bind(json(&bookings))
    .fetch_all(&mut **tx)
    .await
    .map_err(store_error)?;
    stale.bookings.extend(rows.into_iter().map(BookingId));

    let payments: Vec<_> = folded
        .payments
        .iter()
        .map(|c| (c.after.reference, c.was.map(PaymentStatus::as_str)))
        .collect();
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT c.value ->> 0 FROM json_each(?1) AS c
           LEFT JOIN payments AS p ON p.reference = c.value ->> 0
          WHERE p.status IS NOT c.value ->> 1",
    )
    .bind(json(&payments))
    .fetch_all(&mut **tx)
    .await
    .map_err(store_error)?;
    for row in rows {
        stale.payments.insert(crate::store::rows::reference(&row)?);
    }

    Ok(stale)
}

/// Idempotency keys that another commit took first: writing them would replace its record.
async fn taken_keys(
    tx: &mut Tx,
    folded: &Folded,
) -> Result<HashSet<(UserId, Arc<str>)>, StoreError> {
    if folded.idempotency.is_empty() {
        return Ok(HashSet::new());
    }
    let keys: Vec<_> = folded
        .idempotency
        .iter()
        .map(|r| (r.user_id, &*r.key, micros(r.created_at - IdempotencyRecord::KEPT_FOR)))
        .collect();
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "SELECT k.user_id, k.key FROM json_each(?1) AS c
           JOIN idempotency_keys AS k ON k.user_id = c.value ->> 0 AND k.key = c.value ->> 1
          WHERE k.created_at > c.value ->> 2",
    )
    .bind(json(&keys))
    .fetch_all(&mut **tx)
    .await
    .map_err(store_error)?;
    Ok(rows.into_iter().map(|(user, key)| (UserId(user), key.into())).collect())
}

/// Writes all; refused if a row is not as it was decided on.
async fn write(tx: &mut Tx, folded: &Folded, changes: &ChangeSet) -> Result<(), StoreError> {
    update_flights(tx, &folded.flights).await?;
    let (new, changed): (Vec<_>, Vec<_>) = folded.payments.iter().partition(|c| c.was.is_none());
    insert_payments(tx, &new).await?;
    update_payments(tx, &changed).await?;
    let (new, changed): (Vec<_>, Vec<_>) = folded.bookings.iter().partition(|c| c.was.is_none());
    insert_bookings(tx, &new).await?;
    update_bookings(tx, &changed).await?;
    upsert_keys(tx, &folded.idempotency).await?;
    insert_outbox(tx, &folded.events).await?;
    match outbox::ended(folded, changes) {
        Some(outdated) => insert_outdated(tx, &outdated).await,
        None => Ok(()),
    }
}

async fn update_flights(tx: &mut Tx, flights: &[Change<Flight, Flight>]) -> Result<(), StoreError> {
    let rows: Vec<_> = flights
        .iter()
        .map(|Change { was, after }| {
            let seats = (after.available_seats, after.held_seats, after.blocked_seats);
            let inventory = (after.id, was.version, after.version, micros(after.updated_at), seats);
            // What a hold or a settlement never changes is written only where it did change.
            let fields = (!after.differs_in_inventory_alone(was)).then(|| {
                (
                    (&after.flight_number, &after.source, &after.destination),
                    route_key(&after.source, &after.destination),
                    (micros(after.departs_at), after.arrives_at.map(micros)),
                    after.total_seats,
                    after.flight_status,
                    after.price.minor(),
                )
            });
            (inventory, fields)
        })
        .collect();
    let seats: Vec<_> =
        rows.iter().filter(|(_, fields)| fields.is_none()).map(|row| &row.0).collect();
    let written = run(
        tx,
        "UPDATE flights SET
            version = c.value ->> 2,
            updated_at = c.value ->> 3,
            available_seats = c.value ->> '$[4][0]',
            held_seats = c.value ->> '$[4][1]',
            blocked_seats = c.value ->> '$[4][2]'
           FROM json_each(?1) AS c
          WHERE flights.id = c.value ->> 0 AND flights.version = c.value ->> 1",
        &seats,
    )
    .await?;
    expect_written("flights", seats.len(), written)?;

    let whole: Vec<_> = rows.iter().filter(|(_, fields)| fields.is_some()).collect();
    let written = run(
        tx,
        "UPDATE flights SET
            version = c.value ->> '$[0][2]',
            updated_at = c.value ->> '$[0][3]',
            available_seats = c.value ->> '$[0][4][0]',
            held_seats = c.value ->> '$[0][4][1]',
            blocked_seats = c.value ->> '$[0][4][2]',
            flight_number = c.value ->> '$[1][0][0]',
            source = c.value ->> '$[1][0][1]',
            destination = c.value ->> '$[1][0][2]',
            route = c.value ->> '$[1][1]',
            timestamp = c.value ->> '$[1][2][0]',
            arrival_timestamp = c.value ->> '$[1][2][1]',
            total_seats = c.value ->> '$[1][3]',
            flight_status = c.value ->> '$[1][4]',
            price = c.value ->> '$[1][5]'
           FROM json_each(?1) AS c
          WHERE flights.id = c.value ->> '$[0][0]' AND flights.version = c.value ->> '$[0][1]'",
        &whole,
    )
    .await?;
    expect_written("flights", whole.len(), written)
}

async fn insert_payments(
    tx: &mut Tx,
    payments: &[&Change<Option<PaymentStatus>, Payment>],
) -> Result<(), StoreError> {
    let rows: Vec<_> = payments
        .iter()
        .map(|Change { after, .. }| {
            (
                after.reference,
                after.amount.minor(),
                after.currency,
                &after.method,
                after.status.as_str(),
                micros(after.created_at),
                micros(after.updated_at),
                &after.traceparent,
            )
        })
        .collect();
    let written = run(
        tx,
        "INSERT INTO payments (reference, amount, currency, method, status, created_at, updated_at,
                traceparent)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                value ->> 6, value ->> 7
           FROM json_each(?1)",
        &rows,
    )
    .await?;
    expect_written("payments", rows.len(), written)
}

async fn update_payments(
    tx: &mut Tx,
    payments: &[&Change<Option<PaymentStatus>, Payment>],
) -> Result<(), StoreError> {
    let rows: Vec<_> = payments
        .iter()
        .map(|Change { was, after }| {
            let was = was.map(PaymentStatus::as_str);
            (after.reference, was, after.status.as_str(), micros(after.updated_at))
        })
        .collect();
    let written = run(
        tx,
        "UPDATE payments SET status = c.value ->> 2, updated_at = c.value ->> 3
           FROM json_each(?1) AS c
          WHERE payments.reference = c.value ->> 0 AND payments.status = c.value ->> 1",
        &rows,
    )
    .await?;
    expect_written("payments", rows.len(), written)
}

async fn insert_bookings(
    tx: &mut Tx,
    bookings: &[&Change<Option<BookingStatus>, Booking>],
) -> Result<(), StoreError> {
    let rows: Vec<_> = bookings
        .iter()
        .map(|Change { after, .. }| {
            (
                (after.id, after.flight_id, after.user_id, after.status, after.failure_reason),
                (after.payment_reference, after.booking_price.minor(), after.seats_booked),
                after.passengers.as_ref().map(json),
                micros(after.hold_expires_at),
                micros(after.created_at),
                micros(after.updated_at),
            )
        })
        .collect();
    let written = run(
        tx,
        "INSERT INTO bookings (id, flight_id, user_id, status, failure_reason,
                payment_reference_id, booking_price, seats_booked, booking_metadata,
                hold_expires_at, created_at, updated_at)
         SELECT value ->> '$[0][0]', value ->> '$[0][1]', value ->> '$[0][2]',
                value ->> '$[0][3]', value ->> '$[0][4]',
                value ->> '$[1][0]', value ->> '$[1][1]', value ->> '$[1][2]',
                value ->> 2, value ->> 3, value ->> 4, value ->> 5
           FROM json_each(?1)",
        &rows,
    )
    .await?;
    expect_written("bookings", rows.len(), written)
}

async fn update_bookings(
    tx: &mut Tx,
    bookings: &[&Change<Option<BookingStatus>, Booking>],
) -> Result<(), StoreError> {
    let rows: Vec<_> = bookings
        .iter()
        .map(|Change { was, after }| {
            (after.id, *was, after.status, after.failure_reason, micros(after.updated_at))
        })
        .collect();
    let written = run(
        tx,
        "UPDATE bookings SET status = c.value ->> 2, failure_reason = c.value ->> 3,
                updated_at = c.value ->> 4
           FROM json_each(?1) AS c
          WHERE bookings.id = c.value ->> 0 AND bookings.status = c.value ->> 1",
        &rows,
    )
    .await?;
    expect_written("bookings", rows.len(), written)
}

async fn upsert_keys(tx: &mut Tx, records: &[IdempotencyRecord]) -> Result<(), StoreError> {
    let rows: Vec<_> = records
        .iter()
        .map(|r| (r.user_id, &r.key, &r.request_hash, r.booking_id, micros(r.created_at)))
        .collect();
    let written = run(
        tx,
        "INSERT INTO idempotency_keys (user_id, key, request_hash, booking_id, created_at)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
           FROM json_each(?1) WHERE true
             ON CONFLICT (user_id, key) DO UPDATE SET request_hash = excluded.request_hash,
                booking_id = excluded.booking_id, created_at = excluded.created_at",
        &rows,
    )
    .await?;
    expect_written("idempotency_keys", rows.len(), written)
}

/// Appends what others are told, in its order.
pub(super) async fn insert_outbox(tx: &mut Tx, told: &[Told]) -> Result<(), StoreError> {
    for entry in OutboxEntry::of(told) {
        sqlx::query("INSERT INTO outbox (lane, messages, since, body) VALUES (?1, ?2, ?3, ?4)")
            .bind(entry.lane.as_str())
            .bind(entry.messages.len() as i64)
            .bind(micros(entry.since))
            .bind(entry.body())
            .execute(&mut **tx)
            .await
            .map_err(store_error)?;
    }
    Ok(())
}

/// Appends cached answers that end.
pub(super) async fn insert_outdated(tx: &mut Tx, outdated: &Outdated) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO outdated_answers (body) VALUES (?1)")
        .bind(outbox::outdated_body(outdated))
        .execute(&mut **tx)
        .await
        .map_err(store_error)?;
    Ok(())
}

/// Runs a statement over a set; says how many rows it wrote. An empty set costs nothing.
async fn run<T: Serialize>(
    tx: &mut Tx,
    statement: &'static str,
    rows: &[T],
) -> Result<u64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let done = sqlx::query(statement).bind(json(&rows)).execute(&mut **tx).await;
    Ok(done.map_err(store_error)?.rows_affected())
}

/// Fewer, if one was not as it was decided on.
fn expect_written(table: &str, expected: usize, written: u64) -> Result<(), StoreError> {
    if written == expected as u64 {
        return Ok(());
    }
    Err(refused(format!("{written} of {expected} rows of {table} were written")))
}
