//! A batch's commit: one statement, which locks the flights, finds what is stale, and writes only if
//! nothing is.
//!
//! Sets travel as one array a column. What is stale comes back by name; the rest is then summed up
//! without it and sent again. Flights are locked in the order of their ids, so that two commits
//! cannot wait for each other; the outbox' ids are drawn after that. Bookings and payments hardly
//! ever move but with their flight, so theirs are not locked or read before they are written: the
//! statement fails if one of them had moved, and only then it is looked up which.

use super::error::{is_taken_key, is_worth_repeating, store_error};
use crate::booking::{Change, ChangeSet, Folded, IdempotencyRecord, Stale, Told};
use crate::domain::{
    Booking, BookingId, BookingStatus, FailureReason, Flight, FlightId, Outdated, Payment,
    PaymentStatus, UserId, route_key,
};
use crate::store::outbox;
use crate::store::rows::{micros, reference};
use crate::store::{Committed, OutboxEntry, StoreError};
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, PgConnection, PgPool};
use std::collections::HashMap;

/// How often a statement is repeated that the database broke off (deadlock, serialization).
const REPEATS_MAX: u32 = 5;

/// One answer row for each stale row: its table, and its key in one or two columns.
const WRITE: &str = "
WITH
flight_in AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::int[],
                         $6::int[], $7::int[], $8::int[])
        AS t (id, was, version, updated_at, available, held, blocked, total)),
booking_in AS MATERIALIZED (
    SELECT * FROM unnest($9::bigint[], $10::text[], $11::text[], $12::text[], $13::bigint[])
        AS t (id, was, status, reason, updated_at)),
payment_in AS MATERIALIZED (
    SELECT * FROM unnest($14::text[], $15::text[], $16::text[], $17::bigint[])
        AS t (reference, was, status, updated_at)),
key_in AS MATERIALIZED (
    SELECT * FROM unnest($18::bigint[], $19::text[], $20::text[], $21::bigint[], $22::bigint[],
                         $23::bigint[])
        AS t (user_id, key, request_hash, booking_id, created_at, lapsed_at)),

flight_now AS MATERIALIZED (
    SELECT i.id, i.was, n.version FROM (SELECT id, was FROM flight_in ORDER BY id) AS i
      LEFT JOIN LATERAL (SELECT version FROM flights WHERE id = i.id FOR NO KEY UPDATE) AS n ON true),
stale AS MATERIALIZED (
    SELECT 'flight' AS kind, id, NULL AS name FROM flight_now WHERE version IS DISTINCT FROM was
    UNION ALL
    SELECT 'key', i.user_id, i.key FROM key_in AS i
      JOIN idempotency_keys AS k ON k.user_id = i.user_id AND k.key = i.key
     WHERE k.created_at > instant(i.lapsed_at)),
verdict AS MATERIALIZED (SELECT NOT EXISTS (SELECT 1 FROM stale) AS clean),

flights_written AS (
    UPDATE flights AS f SET version = i.version, updated_at = instant(i.updated_at),
           available_seats = i.available, held_seats = i.held, blocked_seats = i.blocked,
           total_seats = i.total
      FROM flight_in AS i WHERE f.id = i.id AND (SELECT clean FROM verdict)),
payments_changed AS (
    UPDATE payments AS p SET status = i.status, updated_at = instant(i.updated_at)
      FROM payment_in AS i
     WHERE p.reference = i.reference AND p.status = i.was AND (SELECT clean FROM verdict)
    RETURNING 1),
payments_new AS (
    INSERT INTO payments (reference, amount, currency, method, status, created_at, updated_at,
           hold_expires_at, traceparent)
    SELECT reference, major(amount), currency, method, status, instant(created), instant(updated),
           instant(hold), traceparent
      FROM unnest($24::text[], $25::bigint[], $26::text[], $27::text[], $28::text[],
                  $29::bigint[], $30::bigint[], $31::bigint[], $46::text[])
           AS t (reference, amount, currency, method, status, created, updated, hold, traceparent)
     WHERE (SELECT clean FROM verdict)),
bookings_changed AS (
    UPDATE bookings AS b SET status = i.status, failure_reason = i.reason,
           updated_at = instant(i.updated_at)
      FROM booking_in AS i
     WHERE b.id = i.id AND b.status = i.was AND (SELECT clean FROM verdict)
    RETURNING 1),
