//! The net changes of a batch: what a commit writes.

use super::changes::{
    BookingChange, Change, ChangeSet, ChangesId, EntryChange, OutboxEvent, PaymentChange,
    RefundChange, Stale,
};
use super::idempotency::{IdempotencyRecord, RequestRecord};
use super::pending::{PendingLimit, PendingLimits};
use crate::domain::{Flight, PassengerChange};
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// The net changes of a batch: each row once, from its state before the batch to its last.
#[derive(Debug, Default)]
pub struct NetChanges {
    /// The commands left out: they use a stale row, or a row that another command left out writes.
    pub stale: BTreeSet<ChangesId>,
    /// Flights to update, from the version loaded to the last.
    pub flights: Vec<Change<Flight, Flight>>,
    /// Bookings to insert or update.
    pub bookings: Vec<BookingChange>,
    /// Payments to insert or update.
    pub payments: Vec<PaymentChange>,
    /// Refunds to insert or update.
    pub refunds: Vec<RefundChange>,
    /// Corrections of passengers, in the order of the commands.
    pub passengers: Vec<PassengerChange>,
    /// Entries of waiting lists to insert or update.
    pub entries: Vec<EntryChange>,
    /// Idempotency records to write.
    pub idempotency: Vec<IdempotencyRecord>,
    /// The limits of pending seats that the commit must check.
    pub pending_limits: Vec<PendingLimit>,
    /// Records of requests to other routes to write.
    pub requests: Vec<RequestRecord>,
    /// Events to put in the outbox, in the order of the commands.
    pub events: Vec<OutboxEvent>,
}

impl ChangeSet {
    /// Sums up the commands, without those that use a stale row or a row of a command left out.
    pub fn fold(&self, stale: &Stale) -> NetChanges {
        let mut net = NetChanges { stale: self.connected_to(stale), ..NetChanges::default() };
        let mut flights = Rows::default();
        let mut bookings = Rows::default();
        let mut payments = Rows::default();
        let mut refunds = Rows::default();
        let mut entries = Rows::default();
        let mut limits = PendingLimits::default();
        let is_any_limited = self.commands.iter().any(|changes| changes.pending_max.is_some());
        for (id, changes) in self.iter() {
            if net.stale.contains(&id) {
                continue;
            }
            for change in &changes.flights {
                flights.add(change.after.id, change);
            }
            for change in &changes.bookings {
                bookings.add(change.after.id, change);
            }
            for change in &changes.payments {
                payments.add(change.after.reference, change);
            }
            for change in &changes.refunds {
                refunds.add(change.after.id, change);
            }
            for change in &changes.entries {
                entries.add(change.after.id, change);
            }
            if is_any_limited {
                limits.add(changes);
            }
            net.passengers.extend(changes.passengers.iter().cloned());
            net.idempotency.extend(changes.idempotency.clone());
            net.requests.extend(changes.request.clone());
            net.events.extend(changes.outbox_events());
        }
        net.flights = flights.changes;
        net.bookings = bookings.changes;
        net.payments = payments.changes;
        net.refunds = refunds.changes;
        net.entries = entries.changes;
        net.pending_limits = limits.into_limits();
        net
    }

    /// The commands that use a stale row, or a row that another of these commands writes.
    pub fn connected_to(&self, stale: &Stale) -> BTreeSet<ChangesId> {
        let mut connected = BTreeSet::new();
        if stale.is_empty() {
            return connected;
        }
        let mut stale = stale.clone();
        loop {
            let before = connected.len();
            for (id, changes) in self.iter() {
                if !connected.contains(&id) && stale.touches(changes) {
                    connected.insert(id);
                    stale.spread_over(changes);
                }
            }
            if connected.len() == before {
                return connected;
            }
        }
    }
}

/// Changes by row: the first `was` and the last `after` of each, in the order of their first change.
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
