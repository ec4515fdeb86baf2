//! The outcome of a commit: the commands that wrote nothing, and why.

use crate::rules::{BookingChange, ChangeSet, Changes, ChangesId, Stale};
use std::collections::{BTreeSet, HashSet};

/// The commands that wrote nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// All of them: a row of each was stale.
    pub stale: BTreeSet<ChangesId>,
    /// Those of which another session held a row for longer than the store waits for a lock.
    pub locked: BTreeSet<ChangesId>,
    /// Those that only a user's limit on pending seats stopped: holds beyond it, and later commands on the
    /// same rows.
    pub limited: BTreeSet<ChangesId>,
    /// Holds whose booking number or payment reference another booking has.
    pub taken: BTreeSet<ChangesId>,
}

impl Committed {
    /// The outcome of a commit that found these rows stale, some because another session locks them.
    pub fn of(changes: &ChangeSet, stale: &Stale, locked: &Stale) -> Self {
        if stale.is_empty() {
            return Self::default();
        }
        let taken = changes.iter().filter(|(_, command)| is_taken(command, stale));
        Self {
            stale: changes.connected_to(stale),
            locked: changes.connected_to(locked),
            limited: limited(changes, stale),
            taken: taken.map(|(id, _)| id).collect(),
        }
    }
}

/// Whether another booking has the id or the payment reference of a new booking.
fn is_taken(command: &Changes, stale: &Stale) -> bool {
    let is_number_taken = |booking: &BookingChange| {
        booking.was.is_none() && stale.bookings.contains(&booking.after.id)
    };
    command.bookings.iter().any(is_number_taken)
        || command.payments.iter().any(|payment| {
            payment.was.is_none() && stale.payments.contains(&payment.after.reference)
        })
}

fn limited(changes: &ChangeSet, stale: &Stale) -> BTreeSet<ChangesId> {
    if stale.pending.is_empty() {
        return BTreeSet::new();
    }
    let others = Stale { pending: HashSet::new(), ..stale.clone() };
    &changes.connected_to(stale) - &changes.connected_to(&others)
}
