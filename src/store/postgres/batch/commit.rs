//! A batch's commit: one statement that locks the flights, finds stale rows, and writes only if there
//! are none.
//!
//! The statement names stale rows; the other commands are then folded without them and sent again.
//! Flights are locked in the order of their ids, so that two commits cannot deadlock; the ids of outbox
//! rows are drawn after that. Bookings and payments almost never change without their flight, so they
//! are neither locked nor read first: the statement fails if one of them has changed, and a second
//! statement finds out which.

use super::locked::locked;
use super::statement::{WRITE, arguments};
use super::status_updates::StatusUpdates;
use super::{passengers, refunds, request_keys, waitlist};
use crate::domain::{BookingId, Flight, FlightId, FlightStatus, UserId, WaitlistId, route_key};
use crate::rules::{Change, ChangeSet, IdempotencyRecord, NetChanges, Stale};
use crate::store::postgres::connection::error::{
    is_locked, is_taken_key, is_timed_out, is_worth_repeating,
};
use crate::store::postgres::connection::transaction::begin;
use crate::store::postgres::sets::column;
use crate::store::rows::refunds::refund_id;
use crate::store::rows::{micros, reference};
use crate::store::{Committed, StoreError};
use sqlx::{Connection as _, PgConnection, PgPool};

/// Maximum repeats of a statement after a deadlock or serialization failure.
const REPEATS_MAX: u32 = 5;

/// The error of `all_written`: a booking or payment had changed though its flight had not.
const OVERTAKEN: &str = "AB001";

