//! The policy in cases by hand, and against its oracle on random histories.

mod cases;
mod flight;
mod histories;
mod holds;
mod mistakes;

use super::{Line, Terms, Waiting, Walked, walk};
use crate::domain::{SeatCount, Timestamp};
use chrono::Duration;

/// As the settings have it by default.
const TERMS: Terms =
    Terms { overtakes_max: 3, gather_for: Duration::hours(6), release_before: Duration::hours(24) };

/// A moment, in hours after the first.
fn hour(hours: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::hours(hours)
}

/// A party of so many seats that was overtaken so often.
fn party(id: i64, seats: SeatCount, overtaken: i32) -> Waiting {
    Waiting { overtaken, ..Waiting::joined(id, seats, true, &Line::default()) }
}

/// The line of so many parties, with a walk due.
fn line_of(parties: &[Waiting]) -> Line {
    Line { waiting: parties.len() as i32, serve_due: true, ..Line::default() }
}

/// A walk by the default terms, ten days before departure.
fn walk_at(free: SeatCount, parties: &[Waiting], now: Timestamp) -> Walked {
    walk(free, &line_of(parties), parties, &TERMS, hour(240), now)
}
