//! Joining the line.

use super::{
    WAITING_MAX, active, answer, concluded, is_open, takes_price, unchanged, waiting, with_counts,
};
use crate::domain::{
    Entry, EntryStatus, Flight, FlightId, Invalid, Money, Passenger, PaymentMethod,
    PaymentReference, SeatCount, Timestamp, UserId, WaitMode, WaitlistId,
};
use crate::rules::commands::Decision;
use crate::rules::waiting::{Waiting, may_join};
use crate::rules::{Change, Changes, Claim, Policy, Refusal, RequestKey, RequestRecord, State};
use std::sync::Arc;

/// Puts a party at the end of a flight's line.
#[derive(Debug, Clone)]
pub struct Join {
    /// Id of the new entry, and of the booking that it may become.
    pub id: WaitlistId,
    /// Reference of that booking's payment.
    pub reference: PaymentReference,
    /// The flight.
    pub flight_id: FlightId,
    /// The user who waits.
    pub user_id: UserId,
    /// Seats of the party; equals the number of passengers.
    pub seats: SeatCount,
    /// The passengers.
    pub passengers: Arc<[Passenger]>,
    /// How its seats are bought at once; `None`: they are offered.
    pub auto: Option<PaymentMethod>,
    /// Maximum price of a seat.
    pub max_price: Option<Money>,
    /// When the user stops waiting.
    pub until: Option<Timestamp>,
    /// The caller's idempotency key, if it sent one.
    pub request: Option<RequestKey>,
}

/// Adds the entry, unless the party would get seats now, or its user waits for the flight already.
pub(in crate::rules::commands) fn decide(
    state: &State,
    join: &Join,
    now: Timestamp,
    policy: &Policy,
) -> Result<Decision, Refusal> {
    if let Some(replay) = replay_of(state, join, now)? {
        return Ok(replay);
    }
    let id = join.flight_id;
    let flight = state.flights.get(&id).ok_or(Refusal::FlightNotFound(id))?;
    if !is_open(flight, now, policy) {
        return Err(Refusal::FlightNotBookable(id));
    }
    let max_price = check(join, flight, now)?;
    let mut changes = Changes::default();
    for earlier in active(state, flight).filter(|entry| entry.user_id == join.user_id) {
        match concluded(state, earlier, flight) {
            Some(after) => changes.entries.push(Change { was: Some(earlier.version), after }),
            None => return Err(Refusal::AlreadyWaiting { flight: id, entry: earlier.id }),
        }
    }
    let after = Flight { line: flight.line.joined(policy.waiting.overtakes_max), ..flight.clone() }
        .next_version(now);
    let entry = entry_of(join, flight, after.version, max_price, now);
    if !may_join(flight.free_seats(), join.seats, takes_price(&entry, flight), &flight.line, now) {
        return Err(Refusal::SeatsAvailable { flight: id, free: flight.free_seats() });
    }
    if flight.line.waiting >= WAITING_MAX {
        return Err(Refusal::LineFull { flight: id, most: WAITING_MAX });
    }
    changes.flights.push(Change { was: flight.clone(), after });
    changes.entries.push(Change { was: None, after: entry.clone() });
    changes.request = join.request.as_ref().map(|request| RequestRecord {
        request: request.clone(),
        made: join.id.0,
        created_at: now,
    });
    Ok(answer(entry, changes))
}

/// Checks the party's terms against the flight. Returns its maximum price in the flight's currency.
fn check(join: &Join, flight: &Flight, now: Timestamp) -> Result<Option<Money>, Refusal> {
    let mut invalid = Invalid::default();
    if join.seats > flight.total_seats {
        let total = flight.total_seats;
        invalid.add("/seats_booked", format!("must be at most the flight's {total} seats"));
    }
    if join.until.is_some_and(|until| until <= now) {
        invalid.add("/until", "must be in the future");
    }
    let max_price = join.max_price.map(|max| max.in_currency(flight.currency));
    if matches!(max_price, Some(Err(_))) {
        invalid.add("/max_price", format!("must be an amount in {}", flight.currency));
    }
    invalid.or(max_price.and_then(Result::ok)).map_err(Refusal::Invalid)
}

fn entry_of(
    join: &Join,
    flight: &Flight,
    place: i64,
    max_price: Option<Money>,
    now: Timestamp,
) -> Entry {
    let entry = Entry {
        id: join.id,
        flight_id: flight.id,
        user_id: join.user_id,
        place,
        seats: join.seats,
        passengers: Some(join.passengers.clone()),
        mode: if join.auto.is_some() { WaitMode::Auto } else { WaitMode::Ask },
        payment_method: join.auto.clone(),
        max_price,
        until: join.until,
        status: EntryStatus::Waiting,
        reason: None,
        overtaken: 0,
        passed_before: None,
        gathers_until: None,
        payment_reference: join.reference,
        created_at: now,
        updated_at: now,
        version: 1,
    };
    let Waiting { id, seats, takes_price, .. } = waiting(&entry, flight);
    with_counts(&entry, &Waiting::joined(id, seats, takes_price, &flight.line))
}

/// The answer to a repeat: the entry that an earlier request with the same key made.
fn replay_of(state: &State, join: &Join, now: Timestamp) -> Result<Option<Decision>, Refusal> {
    let Some(request) = &join.request else { return Ok(None) };
    match request.meets(state.requests.get(&request.name()), now) {
        Claim::Reused => Err(Refusal::IdempotencyKeyReused),
        Claim::New(()) => Ok(None),
        Claim::Made(id) => {
            let id = WaitlistId(id);
            let entry = state.entries.get(&id).ok_or(Refusal::EntryNotFound(id))?;
            Ok(Some(unchanged(entry)))
        }
    }
}
