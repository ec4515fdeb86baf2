//! The rules about seats, money and states: pure functions from a [`State`] and a [`Command`] to a
//! [`Decision`].
//!
//! Nothing here does I/O, reads a clock or draws a random number, so that a batch whose rows have
//! moved can be loaded and decided again.

mod changes;
mod command;
mod decide;
mod idempotency;
mod payment_request;
mod pending;
mod state;

pub use changes::{Change, ChangeSet, Changes, NetChanges, OutboxEvent, Stale};
pub use command::{
    Cancel, CancelledBy, Command, ExpectedVersion, Hold, Outcome, PutFlight, Refusal, Settle,
};
pub use decide::{Decision, Policy, decide};
pub use idempotency::{
    Claim, IdempotencyKey, IdempotencyRecord, RequestKey, RequestName, RequestRecord,
};
pub use payment_request::request;
pub(crate) use pending::moved_by;
pub use pending::{Holder, Room};
pub use state::{State, Wanted};
