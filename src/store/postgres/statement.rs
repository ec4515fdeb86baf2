//! The one statement of a commit, and its arguments: sets travel as one array a column.

use super::status_updates::{Added, BookingUpdate, PaymentUpdate, StatusUpdates};
use crate::domain::{Booking, BookingStatus, FailureReason, Flight, Payment, PaymentStatus};
use crate::rules::{Change, ChangeSet, IdempotencyRecord, NetChanges};
use crate::store::rows::micros;
use crate::store::{OutboxEntry, outbox};
use sqlx::Arguments;
use sqlx::postgres::PgArguments;
use std::collections::HashMap;

/// One answer row for each stale row: its table, and its key in one or two columns.
///
/// A flight is stale by its version or by when it was changed. A server that takes over without the last
/// commits of another counts on from a lower version, and may reach the same one with other seats.
///
/// Pending seats are those that the statement's snapshot shows. They move only with their flight, so that
/// they are exact wherever the flight, which is locked by then, is as it was decided on.
pub(super) const WRITE: &str = "
WITH
flight_in AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::int[],
                         $6::int[], $7::int[], $8::int[], $50::bigint[])
        AS t (id, was, version, updated_at, available, held, blocked, total, was_updated_at)),
key_in AS MATERIALIZED (
    SELECT * FROM unnest($18::bigint[], $19::text[], $20::text[], $21::bigint[], $22::bigint[],
                         $23::bigint[])
        AS t (user_id, key, request_hash, booking_id, created_at, lapsed_at)),

flight_now AS MATERIALIZED (
    SELECT i.id, i.was, i.was_updated_at, n.version, n.updated_at
      FROM (SELECT id, was, was_updated_at FROM flight_in ORDER BY id) AS i
      LEFT JOIN LATERAL (SELECT version, updated_at FROM flights WHERE id = i.id
                            FOR NO KEY UPDATE) AS n ON true),
stale AS MATERIALIZED (
    SELECT 'flight' AS kind, id, NULL AS name FROM flight_now
     WHERE version IS DISTINCT FROM was OR updated_at IS DISTINCT FROM instant(was_updated_at)
    UNION ALL
    SELECT 'key', i.user_id, i.key FROM key_in AS i
      JOIN idempotency_keys AS k ON k.user_id = i.user_id AND k.key = i.key
     WHERE k.created_at > instant(i.lapsed_at)
    UNION ALL
    SELECT 'pending', i.flight, i.user_id::text
      FROM unnest($51::bigint[], $52::bigint[], $53::int[], $54::bigint[])
           AS i (flight, user_id, pending_max, at)
     WHERE i.pending_max < (
           SELECT coalesce(sum(b.seats_booked), 0) FROM bookings AS b
            WHERE b.flight_id = i.flight AND b.user_id = i.user_id
              AND b.hold_expires_at > instant(i.at) AND b.status = 'pending')),
verdict AS MATERIALIZED (SELECT NOT EXISTS (SELECT 1 FROM stale) AS clean),

flights_written AS (
    UPDATE flights AS f SET version = i.version, updated_at = instant(i.updated_at),
           available_seats = i.available, held_seats = i.held, blocked_seats = i.blocked,
           total_seats = i.total
      FROM flight_in AS i WHERE f.id = i.id AND (SELECT clean FROM verdict)),
payments_changed AS (
    UPDATE payments SET status = $16, updated_at = instant($17)
     WHERE reference = ANY($14) AND status = $15 AND (SELECT clean FROM verdict)
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
    UPDATE bookings SET status = $11, failure_reason = $12, updated_at = instant($13)
     WHERE id = ANY($9) AND status = $10 AND (SELECT clean FROM verdict)
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
    INSERT INTO outbox (lane, messages, since, body)
    SELECT lane, messages, instant(since), body
      FROM unnest($49::text[], $44::int[], $45::bigint[], $47::text[])
           WITH ORDINALITY AS t (lane, messages, since, body, position)
     WHERE (SELECT clean FROM verdict) ORDER BY position),
outdated_new AS (
    INSERT INTO outdated_answers (body) SELECT $48 WHERE $48 IS NOT NULL AND (SELECT clean FROM verdict))
SELECT kind, id, name FROM stale
UNION ALL
SELECT 'none', NULL, NULL WHERE (SELECT clean FROM verdict) AND NOT all_written(
    (SELECT count(*) FROM bookings_changed) + (SELECT count(*) FROM payments_changed)
        = cardinality($9) + cardinality($14))";

/// The statement's arguments: all of a commit, but of its updates only the first of each table.
pub(super) fn arguments(
    folded: &NetChanges,
    changes: &ChangeSet,
    updates: &StatusUpdates,
) -> Result<PgArguments, sqlx::error::BoxDynError> {
    let mut to = PgArguments::default();
    add_flights(&mut to, &folded.flights)?;
    let new_bookings: Vec<_> = folded.bookings.iter().filter(|c| c.was.is_none()).collect();
    let new_payments: Vec<_> = folded.payments.iter().filter(|c| c.was.is_none()).collect();
    updates.bookings.first().unwrap_or(&BookingUpdate::default()).add_to(&mut to)?;
    updates.payments.first().unwrap_or(&PaymentUpdate::default()).add_to(&mut to)?;
    add_keys(&mut to, &folded.idempotency)?;
    add_new_payments(&mut to, &new_payments, &new_bookings)?;
    add_new_bookings(&mut to, &new_bookings)?;
    let entries: Vec<_> = OutboxEntry::of(&folded.events).into_iter().flatten().collect();
    to.add(column(&entries, |entry| entry.messages.len() as i32))?;
    to.add(column(&entries, |entry| micros(entry.since)))?;
    to.add(column(&new_payments, |c| c.after.traceparent.as_deref().map(str::to_owned)))?;
    to.add(column(&entries, OutboxEntry::body))?;
    to.add(outbox::invalidation_of(folded, changes).as_ref().map(outbox::invalidation_body))?;
    to.add(column(&entries, |entry| entry.lane.as_str()))?;
    to.add(column(&folded.flights, |c| micros(c.was.updated_at)))?;
    to.add(column(&folded.pending_limits, |limit| limit.holder.0.0))?;
    to.add(column(&folded.pending_limits, |limit| limit.holder.1.0))?;
    to.add(column(&folded.pending_limits, |limit| limit.pending_max))?;
    to.add(column(&folded.pending_limits, |limit| micros(limit.at)))?;
    Ok(to)
}

/// One column of a set.
pub(super) fn column<R, T>(rows: &[R], of: impl Fn(&R) -> T) -> Vec<T> {
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
    to.add(column(rows, |c| c.after.amount.stored()))?;
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
    to.add(column(rows, |c| c.after.booking_price.stored()))?;
    to.add(column(rows, |c| c.after.seats_booked))?;
    to.add(column(rows, metadata))?;
    to.add(column(rows, |c| micros(c.after.hold_expires_at)))?;
    to.add(column(rows, |c| micros(c.after.created_at)))?;
    to.add(column(rows, |c| micros(c.after.updated_at)))
}
