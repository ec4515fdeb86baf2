//! The net changes of a batch: what a commit writes.

use super::changes::{Change, ChangeSet, OutboxEvent, Stale};
use super::idempotency::{IdempotencyRecord, RequestRecord};
use super::pending::{PendingLimit, PendingLimits};
use crate::domain::{Booking, BookingStatus, Flight, Payment, PaymentStatus};
use std::collections::HashMap;
use std::hash::Hash;

/// The net changes of a batch: each row once, from its state before the batch to its last.
#[derive(Debug, Default)]
pub struct NetChanges {
    /// Positions in the change set of the commands left out: they use a stale row, or a row that another
    /// command left out writes.
    pub stale: Vec<usize>,
    /// Flights to update, from the version loaded to the last.
    pub flights: Vec<Change<Flight, Flight>>,
    /// Bookings to insert or update.
    pub bookings: Vec<Change<Option<BookingStatus>, Booking>>,
    /// Payments to insert or update.
    pub payments: Vec<Change<Option<PaymentStatus>, Payment>>,
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
        let dropped = self.connected_to(stale);
        let mut net = NetChanges::default();
        let mut flights = Rows::default();
        let mut bookings = Rows::default();
        let mut payments = Rows::default();
        let mut limits = PendingLimits::default();
        let is_any_limited = self.commands.iter().any(|changes| changes.pending_max.is_some());
        for (position, changes) in self.commands.iter().enumerate() {
            if dropped[position] {
                net.stale.push(position);
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
                limits.add(changes);
            }
            net.idempotency.extend(changes.idempotency.clone());
            net.requests.extend(changes.request.clone());
            net.events.extend(changes.outbox_events());
        }
        net.flights = flights.changes;
        net.bookings = bookings.changes;
        net.payments = payments.changes;
        net.pending_limits = limits.into_limits();
        net
    }

    /// Positions of the commands that a chain of shared rows connects to a stale row.
    pub fn positions(&self, stale: &Stale) -> Vec<usize> {
        let dropped = self.connected_to(stale);
        (0..dropped.len()).filter(|position| dropped[*position]).collect()
    }

    /// Which commands a chain of shared rows connects to a stale row.
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
