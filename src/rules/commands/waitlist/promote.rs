//! Promotion: free seats go to those in line, in their order.

use super::{active, concluded, is_open, is_waiting, waiting, with_counts};
use crate::domain::{
    EndReason, Entry, EntryStatus, Flight, FlightId, FlightStatus, SeatCount, Timestamp, WaitMode,
};
use crate::rules::commands::hold::{self, Hold};
use crate::rules::commands::{Decision, Outcome};
use crate::rules::waiting::{Walked, walk};
use crate::rules::{Change, Changes, Policy, Refusal, State};

/// Ends the entries whose time is over, gives free seats to the parties that [`walk`] names, and notes what became of
/// earlier offers. Changes nothing if there is nothing to do.
pub(in crate::rules::commands) fn decide(
    state: &State,
    id: FlightId,
    now: Timestamp,
    policy: &Policy,
) -> Result<Decision, Refusal> {
    let flight = state.flights.get(&id).ok_or(Refusal::FlightNotFound(id))?;
    let mut changes = Changes::default();
    for offered in active(state, flight).filter(|entry| !is_waiting(entry)) {
        if let Some(after) = concluded(state, offered, flight) {
            changes.entries.push(Change { was: Some(offered.version), after });
        }
    }
    let concluded_offers = changes.entries.len();
    let mut line = Vec::new();
    for entry in active(state, flight).filter(|entry| is_waiting(entry)) {
        match why_over(entry, flight, now, policy) {
            Some(reason) => {
                let after = entry.ended(EntryStatus::Lapsed, Some(reason), now);
                changes.entries.push(Change { was: Some(entry.version), after });
            }
            None => line.push(entry),
        }
    }
    line.sort_unstable_by_key(|entry| entry.place);
    let (walked, promoted) = serve(&line, flight, now, policy, &mut changes)?;
    let held = flight.held_seats + promoted;
    let after = Flight { held_seats: held, line: walked.line, ..flight.clone() };
    // Parties change with the flight alone: its version tells whether the row that was walked on is the last.
    let moves_line = changes.entries.len() > concluded_offers;
    if after == *flight && !moves_line {
        return Ok(Decision { outcome: Ok(Outcome::Flight(after)), changes });
    }
    let after = after.next_version(now);
    changes.flights.push(Change { was: flight.clone(), after: after.clone() });
    Ok(Decision { outcome: Ok(Outcome::Flight(after)), changes })
}

/// Walks along the line, and holds the seats of those who get some. Returns the walk, and the number of these seats.
fn serve(
    line: &[&Entry],
    flight: &Flight,
    now: Timestamp,
    policy: &Policy,
    changes: &mut Changes,
) -> Result<(Walked, SeatCount), Refusal> {
    let parties: Vec<_> = line.iter().map(|entry| waiting(entry, flight)).collect();
    let free = flight.free_seats();
    let walked = walk(free, &flight.line, &parties, &policy.waiting, flight.departs_at, now);
    let at = |place: i64| line.iter().find(|entry| entry.place == place);
    let mut held = 0;
    for entry in walked.promoted.iter().filter_map(|place| at(*place)) {
        held += entry.seats * if planted!(promoted_twice) { 2 } else { 1 };
        offer(entry, flight, now, policy, changes)?;
    }
    for waiting in &walked.changed {
        let Some(entry) = at(waiting.id) else { continue };
        let after = with_counts(entry, waiting);
        let after = Entry { updated_at: now, version: entry.version + 1, ..after };
        changes.entries.push(Change { was: Some(entry.version), after });
    }
    Ok((walked, held))
}

/// Holds the seats of a party: with a deadline, or for a payment that is asked for at once.
fn offer(
    entry: &Entry,
    flight: &Flight,
    now: Timestamp,
    policy: &Policy,
    changes: &mut Changes,
) -> Result<(), Refusal> {
    let method = entry.payment_method.clone().filter(|_| entry.mode == WaitMode::Auto);
    let expires_at = match &method {
        Some(_) => now + policy.hold_for,
        None => policy.offer_by(now, flight),
    };
    let hold = Hold {
        segments: Hold::on_one(entry.id.booking(), flight.id),
        reference: entry.payment_reference,
        user_id: entry.user_id,
        seats: entry.seats,
        passengers: entry.passengers.clone().unwrap_or_default(),
        method,
        idempotency: None,
        request: None,
        pending_max: None,
        expected_price: None,
    };
    let made = hold::on(&hold, flight, now, expires_at)?;
    changes.bookings.extend(made.bookings);
    changes.payments.extend(made.payments);
    changes.events.extend(made.events);
    let after = entry.ended(EntryStatus::Offered, None, now);
    changes.entries.push(Change { was: Some(entry.version), after });
    Ok(())
}

/// Why the party waits no longer.
fn why_over(entry: &Entry, flight: &Flight, now: Timestamp, policy: &Policy) -> Option<EndReason> {
    if flight.flight_status == FlightStatus::Cancelled {
        Some(EndReason::FlightCancelled)
    } else if !is_open(flight, now, policy) {
        Some(EndReason::Departure)
    } else {
        entry.until.filter(|until| *until <= now).map(|_| EndReason::Until)
    }
}
