//! The sets of a commit's rows: for each, the statement that writes it in the trigger, and its rows as JSON.

use crate::domain::{Flight, Payment, PaymentStatus, RefundStatus, route_key};
use crate::rules::{BookingChange, Change, PaymentChange, RefundChange, Seen};
use crate::store::rows::micros;
use crate::store::rows::sql::json;
use serde::Serialize;

/// The rows of one statement. It must write every row; it writes fewer if one is stale.
pub(super) struct Set {
    /// The view's column that the statement reads.
    pub(super) name: &'static str,
    pub(super) statement: &'static str,
    pub(super) rows: usize,
    pub(super) json: Option<String>,
}

impl Set {
    /// A set with a row per change.
    pub(super) fn new<'a, C, R: Serialize>(
        name: &'static str,
        statement: &'static str,
        changes: &'a [C],
        row: impl Fn(&'a C) -> R,
    ) -> Self {
        let rows: Vec<R> = changes.iter().map(row).collect();
        let json = (!rows.is_empty()).then(|| json(&rows));
        Self { name, statement, rows: rows.len(), json }
    }
}

type FlightChange = Change<Flight, Flight>;

/// A flight's inventory, the only part that a hold or a settlement changes.
fn inventory(Change { was, after }: &FlightChange) -> impl Serialize {
    let seats = (after.available_seats, after.held_seats, after.blocked_seats);
    (after.id, was.version, after.version, micros(after.updated_at), seats)
}

pub(super) fn update_seats(flights: &[&FlightChange]) -> Set {
    Set::new(
        "seats",
        "UPDATE flights SET
            version = c.value ->> 2,
            updated_at = c.value ->> 3,
            available_seats = c.value ->> '$[4][0]',
            held_seats = c.value ->> '$[4][1]',
            blocked_seats = c.value ->> '$[4][2]'
           FROM jsonb_each(NEW.seats) AS c
          WHERE flights.id = c.value ->> 0 AND flights.version = c.value ->> 1",
        flights,
        |change| inventory(change),
    )
}

pub(super) fn update_flights(flights: &[&FlightChange]) -> Set {
    Set::new(
        "whole_flights",
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
            price = c.value ->> '$[1][5]',
            taxes = c.value ->> '$[1][6]',
            fare_rules = c.value ->> '$[1][7]',
            waiting = c.value ->> '$[2][0]',
            serve_due = c.value ->> '$[2][1]',
            gathers_until = c.value ->> '$[2][2]',
            passed = c.value ->> '$[2][3]',
            passed_max = c.value ->> '$[2][4]'
           FROM jsonb_each(NEW.whole_flights) AS c
          WHERE flights.id = c.value ->> '$[0][0]' AND flights.version = c.value ->> '$[0][1]'",
        flights,
        |change| {
            let after = &change.after;
            let fields = (
                (&after.flight_number, &after.source, &after.destination),
                route_key(&after.source, &after.destination),
                (micros(after.departs_at), after.arrives_at.map(micros)),
                after.total_seats,
                after.flight_status,
                after.price.stored(),
                after.taxes.stored(),
                after.fare_rules.stored(),
            );
            let line = after.line;
            let gathers_until = line.gathers_until.map(micros);
            let is_due = i32::from(line.serve_due);
            let line = (line.waiting, is_due, gathers_until, line.passed, line.passed_max);
            (inventory(change), fields, line)
        },
    )
}

/// Notes departures that were moved.
pub(super) fn insert_moves(flights: &[&FlightChange]) -> Set {
    let moved: Vec<&FlightChange> = flights
        .iter()
        .copied()
        .filter(|change| change.was.departs_at != change.after.departs_at)
        .collect();
    Set::new(
        "moves",
        "INSERT INTO flight_moves (flight_id, version, was, departs_at, moved_at)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
           FROM jsonb_each(NEW.moves)",
        &moved,
        |Change { was, after }| {
            let departures = (micros(was.departs_at), micros(after.departs_at));
            (after.id, after.version, departures.0, departures.1, micros(after.updated_at))
        },
    )
}

pub(super) fn insert_payments(payments: &[&PaymentChange]) -> Set {
    Set::new(
        "new_payments",
        "INSERT INTO payments (reference, amount, currency, method, status, created_at, updated_at,
                traceparent)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                value ->> 6, value ->> 7
           FROM jsonb_each(NEW.new_payments)",
        payments,
        |change| made(&change.after),
    )
}

