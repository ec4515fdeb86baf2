//! Cancellation by the traveller, by staff, or because the flight was cancelled: of an order, or of some of its
//! segments and passengers.

mod part;
mod quote;

use super::ending::Ending;
use super::{Decision, Outcome};
use crate::domain::{BookingId, BookingStatus, Money, PaymentStatus, SeatCount, Timestamp};
use crate::rules::{Changes, Policy, Refusal, RequestKey, RequestRecord, State};

pub use part::{OrderPart, Segments};
pub use quote::CancellationQuote;
pub(super) use quote::GivenUp;
use quote::given_up;

/// Cancels an order, or a part of it.
#[derive(Debug, Clone)]
pub struct Cancel {
    /// A booking of the order.
    pub booking_id: BookingId,
    /// What to cancel of the order.
    pub part: OrderPart,
    /// Who asked for it.
    pub by: CancelledBy,
    /// What the caller expects to come back; refused if it is another amount.
    pub expected_refund: Option<Money>,
    /// The caller's idempotency key, if it sent one.
    pub request: Option<RequestKey>,
}

/// Who asked for a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelledBy {
    /// The traveller: after departure taxes alone come back, and no seats.
    Traveller,
    /// Staff: the fare rules decide after departure too.
    Staff,
    /// The airline, which cancelled the flight.
    Airline,
}

/// Ends an unpaid order as a whole and asks for the reversal of its payment; gives back seats of a paid one and
/// asks for their refund.
pub(super) fn decide(
    state: &State,
    cancel: &Cancel,
    now: Timestamp,
    policy: &Policy,
) -> Result<Decision, Refusal> {
    let end = Ending::of_booking(state, cancel.booking_id, now)?;
    let record = RequestRecord::of(cancel.request.as_ref(), cancel.booking_id.0, state, now)?;
    cancel.part.check(&end)?;
    let decision = match end.status() {
        BookingStatus::Failed => return Err(Refusal::BookingNotCancellable(cancel.booking_id)),
        // A repeat gets the answer of the first request.
        BookingStatus::Cancelled => {
            let (order, replayed) = (end.order(), record.is_none());
            Decision::unchanged(Outcome::Order { order, replayed })
        }
        BookingStatus::Pending => {
            of_unpaid(&end, cancel)?;
            let nothing = Money::whole(0, end.payment.currency);
            expect(cancel, nothing, nothing)?;
            end.cancelled(end.unpaid())?
        }
        BookingStatus::Completed => completed(&end, cancel, record.is_none(), policy)?,
    };
    let changes = Changes { request: record, ..decision.changes };
    Ok(Decision { changes, ..decision })
}

/// Cancels a part of a paid order.
fn completed(
    end: &Ending<'_>,
    cancel: &Cancel,
    is_repeat: bool,
    policy: &Policy,
) -> Result<Decision, Refusal> {
    let parts = given_up(end, cancel, policy)?;
    of_changing(end, cancel, &parts)?;
    if parts.is_empty() {
        return Ok(Decision::unchanged(Outcome::Order { order: end.order(), replayed: is_repeat }));
    }
    if planted!(cancellation_keeps_the_money) {
        return end.cancelled(PaymentStatus::Captured);
    }
    // The gateway knows no payment that an earlier service took, so there is nothing to refund a part of.
    if end.payment.status != PaymentStatus::Captured || end.payment.method.is_adopted() {
        if !cancel.part.is_all(end, cancel.booking_id) {
            return Err(Refusal::PaidElsewhere(cancel.booking_id));
        }
        return end.cancelled(PaymentStatus::ReversalRequested);
    }
    let quote = CancellationQuote::of(&parts, end.payment.currency);
    expect(cancel, quote.refund, quote.fee)?;
    end.given_up(parts)
}

/// Refuses a cancellation that gives back another amount than its caller expects.
fn expect(cancel: &Cancel, now: Money, fee: Money) -> Result<(), Refusal> {
    match cancel.expected_refund {
        Some(expected) if expected != now => Err(Refusal::RefundChanged { expected, now, fee }),
        _ => Ok(()),
    }
}

/// What this cancellation would give back.
///
/// # Errors
///
/// Those of the cancellation itself.
pub fn quote(
    state: &State,
    cancel: &Cancel,
    now: Timestamp,
    policy: &Policy,
) -> Result<CancellationQuote, Refusal> {
    let end = Ending::of_booking(state, cancel.booking_id, now)?;
    cancel.part.check(&end)?;
    let currency = end.payment.currency;
    match end.status() {
        BookingStatus::Failed => Err(Refusal::BookingNotCancellable(cancel.booking_id)),
        BookingStatus::Cancelled => Ok(CancellationQuote::nothing(currency, "cancelled")),
        BookingStatus::Pending => {
            of_unpaid(&end, cancel)?;
            Ok(CancellationQuote::nothing(currency, "unpaid"))
        }
        BookingStatus::Completed => {
            let parts = given_up(&end, cancel, policy)?;
            of_changing(&end, cancel, &parts)?;
            Ok(CancellationQuote::of(&parts, currency))
        }
    }
}

/// While a change waits for its payment, the order is cancelled as a whole, and the change with it. A flight that its
/// airline cancels ends the change of its own booking alone.
fn of_changing(end: &Ending<'_>, cancel: &Cancel, parts: &[GivenUp<'_>]) -> Result<(), Refusal> {
    let is_free = cancel.by == CancelledBy::Airline || parts.is_empty();
    if is_free || end.pending_change().is_none() {
        return Ok(());
    }
    let is_whole =
        |part: &&GivenUp<'_>| part.places.len() as SeatCount == part.booking.seats_booked;
    let live = end.bookings.iter().filter(|booking| booking.status == BookingStatus::Completed);
    if parts.iter().filter(is_whole).count() == live.count() {
        return Ok(());
    }
    Err(Refusal::ChangePending(cancel.booking_id))
}

/// An order that is not paid yet ends as a whole. A flight that its airline cancels takes all of it with it.
fn of_unpaid(end: &Ending<'_>, cancel: &Cancel) -> Result<(), Refusal> {
    if cancel.by != CancelledBy::Airline && !cancel.part.is_all(end, cancel.booking_id) {
        return Err(Refusal::OrderNotPaid(cancel.booking_id));
    }
    Ok(())
}
