//! What a commit writes: one statement a table, its set of rows one JSON parameter, so that a batch of
//! 512 costs what one costs. (`jsonb_each` gives rows as SQLite keeps JSON, `json_each` as text, which
//! each column would read again.)

use super::commit::json;
use super::error::{refused, store_error};
use super::outbox::{NewRow, insert, insert_outdated, new_rows};
use super::writer::Tx;
use crate::booking::{Change, ChangeSet, Folded, IdempotencyRecord};
use crate::domain::{Booking, BookingStatus, Flight, Outdated, Payment, PaymentStatus, route_key};
use crate::store::rows::micros;
use crate::store::{StoreError, outbox};
use serde::Serialize;

/// All that a commit writes, ready to be bound.
pub(super) struct Writes {
    tables: Vec<Write>,
    outbox: Vec<NewRow>,
    outdated: Option<Outdated>,
}

/// A statement over a set of rows, each of which it must write: fewer, if one is not as it was
/// decided on.
struct Write {
    table: &'static str,
    statement: &'static str,
    rows: usize,
    set: String,
}

impl Writes {
    pub(super) fn of(folded: &Folded, changes: &ChangeSet) -> Self {
        let (new_payments, payments): (Vec<_>, Vec<_>) =
            folded.payments.iter().partition(|change| change.was.is_none());
        let (new_bookings, bookings): (Vec<_>, Vec<_>) =
            folded.bookings.iter().partition(|change| change.was.is_none());
        let (seats, whole): (Vec<_>, Vec<_>) = folded
            .flights
            .iter()
            .partition(|change| change.after.differs_in_inventory_alone(&change.was));
        let tables = [
            update_seats(&seats),
            update_flights(&whole),
            insert_payments(&new_payments),
            update_payments(&payments),
            insert_bookings(&new_bookings),
            update_bookings(&bookings),
            upsert_keys(&folded.idempotency),
        ];
        Self {
            tables: tables.into_iter().filter(|write| write.rows > 0).collect(),
            outbox: new_rows(&folded.events),
            outdated: outbox::ended(folded, changes),
        }
    }

    /// Writes all; refused if a row is not as it was decided on.
    pub(super) async fn write(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        for write in self.tables {
            write.run(tx).await?;
        }
        insert(tx, self.outbox).await?;
        match self.outdated {
            Some(outdated) => insert_outdated(tx, &outdated).await,
            None => Ok(()),
        }
    }
}

impl Write {
    /// A statement over what these changes make rows of.
    fn new<'a, C, R: Serialize>(
        table: &'static str,
        statement: &'static str,
        changes: &'a [C],
        row: impl Fn(&'a C) -> R,
    ) -> Self {
        let rows: Vec<R> = changes.iter().map(row).collect();
        Self { table, statement, rows: rows.len(), set: json(&rows) }
    }

    async fn run(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let Self { table, statement, rows, set } = self;
        let done = sqlx::query(statement).bind(set).execute(&mut **tx).await;
        let written = done.map_err(store_error)?.rows_affected();
        if written == rows as u64 {
            return Ok(());
        }
        Err(refused(format!("{written} of {rows} rows of {table} were written")))
    }
}

type FlightChange = Change<Flight, Flight>;
type PaymentChange = Change<Option<PaymentStatus>, Payment>;
type BookingChange = Change<Option<BookingStatus>, Booking>;

/// A flight's inventory, which is all that a hold or a settlement changes of it.
fn inventory(Change { was, after }: &FlightChange) -> impl Serialize {
    let seats = (after.available_seats, after.held_seats, after.blocked_seats);
    (after.id, was.version, after.version, micros(after.updated_at), seats)
}

fn update_seats(flights: &[&FlightChange]) -> Write {
    Write::new(
        "flights",
        "UPDATE flights SET
            version = c.value ->> 2,
            updated_at = c.value ->> 3,
            available_seats = c.value ->> '$[4][0]',
            held_seats = c.value ->> '$[4][1]',
            blocked_seats = c.value ->> '$[4][2]'
           FROM jsonb_each(?1) AS c
          WHERE flights.id = c.value ->> 0 AND flights.version = c.value ->> 1",
        flights,
        |change| inventory(change),
    )
}

