//! The one statement of a commit. Its text and its arguments come from the same lists, [`SETS`]: a set of
//! rows is one array per column.

use super::status_updates::{BookingUpdate, PaymentUpdate, StatusUpdates};
use crate::domain::{
    Booking, BookingStatus, FailureReason, Flight, Invalidation, Payment, PaymentStatus, Timestamp,
};
use crate::rules::{
    BookingChange, Change, ChangeSet, IdempotencyRecord, NetChanges, PaymentChange, PendingLimit,
};
use crate::store::OutboxEntry;
use crate::store::postgres::sets::column;
use crate::store::roles::outbox;
use crate::store::rows::micros;
use crate::store::rows::sql::json;
use sqlx::Arguments;
use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The statement, with [`SETS`] by name: `{set}` is its rows, `{set.columns}` the names of its columns, and
/// `{set.column}` one parameter.
///
/// It returns a row for each stale row: its table, and its key in one or two columns.
///
/// It waits at most 250 ms for each flight that another session holds: long enough for another replica's commit to
/// finish.
///
/// A flight is stale if its version or the time of its last change differs. After a failover that lost
/// commits, a server counts on from a lower version and may reach the same one with other seats.
///
/// Pending seats are those of the statement's snapshot. They change only with their flight, which is locked
/// by then, so they are exact wherever the flight is not stale.
const TEMPLATE: &str = "
WITH
flight_in AS MATERIALIZED (
    SELECT * FROM {flights} AS t ({flights.columns})
     WHERE set_config('lock_timeout', '250ms', true) IS NOT NULL),
key_in AS MATERIALIZED (
    SELECT * FROM {keys} AS t ({keys.columns})),

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
      FROM {pending} AS i ({pending.columns})
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
    UPDATE payments SET status = {payments.status}, updated_at = instant({payments.at}),
           version = {payments.version}
     WHERE reference = ANY({payments.references}) AND status = {payments.was}
       AND version = {payments.was_version} AND (SELECT clean FROM verdict)
    RETURNING 1),
payments_new AS (
    INSERT INTO payments (reference, amount, currency, method, status, created_at, updated_at,
           hold_expires_at, traceparent)
    SELECT reference, major(amount), currency, method, status, instant(created), instant(updated),
           instant(hold), traceparent
      FROM {new_payments} AS t ({new_payments.columns})
     WHERE (SELECT clean FROM verdict)),
bookings_changed AS (
    UPDATE bookings SET status = {bookings.status}, failure_reason = {bookings.reason},
           updated_at = instant({bookings.at}), version = {bookings.version}
     WHERE id = ANY({bookings.ids}) AND status = {bookings.was}
       AND version = {bookings.was_version} AND (SELECT clean FROM verdict)
    RETURNING 1),
bookings_new AS (
    INSERT INTO bookings (id, flight_id, user_id, status, failure_reason, payment_reference_id,
           booking_price, booking_taxes, seats_booked, booking_metadata, hold_expires_at, created_at,
           updated_at, order_id, segment, segments, fare_rules, sold_departure)
    SELECT id, flight, user_id, status, reason, reference, major(price), major(taxes), seats,
           metadata::jsonb, instant(hold), instant(created), instant(updated), order_id, segment, segments,
           fare_rules, instant(departure)
      FROM {new_bookings} AS t ({new_bookings.columns})
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
      FROM {outbox} WITH ORDINALITY AS t ({outbox.columns}, position)
     WHERE (SELECT clean FROM verdict) ORDER BY position),
outdated_new AS (
    INSERT INTO outdated_answers (body) SELECT {invalidation.body}
     WHERE {invalidation.body} IS NOT NULL AND (SELECT clean FROM verdict))
SELECT kind, id, name FROM stale
UNION ALL
SELECT 'none', NULL, NULL WHERE (SELECT clean FROM verdict) AND NOT all_written(
    (SELECT count(*) FROM bookings_changed) + (SELECT count(*) FROM payments_changed)
        = cardinality({bookings.ids}) + cardinality({payments.references}))";

