//! The door: whatever changes a flight's seats is a [`Command`] through the [`Engine`].
//!
//! [`Bookings`] and [`Flights`] turn callers' wishes into commands; the engine batches them, lets
//! [`decide()`] judge each, and commits. The sweeper brings what nobody else ends to its end, and
//! looks whether seats and bookings still agree.

mod batch;
mod changes;
mod command;
mod decide;
mod drift;
mod drift_payments;
mod engine;
mod flights;
mod idempotency;
mod lines;
mod parts;
mod passed_over;
mod pending;
mod remembered;
mod request;
mod retention;
mod service;
mod state;
mod sweeper;
mod ticket;
mod waiting;

pub use changes::{Change, ChangeSet, Changes, Folded, Stale, Told};
pub use command::{
    Cancel, CancelledBy, Command, ExpectedVersion, Hold, Outcome, PutFlight, Refusal, Settle,
};
pub use decide::{Decision, Policy, decide};
pub use drift::Drift;
pub use engine::{Engine, EngineLimits};
pub use flights::{CreatedFlight, Flights};
pub use idempotency::{
    Claim, IdempotencyKey, IdempotencyRecord, RequestKey, RequestName, RequestRecord,
};
pub use parts::EngineParts;
pub use passed_over::PassedOver;
pub use pending::{Holder, Room};
pub use request::request;
pub use retention::Retention;
pub use service::{Bookings, CancelledBooking, PlaceBooking, Placed};
pub use state::{State, Wanted};
pub use sweeper::{Sweeper, Walks};
pub use waiting::Waiting;