fn update_flights(flights: &[&FlightChange]) -> Write {
    Write::new(
        "flights",
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
           FROM jsonb_each(?1) AS c
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
                after.price.minor(),
            );
            (inventory(change), fields)
        },
    )
}

fn insert_payments(payments: &[&PaymentChange]) -> Write {
    Write::new(
        "payments",
        "INSERT INTO payments (reference, amount, currency, method, status, created_at, updated_at,
                traceparent)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                value ->> 6, value ->> 7
           FROM jsonb_each(?1)",
        payments,
        |change| {
            let payment = &change.after;
            (
                payment.reference,
                payment.amount.minor(),
                payment.currency,
                &payment.method,
                payment.status.as_str(),
                micros(payment.created_at),
                micros(payment.updated_at),
                &payment.traceparent,
            )
        },
    )
}

fn update_payments(payments: &[&PaymentChange]) -> Write {
    Write::new(
        "payments",
        "UPDATE payments SET status = c.value ->> 2, updated_at = c.value ->> 3
           FROM jsonb_each(?1) AS c
          WHERE payments.reference = c.value ->> 0 AND payments.status = c.value ->> 1",
        payments,
        |change| {
            let was = change.was.map(PaymentStatus::as_str);
            let payment = &change.after;
            (payment.reference, was, payment.status.as_str(), micros(payment.updated_at))
        },
    )
}

fn insert_bookings(bookings: &[&BookingChange]) -> Write {
    Write::new(
        "bookings",
        "INSERT INTO bookings (id, flight_id, user_id, status, failure_reason,
                payment_reference_id, booking_price, seats_booked, booking_metadata,
                hold_expires_at, created_at, updated_at)
         SELECT value ->> '$[0][0]', value ->> '$[0][1]', value ->> '$[0][2]',
                value ->> '$[0][3]', value ->> 1,
                value ->> '$[2][0]', value ->> '$[2][1]', value ->> '$[2][2]',
                value ->> 3, value ->> 4, value ->> '$[5][0]', value ->> '$[5][1]'
           FROM jsonb_each(?1)",
        bookings,
        |change| {
            let booking = &change.after;
            (
                (booking.id, booking.flight_id, booking.user_id, booking.status),
                booking.failure_reason,
                (booking.payment_reference, booking.booking_price.minor(), booking.seats_booked),
                booking.passengers.as_ref().map(json),
                micros(booking.hold_expires_at),
                (micros(booking.created_at), micros(booking.updated_at)),
            )
        },
    )
}

fn update_bookings(bookings: &[&BookingChange]) -> Write {
    Write::new(
        "bookings",
        "UPDATE bookings SET status = c.value ->> 2, failure_reason = c.value ->> 3,
                updated_at = c.value ->> 4
           FROM jsonb_each(?1) AS c
          WHERE bookings.id = c.value ->> 0 AND bookings.status = c.value ->> 1",
        bookings,
        |change| {
            let was = change.was.map(BookingStatus::as_str);
            let booking = &change.after;
            (booking.id, was, booking.status, booking.failure_reason, micros(booking.updated_at))
        },
    )
}

fn upsert_keys(records: &[IdempotencyRecord]) -> Write {
    Write::new(
        "idempotency_keys",
        "INSERT INTO idempotency_keys (user_id, key, request_hash, booking_id, created_at)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
           FROM jsonb_each(?1) WHERE true
             ON CONFLICT (user_id, key) DO UPDATE SET request_hash = excluded.request_hash,
                booking_id = excluded.booking_id, created_at = excluded.created_at",
        records,
        |record| {
            let (key, hash) = (&record.key, &record.request_hash);
            (record.user_id, key, hash, record.booking_id, micros(record.created_at))
        },
    )
}
