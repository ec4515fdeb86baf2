//! The rows on which a batch decides: as loaded, with the changes of earlier commands applied.

use super::changes::Changes;
use super::idempotency::{IdempotencyRecord, RequestName, RequestRecord};
use super::pending::{Holder, moved_by};
use crate::domain::{
    Booking, BookingId, BookingIds, Entry, FareBook, Flight, FlightId, Order, Payment,
    PaymentReference, Refund, RefundId, SeatCount, Timestamp, UserId, WaitlistId,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The rows that a batch's commands name.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Flights by id.
    pub flights: HashMap<FlightId, Flight>,
    /// Bookings by id, without passengers.
    pub bookings: HashMap<BookingId, Booking>,
    /// Payments by reference.
    pub payments: HashMap<PaymentReference, Payment>,
    /// The bookings of each order, by its first payment.
    pub paid_by: HashMap<PaymentReference, BookingIds>,
    /// The bookings that were made to replace each booking.
    pub replaced_by: HashMap<BookingId, BookingIds>,
    /// The last attempt to pay each order, by its first payment.
    pub last_attempts: HashMap<PaymentReference, PaymentReference>,
    /// The fare rules of bookings, if they are wanted.
    pub fares: FareBook,
    /// Refunds by id.
    pub refunds: HashMap<RefundId, Refund>,
    /// Entries of waiting lists by id, those that wait with their passengers.
    pub entries: HashMap<WaitlistId, Entry>,
    /// Records of callers' idempotency keys.
    pub idempotency: HashMap<(UserId, Arc<str>), IdempotencyRecord>,
    /// Seats that users hold unpaid on flights. A user who is missing counts as holding none; the commit
    /// checks.
    pub pending: HashMap<Holder, SeatCount>,
    /// Records of callers' idempotency keys at other routes.
    pub requests: HashMap<RequestName, RequestRecord>,
    /// Rows that exist and can't be read.
    pub unreadable: HashMap<RowName, Damage>,
}

/// The name of a row that a command needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RowName {
    /// A flight.
    Flight(FlightId),
    /// A booking.
    Booking(BookingId),
    /// A payment, or a booking that it pays.
    Payment(PaymentReference),
    /// A refund.
    Refund(RefundId),
    /// An entry of a waiting list.
    Entry(WaitlistId),
    /// An active entry of the flight's waiting list.
    Line(FlightId),
    /// The record of a caller's idempotency key, or the booking that it names.
    Key(UserId, Arc<str>),
    /// The record of a caller's idempotency key at another route.
    Request(RequestName),
}

/// A stored value that can't be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// The row's key.
    pub row: String,
}

/// The rows that a batch needs, loaded together.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Flights by id.
    pub flights: BTreeSet<FlightId>,
    /// Payments by reference, each with the bookings and the other payments of its order.
    pub payments: BTreeSet<PaymentReference>,
    /// Bookings by id, each with the payments and the other bookings of its order.
    pub bookings: BTreeSet<BookingId>,
    /// Refunds by id.
    pub refunds: BTreeSet<RefundId>,
    /// Whether the fare rules of the bookings are loaded.
    pub fares: bool,
    /// Payments whose refunds are all loaded.
    pub refunds_of: BTreeSet<PaymentReference>,
    /// Entries of waiting lists by id.
    pub entries: BTreeSet<WaitlistId>,
    /// Flights of which all active entries are loaded, each with the order of its offer.
    pub lines: BTreeSet<FlightId>,
    /// Users on flights whose active entry is loaded, with the order of its offer.
    pub entrants: BTreeSet<Holder>,
    /// Idempotency records by user and key, each with its booking.
    pub idempotency: BTreeSet<(UserId, Arc<str>)>,
    /// Users on flights whose pending seats are counted, in holds that end after the moment.
    pub pending: BTreeMap<Holder, Timestamp>,
    /// Records of requests to other routes.
    pub requests: BTreeSet<RequestName>,
}

