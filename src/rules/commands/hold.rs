//! Holds: seats for a party until it has paid.

use super::payment_request::request;
use super::{Decision, Outcome};
use crate::domain::{
    AirlineEvent, Booking, BookingId, BookingStatus, Event, Flight, FlightId, FlightIds, Invalid,
    Money, Order, Passenger, Payment, PaymentAction, PaymentKind, PaymentMethod, PaymentReference,
    PaymentStatus, Places, SeatCount, Timestamp, UserId, WaitsFor,
};
use crate::rules::waiting::{Judged, judge_hold};
use crate::rules::{
    Change, Changes, Claim, IdempotencyKey, IdempotencyRecord, Policy, Refusal, RequestKey,
    RequestRecord, State,
};
use chrono::Duration;
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

/// Holds seats for a party until it has paid: on one flight, or on all flights of an order.
///
/// The ids are drawn before the first attempt, so that a repeat is recognised; they are drawn again only
/// where another booking has them.
#[derive(Debug, Clone)]
pub struct Hold {
    /// The flights, 1 to 8, in the order of travel, none twice.
    pub segments: SmallVec<[HeldSegment; 1]>,
    /// Reference of the new payment.
    pub reference: PaymentReference,
    /// The user who books.
    pub user_id: UserId,
    /// Number of seats on each flight; equals the number of passengers.
    pub seats: SeatCount,
    /// The passengers.
    pub passengers: Arc<[Passenger]>,
    /// How the order is paid at once; `None`: it is paid later.
    pub method: Option<PaymentMethod>,
    /// The caller's idempotency key for a booking, if it sent one.
    pub idempotency: Option<IdempotencyKey>,
    /// The caller's idempotency key for an itinerary, if it sent one.
    pub request: Option<RequestKey>,
    /// Maximum number of seats that the user may hold unpaid on a flight, these included
    /// (`MAX_PENDING_PER_USER`); `None`: no limit.
    pub pending_max: Option<SeatCount>,
    /// The price of all seats that the caller has seen; refused if it is another now.
    pub expected_price: Option<Money>,
}

/// A segment of an order to hold.
#[derive(Debug, Clone, Copy)]
pub struct HeldSegment {
    /// Id of the new booking.
    pub booking_id: BookingId,
    /// The flight.
    pub flight_id: FlightId,
}

impl Hold {
    /// The segments of a hold on one flight.
    pub fn on_one(booking_id: BookingId, flight_id: FlightId) -> SmallVec<[HeldSegment; 1]> {
        smallvec![HeldSegment { booking_id, flight_id }]
    }

    /// Its flights.
    pub fn flights(&self) -> FlightIds {
        self.segments.iter().map(|segment| segment.flight_id).collect()
    }

    fn party(&self) -> Party {
        Party { user_id: self.user_id, seats: self.seats, pending_max: self.pending_max }
    }

    /// Id of the new order: that of its first booking.
    pub fn order_id(&self) -> BookingId {
        self.segments[0].booking_id
    }
}

/// Holds the seats, all or none, or answers as the first request with the same key was answered.
pub(super) fn decide(
    state: &State,
    hold: &Hold,
    now: Timestamp,
    policy: &Policy,
) -> Result<Decision, Refusal> {
    if let Some(replay) = replay_of(state, hold, now)? {
        return Ok(replay);
    }
    let flights = hold
        .segments
        .iter()
        .map(|s| state.flights.get(&s.flight_id).ok_or(Refusal::FlightNotFound(s.flight_id)))
        .collect::<Result<SmallVec<[&Flight; 1]>, Refusal>>()?;
    check_connections(&flights, policy)?;
    let hold_expires_at = match &hold.method {
        Some(_) => now + policy.hold_for,
        None => policy.pay_by(now, flights[0]),
    };
    let mut changes = Changes { pending_max: hold.pending_max, ..Changes::default() };
    for (at, flight) in flights.iter().enumerate() {
        check_seats(state, &hold.party(), flight, now, policy)?;
        let booking = booking_of(hold, at, flight, (now, hold_expires_at))?;
        changes.bookings.push(Change { was: None, after: booking });
        if planted!(partial_hold) && at > 0 {
            continue;
        }
        let after = held(flight, hold.seats, now);
        changes.flights.push(Change { was: (*flight).clone(), after });
    }
    let payment = payment_of(&changes, hold, flights[0])?;
    if let Some(expected) = hold.expected_price.filter(|expected| *expected != payment.amount) {
        return Err(Refusal::PriceChanged { expected, now: payment.amount });
    }
    let first = &changes.bookings[0].after;
    if payment.kind == PaymentKind::Now {
        changes.events.push(request(first, &payment, PaymentAction::Capture, now));
    } else {
        changes.events = held_until_paid(&changes, now);
    }
    changes.idempotency = hold.idempotency.as_ref().map(|key| IdempotencyRecord {
        user_id: hold.user_id,
        key: key.key.clone(),
        request_hash: key.request_hash.clone(),
        booking_id: hold.order_id(),
        created_at: now,
    });
    changes.request = hold.request.as_ref().map(|request| RequestRecord {
        request: request.clone(),
        made: hold.order_id().0,
        created_at: now,
    });
    let bookings = changes.bookings.iter().map(|change| change.after.clone()).collect();
    let order = Order { bookings, payment: payment.clone() };
    changes.payments.push(Change { was: None, after: payment });
    Ok(Decision { outcome: Ok(Outcome::Order { order, replayed: false }), changes })
}