/// A payment as it is made.
fn made(payment: &Payment) -> impl Serialize {
    (
        payment.reference,
        payment.amount.stored(),
        payment.currency,
        &payment.method,
        payment.status.as_str(),
        micros(payment.created_at),
        micros(payment.updated_at),
        &payment.traceparent,
    )
}

pub(super) fn update_payments(payments: &[&PaymentChange]) -> Set {
    Set::new(
        "payments",
        "UPDATE payments SET status = c.value ->> 3, updated_at = c.value ->> 4,
                version = c.value ->> 5
           FROM jsonb_each(NEW.payments) AS c
          WHERE payments.reference = c.value ->> 0 AND payments.status = c.value ->> 1
            AND payments.version = c.value ->> 2",
        payments,
        |change| moved(change),
    )
}

/// A payment's key, the state that it was decided on, and its new one.
fn moved(PaymentChange { was, after }: &PaymentChange) -> impl Serialize {
    let (status, version) = parts(*was);
    let (was, is) = (status.map(PaymentStatus::as_str), after.status.as_str());
    (after.reference, was, version, is, micros(after.updated_at), after.version)
}

/// Payments of orders that are paid later.
pub(super) fn insert_attempts(payments: &[&PaymentChange]) -> Set {
    Set::new(
        "new_attempts",
        "INSERT INTO payments (reference, amount, currency, method, status, created_at, updated_at,
                traceparent, order_reference, attempt, kind, waits_for)
         SELECT value ->> '$[0][0]', value ->> '$[0][1]', value ->> '$[0][2]', value ->> '$[0][3]',
                value ->> '$[0][4]', value ->> '$[0][5]', value ->> '$[0][6]', value ->> '$[0][7]',
                value ->> 1, value ->> 2, value ->> 3, value ->> 4
           FROM jsonb_each(NEW.new_attempts)",
        payments,
        |change| {
            let payment = &change.after;
            let order = (payment.attempt > 1).then_some(payment.order);
            let (kind, waits_for) = (payment.kind.as_str(), payment.waits_for.stored());
            (made(payment), order, payment.attempt, kind, waits_for)
        },
    )
}

/// Payments of several steps: more than their status changes.
pub(super) fn update_attempts(payments: &[&PaymentChange]) -> Set {
    Set::new(
        "attempts",
        "UPDATE payments SET status = c.value ->> '$[0][3]', updated_at = c.value ->> '$[0][4]',
                version = c.value ->> '$[0][5]', method = c.value ->> 1, waits_for = c.value ->> 2,
                return_url = c.value ->> '$[3][0]', traceparent = c.value ->> '$[3][1]',
                dispute = c.value ->> '$[3][2]'
           FROM jsonb_each(NEW.attempts) AS c
          WHERE payments.reference = c.value ->> '$[0][0]'
            AND payments.status = c.value ->> '$[0][1]'
            AND payments.version = c.value ->> '$[0][2]'",
        payments,
        |change| {
            let payment = &change.after;
            let begun = (payment.return_url(), &payment.traceparent, payment.dispute);
            (moved(change), &payment.method, payment.waits_for.stored(), begun)
        },
    )
}

pub(super) fn insert_bookings(bookings: &[&BookingChange]) -> Set {
    Set::new(
        "new_bookings",
        "INSERT INTO bookings (id, flight_id, user_id, status, failure_reason,
                payment_reference_id, booking_price, seats_booked, booking_metadata,
                hold_expires_at, created_at, updated_at, order_id, segment, segments,
                booking_taxes, fare_rules, sold_departure, replaces)
         SELECT value ->> '$[0][0]', value ->> '$[0][1]', value ->> '$[0][2]',
                value ->> '$[0][3]', value ->> 1,
                value ->> '$[2][0]', value ->> '$[2][1]', value ->> '$[2][2]',
                value ->> 3, value ->> 4, value ->> '$[5][0]', value ->> '$[5][1]',
                value ->> '$[6][0]', value ->> '$[6][1]', value ->> '$[6][2]', value ->> '$[6][3]',
                value ->> '$[6][4]', value ->> '$[6][5]', value ->> '$[6][6]'
           FROM jsonb_each(NEW.new_bookings)",
        bookings,
        |change| {
            let booking = &change.after;
            (
                (booking.id, booking.flight_id, booking.user_id, booking.status),
                booking.failure_reason,
                (booking.payment_reference, booking.booking_price.stored(), booking.seats_booked),
                booking.passengers.as_ref().map(json),
                micros(booking.hold_expires_at),
                (micros(booking.created_at), micros(booking.updated_at)),
                (
                    (booking.segment > 1).then_some(booking.order_id),
                    booking.segment,
                    booking.segments,
                    booking.booking_taxes.stored(),
                    booking.fare_rules.stored(),
                    booking.sold_departure.map(micros),
                    booking.replaces,
                ),
            )
        },
    )
}

