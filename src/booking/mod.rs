//! Use cases of bookings and flights, and the workers that follow the clock.
//!
//! [`Bookings`], [`Flights`] and [`WaitingList`] turn calls into commands and submit them to the [engine](crate::engine).
//! The [`Sweeper`] finishes overdue work, such as lapsed holds; [`Drift`] compares seats with bookings.

mod drift;
mod drift_payments;
mod failed_work;
mod flights;
mod hints;
mod redrive;
mod retention;
mod service;
mod sweeper;
mod waitlist;

pub use drift::Drift;
pub use failed_work::FailedWork;
pub use flights::{CreatedFlight, Flights};
pub use hints::PaymentHints;
pub use retention::Retention;
pub use service::{Bookings, CancelledOrder, ChangedOrder, MoveBooking, PlaceOrder, Placed};
pub use sweeper::{SweepCursors, Sweeper};
pub use waitlist::{ShownEntry, WaitFor, WaitingList};