/// [`TEMPLATE`] with the numbers of its parameters.
pub(in crate::store) static WRITE: LazyLock<String> = LazyLock::new(|| {
    let mut text = TEMPLATE.to_owned();
    let mut parameters = 0;
    for (set, columns) in SETS {
        let mut arrays = Vec::new();
        for column in *columns {
            parameters += 1;
            text = text.replace(&format!("{{{set}.{}}}", column.name), &format!("${parameters}"));
            arrays.push(format!("${parameters}::{}[]", column.kind));
        }
        let names: Vec<_> = columns.iter().map(|column| column.name).collect();
        text = text.replace(&format!("{{{set}}}"), &format!("unnest({})", arrays.join(", ")));
        text = text.replace(&format!("{{{set}.columns}}"), &names.join(", "));
    }
    text
});

/// The statement's arguments.
pub(super) fn arguments(
    folded: &NetChanges,
    changes: &ChangeSet,
    updates: &StatusUpdates,
) -> Result<PgArguments, BoxDynError> {
    let none = (BookingUpdate::default(), PaymentUpdate::default());
    let commit = Commit {
        flights: &folded.flights,
        bookings: updates.bookings.first().unwrap_or(&none.0),
        payments: updates.payments.first().unwrap_or(&none.1),
        keys: &folded.idempotency,
        new_payments: new_payments(folded),
        new_bookings: new_bookings(folded).collect(),
        outbox: OutboxEntry::of(&folded.events).into_iter().flatten().collect(),
        invalidation: outbox::invalidation_of(folded, changes),
        pending: &folded.pending_limits,
    };
    let mut arguments = PgArguments::default();
    for column in SETS.iter().flat_map(|(_, columns)| *columns) {
        (column.add)(&mut arguments, &commit)?;
    }
    Ok(arguments)
}

/// Those that hold seats for a change are statements of their own.
fn new_bookings(folded: &NetChanges) -> impl Iterator<Item = &Booking> {
    let is_new = |c: &&BookingChange| c.was.is_none() && c.after.replaces.is_none();
    folded.bookings.iter().filter(is_new).map(|change| &change.after)
}

struct NewPayment<'a> {
    payment: &'a Payment,
    /// The end of its booking's hold.
    hold: Option<Timestamp>,
}

fn new_payments(folded: &NetChanges) -> Vec<NewPayment<'_>> {
    let holds: HashMap<_, _> =
        new_bookings(folded).map(|b| (b.payment_reference, b.hold_expires_at)).collect();
    let is_made_at_once =
        |change: &&PaymentChange| change.was.is_none() && !change.after.has_several_steps();
    let new = folded.payments.iter().filter(is_made_at_once);
    let hold_of = |payment: &Payment| holds.get(&payment.reference).copied();
    new.map(|change| NewPayment { payment: &change.after, hold: hold_of(&change.after) }).collect()
}

fn passengers(booking: &Booking) -> Option<String> {
    booking.passengers.as_ref().map(json)
}

/// What the statement writes.
struct Commit<'a> {
    flights: &'a [Change<Flight, Flight>],
    /// The largest group of status updates; each further group is a separate statement.
    bookings: &'a BookingUpdate,
    payments: &'a PaymentUpdate,
    keys: &'a [IdempotencyRecord],
    new_payments: Vec<NewPayment<'a>>,
    new_bookings: Vec<&'a Booking>,
    outbox: Vec<OutboxEntry>,
    invalidation: Option<Invalidation>,
    pending: &'a [PendingLimit],
}