impl Wanted {
    /// Whether there is nothing to load.
    pub fn is_empty(&self) -> bool {
        self.flights.is_empty()
            && self.payments.is_empty()
            && self.bookings.is_empty()
            && self.refunds.is_empty()
            && self.refunds_of.is_empty()
            && !self.has_entries()
            && self.idempotency.is_empty()
            && self.pending.is_empty()
            && self.requests.is_empty()
    }
}

impl Wanted {
    /// Whether entries of waiting lists are wanted.
    pub fn has_entries(&self) -> bool {
        !(self.entries.is_empty() && self.lines.is_empty() && self.entrants.is_empty())
    }
}

impl State {
    /// Adds the rows of another state. No row is in both.
    pub fn extend(&mut self, other: Self) {
        self.flights.extend(other.flights);
        self.bookings.extend(other.bookings);
        self.payments.extend(other.payments);
        self.paid_by.extend(other.paid_by);
        self.replaced_by.extend(other.replaced_by);
        self.last_attempts.extend(other.last_attempts);
        self.fares.extend(other.fares);
        self.refunds.extend(other.refunds);
        self.entries.extend(other.entries);
        self.idempotency.extend(other.idempotency);
        self.pending.extend(other.pending);
        self.requests.extend(other.requests);
        self.unreadable.extend(other.unreadable);
    }

    /// Adds a booking, and its entries in `paid_by` and `replaced_by`.
    pub fn add_booking(&mut self, booking: Booking) {
        let order = self.paid_by.entry(booking.payment_reference).or_default();
        if !order.contains(&booking.id) {
            order.push(booking.id);
        }
        if let Some(replaced) = booking.replaces {
            let replacements = self.replaced_by.entry(replaced).or_default();
            if !replacements.contains(&booking.id) {
                replacements.push(booking.id);
            }
        }
        self.bookings.insert(booking.id, booking);
    }

    /// Adds a payment, and notes it if it is its order's last attempt so far.
    pub fn add_payment(&mut self, payment: Payment) {
        let last = self.last_attempt(payment.order).map_or(0, |last| last.attempt);
        if payment.attempt > last {
            self.last_attempts.insert(payment.order, payment.reference);
        }
        self.payments.insert(payment.reference, payment);
    }

    /// The last attempt to pay an order, named by its first payment.
    pub fn last_attempt(&self, first: PaymentReference) -> Option<&Payment> {
        self.payments.get(self.last_attempts.get(&first)?)
    }

    /// An order with its last attempt, named by its first payment.
    pub fn order_of(&self, first: PaymentReference) -> Option<Order> {
        let ids = self.paid_by.get(&first)?;
        let bookings = ids.iter().filter_map(|id| self.bookings.get(id).cloned());
        Order::of(bookings.collect(), self.last_attempt(first)?.clone())
    }

    /// Applies a command's changes, for the next command of the batch.
    pub fn apply(&mut self, changes: &Changes) {
        for change in &changes.flights {
            self.flights.insert(change.after.id, change.after.clone());
        }
        for change in &changes.bookings {
            self.add_booking(change.after.without_passengers());
        }
        for change in &changes.payments {
            self.add_payment(change.after.clone());
        }
        for change in &changes.refunds {
            self.refunds.insert(change.after.id, change.after.clone());
        }
        for change in &changes.entries {
            self.entries.insert(change.after.id, change.after.clone());
        }
        if let Some(record) = &changes.idempotency {
            self.idempotency.insert(record.name(), record.clone());
        }
        for (holder, seats) in moved_by(changes) {
            match self.pending.get_mut(&holder) {
                Some(pending) => *pending += seats,
                None if changes.pending_max.is_some() => _ = self.pending.insert(holder, seats),
                None => {}
            }
        }
        if let Some(record) = &changes.request {
            self.requests.insert(record.request.name(), record.clone());
        }
    }
}
