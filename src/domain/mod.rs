//! What the business speaks of: flights, bookings, payments, money and events.
//!
//! Data and the rules that a value can keep by itself. Pure: serde and the API schema only, no
//! I/O, no clock, no randomness. Rules that weigh several values stand in [`crate::rules::decide`].

mod booking;
mod city;
mod event;
mod flight;
mod flight_number;
mod ids;
mod invalid;
mod money;
mod payment;
mod route;

pub use booking::{Booking, BookingStatus, FailureReason, Passenger};
pub use event::{
    AirlineEvent, Event, FlightBooking, PaymentAction, PaymentEvent, PaymentOutcome, PaymentRequest,
};
pub use flight::{FieldChange, Flight, FlightPatch, FlightStatus, NewFlight};
pub use flight_number::{flight_number, stored_flight_number};
pub use ids::{BookingId, FlightId, PaymentReference, UserId};
pub use invalid::{Invalid, Violation};
pub use money::{Currency, Money};
pub use payment::{Payment, PaymentMethod, PaymentStatus};
pub use route::{City, DayKey, Invalidation, ScheduleZone, route_key};

/// An instant in UTC. Kept and compared to the microsecond, as the databases do.
pub type Timestamp = chrono::DateTime<chrono::Utc>;

/// A number of seats. Never negative where a value has been checked; the sign serves subtraction.
pub type SeatCount = i32;
