//! The commands of the booking engine, a file each, and what they come to.

mod announce;
mod cancel;
mod change_flight;
mod dispute;
mod draft;
mod ending;
mod expire;
mod extend;
mod hold;
mod mend;
mod pay;
mod payment_request;
mod put_flight;
mod release;
mod replacements;
mod retry_refund;
mod settle;
mod waitlist;

use super::{Change, Changes, Policy, Refusal, RequestKey, State};
use crate::domain::{BookingId, Entry, Flight, FlightId, Order, PaymentReference, Timestamp};

pub use cancel::{Cancel, CancellationQuote, CancelledBy, OrderPart, Segments, quote};
pub use change_flight::ChangeFlight;
pub use dispute::Dispute;
pub use extend::Extend;
pub use hold::{HeldSegment, Hold};
pub use mend::Mend;
pub use pay::Pay;
pub use payment_request::{refund_request, request};
pub use put_flight::{ExpectedVersion, PutFlight};
pub use retry_refund::RetryRefund;
pub use settle::Settle;
pub use waitlist::{Decline, Join, Leave};

/// A change of a flight's seats or fields. Every such change is one of these.
#[derive(Debug, Clone)]
pub enum Command {
    /// Holds seats for a party until it has paid.
    Hold(Hold),
    /// Begins an attempt to pay an order that was held to be paid later.
    Pay(Pay),
    /// Lengthens such a hold.
    Extend(Extend),
    /// Applies what the gateway did with a payment.
    Settle(Settle),
    /// Ends a hold whose time is up.
    Expire(PaymentReference),
    /// Cancels an order, or a part of it.
    Cancel(Cancel),
    /// Corrects a passenger's contact data.
    Mend(Mend),
    /// Moves a completed booking to another flight.
    ChangeFlight(ChangeFlight),
    /// Puts the seats of a booking that an earlier service left without a payment back on sale.
    Release(BookingId),
    /// Applies what became of a payment that its payer disputes.
    Dispute(Dispute),
    /// Asks again for a refund that the gateway refused.
    RetryRefund(RetryRefund),
    /// Changes a flight's fields.
    PutFlight(PutFlight),
    /// Puts a party at the end of a flight's line.
    Join(Join),
    /// Takes a party out of it.
    Leave(Leave),
    /// Turns an offer to a party that waited down.
    Decline(Decline),
    /// Gives a flight's free seats to those in line.
    Promote(FlightId),
}

impl Command {
    /// The name in traces.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hold(_) => "booking.hold",
            Self::Pay(_) => "booking.pay",
            Self::Extend(_) => "booking.extend",
            Self::Settle(_) => "booking.settle",
            Self::Expire(_) => "booking.expire",
            Self::Cancel(_) => "booking.cancel",
            Self::Mend(_) => "booking.mend",
            Self::ChangeFlight(_) => "booking.change",
            Self::Release(_) => "booking.release",
            Self::Dispute(_) => "payment.dispute",
            Self::RetryRefund(_) => "refund.retry",
            Self::PutFlight(_) => "flight.put",
            Self::Join(_) => "waitlist.join",
            Self::Leave(_) => "waitlist.leave",
            Self::Decline(_) => "waitlist.decline",
            Self::Promote(_) => "waitlist.promote",
        }
    }

    /// The caller's idempotency key, if it sent one and the command takes one. `POST /bookings` has a key of its own
    /// kind ([`Hold::idempotency`]).
    pub const fn request(&self) -> Option<&RequestKey> {
        match self {
            Self::Hold(hold) => hold.request.as_ref(),
            Self::Pay(pay) => pay.request.as_ref(),
            Self::Extend(extend) => extend.request.as_ref(),
            Self::Cancel(cancel) => cancel.request.as_ref(),
            Self::Mend(mend) => mend.request.as_ref(),
            Self::ChangeFlight(change) => change.request.as_ref(),
            Self::RetryRefund(retry) => retry.request.as_ref(),
            Self::Join(join) => join.request.as_ref(),
            Self::Decline(decline) => decline.request.as_ref(),
            Self::Settle(_)
            | Self::Expire(_)
            | Self::Release(_)
            | Self::Dispute(_)
            | Self::PutFlight(_)
            | Self::Leave(_)
            | Self::Promote(_) => None,
        }
    }
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "most are orders, which a box would only allocate")]
pub enum Outcome {
    /// An order.
    Order {
        /// The order as it is now. New bookings have their passengers, others have none.
        order: Order,
        /// Whether this is a repeat: an earlier request made the order, or nothing changed.
        replayed: bool,
    },
    /// The flight as it is now.
    Flight(Flight),
    /// An entry of a waiting list.
    Entry {
        /// The entry as it is now.
        entry: Box<Entry>,
        /// Whether this is a repeat: an earlier request made the entry, or nothing changed.
        replayed: bool,
    },
}

/// The answer to a command, and what must be written for it to be true.
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

/// Decides one command on the state that its batch loaded. Each command's rules are the function
/// `decide` of its file.
pub fn decide(state: &State, command: &Command, now: Timestamp, policy: &Policy) -> Decision {
    let decided = match command {
        Command::Hold(hold) => hold::decide(state, hold, now, policy),
        Command::Pay(pay) => pay::decide(state, pay, now),
        Command::Extend(extend) => extend::decide(state, extend, now, policy),
        Command::Settle(settle) => settle::decide(state, settle, now),
        Command::Expire(reference) => expire::decide(state, *reference, now),
        Command::Cancel(cancel) => cancel::decide(state, cancel, now, policy),
        Command::Mend(mend) => mend::decide(state, mend, now),
        Command::ChangeFlight(change) => change_flight::decide(state, change, now, policy),
        Command::Release(booking) => release::decide(state, *booking, now),
        Command::Dispute(dispute) => dispute::decide(state, dispute, now),
        Command::RetryRefund(retry) => retry_refund::decide(state, retry, now),
        Command::PutFlight(put) => put_flight::decide(state, put, now),
        Command::Join(join) => waitlist::join(state, join, now, policy),
        Command::Leave(leave) => waitlist::leave(state, leave, now),
        Command::Decline(decline) => waitlist::decline(state, decline, now),
        Command::Promote(flight) => waitlist::promote(state, *flight, now, policy),
    };
    let mut decision = decided
        .unwrap_or_else(|refusal| Decision { outcome: Err(refusal), changes: Changes::default() });
    make_walks_due(&mut decision.changes);
    announce::announce(state, &mut decision.changes, now);
    decision
}

/// Makes a walk due on each flight that parties wait for, and of which seats were freed, or price, time or status
/// changed. All commands do it here, in their own commit.
fn make_walks_due(changes: &mut Changes) {
    for Change { was, after } in &mut changes.flights {
        if after.line.waiting > 0 && after.may_serve_more_than(was) {
            after.line = after.line.to_serve();
        }
    }
}
