//! The rules about seats, money and states: pure functions from a [`State`] and a [`Command`] to a
//! [`Decision`]. They stand here and nowhere else.
//!
//! Nothing here does I/O, reads a clock or draws a random number: time and ids are arguments, and the
//! changes to write are the result. The same input gives the same decision, so a batch whose rows have
//! moved can be loaded and decided again. `docs/states.md` has the table of booking state × payment
//! state × event.

mod cancel;
mod changes;
mod command;
mod ending;
mod expire;
mod hold;
mod idempotency;
mod net_changes;
mod payment_request;
mod pending;
mod put_flight;
mod refusal;
mod release;
mod settle;
mod state;

use crate::domain::Timestamp;
use chrono::Duration;

pub use cancel::{Cancel, CancelledBy};
pub use changes::{Change, ChangeSet, Changes, ChangesId, OutboxEvent, Stale};
pub use command::{Command, Outcome};
pub use hold::Hold;
pub use idempotency::{
    Claim, IdempotencyKey, IdempotencyRecord, RequestKey, RequestName, RequestRecord,
};
pub use net_changes::NetChanges;
pub use payment_request::request;
pub(crate) use pending::moved_by;
pub use pending::{Holder, PendingLimit};
pub use put_flight::{ExpectedVersion, PutFlight};
pub use refusal::Refusal;
pub use settle::Settle;
pub use state::{Damage, RowName, State, Wanted};

/// The operator's choices that the rules need.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How long seats are held for a payment (`LOCK_TTL`).
    pub hold_for: Duration,
    /// How long before departure bookings close (`BOOKING_CLOSES_BEFORE`); `None`: departure ends
    /// neither sale nor refunds.
    pub closes_before: Option<Duration>,
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
        Command::Settle(settle) => settle::decide(state, settle, now),
        Command::Expire(reference) => expire::decide(state, *reference, now),
        Command::Cancel(cancel) => cancel::decide(state, cancel, now, policy),
        Command::Release(booking) => release::decide(state, *booking, now),
        Command::PutFlight(put) => put_flight::decide(state, put, now),
    };
    decided
        .unwrap_or_else(|refusal| Decision { outcome: Err(refusal), changes: Changes::default() })
}