pub(in crate::store) async fn commit(
    pool: &PgPool,
    changes: &ChangeSet,
) -> Result<Committed, StoreError> {
    let mut stale = Stale::default();
    let mut kept = Stale::default();
    let mut repeats = 0;
    let mut may_repeat = || {
        repeats += 1;
        repeats <= REPEATS_MAX
    };
    loop {
        let folded = changes.fold(&stale);
        if folded.stale.len() == changes.commands.len() {
            return Ok(Committed::of(changes, &stale, &kept));
        }
        match write(pool, &folded, changes).await {
            Ok(rows) if rows.is_empty() => return Ok(Committed::of(changes, &stale, &kept)),
            Ok(rows) => add(&mut stale, rows, &folded)?,
            // The error does not name the row: look it up.
            Err(error) if is_taken_key(&error) || is_overtaken(&error) => {
                let moved = moved(pool, &folded).await?;
                // Without a stale row: it has changed back, or the duplicate key is in a table that `moved`
                // doesn't look at. Try again.
                if moved.is_empty() && !may_repeat() {
                    return Err(error.into());
                }
                add(&mut stale, moved, &folded)?;
            }
            // The other commands are written without the rows that another session holds.
            Err(error) if is_locked(&error) => {
                // Without an answer, a table is locked as a whole.
                let Ok(rows) = locked(pool, &folded).await else { return Err(error.into()) };
                // Without a row, what held it has ended. Try again.
                if rows.is_empty() && !may_repeat() {
                    return Err(error.into());
                }
                add(&mut kept, rows.clone(), &folded)?;
                add(&mut stale, rows, &folded)?;
            }
            Err(error) if is_timed_out(&error) => return Err(StoreError::TimedOut(error.into())),
            Err(error) if is_worth_repeating(&error) && may_repeat() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A stale row: its table and key; for a request, its position among the requests to write.
pub(super) type StaleRow = (String, Option<i64>, Option<String>);

fn add(stale: &mut Stale, rows: Vec<StaleRow>, folded: &NetChanges) -> Result<(), StoreError> {
    for row in rows {
        match row {
            (kind, Some(id), _) if kind == "flight" => _ = stale.flights.insert(FlightId(id)),
            (kind, Some(id), _) if kind == "entry" => _ = stale.entries.insert(WaitlistId(id)),
            (kind, Some(id), _) if kind == "booking" => _ = stale.bookings.insert(BookingId(id)),
            (kind, Some(flight), Some(user)) if kind == "pending" => {
                let user = user.parse().map_err(|_| unreadable(&kind))?;
                stale.pending.insert((FlightId(flight), UserId(user)));
            }
            (kind, Some(position), _) if kind == "request" => {
                stale.requests.insert(folded.requests[position as usize].request.name());
            }
            (kind, None, Some(id)) if kind == "refund" => {
                stale.refunds.insert(refund_id(&id)?);
            }
            (_, Some(user), Some(key)) => _ = stale.keys.insert((UserId(user), key.into())),
            (_, _, Some(text)) => _ = stale.payments.insert(reference(&text)?),
            (kind, _, None) => return Err(unreadable(&kind)),
        }
    }
    Ok(())
}

fn unreadable(kind: &str) -> StoreError {
    StoreError::Refused(anyhow::anyhow!("a stale {kind} has no key"))
}

/// Writes everything and returns no rows, or writes nothing and returns the stale rows.
async fn write(
    pool: &PgPool,
    folded: &NetChanges,
    changes: &ChangeSet,
) -> Result<Vec<StaleRow>, sqlx::Error> {
    let updates = StatusUpdates::of(folded);
    let arguments = arguments(folded, changes, &updates).map_err(sqlx::Error::Encode)?;
    let rewritten: Vec<_> = folded
        .flights
        .iter()
        .filter(|change| !change.after.differs_in_inventory_alone(&change.was))
        .collect();
    let is_one = rewritten.is_empty()
        && !updates.has_more()
        && folded.requests.is_empty()
        && folded.refunds.is_empty()
        && folded.passengers.is_empty()
        && folded.entries.is_empty();
    if is_one {
        let mut connection = pool.acquire().await?;
        let written =
            sqlx::query_as_with(WRITE.as_str(), arguments).fetch_all(&mut *connection).await;
        if written.as_ref().is_err_and(is_locked) {
            // The error arrives before the statement's own locks are released, which `locked` would find.
            let _ = connection.ping().await;
        }
        return written;
    }
    let mut tx = begin(pool).await?;
    let written = async {
        let mut stale: Vec<StaleRow> =
            sqlx::query_as_with(WRITE.as_str(), arguments).fetch_all(&mut *tx).await?;
        if stale.is_empty() {
            updates.write_more(&mut tx).await?;
            passengers::write(&mut tx, &folded.passengers).await?;
            for change in rewritten {
                rewrite(&mut tx, change).await?;
            }
            let taken = request_keys::write(&mut tx, &folded.requests).await?;
            stale.extend(taken.into_iter().map(|at| ("request".to_owned(), Some(at), None)));
            let changed = refunds::write(&mut tx, &folded.refunds).await?;
            stale.extend(changed.into_iter().map(|id| ("refund".to_owned(), None, Some(id))));
            let changed = waitlist::write(&mut tx, &folded.entries).await?;
            stale.extend(changed.into_iter().map(|id| ("entry".to_owned(), Some(id), None)));
        }
        Ok(stale)
    };
    let written: Result<Vec<StaleRow>, sqlx::Error> = written.await;
    if written.as_ref().is_ok_and(Vec::is_empty) {
        tx.commit().await?;
    } else {
        // Nothing is written either way: if this fails, the connection is closed.
        let _ = tx.roll_back().await;
    }
    written
}

/// Notes that a departure was moved.
const NOTE_MOVE: &str = "
INSERT INTO flight_moves (flight_id, version, was, departs_at, moved_at)
VALUES ($1, $2, instant($3), instant($4), instant($5))";

/// Notes when a flight was cancelled.
const NOTE_CANCELLATION: &str = "
INSERT INTO flight_cancellations (flight_id, cancelled_at) VALUES ($1, instant($2))
    ON CONFLICT DO NOTHING";

/// Writes the fields that a hold or a settlement never changes.
async fn rewrite(
    connection: &mut PgConnection,
    Change { was, after: flight }: &Change<Flight, Flight>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE flights SET flight_number = $2, source = $3, destination = $4, route = $5,
                timestamp = instant($6), arrival_timestamp = instant($7), flight_status = $8,
                price = major($9), taxes = major($10), fare_rules = $11, waiting = $12,
                serve_due = $13, gathers_until = instant($14), passed = $15, passed_max = $16
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
    .bind(flight.price.stored())
    .bind(flight.taxes.stored())
    .bind(flight.fare_rules.stored())
    .bind(flight.line.waiting)
    .bind(flight.line.serve_due)
    .bind(flight.line.gathers_until.map(micros))
    .bind(flight.line.passed)
    .bind(flight.line.passed_max)
    .execute(&mut *connection)
    .await?;
    if was.departs_at != flight.departs_at {
        sqlx::query(NOTE_MOVE)
            .bind(flight.id.0)
            .bind(flight.version)
            .bind(micros(was.departs_at))
            .bind(micros(flight.departs_at))
            .bind(micros(flight.updated_at))
            .execute(&mut *connection)
            .await?;
    }
    let is_off = |flight: &Flight| flight.flight_status == FlightStatus::Cancelled;
    if is_off(flight) && !is_off(was) {
        let note = sqlx::query(NOTE_CANCELLATION).bind(flight.id.0);
        note.bind(micros(flight.updated_at)).execute(connection).await?;
    }
    Ok(())
}

/// Whether a booking or payment had changed though its flight had not.
fn is_overtaken(error: &sqlx::Error) -> bool {
    if matches!(error, sqlx::Error::RowNotFound) {
        return true;
    }
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == OVERTAKEN)
}

/// Bookings and payments that have changed since they were loaded, and idempotency keys that another
/// commit took first.
async fn moved(pool: &PgPool, folded: &NetChanges) -> Result<Vec<StaleRow>, sqlx::Error> {
    let (bookings, payments) = (&folded.bookings, &folded.payments);
    sqlx::query_as(
        "SELECT 'booking', c.id, NULL
           FROM unnest($1::bigint[], $2::text[], $8::bigint[]) AS c (id, was, version)
           LEFT JOIN bookings AS b ON b.id = c.id
          WHERE b.status IS DISTINCT FROM c.was OR b.version IS DISTINCT FROM c.version
         UNION ALL
         SELECT 'payment', NULL, c.reference
           FROM unnest($3::text[], $4::text[], $9::bigint[]) AS c (reference, was, version)
           LEFT JOIN payments AS p ON p.reference = c.reference
          WHERE p.status IS DISTINCT FROM c.was OR p.version IS DISTINCT FROM c.version
         UNION ALL
         SELECT 'key', c.user_id, c.key
           FROM unnest($5::bigint[], $6::text[], $7::bigint[]) AS c (user_id, key, lapsed_at)
           JOIN idempotency_keys AS k ON k.user_id = c.user_id AND k.key = c.key
          WHERE k.created_at > instant(c.lapsed_at)",
    )
    .bind(column(bookings, |c| c.after.id.0))
    .bind(column(bookings, |c| c.was.map(|was| was.status.as_str())))
    .bind(column(payments, |c| c.after.reference.to_string()))
    .bind(column(payments, |c| c.was.map(|was| was.status.as_str())))
    .bind(column(&folded.idempotency, |r| r.user_id.0))
    .bind(column(&folded.idempotency, |r| r.key.to_string()))
    .bind(column(&folded.idempotency, |r| micros(r.created_at - IdempotencyRecord::KEPT_FOR)))
    .bind(column(bookings, |c| c.was.map(|was| was.version)))
    .bind(column(payments, |c| c.was.map(|was| was.version)))
    .fetch_all(pool)
    .await
}