/// A column of a set, or a parameter that is no set.
struct Column {
    name: &'static str,
    /// Its type in SQL; empty for a parameter, whose type the statement implies.
    kind: &'static str,
    add: fn(&mut PgArguments, &Commit<'_>) -> Result<(), BoxDynError>,
}

/// Columns of a set of rows: name, type, and value for a row.
macro_rules! set {
    ($set:ident[$row:ident] $($name:ident: $kind:ident = $value:expr,)+) => {
        (stringify!($set), &[$(Column {
            name: stringify!($name),
            kind: stringify!($kind),
            add: |to, commit| to.add(column(&commit.$set, |$row| $value)),
        }),+])
    };
}

/// Parameters of a part of the commit: name, and value for the part.
macro_rules! parameters {
    ($part:ident $row:ident $($name:ident = $value:expr,)+) => {
        (stringify!($part), &[$(Column {
            name: stringify!($name),
            kind: "",
            add: |to, commit| {
                let $row = &commit.$part;
                to.add($value)
            },
        }),+])
    };
}

/// Everything that the statement writes. A new column is a line here, and its name in [`TEMPLATE`].
#[rustfmt::skip]
const SETS: &[(&str, &[Column])] = &[
    set! { flights[c]
        id: bigint = c.after.id.0,
        was: bigint = c.was.version,
        was_updated_at: bigint = micros(c.was.updated_at),
        version: bigint = c.after.version,
        updated_at: bigint = micros(c.after.updated_at),
        available: int = c.after.available_seats,
        held: int = c.after.held_seats,
        blocked: int = c.after.blocked_seats,
        total: int = c.after.total_seats,
    },
    parameters! { bookings update
        ids = &update.ids,
        was = update.was.map(BookingStatus::as_str),
        was_version = update.was_version,
        version = update.version,
        status = update.status.map(BookingStatus::as_str),
        reason = update.reason.map(FailureReason::as_str),
        at = micros(update.at),
    },
    parameters! { payments update
        references = &update.references,
        was = update.was.map(PaymentStatus::as_str),
        was_version = update.was_version,
        version = update.version,
        status = update.status.map(PaymentStatus::as_str),
        at = micros(update.at),
    },
    set! { keys[record]
        user_id: bigint = record.user_id.0,
        key: text = record.key.to_string(),
        request_hash: text = record.request_hash.to_string(),
        booking_id: bigint = record.booking_id.0,
        created_at: bigint = micros(record.created_at),
        lapsed_at: bigint = micros(record.created_at - IdempotencyRecord::KEPT_FOR),
    },
    set! { new_payments[new]
        reference: text = new.payment.reference.to_string(),
        amount: bigint = new.payment.amount.stored(),
        currency: text = new.payment.currency.to_string(),
        method: text = new.payment.method.as_str().to_owned(),
        status: text = new.payment.status.as_str(),
        created: bigint = micros(new.payment.created_at),
        updated: bigint = micros(new.payment.updated_at),
        hold: bigint = new.hold.map(micros),
        traceparent: text = new.payment.traceparent.as_deref().map(str::to_owned),
    },
    set! { new_bookings[booking]
        id: bigint = booking.id.0,
        flight: bigint = booking.flight_id.0,
        user_id: bigint = booking.user_id.0,
        status: text = booking.status.as_str(),
        reason: text = booking.failure_reason.map(FailureReason::as_str),
        reference: text = booking.payment_reference.to_string(),
        price: bigint = booking.booking_price.stored(),
        taxes: bigint = booking.booking_taxes.stored(),
        seats: int = booking.seats_booked,
        metadata: text = passengers(booking),
        hold: bigint = micros(booking.hold_expires_at),
        created: bigint = micros(booking.created_at),
        updated: bigint = micros(booking.updated_at),
        order_id: bigint = (booking.segment > 1).then_some(booking.order_id.0),
        segment: smallint = booking.segment as i16,
        segments: smallint = booking.segments as i16,
        fare_rules: text = booking.fare_rules.stored().map(str::to_owned),
        departure: bigint = booking.sold_departure.map(micros),
    },
    set! { outbox[entry]
        lane: text = entry.lane.as_str(),
        messages: int = entry.messages.len() as i32,
        since: bigint = micros(entry.since),
        body: text = entry.body(),
    },
    parameters! { invalidation invalidation
        body = invalidation.as_ref().map(outbox::invalidation_body),
    },
    set! { pending[limit]
        flight: bigint = limit.holder.0.0,
        user_id: bigint = limit.holder.1.0,
        pending_max: int = limit.pending_max,
        at: bigint = micros(limit.at),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_parameter_of_the_statement_has_a_number_and_is_used() {
        let text = WRITE.as_str();
        assert!(!text.contains(['{', '}']), "{text}");
        let parameters: usize = SETS.iter().map(|(_, columns)| columns.len()).sum();
        let numbers = text.split('$').skip(1).map(|after| {
            let digits = after.split(|c: char| !c.is_ascii_digit()).next();
            digits.and_then(|digits| digits.parse().ok()).expect("a number")
        });
        let numbers: BTreeSet<usize> = numbers.collect();
        assert_eq!(numbers, (1..=parameters).collect());
    }
}
