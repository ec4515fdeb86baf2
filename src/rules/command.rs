//! The commands of the booking engine and what they come to.

use super::cancel::Cancel;
use super::hold::Hold;
use super::put_flight::PutFlight;
use super::settle::Settle;
use crate::domain::{Booking, BookingId, Flight, PaymentReference};

/// A change of a flight's seats or fields. Every such change is one of these.
#[derive(Debug, Clone)]
pub enum Command {
    /// Holds seats for a party until it has paid.
    Hold(Hold),
    /// Applies what the gateway did with a payment.
    Settle(Settle),
    /// Ends a hold whose time is up.
    Expire(PaymentReference),
    /// Cancels a booking.
    Cancel(Cancel),
    /// Puts the seats of a booking that an earlier service left without a payment back on sale.
    Release(BookingId),
    /// Changes a flight's fields.
    PutFlight(PutFlight),
}

impl Command {
    /// The name in traces.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hold(_) => "booking.hold",
            Self::Settle(_) => "booking.settle",
            Self::Expire(_) => "booking.expire",
            Self::Cancel(_) => "booking.cancel",
            Self::Release(_) => "booking.release",
            Self::PutFlight(_) => "flight.put",
        }
    }
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A booking.
    Booking {
        /// The booking as it is now.
        booking: Booking,
        /// Whether this is a repeat: an earlier request made the booking, or nothing changed.
        replayed: bool,
    },
    /// The flight as it is now.
    Flight(Flight),
}
