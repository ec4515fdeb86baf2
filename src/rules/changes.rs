//! What a batch's decisions want written: each command's changes, and their sum over the batch.

use super::idempotency::{IdempotencyRecord, RequestName, RequestRecord};
use super::pending::{Holder, Room, Rooms};
use crate::domain::{
    Booking, BookingId, BookingStatus, DayKey, Event, Flight, FlightId, Payment, PaymentReference,
    PaymentStatus, SeatCount, UserId,
};
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

/// A row that is to become `after`, decided when it was `was`; no `was` means that it is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<W, T> {
    /// What the row must still be for the change to be written.
    pub was: W,
    /// What it becomes.
    pub after: T,
}

/// All that one command writes, whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// The flight, decided on this earlier row.
    pub flight: Option<Change<Flight, Flight>>,
    /// The booking, decided on this status.
    pub booking: Option<Change<Option<BookingStatus>, Booking>>,
    /// The payment, decided on this status.
    pub payment: Option<Change<Option<PaymentStatus>, Payment>>,
    /// What the caller's key made; in place of an older record that had lapsed, if there was one.
    pub idempotency: Option<IdempotencyRecord>,
    /// Of a new booking: the seats that its user may have pending on the flight with it.
    pub pending_max: Option<SeatCount>,
    /// The same for a request to another route.
    pub request: Option<RequestRecord>,
    /// What others are to be told.
    pub events: Vec<Event>,
    /// In which trace they are told (W3C `traceparent`).
    pub traceparent: Option<Arc<str>>,
}

/// An event and the trace to which it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEvent {
    /// What happened.
    pub event: Event,
    /// W3C `traceparent`.
    pub traceparent: Option<Arc<str>>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same, in a trace, as is a payment that begins with it.
    #[must_use]
    pub fn in_trace(mut self, traceparent: Option<Arc<str>>) -> Self {
        if let Some(new) = self.payment.as_mut().filter(|change| change.was.is_none()) {
            new.after.traceparent.clone_from(&traceparent);
        }
        Self { traceparent, ..self }
    }

    fn told(&self) -> impl Iterator<Item = OutboxEvent> {
        let told = |event: &Event| OutboxEvent {
            event: event.clone(),
            traceparent: self.traceparent.clone(),
        };
        self.events.iter().map(told)
    }
}

/// A batch's changes, in the order in which they were decided.
#[derive(Debug, Clone, Default)]
pub struct ChangeSet {
    /// One for each command that writes.
    pub commands: Vec<Changes>,
    /// The cached answers that these changes outdate, where others have to be told.
    pub outdated: Vec<DayKey>,
}

/// Rows that are no longer as they were when a batch was decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stale {
    /// Flights at another version.
    pub flights: HashSet<FlightId>,
    /// Bookings in another status, or new ones whose id is taken.
    pub bookings: HashSet<BookingId>,
    /// Payments in another status, or new ones whose reference is taken.
    pub payments: HashSet<PaymentReference>,
    /// Idempotency keys that another commit took first.
    pub keys: HashSet<(UserId, Arc<str>)>,
    /// Users who hold more seats unpaid than their new bookings were decided on.
    pub pending: HashSet<Holder>,
    /// Keys of requests to other routes that another commit took first.
    pub requests: HashSet<RequestName>,
}

impl Stale {
    fn touches(&self, changes: &Changes) -> bool {
        changes.flight.as_ref().is_some_and(|c| self.flights.contains(&c.after.id))
            || changes.booking.as_ref().is_some_and(|c| self.bookings.contains(&c.after.id))
            || changes.payment.as_ref().is_some_and(|c| self.payments.contains(&c.after.reference))
            || changes.idempotency.as_ref().is_some_and(|r| self.keys.contains(&r.name()))
            || changes.pending_max.is_some()
                && changes
                    .booking
                    .as_ref()
                    .is_some_and(|c| self.pending.contains(&(c.after.flight_id, c.after.user_id)))
            || changes.request.as_ref().is_some_and(|r| self.requests.contains(&r.request.name()))
    }

