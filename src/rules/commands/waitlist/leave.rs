//! Leaving the line.

use super::{answer, is_waiting, unchanged};
use crate::domain::{EntryStatus, Flight, FlightId, Timestamp, WaitlistId};
use crate::rules::commands::Decision;
use crate::rules::{Change, Changes, Refusal, State};

/// Takes a waiting party out of the line.
#[derive(Debug, Clone, Copy)]
pub struct Leave {
    /// The entry.
    pub id: WaitlistId,
    /// Its flight.
    pub flight_id: FlightId,
}

/// Ends the entry if its party waits; else nothing changes.
pub(in crate::rules::commands) fn decide(
    state: &State,
    leave: &Leave,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let missing = || Refusal::EntryNotFound(leave.id);
    let entry = state.entries.get(&leave.id).ok_or_else(missing)?;
    if entry.flight_id != leave.flight_id {
        return Err(missing());
    }
    if !is_waiting(entry) {
        return Ok(unchanged(entry));
    }
    let id = entry.flight_id;
    let flight = state.flights.get(&id).ok_or(Refusal::FlightNotFound(id))?;
    let left = Flight { line: flight.line.left(), ..flight.clone() }.next_version(now);
    let after = entry.ended(EntryStatus::Left, None, now);
    let changes = Changes {
        flights: vec![Change { was: flight.clone(), after: left }],
        entries: vec![Change { was: Some(entry.version), after: after.clone() }],
        ..Changes::default()
    };
    Ok(answer(after, changes))
}
