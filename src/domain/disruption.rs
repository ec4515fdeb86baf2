//! What became of the bookings of a flight that its airline cancelled or moved.

use super::{Currency, FlightId, Money};
use serde::Serialize;

/// What the airline did to a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisruptionKind {
    /// It was cancelled: all its bookings are refunded.
    Cancelled,
    /// It departs at another time than some of its bookings were sold with.
    Moved,
}

/// The bookings that a cancellation or a move concerns; `bookings = refunded + remaining`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Disruption {
    /// The flight.
    pub flight_id: FlightId,
    /// What happened; `null`: nothing that concerns a booking.
    pub kind: Option<DisruptionKind>,
    /// Of a cancelled flight: bookings that were sold or held then. Of a moved one: those that were sold with another
    /// departure, and are neither failed nor given up for another reason.
    pub bookings: i64,
    /// Those that have ended, with nothing owed.
    pub refunded: i64,
    /// The others. Of a moved flight, most of them travel.
    pub remaining: i64,
    /// What their cancellation gives back, or gave back.
    pub amount: Money,
    /// Currency of the amount.
    #[schema(value_type = String, example = "INR")]
    pub currency: Currency,
    /// Whether nothing is under way: no refund is owed, and no booking of a cancelled flight is left.
    pub done: bool,
}