    fn spread_over(&mut self, changes: &Changes) {
        self.flights.extend(changes.flight.iter().map(|c| c.after.id));
        self.bookings.extend(changes.booking.iter().map(|c| c.after.id));
        self.payments.extend(changes.payment.iter().map(|c| c.after.reference));
        self.keys.extend(changes.idempotency.iter().map(IdempotencyRecord::name));
        self.requests.extend(changes.request.iter().map(|r| r.request.name()));
    }
}

/// The sum of a batch's changes: each row once, from what it was before the batch to its end.
#[derive(Debug, Default)]
pub struct NetChanges {
    /// Positions in the change set of commands that must write nothing, being connected to a
    /// stale row by a chain of shared rows.
    pub stale: Vec<usize>,
    /// Flights to update, from the version loaded to the last.
    pub flights: Vec<Change<Flight, Flight>>,
    /// Bookings to insert or update.
    pub bookings: Vec<Change<Option<BookingStatus>, Booking>>,
    /// Payments to insert or update.
    pub payments: Vec<Change<Option<PaymentStatus>, Payment>>,
    /// Idempotency records to write.
    pub idempotency: Vec<IdempotencyRecord>,
    /// What the commit must find for its holds to keep their limits.
    pub rooms: Vec<Room>,
    /// Records of requests to other routes to write.
    pub requests: Vec<RequestRecord>,
    /// Events to put in the outbox, in the order of the commands.
    pub events: Vec<OutboxEvent>,
}

impl ChangeSet {
    /// Sums up the commands that are not connected to a stale row.
    pub fn fold(&self, stale: &Stale) -> NetChanges {
        let dropped = self.connected_to(stale);
        let mut folded = NetChanges::default();
        let mut flights = Rows::default();
        let mut bookings = Rows::default();
        let mut payments = Rows::default();
        let mut rooms = Rooms::default();
        let is_any_limited = self.commands.iter().any(|changes| changes.pending_max.is_some());
        for (position, changes) in self.commands.iter().enumerate() {
            if dropped[position] {
                folded.stale.push(position);
                continue;
            }
            if let Some(change) = &changes.flight {
                flights.add(change.after.id, change);
            }
            if let Some(change) = &changes.booking {
                bookings.add(change.after.id, change);
            }
            if let Some(change) = &changes.payment {
                payments.add(change.after.reference, change);
            }
            if is_any_limited {
                rooms.add(changes);
            }
            folded.idempotency.extend(changes.idempotency.clone());
            folded.requests.extend(changes.request.clone());
            folded.events.extend(changes.told());
        }
        folded.flights = flights.changes;
        folded.bookings = bookings.changes;
        folded.payments = payments.changes;
        folded.rooms = rooms.into_rooms();
        folded
    }

    fn connected_to(&self, stale: &Stale) -> Vec<bool> {
        let mut dropped = vec![false; self.commands.len()];
        let mut stale = stale.clone();
        loop {
            let before = dropped.iter().filter(|d| **d).count();
            for (position, changes) in self.commands.iter().enumerate() {
                if !dropped[position] && stale.touches(changes) {
                    dropped[position] = true;
                    stale.spread_over(changes);
                }
            }
            if dropped.iter().filter(|d| **d).count() == before {
                return dropped;
            }
        }
    }
}

/// Changes by row: the first `was` and the last `after` of each, in order of first touch.
struct Rows<K, W, T> {
    position: HashMap<K, usize>,
    changes: Vec<Change<W, T>>,
}

impl<K, W, T> Default for Rows<K, W, T> {
    fn default() -> Self {
        Self { position: HashMap::new(), changes: Vec::new() }
    }
}

impl<K: Hash + Eq, W: Clone, T: Clone> Rows<K, W, T> {
    fn add(&mut self, key: K, change: &Change<W, T>) {
        let next = self.changes.len();
        match *self.position.entry(key).or_insert(next) {
            position if position == next => self.changes.push(change.clone()),
            position => self.changes[position].after = change.after.clone(),
        }
    }
}