bookings_new AS (
    INSERT INTO bookings (id, flight_id, user_id, status, failure_reason, payment_reference_id,
           booking_price, seats_booked, booking_metadata, hold_expires_at, created_at, updated_at)
    SELECT id, flight, user_id, status, reason, reference, major(price), seats, metadata::jsonb,
           instant(hold), instant(created), instant(updated)
      FROM unnest($32::bigint[], $33::bigint[], $34::bigint[], $35::text[], $36::text[],
                  $37::text[], $38::bigint[], $39::int[], $40::text[], $41::bigint[],
                  $42::bigint[], $43::bigint[])
           AS t (id, flight, user_id, status, reason, reference, price, seats, metadata, hold,
                 created, updated)
     WHERE (SELECT clean FROM verdict)),
keys_lapsed AS (
    DELETE FROM idempotency_keys AS k USING key_in AS i
     WHERE k.user_id = i.user_id AND k.key = i.key AND (SELECT clean FROM verdict)
    RETURNING 1),
keys_new AS (
    INSERT INTO idempotency_keys (user_id, key, request_hash, booking_id, created_at)
    SELECT user_id, key, request_hash, booking_id, instant(created_at) FROM key_in
     WHERE (SELECT clean FROM verdict) AND (SELECT count(*) FROM keys_lapsed) >= 0),
outbox_new AS (
    INSERT INTO outbox (messages, since, body)
    SELECT messages, instant(since), body FROM unnest($44::int[], $45::bigint[], $47::text[])
           WITH ORDINALITY AS t (messages, since, body, position)
     WHERE (SELECT clean FROM verdict) ORDER BY position),
outdated_new AS (
    INSERT INTO outdated_answers (body) SELECT $48 WHERE $48 IS NOT NULL AND (SELECT clean FROM verdict))
SELECT kind, id, name FROM stale
UNION ALL
SELECT 'none', NULL, NULL WHERE (SELECT clean FROM verdict) AND NOT all_written(
    (SELECT count(*) FROM bookings_changed) + (SELECT count(*) FROM payments_changed)
        = cardinality($9) + cardinality($14))";

/// What `all_written` fails with: a booking or payment had moved though its flight had not.
const OVERTAKEN: &str = "AB001";

pub(super) async fn commit(pool: &PgPool, changes: &ChangeSet) -> Result<Committed, StoreError> {
    let mut stale = Stale::default();
    let mut repeats = 0;
    loop {
        let folded = changes.fold(&stale);
        if folded.stale.len() == changes.commands.len() {
            return Ok(Committed { stale: folded.stale });
        }
        match write(pool, &folded, changes).await {
            Ok(rows) if rows.is_empty() => return Ok(Committed { stale: folded.stale }),
            Ok(rows) => add(&mut stale, rows)?,
            // The row is named neither by the error nor by us; look which it was.
            Err(error) if is_taken_key(&error) || is_overtaken(&error) => {
                let moved = moved(pool, &folded).await.map_err(store_error)?;
                if moved.is_empty() {
                    // It moved back, or another row's key was meant than those that may be taken.
                    if repeats >= REPEATS_MAX {
                        return Err(store_error(error));
                    }
                    repeats += 1;
                }
                add(&mut stale, moved)?;
            }
            Err(error) if is_worth_repeating(&error) && repeats < REPEATS_MAX => repeats += 1,
            Err(error) => return Err(store_error(error)),
        }
    }
}

/// A stale row: its table and its key.
type StaleRow = (String, Option<i64>, Option<String>);

fn add(stale: &mut Stale, rows: Vec<StaleRow>) -> Result<(), StoreError> {
    for row in rows {
        match row {
            (kind, Some(id), _) if kind == "flight" => _ = stale.flights.insert(FlightId(id)),
            (kind, Some(id), _) if kind == "booking" => _ = stale.bookings.insert(BookingId(id)),
            (_, Some(user), Some(key)) => _ = stale.keys.insert((UserId(user), key.into())),
            (_, _, Some(text)) => _ = stale.payments.insert(reference(&text)?),
            (kind, _, None) => {
                return Err(StoreError::Refused(anyhow::anyhow!("a stale {kind} without a key")));
            }
        }
    }
    Ok(())
}

/// Writes all or, if anything is stale, nothing; names what is stale.
async fn write(
    pool: &PgPool,
    folded: &Folded,
    changes: &ChangeSet,
) -> Result<Vec<StaleRow>, sqlx::Error> {
    let arguments = arguments(folded, changes).map_err(sqlx::Error::Encode)?;
    let rewritten: Vec<&Flight> = folded
        .flights
        .iter()
        .filter(|change| !change.after.differs_in_inventory_alone(&change.was))
        .map(|change| &change.after)
        .collect();
    if rewritten.is_empty() {
        return sqlx::query_as_with(WRITE, arguments).fetch_all(pool).await;
    }
    let mut tx = pool.begin().await?;
    let stale: Vec<StaleRow> = sqlx::query_as_with(WRITE, arguments).fetch_all(&mut *tx).await?;
    if stale.is_empty() {
        for flight in rewritten {
            rewrite(&mut tx, flight).await?;
        }
        tx.commit().await?;
    }
    Ok(stale)
}

