//! Seats that one user holds unpaid on one flight, against `MAX_PENDING_PER_USER`.
//!
//! The commit counts them, in its own statement. Such seats move only with their flight's version, which
//! the commit checks as well, so that no two holds pass the limit together, whichever replicas take them.
//! What a process remembers of its own commits only saves it commits that would be refused.

use super::changes::Changes;
use crate::domain::{BookingStatus, FlightId, SeatCount, Timestamp, UserId};
use std::collections::HashMap;

/// A user on a flight.
pub type Holder = (FlightId, UserId);

/// What a commit must find for its holds to keep their limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Whose holds.
    pub holder: Holder,
    /// Seats that may be pending before the commit, in holds that end after `at`.
    pub pending_max: SeatCount,
    /// The moment by which they were decided.
    pub at: Timestamp,
}

/// The seats that a command makes pending, or that are pending no more; `None` if neither.
///
/// A hold that has lapsed counts no longer, so that its end frees nothing.
pub(crate) fn moved_by(changes: &Changes) -> Option<(Holder, SeatCount)> {
    let change = changes.booking.as_ref()?;
    let booking = &change.after;
    let holder = (booking.flight_id, booking.user_id);
    let is_pending = booking.status == BookingStatus::Pending;
    match change.was {
        None if is_pending => Some((holder, booking.seats_booked)),
        Some(BookingStatus::Pending)
            if !is_pending && booking.hold_expires_at > booking.updated_at =>
        {
            Some((holder, -booking.seats_booked))
        }
        _ => None,
    }
}

/// What the commands of a commit, one after the other, leave room for.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    /// Seats that the commands so far have made pending, of each holder.
    moved: HashMap<Holder, SeatCount>,
    rooms: HashMap<Holder, Room>,
}

impl Rooms {
    /// Takes the next command's changes into account.
    pub(crate) fn add(&mut self, changes: &Changes) {
        let Some((holder, seats)) = moved_by(changes) else { return };
        let moved = self.moved.entry(holder).or_default();
        *moved += seats;
        let (Some(limit), Some(change)) = (changes.pending_max, &changes.booking) else { return };
        let room = Room { holder, pending_max: limit - *moved, at: change.after.created_at };
        let least = self.rooms.entry(holder).or_insert(room);
        least.pending_max = least.pending_max.min(room.pending_max);
    }

    /// One for each holder that has a limit.
    pub(crate) fn into_rooms(self) -> Vec<Room> {
        self.rooms.into_values().collect()
    }
}
