//! The outcome of a commit: the commands that wrote nothing, and why.

use crate::rules::{ChangeSet, Changes, Stale};
use std::collections::HashSet;

/// The commands that wrote nothing, by their positions in the change set.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// All of them: a row of each was stale.
    pub stale: Vec<usize>,
    /// Those of which another session held a row for longer than the store waits for a lock.
    pub locked: Vec<usize>,
    /// Those that only a user's limit on pending seats stopped: holds beyond it, and later commands on the
    /// same rows.
    pub limited: Vec<usize>,
    /// Holds whose booking number or payment reference another booking has.
    pub taken: Vec<usize>,
}

impl Committed {
    /// The outcome of a commit that found these rows stale, some because another session locks them.
    pub(in crate::store) fn of(changes: &ChangeSet, stale: &Stale, locked: &Stale) -> Self {
        if *stale == Stale::default() {
            return Self::default();
        }
        let is_taken = |command: &Changes| {
            command.booking.as_ref().is_some_and(|booking| {
                booking.was.is_none() && stale.bookings.contains(&booking.after.id)
            }) || command.payment.as_ref().is_some_and(|payment| {
                payment.was.is_none() && stale.payments.contains(&payment.after.reference)
            })
        };
        let positions = 0..changes.commands.len();
        Self {
            stale: changes.positions(stale),
            locked: changes.positions(locked),
            limited: limited(changes, stale),
            taken: positions.filter(|position| is_taken(&changes.commands[*position])).collect(),
        }
    }
}

fn limited(changes: &ChangeSet, stale: &Stale) -> Vec<usize> {
    if stale.pending.is_empty() {
        return Vec::new();
    }
    let others = Stale { pending: HashSet::new(), ..stale.clone() };
    let others: HashSet<usize> = changes.positions(&others).into_iter().collect();
    let all = changes.positions(stale).into_iter();
    all.filter(|position| !others.contains(position)).collect()
}
