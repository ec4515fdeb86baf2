//! The changes of a batch: those of each command, and the rows on which they were decided.

use super::idempotency::{IdempotencyRecord, RequestName, RequestRecord};
use super::pending::Holder;
use crate::domain::{
    Booking, BookingId, BookingStatus, DayKey, Entry, Event, Flight, FlightId, PassengerChange,
    Payment, PaymentReference, PaymentStatus, Refund, RefundId, RefundStatus, SeatCount, UserId,
    WaitlistId, WaitsFor,
};
use smallvec::SmallVec;
use std::collections::HashSet;
use std::ops::Index;
use std::sync::Arc;

/// A change of one row, from the state on which it was decided. `was` is `None` for a new row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<W, T> {
    /// The row, or its version or status, as it must still be when the change is written.
    pub was: W,
    /// The row afterwards.
    pub after: T,
}

/// The state of a row on which its change was decided. The commit compares both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seen<S> {
    /// Its status.
    pub status: S,
    /// Its version.
    pub version: i64,
}

/// A change of a booking; `was` is `None` for a new one.
pub type BookingChange = Change<Option<Seen<BookingStatus>>, Booking>;

/// A change of a payment; `was` is `None` for a new one.
pub type PaymentChange = Change<Option<Seen<PaymentStatus>>, Payment>;

/// A change of a refund; `was` is `None` for a new one.
pub type RefundChange = Change<Option<RefundStatus>, Refund>;

/// A change of an entry of a waiting list, from the version on which it was decided; `was` is `None` for a new one.
pub type EntryChange = Change<Option<i64>, Entry>;

/// Everything that one command writes, whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// The flights, each once, with the row on which the change was decided.
    pub flights: Vec<Change<Flight, Flight>>,
    /// The bookings, each once, with the state on which the change was decided.
    pub bookings: Vec<BookingChange>,
    /// The payments, each once, with the state on which the change was decided. Nearly always one.
    pub payments: SmallVec<[PaymentChange; 1]>,
    /// The refunds, each once, with the status on which the change was decided.
    pub refunds: Vec<RefundChange>,
    /// Corrections of passengers. Each belongs to a change of its booking, whose version the commit checks.
    pub passengers: Vec<PassengerChange>,
    /// The entries of waiting lists, each once, with the version on which the change was decided.
    pub entries: Vec<EntryChange>,
    /// The record of the caller's idempotency key; replaces an expired record of the same key.
    pub idempotency: Option<IdempotencyRecord>,
    /// For new bookings: maximum number of seats that their user may have pending on each of their flights,
    /// their own included.
    pub pending_max: Option<SeatCount>,
    /// The record of the idempotency key of a request to another route.
    pub request: Option<RequestRecord>,
    /// The events to publish.
    pub events: Vec<Event>,
    /// The trace in which they are published (W3C `traceparent`).
    pub traceparent: Option<Arc<str>>,
}

/// An event for the outbox, and the trace to which it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEvent {
    /// The event.
    pub event: Event,
    /// W3C `traceparent`.
    pub traceparent: Option<Arc<str>>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Attaches the trace context, also to a payment that these changes create, or that they ask of the gateway.
    #[must_use]
    pub fn in_trace(mut self, traceparent: Option<Arc<str>>) -> Self {
        let is_attempt = self.bookings.is_empty();
        let begins = |change: &&mut PaymentChange| {
            let is_asked = change.after.is_open() && change.after.waits_for == WaitsFor::Gateway;
            change.was.is_none() || is_attempt && is_asked
        };
        for begun in self.payments.iter_mut().filter(begins) {
            begun.after.traceparent.clone_from(&traceparent);
        }
        Self { traceparent, ..self }
    }

    pub(super) fn outbox_events(&self) -> impl Iterator<Item = OutboxEvent> {
        let of = |event: &Event| OutboxEvent {
            event: event.clone(),
            traceparent: self.traceparent.clone(),
        };
        self.events.iter().map(of)
    }
}

