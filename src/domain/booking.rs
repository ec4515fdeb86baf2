//! A booking: seats on one flight, for the passengers of one user's party.

use super::{BookingId, FlightId, Money, PaymentReference, SeatCount, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where a booking is in its life: pending, then one of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BookingStatus {
    /// Seats held, the gateway not yet heard.
    Pending,
    /// Paid; the seats are the passengers'.
    Completed,
    /// Declined or lapsed; the seats went back.
    Failed,
    /// Given up by the traveller or the airline; the seats went back and the money follows.
    Cancelled,
}

impl BookingStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Completed, Self::Failed, Self::Cancelled];

    /// The word on the wire and in the databases.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// Why a booking failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// The gateway declined the payment.
    PaymentDeclined,
    /// No payment arrived while the seats were held.
    HoldExpired,
    /// It was pending in a database that was adopted: its payment never ran.
    Adopted,
}

impl FailureReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::PaymentDeclined, Self::HoldExpired, Self::Adopted];

    /// The word on the wire and in the databases.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PaymentDeclined => "payment_declined",
            Self::HoldExpired => "hold_expired",
            Self::Adopted => "adopted",
        }
    }

    /// The reason of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// Who flies. Personal data: never logged, never on a topic.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Passenger {
    /// Full name, 1 to 100 characters.
    #[schema(example = "John Doe")]
    pub name: String,
    /// Where tickets go.
    #[schema(example = "john@example.com")]
    pub email: String,
    /// Digits, with an optional plus, spaces, hyphens and brackets.
    #[schema(example = "1234567890")]
    pub phone: String,
    /// Years, 0 to 130.
    #[schema(example = 30, minimum = 0, maximum = 130)]
    pub age: i32,
    /// As the passenger states it, 1 to 20 characters.
    #[schema(example = "male")]
    pub gender: String,
}

impl Passenger {
    /// What stands in the place of a passenger whose data were erased. It keeps every rule that a
    /// passenger keeps, so that clients read it like any other.
    pub fn erased() -> Self {
        Self {
            name: "Erased".to_owned(),
            // A domain that is reserved for never existing (RFC 2606).
            email: "erased@erased.invalid".to_owned(),
            phone: "000".to_owned(),
            age: 0,
            gender: "erased".to_owned(),
        }
    }
}

impl std::fmt::Debug for Passenger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passenger(redacted)")
    }
}

/// A booking, as it is stored and as `GET /bookings/{id}` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Booking {
    /// Its number.
    pub id: BookingId,
    /// The flight.
    pub flight_id: FlightId,
    /// Who booked.
    pub user_id: UserId,
    /// Where it is in its life.
    pub status: BookingStatus,
    /// Why it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure_reason: Option<FailureReason>,
    /// Its payment.
    #[serde(rename = "payment_reference_id")]
    #[schema(value_type = String, example = "PAY-0123456789abcdef0123456789abcdef")]
    pub payment_reference: PaymentReference,
    /// Price of all its seats, as it was when they were held.
    pub booking_price: Money,
    /// How many seats.
    #[schema(minimum = 1)]
    pub seats_booked: SeatCount,
    /// Who flies, one for each seat. Absent on topics and where a decision does not need it.
    #[serde(rename = "booking_metadata", skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Vec<Passenger>>)]
    pub passengers: Option<Arc<[Passenger]>>,
    /// Until when the seats are kept for the payment.
    #[schema(value_type = String, format = DateTime)]
    pub hold_expires_at: Timestamp,
    /// When it was placed.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its status last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl Booking {
    /// Whether its passengers are still to travel: it has not failed, nor was it cancelled, and its flight
    /// departs after `now`. By the calendar alone, also where the clock ends no sale.
    pub fn is_yet_to_fly(&self, departs_at: Timestamp, now: Timestamp) -> bool {
        matches!(self.status, BookingStatus::Pending | BookingStatus::Completed) && departs_at > now
    }

    /// Itself without who flies, for places that must not carry personal data.
    #[must_use]
    pub fn without_passengers(&self) -> Self {
        Self { passengers: None, ..self.clone() }
    }
}
