//! The limit of seats that one user holds unpaid on one flight (`MAX_PENDING_PER_USER`).
//!
//! The commit counts these seats in its own statement. They change only together with their flight's
//! version, which the commit checks too, so two holds can't pass the limit together, even on different
//! replicas. The counts in a process' memory only save it commits that would be refused.

use super::changes::{BookingChange, Changes};
use crate::domain::{BookingStatus, FlightId, SeatCount, Timestamp, UserId};
use std::collections::HashMap;

/// A user on a flight.
pub type Holder = (FlightId, UserId);

/// A limit that a commit must check: it fails if the user already has more unpaid seats stored than
/// `pending_max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingLimit {
    /// The user and the flight.
    pub holder: Holder,
    /// The user's limit, less the seats that this batch adds. Holds that ended by `at` don't count.
    pub pending_max: SeatCount,
    /// When the holds were decided.
    pub at: Timestamp,
}

/// The changes in users' pending seats by a command.
///
/// A lapsed hold no longer counts, so its end frees nothing.
pub(crate) fn moved_by(changes: &Changes) -> impl Iterator<Item = (Holder, SeatCount)> {
    changes.bookings.iter().filter_map(moved_by_booking)
}

fn moved_by_booking(change: &BookingChange) -> Option<(Holder, SeatCount)> {
    let booking = &change.after;
    let holder = (booking.flight_id, booking.user_id);
    let is_pending = booking.status == BookingStatus::Pending;
    match change.was.map(|was| was.status) {
        None if is_pending => Some((holder, booking.seats_booked)),
        Some(BookingStatus::Pending)
            if !is_pending && booking.hold_expires_at > booking.updated_at =>
        {
            Some((holder, -booking.seats_booked))
        }
        _ => None,
    }
}

/// The limits of a commit's commands, one after the other.
#[derive(Debug, Default)]
pub(crate) struct PendingLimits {
    /// Seats that the commands so far have made pending, by holder.
    moved: HashMap<Holder, SeatCount>,
    limits: HashMap<Holder, PendingLimit>,
}

impl PendingLimits {
    /// Adds the next command.
    pub(crate) fn add(&mut self, changes: &Changes) {
        for change in &changes.bookings {
            let Some((holder, seats)) = moved_by_booking(change) else { continue };
            let moved = self.moved.entry(holder).or_default();
            *moved += seats;
            let Some(most) = changes.pending_max else { continue };
            let limit =
                PendingLimit { holder, pending_max: most - *moved, at: change.after.created_at };
            let least = self.limits.entry(holder).or_insert(limit);
            least.pending_max = least.pending_max.min(limit.pending_max);
        }
    }

    /// The strictest limit of each holder.
    pub(crate) fn into_limits(self) -> Vec<PendingLimit> {
        self.limits.into_values().collect()
    }
}