/// Names the changes of one command in their [`ChangeSet`], which gives the ids out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangesId(pub usize);

/// A batch's changes, in the order in which they were decided.
#[derive(Debug, Clone, Default)]
pub struct ChangeSet {
    /// One for each command that writes.
    pub commands: Vec<Changes>,
    /// The days whose cached answers these changes invalidate, where other processes must learn of it.
    pub invalidated: Vec<DayKey>,
}

impl ChangeSet {
    /// Adds the changes of one command.
    pub fn push(&mut self, changes: Changes) -> ChangesId {
        self.commands.push(changes);
        ChangesId(self.commands.len() - 1)
    }

    /// The changes of each command, with their id.
    pub fn iter(&self) -> impl Iterator<Item = (ChangesId, &Changes)> {
        self.commands.iter().enumerate().map(|(index, changes)| (ChangesId(index), changes))
    }

    /// Each change of a flight.
    pub fn flights(&self) -> impl Iterator<Item = &Change<Flight, Flight>> {
        self.commands.iter().flat_map(|changes| &changes.flights)
    }
}

impl Index<ChangesId> for ChangeSet {
    type Output = Changes;

    fn index(&self, id: ChangesId) -> &Changes {
        &self.commands[id.0]
    }
}

/// Rows that changed after a batch was decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stale {
    /// Flights whose version has changed.
    pub flights: HashSet<FlightId>,
    /// Bookings that have changed, and new ones whose id is taken.
    pub bookings: HashSet<BookingId>,
    /// Payments that have changed, and new ones whose reference is taken.
    pub payments: HashSet<PaymentReference>,
    /// Refunds whose status has changed, and new ones that another commit wrote first.
    pub refunds: HashSet<RefundId>,
    /// Entries of waiting lists that have changed, and new ones that another commit wrote first.
    pub entries: HashSet<WaitlistId>,
    /// Idempotency keys that another commit wrote first.
    pub keys: HashSet<(UserId, Arc<str>)>,
    /// Users on flights who hold more unpaid seats than their new bookings were decided on.
    pub pending: HashSet<Holder>,
    /// Keys of requests to other routes that another commit wrote first.
    pub requests: HashSet<RequestName>,
}

impl Stale {
    /// Whether no row has changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the changes were decided on one of these rows.
    pub(super) fn touches(&self, changes: &Changes) -> bool {
        let is_over_limit =
            |booking: &Booking| self.pending.contains(&(booking.flight_id, booking.user_id));
        changes.flights.iter().any(|c| self.flights.contains(&c.after.id))
            || changes.bookings.iter().any(|c| self.bookings.contains(&c.after.id))
            || changes.payments.iter().any(|c| self.payments.contains(&c.after.reference))
            || changes.refunds.iter().any(|c| self.refunds.contains(&c.after.id))
            || changes.entries.iter().any(|c| self.entries.contains(&c.after.id))
            || changes.idempotency.as_ref().is_some_and(|r| self.keys.contains(&r.name()))
            || changes.pending_max.is_some()
                && changes.bookings.iter().any(|c| is_over_limit(&c.after))
            || changes.request.as_ref().is_some_and(|r| self.requests.contains(&r.request.name()))
    }

    /// Adds the rows that the changes write.
    pub(super) fn spread_over(&mut self, changes: &Changes) {
        self.flights.extend(changes.flights.iter().map(|c| c.after.id));
        self.bookings.extend(changes.bookings.iter().map(|c| c.after.id));
        self.payments.extend(changes.payments.iter().map(|c| c.after.reference));
        self.refunds.extend(changes.refunds.iter().map(|c| c.after.id));
        self.entries.extend(changes.entries.iter().map(|c| c.after.id));
        self.keys.extend(changes.idempotency.iter().map(IdempotencyRecord::name));
        self.requests.extend(changes.request.iter().map(|r| r.request.name()));
    }
}
