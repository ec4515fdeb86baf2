//! The door: whatever changes a flight's seats is a [`Command`] through the [`Engine`].
//!
//! [`Bookings`] and [`Flights`] turn callers' wishes into commands; the engine batches them, lets
//! [`decide()`] judge each, and commits. The sweeper brings what nobody else ends to its end.

mod batch;
mod changes;
mod command;
mod decide;
mod engine;
mod flights;
mod lines;
mod service;
mod state;
mod sweeper;
mod waiting;

pub use changes::{Change, ChangeSet, Changes, Folded, Stale};
pub use command::{
    Cancel, CancelledBy, Command, ExpectedVersion, Hold, IdempotencyKey, Outcome, PutFlight,
    Refusal, Settle,
};
pub use decide::{Decision, Policy, decide};
pub use engine::{Engine, EngineLimits, EngineParts};
pub use flights::Flights;
pub use service::{Bookings, PlaceBooking, Placed};
pub use state::{IdempotencyRecord, State, Wanted};
pub use sweeper::Sweeper;
pub use waiting::Waiting;
