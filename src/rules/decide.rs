//! All the rules about seats, money and states. Nowhere else.
//!
//! Pure: no I/O, no clock, no randomness. Time and ids come in; what should change goes out. Run
//! twice on the same input it says the same, so a batch whose rows moved is loaded and decided
//! again. The table of booking state × payment state × event is `docs/states.md`.

use super::changes::{Change, Changes};
use super::command::{
    Cancel, CancelledBy, Command, ExpectedVersion, Hold, Outcome, PutFlight, Refusal, Settle,
};
use super::idempotency::{Claim, IdempotencyRecord, RequestRecord};
use super::payment_request::request;
use super::state::State;
use crate::domain::{
    AirlineEvent, Booking, BookingId, BookingStatus, Event, FailureReason, Flight, FlightBooking,
    FlightStatus, Invalid, Money, Payment, PaymentAction, PaymentOutcome, PaymentReference,
    PaymentStatus, SeatCount, Timestamp,
};
use chrono::Duration;

/// The operator's choices that the rules need.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How long seats are held for a payment (`LOCK_TTL`).
    pub hold_for: Duration,
    /// How long before departure bookings close (`BOOKING_CLOSES_BEFORE`); `None`: the clock ends
    /// neither sale nor refunds.
    pub closes_before: Option<Duration>,
}

/// What one command came to, and what must be written for it to be so.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The answer.
    pub outcome: Result<Outcome, Refusal>,
    /// Empty for a refusal and for a repeat.
    pub changes: Changes,
}

impl Decision {
    fn unchanged(outcome: Outcome) -> Self {
        Self { outcome: Ok(outcome), changes: Changes::default() }
    }
}

/// Decides one command on the state that its batch loaded.
pub fn decide(state: &State, command: &Command, now: Timestamp, policy: &Policy) -> Decision {
    let decided = match command {
        Command::Hold(hold) => decide_hold(state, hold, now, policy),
        Command::Settle(settle) => decide_settle(state, settle, now),
        Command::Expire(reference) => decide_expire(state, *reference, now),
        Command::Cancel(cancel) => decide_cancel(state, cancel, now, policy),
        Command::Release(booking) => decide_release(state, *booking, now),
        Command::PutFlight(put) => decide_put(state, put, now),
    };
    decided
        .unwrap_or_else(|refusal| Decision { outcome: Err(refusal), changes: Changes::default() })
}

fn decide_hold(
    state: &State,
    hold: &Hold,
    now: Timestamp,
    policy: &Policy,
) -> Result<Decision, Refusal> {
    if let Some(replay) = replay_of(state, hold, now)? {
        return Ok(replay);
    }
    let flight =
        state.flights.get(&hold.flight_id).ok_or(Refusal::FlightNotFound(hold.flight_id))?;
    if !flight.is_bookable(now, policy.closes_before) {
        return Err(Refusal::FlightNotBookable(flight.id));
    }
    let free = flight.free_seats();
    if hold.seats > free {
        return Err(Refusal::InsufficientSeats { flight: flight.id, wanted: hold.seats, free });
    }
    if let Some(most) = hold.pending_max {
        let holder = (flight.id, hold.user_id);
        let pending = state.pending.get(&holder).copied().unwrap_or_default();
        if pending + hold.seats > most {
            let (flight, wanted) = (flight.id, hold.seats);
            return Err(Refusal::TooManyPending { flight, pending, wanted, most });
        }
    }
    let booking_price = flight.price.times(hold.seats).ok_or_else(|| {
        let most = Money::most_of(flight.currency);
        Refusal::Invalid(Invalid::one("/seats_booked", format!("the total price is beyond {most}")))
    })?;

    let booking = Booking {
        id: hold.booking_id,
        flight_id: flight.id,
        user_id: hold.user_id,
        status: BookingStatus::Pending,
        failure_reason: None,
        payment_reference: hold.reference,
        booking_price,
        seats_booked: hold.seats,
        passengers: Some(hold.passengers.clone()),
        hold_expires_at: now + policy.hold_for,
        created_at: now,
        updated_at: now,
    };
    let payment = Payment {
        reference: hold.reference,
        amount: booking_price,
        currency: flight.currency,
        method: hold.method.clone(),
        status: PaymentStatus::Requested,
        created_at: now,
        updated_at: now,
        traceparent: None,
    };
    // Only held: `available_seats` moves when the payment is captured.
    let after =
        Flight { held_seats: flight.held_seats + hold.seats, ..flight.clone() }.next_version(now);
    let record = hold.idempotency.as_ref().map(|idempotency| IdempotencyRecord {
        user_id: hold.user_id,
        key: idempotency.key.clone(),
        request_hash: idempotency.request_hash.clone(),
        booking_id: hold.booking_id,
        created_at: now,
    });
    Ok(Decision {
        outcome: Ok(Outcome::Booking { booking: booking.clone(), replayed: false }),
        changes: Changes {
            flight: Some(Change { was: flight.clone(), after }),
            events: vec![request(&booking, &payment, PaymentAction::Capture, now)],
            booking: Some(Change { was: None, after: booking }),
            payment: Some(Change { was: None, after: payment }),
            idempotency: record,
            pending_max: hold.pending_max,
            request: None,
            traceparent: None,
        },
    })
}