fn arguments(
    folded: &Folded,
    changes: &ChangeSet,
) -> Result<PgArguments, sqlx::error::BoxDynError> {
    let mut to = PgArguments::default();
    add_flights(&mut to, &folded.flights)?;
    let (new_bookings, changed): (Vec<_>, Vec<_>) =
        folded.bookings.iter().partition(|c| c.was.is_none());
    add_changed_bookings(&mut to, &changed)?;
    let (new_payments, changed): (Vec<_>, Vec<_>) =
        folded.payments.iter().partition(|c| c.was.is_none());
    add_changed_payments(&mut to, &changed)?;
    add_keys(&mut to, &folded.idempotency)?;
    add_new_payments(&mut to, &new_payments, &new_bookings)?;
    add_new_bookings(&mut to, &new_bookings)?;
    let entries = OutboxEntry::of(&folded.events);
    to.add(column(&entries, |entry| entry.messages.len() as i32))?;
    to.add(column(&entries, |entry| micros(entry.since)))?;
    to.add(column(&new_payments, |c| c.after.traceparent.as_deref().map(str::to_owned)))?;
    to.add(column(&entries, OutboxEntry::body))?;
    let outdated = (!folded.flights.is_empty()).then(|| outbox::days(&changes.outdated));
    to.add(outdated.as_ref().map(outbox::outdated_body))?;
    Ok(to)
}

type Added = Result<(), sqlx::error::BoxDynError>;

/// One column of a set.
fn column<R, T>(rows: &[R], of: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

fn add_flights(to: &mut PgArguments, rows: &[Change<Flight, Flight>]) -> Added {
    to.add(column(rows, |c| c.after.id.0))?;
    to.add(column(rows, |c| c.was.version))?;
    to.add(column(rows, |c| c.after.version))?;
    to.add(column(rows, |c| micros(c.after.updated_at)))?;
    to.add(column(rows, |c| c.after.available_seats))?;
    to.add(column(rows, |c| c.after.held_seats))?;
    to.add(column(rows, |c| c.after.blocked_seats))?;
    to.add(column(rows, |c| c.after.total_seats))
}

type BookingChange = Change<Option<BookingStatus>, Booking>;
type PaymentChange = Change<Option<PaymentStatus>, Payment>;

fn add_changed_bookings(to: &mut PgArguments, rows: &[&BookingChange]) -> Added {
    to.add(column(rows, |c| c.after.id.0))?;
    to.add(column(rows, |c| c.was.map(BookingStatus::as_str)))?;
    to.add(column(rows, |c| c.after.status.as_str()))?;
    to.add(column(rows, |c| c.after.failure_reason.map(FailureReason::as_str)))?;
    to.add(column(rows, |c| micros(c.after.updated_at)))
}

fn add_changed_payments(to: &mut PgArguments, rows: &[&PaymentChange]) -> Added {
    to.add(column(rows, |c| c.after.reference.to_string()))?;
    to.add(column(rows, |c| c.was.map(PaymentStatus::as_str)))?;
    to.add(column(rows, |c| c.after.status.as_str()))?;
    to.add(column(rows, |c| micros(c.after.updated_at)))
}

fn add_keys(to: &mut PgArguments, rows: &[IdempotencyRecord]) -> Added {
    to.add(column(rows, |r| r.user_id.0))?;
    to.add(column(rows, |r| r.key.to_string()))?;
    to.add(column(rows, |r| r.request_hash.to_string()))?;
    to.add(column(rows, |r| r.booking_id.0))?;
    to.add(column(rows, |r| micros(r.created_at)))?;
    to.add(column(rows, |r| micros(r.created_at - IdempotencyRecord::KEPT_FOR)))
}

fn add_new_payments(
    to: &mut PgArguments,
    rows: &[&PaymentChange],
    bookings: &[&BookingChange],
) -> Added {
    let holds: HashMap<_, _> =
        bookings.iter().map(|c| (c.after.payment_reference, c.after.hold_expires_at)).collect();
    to.add(column(rows, |c| c.after.reference.to_string()))?;
    to.add(column(rows, |c| c.after.amount.minor()))?;
    to.add(column(rows, |c| c.after.currency.to_string()))?;
    to.add(column(rows, |c| c.after.method.as_str().to_owned()))?;
    to.add(column(rows, |c| c.after.status.as_str()))?;
    to.add(column(rows, |c| micros(c.after.created_at)))?;
    to.add(column(rows, |c| micros(c.after.updated_at)))?;
    to.add(column(rows, |c| holds.get(&c.after.reference).copied().map(micros)))
}

fn add_new_bookings(to: &mut PgArguments, rows: &[&BookingChange]) -> Added {
    let metadata = |c: &&BookingChange| {
        let passengers = c.after.passengers.as_ref();
        passengers.map(|p| serde_json::to_string(p).expect("plain data is always JSON"))
    };
    to.add(column(rows, |c| c.after.id.0))?;
    to.add(column(rows, |c| c.after.flight_id.0))?;
    to.add(column(rows, |c| c.after.user_id.0))?;
    to.add(column(rows, |c| c.after.status.as_str()))?;
    to.add(column(rows, |c| c.after.failure_reason.map(FailureReason::as_str)))?;
    to.add(column(rows, |c| c.after.payment_reference.to_string()))?;
    to.add(column(rows, |c| c.after.booking_price.minor()))?;
    to.add(column(rows, |c| c.after.seats_booked))?;
    to.add(column(rows, metadata))?;
    to.add(column(rows, |c| micros(c.after.hold_expires_at)))?;
    to.add(column(rows, |c| micros(c.after.created_at)))?;
    to.add(column(rows, |c| micros(c.after.updated_at)))
}

/// Writes what a hold or a settlement never changes.
async fn rewrite(connection: &mut PgConnection, flight: &Flight) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE flights SET flight_number = $2, source = $3, destination = $4, route = $5,
                timestamp = instant($6), arrival_timestamp = instant($7), flight_status = $8,
                price = major($9)
          WHERE id = $1",
    )
    .bind(flight.id.0)
    .bind(flight.flight_number.as_deref())
    .bind(&*flight.source)
    .bind(&*flight.destination)
    .bind(route_key(&flight.source, &flight.destination))
    .bind(micros(flight.departs_at))
    .bind(flight.arrives_at.map(micros))
    .bind(flight.flight_status.as_str())
    .bind(flight.price.minor())
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether a booking or payment had moved though its flight had not.
fn is_overtaken(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == OVERTAKEN)
}

