//! How a new hold, or a party that would join, stands to a flight's waiting list.

use crate::domain::{Line, SeatCount, Timestamp};

/// What becomes of a new hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// It gets its seats. The flight's line is [`Line::held`] then.
    Allowed,
    /// It may get seats after the walk that is due.
    ServeDue,
    /// Seats gather for a party that waits.
    Gathering,
    /// Fewer seats are free than it asks for.
    NotEnough,
}

/// Judges a new hold of `seats`, also of an order or a change, as the last in line. `free` are the flight's free
/// seats.
///
/// Too few free seats are the answer before all else, as neither a walk nor the end of a gathering changes it.
pub fn judge_hold(free: SeatCount, seats: SeatCount, line: &Line, now: Timestamp) -> Judged {
    if seats > free {
        Judged::NotEnough
    } else if line.is_due(now) {
        Judged::ServeDue
    } else if line.waiting > 0 && line.gathers_until.is_some() {
        Judged::Gathering
    } else {
        Judged::Allowed
    }
}

/// Whether a party may join the line: not if it would get seats now, and would take them at this price.
///
/// A party that finds a walk due may join, even if that walk leaves seats for it: the walk serves it, in its order.
pub fn may_join(
    free: SeatCount,
    seats: SeatCount,
    takes_price: bool,
    line: &Line,
    now: Timestamp,
) -> bool {
    !takes_price || judge_hold(free, seats, line, now) != Judged::Allowed
}