/// The booking that the same user made with the same key and request before, if it did.
fn replay_of(state: &State, hold: &Hold, now: Timestamp) -> Result<Option<Decision>, Refusal> {
    let Some(idempotency) = &hold.idempotency else { return Ok(None) };
    let name = (hold.user_id, idempotency.key.clone());
    let Some(record) = state.idempotency.get(&name) else { return Ok(None) };
    if record.created_at + IdempotencyRecord::KEPT_FOR <= now {
        return Ok(None);
    }
    if record.request_hash != idempotency.request_hash {
        return Err(Refusal::IdempotencyKeyReused);
    }
    let booking = state
        .bookings
        .get(&record.booking_id)
        .ok_or(Refusal::BookingNotFound(record.booking_id))?
        .clone();
    Ok(Some(Decision::unchanged(Outcome::Booking { booking, replayed: true })))
}

fn decide_settle(state: &State, settle: &Settle, now: Timestamp) -> Result<Decision, Refusal> {
    use BookingStatus::{Cancelled, Completed, Failed, Pending};
    use PaymentStatus::{Captured, Declined, Requested, ReversalRequested, Reversed};

    let (booking, payment, flight) = paid(state, settle.reference)?;
    if booking.id != settle.booking_id {
        return Err(Refusal::BookingMismatch(settle.reference));
    }
    if payment.amount != settle.amount {
        return Err(Refusal::AmountMismatch {
            reference: settle.reference,
            expected: payment.amount,
            stated: settle.amount,
        });
    }
    let end = Ending { booking, payment, flight, now };
    Ok(match (booking.status, payment.status, settle.outcome) {
        (Pending, Requested, PaymentOutcome::Completed) => end.completed(),
        (Pending, Requested, PaymentOutcome::Failed) => {
            end.failed(FailureReason::PaymentDeclined, Declined)
        }
        (Pending, Requested, PaymentOutcome::Reversed) => {
            end.failed(FailureReason::HoldExpired, Reversed)
        }
        // The money went back though nobody here asked: then so do the seats.
        (Completed, Captured, PaymentOutcome::Reversed) => end.cancelled(Reversed),
        (Failed | Cancelled, ReversalRequested, PaymentOutcome::Reversed) => end.payment(Reversed),
        // A declined payment was captured after all: never kept, never revived.
        (Failed | Cancelled, Declined, PaymentOutcome::Completed) => end.payment(ReversalRequested),
        // A repeat, or older than what is recorded.
        _ => Decision::unchanged(Outcome::Booking { booking: booking.clone(), replayed: true }),
    })
}