/// What holds the seats of a party that waited: its booking and its payment, and the request for the capture if it
/// pays at once. Changes no flight.
pub(super) fn on(
    hold: &Hold,
    flight: &Flight,
    now: Timestamp,
    hold_expires_at: Timestamp,
) -> Result<Changes, Refusal> {
    let mut changes = Changes::default();
    let booking = booking_of(hold, 0, flight, (now, hold_expires_at))?;
    changes.bookings.push(Change { was: None, after: booking });
    let payment = payment_of(&changes, hold, flight)?;
    if payment.kind == PaymentKind::Now {
        let first = &changes.bookings[0].after;
        changes.events.push(request(first, &payment, PaymentAction::Capture, now));
    }
    changes.payments.push(Change { was: None, after: payment });
    Ok(changes)
}

/// The events of seats that are held for a payment that comes later.
fn held_until_paid(changes: &Changes, now: Timestamp) -> Vec<Event> {
    let held = changes.bookings.iter().zip(&changes.flights);
    held.map(|(booking, flight)| {
        let event = AirlineEvent::BookingHeld(booking.after.without_passengers());
        Event::Airline(event, flight.after.version, now)
    })
    .collect()
}

/// The flight with the seats held. `available_seats` moves only when the payment is captured.
fn held(flight: &Flight, seats: SeatCount, now: Timestamp) -> Flight {
    let line = if planted!(overtaking_not_counted) { flight.line } else { flight.line.held() };
    let held_seats = flight.held_seats + seats;
    let after = Flight { held_seats, line, ..flight.clone() }.next_version(now);
    if planted!(version_kept) { Flight { version: flight.version, ..after } } else { after }
}

/// Checks that each flight arrives early enough for the next, and that all have one currency.
fn check_connections(flights: &[&Flight], policy: &Policy) -> Result<(), Refusal> {
    let mut invalid = Invalid::default();
    for (at, pair) in flights.windows(2).enumerate() {
        let [earlier, later] = pair else { continue };
        if let Err((place, rule)) = check_connection(earlier, later, policy.min_connection) {
            invalid.add(format!("/segments/{}/flight_id", at + place), rule);
        }
        if later.currency != flights[0].currency {
            let pointer = format!("/segments/{}/flight_id", at + 1);
            invalid.add(pointer, format!("must be priced in {}", flights[0].currency));
        }
    }
    invalid.or(()).map_err(Refusal::Invalid)
}

/// Checks that a flight arrives early enough for the next. The error says which of the two is at fault (0 or 1), and
/// the rule that it breaks.
pub(super) fn check_connection(
    earlier: &Flight,
    later: &Flight,
    least: Duration,
) -> Result<(), (usize, String)> {
    match earlier.arrives_at {
        None => {
            Err((0, format!("flight {} has no arrival, so no flight can follow it", earlier.id)))
        }
        Some(arrival) if later.departs_at < arrival => {
            Err((1, format!("flight {} departs before flight {} arrives", later.id, earlier.id)))
        }
        Some(arrival) if later.departs_at - arrival < least => {
            let minutes = least.num_minutes();
            let rule = format!("must depart at least {minutes} minutes (MIN_CONNECTION) after");
            Err((1, format!("flight {} {rule} flight {} arrives", later.id, earlier.id)))
        }
        Some(_) => Ok(()),
    }
}

/// Who wants how many seats.
pub(super) struct Party {
    pub(super) user_id: UserId,
    pub(super) seats: SeatCount,
    /// Maximum number of seats that the user may hold unpaid on a flight; `None`: no limit.
    pub(super) pending_max: Option<SeatCount>,
}