pub(super) fn update_bookings(bookings: &[&BookingChange]) -> Set {
    Set::new(
        "bookings",
        "UPDATE bookings SET status = c.value ->> 3, failure_reason = c.value ->> 4,
                updated_at = c.value ->> 5, version = c.value ->> 6
           FROM jsonb_each(NEW.bookings) AS c
          WHERE bookings.id = c.value ->> 0 AND bookings.status = c.value ->> 1
            AND bookings.version = c.value ->> 2",
        bookings,
        |change| ended(change),
    )
}

/// A booking's key, the state that it was decided on, and its new one.
fn ended(BookingChange { was, after }: &BookingChange) -> impl Serialize {
    let (status, version) = parts(*was);
    let (reason, at) = (after.failure_reason, micros(after.updated_at));
    (after.id, status, version, after.status, reason, at, after.version)
}

/// Bookings of which more than the status changes.
pub(super) fn rewrite_bookings(bookings: &[&BookingChange]) -> Set {
    Set::new(
        "whole_bookings",
        "UPDATE bookings SET status = c.value ->> '$[0][3]', failure_reason = c.value ->> '$[0][4]',
                updated_at = c.value ->> '$[0][5]', version = c.value ->> '$[0][6]',
                seats_booked = c.value ->> 1, booking_price = c.value ->> 2,
                booking_taxes = c.value ->> 3, cancelled_passengers = c.value ->> 4,
                hold_expires_at = c.value ->> 5, extended = c.value ->> 6, fee = c.value ->> 7,
                flight_id = c.value ->> '$[8][0]', fare_rules = c.value ->> '$[8][1]',
                sold_departure = c.value ->> '$[8][2]', sold_at = c.value ->> '$[8][3]',
                has_changes = c.value ->> '$[8][4]'
           FROM jsonb_each(NEW.whole_bookings) AS c
          WHERE bookings.id = c.value ->> '$[0][0]' AND bookings.status = c.value ->> '$[0][1]'
            AND bookings.version = c.value ->> '$[0][2]'",
        bookings,
        |change| {
            let booking = &change.after;
            let (price, taxes) = (booking.booking_price.stored(), booking.booking_taxes.stored());
            let cancelled = &booking.cancelled;
            let cancelled = (!cancelled.is_empty()).then(|| json(&cancelled.as_slice()));
            let hold = (micros(booking.hold_expires_at), i32::from(booking.extended));
            let fee = booking.fee.stored();
            let sale = (
                booking.flight_id,
                booking.fare_rules.stored(),
                booking.sold_departure.map(micros),
                booking.sold_at.map(micros),
                i32::from(booking.has_changes),
            );
            (
                ended(change),
                booking.seats_booked,
                price,
                taxes,
                cancelled,
                hold.0,
                hold.1,
                fee,
                sale,
            )
        },
    )
}

/// The status and version that a change was decided on.
fn parts<S: Copy>(was: Option<Seen<S>>) -> (Option<S>, Option<i64>) {
    was.map(|was| (was.status, was.version)).unzip()
}

pub(super) fn insert_refunds(refunds: &[&RefundChange]) -> Set {
    Set::new(
        "new_refunds",
        "INSERT OR IGNORE INTO refunds (id, payment_reference_id, booking_id, amount, reason, status,
                attempts, created_at, updated_at, version)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                1, value ->> 6, value ->> 6, value ->> 7
           FROM jsonb_each(NEW.new_refunds)",
        refunds,
        |change| {
            let refund = &change.after;
            (
                refund.id,
                refund.payment,
                refund.booking_id,
                refund.amount.stored(),
                refund.reason,
                refund.status,
                micros(refund.created_at),
                refund.version,
            )
        },
    )
}

pub(super) fn update_refunds(refunds: &[&RefundChange]) -> Set {
    Set::new(
        "refunds",
        "UPDATE refunds SET status = c.value ->> 2, updated_at = c.value ->> 3,
                amount = c.value ->> 4, reason = c.value ->> 5, version = c.value ->> 6
           FROM jsonb_each(NEW.refunds) AS c
          WHERE refunds.id = c.value ->> 0 AND refunds.status = c.value ->> 1",
        refunds,
        |change| {
            let was = change.was.map(RefundStatus::as_str);
            let after = &change.after;
            let (at, amount) = (micros(after.updated_at), after.amount.stored());
            (after.id, was, after.status, at, amount, after.reason, after.version)
        },
    )
}
