//! The rules about seats, money and states: pure functions from a [`State`] and a [`Command`] to a
//! [`Decision`]. They stand here and nowhere else.
//!
//! Nothing here does I/O, reads a clock or draws a random number: time and ids are arguments, and the
//! changes to write are the result. The same input gives the same decision, so a batch whose rows have
//! moved can be loaded and decided again. `docs/states.md` has the table of booking state × payment
//! state × event.

mod changes;
mod commands;
mod idempotency;
mod net_changes;
mod pending;
mod refusal;
mod state;
pub mod waiting;

use crate::domain::{Flight, Timestamp};
use chrono::Duration;

pub use changes::{
    BookingChange, Change, ChangeSet, Changes, ChangesId, EntryChange, OutboxEvent, PaymentChange,
    RefundChange, Seen, Stale,
};
pub use commands::{
    Cancel, CancellationQuote, CancelledBy, ChangeFlight, Command, Decision, Decline, Dispute,
    ExpectedVersion, Extend, HeldSegment, Hold, Join, Leave, Mend, OrderPart, Outcome, Pay,
    PutFlight, RetryRefund, Segments, Settle, decide, quote, refund_request, request,
};
pub use idempotency::{
    Claim, IdempotencyKey, IdempotencyRecord, RequestKey, RequestName, RequestRecord,
};
pub use net_changes::NetChanges;
pub(crate) use pending::moved_by;
pub use pending::{Holder, PendingLimit};
pub use refusal::Refusal;
pub use state::{Damage, RowName, State, Wanted};

/// The operator's choices that the rules need.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How long seats are held for a payment that is asked for at once (`LOCK_TTL`).
    pub hold_for: Duration,
    /// How long seats are held for an order that is paid later (`PAYMENT_WINDOW`).
    pub payment_window: Duration,
    /// How long before departure bookings close (`BOOKING_CLOSES_BEFORE`); `None`: departure ends
    /// neither sale nor refunds.
    pub closes_before: Option<Duration>,
    /// How far a departure must have moved since the sale for its traveller to cancel free of charge
    /// (`FREE_REFUSAL_AFTER`).
    pub free_refusal_after: Duration,
    /// Minimum time between an arrival and the next departure of an order (`MIN_CONNECTION`).
    pub min_connection: Duration,
    /// How long an offer to a party that waited stands (`OFFER_TTL`).
    pub offer_ttl: Duration,
    /// When free seats gather for a party that waits.
    pub waiting: waiting::Terms,
}

impl Policy {
    /// When the hold of an order ends that is paid later: not after its first flight departs, unless that is on sale
    /// after its departure.
    fn pay_by(&self, now: Timestamp, first: &Flight) -> Timestamp {
        Self::until_departure(now, now + self.payment_window, first)
    }

    /// When an offer ends, likewise.
    fn offer_by(&self, now: Timestamp, flight: &Flight) -> Timestamp {
        if planted!(offer_outlives_its_deadline) {
            return now + self.offer_ttl * 2;
        }
        Self::until_departure(now, now + self.offer_ttl, flight)
    }

    fn until_departure(now: Timestamp, latest: Timestamp, first: &Flight) -> Timestamp {
        if first.departs_at > now { latest.min(first.departs_at) } else { latest }
    }
}