/// Checks that the flight is on sale, has enough free seats, and that the user keeps its limit.
pub(super) fn check_seats(
    state: &State,
    party: &Party,
    flight: &Flight,
    now: Timestamp,
    policy: &Policy,
) -> Result<(), Refusal> {
    if !flight.is_bookable(now, policy.closes_before) {
        return Err(Refusal::FlightNotBookable(flight.id));
    }
    let free = flight.free_seats() + SeatCount::from(planted!(one_seat_too_many));
    match judge_hold(free, party.seats, &flight.line, now) {
        Judged::NotEnough => {
            return Err(Refusal::InsufficientSeats {
                flight: flight.id,
                wanted: party.seats,
                free,
            });
        }
        Judged::ServeDue if planted!(hold_ignores_serve_due) => {}
        Judged::ServeDue | Judged::Gathering => {
            return Err(Refusal::SeatsAwaited(flight.id));
        }
        Judged::Allowed => {}
    }
    if let Some(most) = party.pending_max {
        let holder = (flight.id, party.user_id);
        let pending = state.pending.get(&holder).copied().unwrap_or_default();
        if pending + party.seats > most {
            let (flight, wanted) = (flight.id, party.seats);
            return Err(Refusal::TooManyPending { flight, pending, wanted, most });
        }
    }
    Ok(())
}

/// The new booking of a segment, at the flight's price of now; with the time and the end of the hold.
fn booking_of(
    hold: &Hold,
    at: usize,
    flight: &Flight,
    (now, hold_expires_at): (Timestamp, Timestamp),
) -> Result<Booking, Refusal> {
    let too_dear = || too_dear(flight);
    Ok(Booking {
        id: hold.segments[at].booking_id,
        order_id: hold.order_id(),
        segment: at as i32 + 1,
        segments: hold.segments.len() as i32,
        flight_id: flight.id,
        user_id: hold.user_id,
        status: BookingStatus::Pending,
        failure_reason: None,
        payment_reference: hold.reference,
        booking_price: flight.price.times(hold.seats).ok_or_else(too_dear)?,
        booking_taxes: flight.taxes.times(hold.seats).ok_or_else(too_dear)?,
        fee: Money::whole(0, flight.currency),
        fare_rules: flight.fare_rules.clone(),
        sold_departure: Some(flight.departs_at),
        was: None,
        sold_at: None,
        replaces: None,
        has_changes: false,
        seats_booked: hold.seats,
        cancelled: Places::new(),
        erased: false,
        passengers: Some(hold.passengers.clone()),
        hold_expires_at,
        extended: false,
        created_at: now,
        updated_at: now,
        version: 1,
        is_rewritten: false,
    })
}

/// The payment of all bookings.
fn payment_of(changes: &Changes, hold: &Hold, first: &Flight) -> Result<Payment, Refusal> {
    let mut prices = changes.bookings.iter().map(|change| change.after.booking_price);
    let amount = prices.next().unwrap_or_default();
    let amount = prices.try_fold(amount, Money::plus).ok_or_else(|| too_dear(first))?;
    let created_at = changes.bookings[0].after.created_at;
    Ok(Payment {
        reference: hold.reference,
        amount,
        currency: first.currency,
        order: hold.reference,
        attempt: 1,
        kind: if hold.method.is_some() { PaymentKind::Now } else { PaymentKind::Later },
        method: hold.method.clone().unwrap_or_else(PaymentMethod::unchosen),
        status: PaymentStatus::Requested,
        waits_for: if hold.method.is_some() { WaitsFor::Gateway } else { WaitsFor::Method },
        dispute: None,
        notes: None,
        created_at,
        updated_at: created_at,
        traceparent: None,
        version: 1,
    })
}

fn too_dear(flight: &Flight) -> Refusal {
    let most = Money::most_of(flight.currency);
    Refusal::Invalid(Invalid::one("/seats_booked", format!("the total price is beyond {most}")))
}

/// The answer to a repeat: the order that an earlier request with the same key made.
fn replay_of(state: &State, hold: &Hold, now: Timestamp) -> Result<Option<Decision>, Refusal> {
    let Some(made) = made_before(state, hold, now)? else { return Ok(None) };
    let booking = state.bookings.get(&made).ok_or(Refusal::BookingNotFound(made))?;
    let order = state.order_of(booking.payment_reference);
    let order = order.ok_or(Refusal::UnknownPayment(booking.payment_reference))?;
    Ok(Some(Decision::unchanged(Outcome::Order { order, replayed: true })))
}

/// What an earlier request with the same key made.
fn made_before(state: &State, hold: &Hold, now: Timestamp) -> Result<Option<BookingId>, Refusal> {
    if let Some(request) = &hold.request {
        return match request.meets(state.requests.get(&request.name()), now) {
            Claim::Reused => Err(Refusal::IdempotencyKeyReused),
            Claim::Made(id) => Ok(Some(BookingId(id))),
            Claim::New(()) => Ok(None),
        };
    }
    let Some(idempotency) = &hold.idempotency else { return Ok(None) };
    let name = (hold.user_id, idempotency.key.clone());
    let Some(record) = state.idempotency.get(&name) else { return Ok(None) };
    if record.created_at + IdempotencyRecord::KEPT_FOR <= now {
        return Ok(None);
    }
    if record.request_hash != idempotency.request_hash {
        return Err(Refusal::IdempotencyKeyReused);
    }
    Ok(Some(record.booking_id))
}