fn decide_expire(
    state: &State,
    reference: PaymentReference,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let (booking, payment, flight) = paid(state, reference)?;
    if booking.status != BookingStatus::Pending || now < booking.hold_expires_at {
        let outcome = Outcome::Booking { booking: booking.clone(), replayed: true };
        return Ok(Decision::unchanged(outcome));
    }
    let end = Ending { booking, payment, flight, now };
    Ok(end.failed(FailureReason::HoldExpired, PaymentStatus::ReversalRequested))
}

fn decide_cancel(
    state: &State,
    cancel: &Cancel,
    now: Timestamp,
    policy: &Policy,
) -> Result<Decision, Refusal> {
    let booking = state
        .bookings
        .get(&cancel.booking_id)
        .ok_or(Refusal::BookingNotFound(cancel.booking_id))?;
    let (booking, payment, flight) = paid(state, booking.payment_reference)?;
    let request = cancel.request.as_ref();
    let known = request.map(|request| request.meets(state.requests.get(&request.name()), now));
    let record = match known {
        Some(Claim::Reused) => return Err(Refusal::IdempotencyKeyReused),
        Some(Claim::Made(_)) | None => None,
        Some(Claim::New(())) => request.map(|request| RequestRecord {
            request: request.clone(),
            made: booking.id.0,
            created_at: now,
        }),
    };
    let decision = match booking.status {
        BookingStatus::Failed => Err(Refusal::BookingNotCancellable(booking.id)),
        // A traveller's money and seats stay where they are once the flight has left.
        BookingStatus::Completed
            if cancel.by == CancelledBy::Traveller
                && flight.has_departed(now, policy.closes_before) =>
        {
            Err(Refusal::BookingNotCancellable(booking.id))
        }
        // A repeat is answered like the first.
        BookingStatus::Cancelled => {
            let replayed = record.is_none();
            Ok(Decision::unchanged(Outcome::Booking { booking: booking.clone(), replayed }))
        }
        BookingStatus::Pending | BookingStatus::Completed => {
            let end = Ending { booking, payment, flight, now };
            Ok(end.cancelled(PaymentStatus::ReversalRequested))
        }
    };
    decision.map(|decision| {
        let changes = Changes { request: record, ..decision.changes };
        Decision { changes, ..decision }
    })
}

/// An adopted booking keeps seats that nobody paid for, among those that count as sold elsewhere. It ends
/// like a hold that lapsed: the seats can be bought, and only its reason tells that it is done.
fn decide_release(state: &State, id: BookingId, now: Timestamp) -> Result<Decision, Refusal> {
    let booking = state.bookings.get(&id).ok_or(Refusal::BookingNotFound(id))?;
    let (booking, payment, flight) = paid(state, booking.payment_reference)?;
    let is_adopted = booking.failure_reason == Some(FailureReason::Adopted);
    // Fewer are blocked where the earlier service never took its seats, or an operator gave them back.
    if !is_adopted || flight.blocked_seats < booking.seats_booked {
        let outcome = Outcome::Booking { booking: booking.clone(), replayed: true };
        return Ok(Decision::unchanged(outcome));
    }
    Ok(Ending { booking, payment, flight, now }.released())
}

fn decide_put(state: &State, put: &PutFlight, now: Timestamp) -> Result<Decision, Refusal> {
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
    let event = AirlineEvent::FlightChanged(after.clone());
    Ok(Decision {
        outcome: Ok(Outcome::Flight(after.clone())),
        changes: Changes {
            events: vec![Event::Airline(event, after.version, now)],
            flight: Some(Change { was: flight.clone(), after }),
            ..Changes::default()
        },
    })
}

/// The booking that a payment pays, the payment, and the flight.
fn paid(
    state: &State,
    reference: PaymentReference,
) -> Result<(&Booking, &Payment, &Flight), Refusal> {
    let unknown = || Refusal::UnknownPayment(reference);
    let payment = state.payments.get(&reference).ok_or_else(unknown)?;
    let booking =
        state.paid_by.get(&reference).and_then(|id| state.bookings.get(id)).ok_or_else(unknown)?;
    let flight =
        state.flights.get(&booking.flight_id).ok_or(Refusal::FlightNotFound(booking.flight_id))?;
    Ok((booking, payment, flight))
}

