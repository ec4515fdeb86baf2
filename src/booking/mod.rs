//! Use cases of bookings and flights, and the workers that follow the clock.
//!
//! [`Bookings`] and [`Flights`] turn calls into commands and submit them to the [engine](crate::engine).
//! The [`Sweeper`] ends what nobody else ends; [`Drift`] compares seats with bookings.

mod drift;
mod drift_payments;
mod flights;
mod passed_over;
mod retention;
mod service;
mod sweeper;

pub use drift::Drift;
pub use flights::{CreatedFlight, Flights};
pub use passed_over::PassedOver;
pub use retention::Retention;
pub use service::{Bookings, CancelledBooking, PlaceBooking, Placed};
pub use sweeper::{Sweeper, Walks};
