//! Changes of a flight.

use super::{Decision, Outcome};
use crate::domain::{
    AirlineEvent, Event, Flight, FlightId, FlightMoved, FlightPatch, FlightStatus, Timestamp,
};
use crate::rules::{Change, Changes, Refusal, State};

/// Changes a flight's fields.
#[derive(Debug, Clone)]
pub struct PutFlight {
    /// The flight.
    pub flight_id: FlightId,
    /// The fields to replace.
    pub patch: FlightPatch,
    /// The version that the flight must have, if the caller named one.
    pub expected: Option<ExpectedVersion>,
}

/// A version that the flight must have. The two kinds differ in their refusals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// `version` in the body: 409 if stale.
    Body(i64),
    /// `If-Match`: 412 unless the flight has one of these.
    IfMatch(Box<[i64]>),
}

/// Applies the patch if the version matches and the new seat counts leave sold and held seats alone.
pub(super) fn decide(state: &State, put: &PutFlight, now: Timestamp) -> Result<Decision, Refusal> {
    let flight = state.flights.get(&put.flight_id).ok_or(Refusal::FlightNotFound(put.flight_id))?;
    let current = flight.version;
    match &put.expected {
        Some(ExpectedVersion::Body(version)) if *version != current => {
            return Err(Refusal::VersionConflict { flight: flight.id, current });
        }
        Some(ExpectedVersion::IfMatch(versions)) if !versions.contains(&current) => {
            return Err(Refusal::PreconditionFailed { flight: flight.id, current });
        }
        None if put.patch.moves_seats() => return Err(Refusal::VersionRequired),
        _ => {}
    }
    let after = put.patch.apply(flight).map_err(Refusal::Invalid)?;
    if after == *flight {
        return Ok(Decision::unchanged(Outcome::Flight(after)));
    }
    if flight.flight_status == FlightStatus::Cancelled {
        return Err(Refusal::FlightCancelled(flight.id));
    }
    if !after.is_sound() {
        return Err(Refusal::SeatsInUse {
            flight: flight.id,
            sold: flight.sold_seats(),
            held: flight.held_seats,
        });
    }
    let after = after.next_version(now);
    let changed = AirlineEvent::FlightChanged(after.clone());
    let events = [Some(changed), moved(flight, &after)].into_iter().flatten();
    Ok(Decision {
        outcome: Ok(Outcome::Flight(after.clone())),
        changes: Changes {
            events: events.map(|event| Event::Airline(event, after.version, now)).collect(),
            flights: vec![Change { was: flight.clone(), after }],
            ..Changes::default()
        },
    })
}

/// The event of a flight that departs or arrives at another time. One that is cancelled flies at none.
fn moved(was: &Flight, after: &Flight) -> Option<AirlineEvent> {
    let times = |flight: &Flight| (flight.departs_at, flight.arrives_at);
    let is_moved = times(was) != times(after) && after.flight_status != FlightStatus::Cancelled;
    is_moved.then_some(AirlineEvent::FlightMoved(FlightMoved {
        flight_id: after.id,
        departs_at: after.departs_at,
        arrives_at: after.arrives_at,
        previous_departure: was.departs_at,
        previous_arrival: was.arrives_at,
    }))
}
