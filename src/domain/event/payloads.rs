//! Payloads of `airline-events` that name rows and say little of them: ids, a status, an amount. Readers take all else
//! from the rows. None holds personal data.

use crate::domain::{
    BookingId, BookingStatus, Currency, DisputeStatus, EndReason, EntryStatus, FailureReason,
    FlightId, Money, PaymentReference, RefundId, RefundReason, RefundStatus, SeatCount, Timestamp,
    WaitMode, WaitlistId,
};
use serde::Serialize;

/// A flight departs or arrives at another time than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlightMoved {
    /// The flight.
    pub flight_id: FlightId,
    /// When it departs now.
    #[serde(rename = "timestamp")]
    pub departs_at: Timestamp,
    /// When it arrives now.
    #[serde(rename = "arrival_timestamp", skip_serializing_if = "Option::is_none")]
    pub arrives_at: Option<Timestamp>,
    /// When it departed before the change.
    #[serde(rename = "previous_timestamp")]
    pub previous_departure: Timestamp,
    /// When it arrived before the change.
    #[serde(rename = "previous_arrival_timestamp", skip_serializing_if = "Option::is_none")]
    pub previous_arrival: Option<Timestamp>,
}

/// A change of flight ended without its payment: the booking stays on its flight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeEnded {
    /// The booking.
    pub booking_id: BookingId,
    /// Its order.
    #[serde(rename = "itinerary_id")]
    pub order_id: BookingId,
    /// The flight on which it stays.
    pub flight_id: FlightId,
    /// The flight to which it would have moved.
    pub to_flight_id: FlightId,
    /// Why the change ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<FailureReason>,
    /// The difference that was not paid.
    pub amount: Money,
    /// Currency of the amount.
    pub currency: Currency,
    /// The booking that held the new seats. It is shown nowhere; its number tells the changes of a booking apart.
    #[serde(skip)]
    pub replacement: BookingId,
}

/// An order of several flights was paid for, or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderEnded {
    /// The order.
    #[serde(rename = "itinerary_id")]
    pub order_id: BookingId,
    /// The flight of its first segment; the message's key.
    pub flight_id: FlightId,
    /// Completed, failed or cancelled.
    pub status: BookingStatus,
    /// Number of its flights.
    pub segments: i32,
    /// Price of everything in it, as it was ordered.
    pub total_price: Money,
    /// Currency of the price.
    pub currency: Currency,
    /// The last attempt to pay for it.
    #[serde(rename = "payment_reference_id")]
    pub payment: PaymentReference,
}

/// A refund was requested, made or refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefundChanged {
    /// The refund.
    pub refund_id: RefundId,
    /// The booking that was cancelled, in part or whole.
    pub booking_id: BookingId,
    /// Its order.
    #[serde(rename = "itinerary_id")]
    pub order_id: BookingId,
    /// The booking's flight; the message's key.
    pub flight_id: FlightId,
    /// The payment whose money goes back.
    #[serde(rename = "payment_reference_id")]
    pub payment: PaymentReference,
    /// The amount that goes back.
    pub amount: Money,
    /// Currency of the amount.
    pub currency: Currency,
    /// Why it goes back.
    pub reason: RefundReason,
    /// State.
    pub status: RefundStatus,
}

/// A party joined a flight's line, was served, or waits no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryChanged {
    /// The entry.
    pub waitlist_id: WaitlistId,
    /// The flight.
    pub flight_id: FlightId,
    /// Seats of the party.
    #[serde(rename = "seats_booked")]
    pub seats: SeatCount,
    /// What the party wants.
    pub mode: WaitMode,
    /// State.
    pub status: EntryStatus,
    /// Why it lapsed; only if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<EndReason>,
    /// The booking that holds or held its seats, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub booking_id: Option<BookingId>,
    /// When the hold of its seats ends; only while they are held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pay_by: Option<Timestamp>,
}

/// A payer disputes a payment, or the bank decided a dispute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DisputeChanged {
    /// The payment.
    #[serde(rename = "payment_reference_id")]
    pub payment: PaymentReference,
    /// The first booking of its order.
    pub booking_id: BookingId,
    /// Its order.
    #[serde(rename = "itinerary_id")]
    pub order_id: BookingId,
    /// That booking's flight; the message's key.
    pub flight_id: FlightId,
    /// The payment's amount; what the bank took is a refund of reason `dispute`.
    pub amount: Money,
    /// Currency of the amount.
    pub currency: Currency,
    /// State.
    pub status: DisputeStatus,
}
