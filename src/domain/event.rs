//! Facts that others may want to know, in the past tense, and the two payment messages.

use super::{
    Booking, BookingId, BookingStatus, Currency, Flight, FlightId, FlightStatus, Money,
    PaymentMethod, PaymentReference, SeatCount, Timestamp,
};
use serde::{Deserialize, Serialize};

/// What the payment worker is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentAction {
    /// Take the money, while the hold lasts.
    Capture,
    /// Void what was not captured, refund what was.
    Reverse,
}

/// A message on `payment-requests`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRequest {
    /// The payment's (first) booking; the message's key.
    pub booking_id: BookingId,
    /// Names the payment.
    pub payment_reference_id: PaymentReference,
    /// What to capture or give back.
    pub amount: Money,
    /// The amount's currency.
    pub currency: Currency,
    /// How it is paid.
    pub payment_method: PaymentMethod,
    /// What to do.
    pub action: PaymentAction,
    /// When it was asked for.
    pub timestamp: Timestamp,
    /// When the hold ends: a capture is not attempted after it. Travels as a header.
    #[serde(skip, default)]
    pub hold_expires_at: Option<Timestamp>,
}

/// What the gateway did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentOutcome {
    /// Captured.
    Completed,
    /// Declined.
    Failed,
    /// Voided or refunded.
    Reversed,
}

impl PaymentOutcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Completed, Self::Failed, Self::Reversed];

    /// The word on the topic.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Reversed => "reversed",
        }
    }
}

/// A message on `payment-events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentEvent {
    /// The payment's (first) booking; the message's key. Settlement goes by the reference.
    pub booking_id: BookingId,
    /// Names the payment.
    pub payment_reference_id: PaymentReference,
    /// What was captured, declined or given back; must be the payment's amount.
    pub amount: Money,
    /// What the gateway did.
    pub status: PaymentOutcome,
    /// When it did.
    pub timestamp: Timestamp,
}

/// A message on `flight-bookings`: sold seats, negative when seats came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlightBooking {
    /// The flight; the message's key.
    pub flight_id: FlightId,
    /// By how many `available_seats` sank.
    pub seats_booked: SeatCount,
    /// When.
    pub timestamp: Timestamp,
    /// The booking that took or gave them.
    pub booking_id: BookingId,
}

/// A message on `airline-events`: a flight or booking as it is after the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AirlineEvent {
    /// `flight.created`.
    FlightCreated(Flight),
    /// `flight.updated`, or `flight.cancelled` by its status.
    FlightChanged(Flight),
    /// `booking.completed`, `booking.failed` or `booking.cancelled`, by its status; without
    /// passengers.
    BookingEnded(Booking),
}

impl AirlineEvent {
    /// The `CloudEvents` type.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::FlightCreated(_) => "flight.created",
            Self::FlightChanged(flight) => match flight.flight_status {
                FlightStatus::Cancelled => "flight.cancelled",
                _ => "flight.updated",
            },
            Self::BookingEnded(booking) => match booking.status {
                BookingStatus::Completed => "booking.completed",
                BookingStatus::Failed => "booking.failed",
                BookingStatus::Cancelled => "booking.cancelled",
                BookingStatus::Pending => "booking.pending",
            },
        }
    }
}

/// A fact that a command made true, to be published after its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The gateway is to be asked.
    PaymentRequested(PaymentRequest),
    /// `available_seats` moved; with the flight's version after it.
    SeatsMoved(FlightBooking, i64),
    /// A flight or booking changed; with the flight's version after it, and when.
    Airline(AirlineEvent, i64, Timestamp),
}

impl Event {
    /// When it happened.
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::PaymentRequested(request) => request.timestamp,
            Self::SeatsMoved(moved, _) => moved.timestamp,
            Self::Airline(_, _, at) => *at,
        }
    }
}