/// A booking that comes to an end, or whose payment does.
struct Ending<'a> {
    booking: &'a Booking,
    payment: &'a Payment,
    flight: &'a Flight,
    now: Timestamp,
}

impl Ending<'_> {
    /// Paid: the held seats are sold.
    fn completed(&self) -> Decision {
        let seats = self.booking.seats_booked;
        let booking = self.booking_as(BookingStatus::Completed, None);
        self.decision(booking, PaymentStatus::Captured, -seats, -seats)
    }

    /// Not paid: the held seats are released.
    fn failed(&self, reason: FailureReason, payment: PaymentStatus) -> Decision {
        let booking = self.booking_as(BookingStatus::Failed, Some(reason));
        self.decision(booking, payment, 0, -self.booking.seats_booked)
    }

    /// Given up: held seats are released, sold ones come back.
    fn cancelled(&self, payment: PaymentStatus) -> Decision {
        let seats = self.booking.seats_booked;
        let (available, held) = match self.booking.status {
            BookingStatus::Completed => (seats, 0),
            _ => (0, -seats),
        };
        let booking = self.booking_as(BookingStatus::Cancelled, None);
        self.decision(booking, payment, available, held)
    }

    /// Never paid for, in an earlier service: blocked seats are for sale. No payment moves.
    fn released(&self) -> Decision {
        let seats = self.booking.seats_booked;
        let booking = self.booking_as(BookingStatus::Failed, Some(FailureReason::HoldExpired));
        let mut decision = self.decision(booking, self.payment.status, seats, 0);
        if let Some(flight) = &mut decision.changes.flight {
            flight.after.blocked_seats -= seats;
        }
        decision.changes.payment = None;
        decision
    }

    /// The booking ended before; only its payment moves.
    fn payment(&self, status: PaymentStatus) -> Decision {
        let after = self.payment_as(status);
        let mut events = Vec::new();
        self.request_reversal(&mut events, &after);
        Decision {
            outcome: Ok(Outcome::Booking { booking: self.booking.clone(), replayed: false }),
            changes: Changes {
                payment: Some(Change { was: Some(self.payment.status), after }),
                events,
                ..Changes::default()
            },
        }
    }

    fn decision(
        &self,
        booking: Booking,
        payment: PaymentStatus,
        available: SeatCount,
        held: SeatCount,
    ) -> Decision {
        let flight = Flight {
            available_seats: self.flight.available_seats + available,
            held_seats: self.flight.held_seats + held,
            ..self.flight.clone()
        }
        .next_version(self.now);
        let payment = self.payment_as(payment);
        let mut events = Vec::new();
        if available != 0 {
            let moved = FlightBooking {
                flight_id: flight.id,
                seats_booked: -available,
                timestamp: self.now,
                booking_id: booking.id,
            };
            events.push(Event::SeatsMoved(moved, flight.version));
        }
        let ended = AirlineEvent::BookingEnded(booking.clone());
        events.push(Event::Airline(ended, flight.version, self.now));
        self.request_reversal(&mut events, &payment);
        Decision {
            outcome: Ok(Outcome::Booking { booking: booking.clone(), replayed: false }),
            changes: Changes {
                flight: Some(Change { was: self.flight.clone(), after: flight }),
                booking: Some(Change { was: Some(self.booking.status), after: booking }),
                payment: Some(Change { was: Some(self.payment.status), after: payment }),
                events,
                ..Changes::default()
            },
        }
    }

    fn request_reversal(&self, events: &mut Vec<Event>, payment: &Payment) {
        if payment.status == PaymentStatus::ReversalRequested {
            events.push(request(self.booking, payment, PaymentAction::Reverse, self.now));
        }
    }

    fn booking_as(&self, status: BookingStatus, failure_reason: Option<FailureReason>) -> Booking {
        Booking { status, failure_reason, updated_at: self.now, ..self.booking.clone() }
    }

    fn payment_as(&self, status: PaymentStatus) -> Payment {
        Payment { status, updated_at: self.now, ..self.payment.clone() }
    }
}
