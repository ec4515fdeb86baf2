//! The waiting list of a flight: parties join it, leave it, and are promoted.

mod decline;
mod join;
mod leave;
mod promote;

use super::{Decision, Outcome};
use crate::domain::{Entry, EntryStatus, Flight, FlightStatus, Timestamp};
use crate::rules::waiting::Waiting;
use crate::rules::{Changes, Policy, State};

pub use decline::Decline;
pub(super) use decline::decide as decline;
pub use join::Join;
pub(super) use join::decide as join;
pub use leave::Leave;
pub(super) use leave::decide as leave;
pub(super) use promote::decide as promote;

/// Maximum parties that wait for a flight: a walk loads all of them.
const WAITING_MAX: i32 = 1_000;

/// Whether the party takes seats at the flight's price of now. Not if the price of all its seats is beyond what an
/// amount can be.
fn takes_price(entry: &Entry, flight: &Flight) -> bool {
    entry.max_price.is_none_or(|max| flight.price <= max)
        && flight.price.times(entry.seats).is_some()
}

/// A waiting entry as the policy sees it.
fn waiting(entry: &Entry, flight: &Flight) -> Waiting {
    Waiting {
        id: entry.place,
        seats: entry.seats,
        takes_price: takes_price(entry, flight),
        overtaken: entry.overtaken,
        passed_before: entry.passed_before,
        gathers_until: entry.gathers_until,
    }
}

/// The entry with the policy's counts.
fn with_counts(entry: &Entry, waiting: &Waiting) -> Entry {
    Entry {
        overtaken: waiting.overtaken,
        passed_before: waiting.passed_before,
        gathers_until: waiting.gathers_until,
        ..entry.clone()
    }
}

/// An offered entry as its booking has left it; `None`: its offer is open.
fn concluded(state: &State, entry: &Entry, flight: &Flight) -> Option<Entry> {
    let booking = state.bookings.get(&entry.id.booking())?;
    let payment = state.last_attempt(entry.payment_reference)?;
    let is_cancelled = flight.flight_status == FlightStatus::Cancelled;
    let (status, reason) = entry.ended_by(booking, payment.status, is_cancelled)?;
    Some(entry.ended(status, reason, booking.updated_at))
}

/// Whether parties may wait for the flight: it is on sale, and has not departed, whatever the clock does to its sale.
fn is_open(flight: &Flight, now: Timestamp, policy: &Policy) -> bool {
    flight.is_bookable(now, policy.closes_before)
        && flight.departure().is_none_or(|departure| now < departure)
}

/// The active entries of a flight.
fn active<'s>(state: &'s State, flight: &Flight) -> impl Iterator<Item = &'s Entry> {
    let id = flight.id;
    state.entries.values().filter(move |entry| entry.flight_id == id && entry.status.is_active())
}

/// The answer about an entry.
fn answer(entry: Entry, changes: Changes) -> Decision {
    Decision { outcome: Ok(Outcome::Entry { entry: Box::new(entry), replayed: false }), changes }
}

/// The answer to a repeat, or where there is nothing to do.
fn unchanged(entry: &Entry) -> Decision {
    Decision::unchanged(Outcome::Entry { entry: Box::new(entry.clone()), replayed: true })
}

/// Whether the entry's party waits.
fn is_waiting(entry: &Entry) -> bool {
    entry.status == EntryStatus::Waiting
}