/// Bookings and payments that are no longer as they were decided on, and new rows whose key another
/// commit took first.
async fn moved(pool: &PgPool, folded: &Folded) -> Result<Vec<StaleRow>, sqlx::Error> {
    let (bookings, payments) = (&folded.bookings, &folded.payments);
    sqlx::query_as(
        "SELECT 'booking', c.id, NULL
           FROM unnest($1::bigint[], $2::text[]) AS c (id, was)
           LEFT JOIN bookings AS b ON b.id = c.id WHERE b.status IS DISTINCT FROM c.was
         UNION ALL
         SELECT 'payment', NULL, c.reference
           FROM unnest($3::text[], $4::text[]) AS c (reference, was)
           LEFT JOIN payments AS p ON p.reference = c.reference
          WHERE p.status IS DISTINCT FROM c.was
         UNION ALL
         SELECT 'key', c.user_id, c.key
           FROM unnest($5::bigint[], $6::text[], $7::bigint[]) AS c (user_id, key, lapsed_at)
           JOIN idempotency_keys AS k ON k.user_id = c.user_id AND k.key = c.key
          WHERE k.created_at > instant(c.lapsed_at)",
    )
    .bind(column(bookings, |c| c.after.id.0))
    .bind(column(bookings, |c| c.was.map(BookingStatus::as_str)))
    .bind(column(payments, |c| c.after.reference.to_string()))
    .bind(column(payments, |c| c.was.map(PaymentStatus::as_str)))
    .bind(column(&folded.idempotency, |r| r.user_id.0))
    .bind(column(&folded.idempotency, |r| r.key.to_string()))
    .bind(column(&folded.idempotency, |r| micros(r.created_at - IdempotencyRecord::KEPT_FOR)))
    .fetch_all(pool)
    .await
}

/// Appends what others are told, in its order.
pub(super) async fn insert_outbox(
    connection: &mut PgConnection,
    told: &[Told],
) -> Result<(), StoreError> {
    for entry in OutboxEntry::of(told) {
        sqlx::query("INSERT INTO outbox (messages, since, body) VALUES ($1, instant($2), $3)")
            .bind(entry.messages.len() as i32)
            .bind(micros(entry.since))
            .bind(entry.body())
            .execute(&mut *connection)
            .await
            .map_err(store_error)?;
    }
    Ok(())
}

/// Appends cached answers that end.
pub(super) async fn insert_outdated(
    connection: &mut PgConnection,
    outdated: &Outdated,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO outdated_answers (body) VALUES ($1)")
        .bind(outbox::outdated_body(outdated))
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}
