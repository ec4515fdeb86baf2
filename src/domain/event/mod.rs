//! Events, named in the past tense, and the two payment messages.

mod payloads;

use super::{
    Booking, BookingId, BookingStatus, Currency, DisputeStatus, EntryStatus, Flight, FlightId,
    FlightStatus, Money, PaymentMethod, PaymentReference, RefundId, RefundStatus, SeatCount,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

pub use payloads::{
    ChangeEnded, DisputeChanged, EntryChanged, FlightMoved, OrderEnded, RefundChanged,
};

/// What a payment request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentAction {
    /// Capture the payment, while the hold lasts.
    Capture,
    /// Void the payment if it was not captured, else give back what is left of it.
    Reverse,
    /// Give back an amount of a captured payment.
    Refund,
}

/// A message on `payment-requests`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRequest {
    /// The payment's (first) booking, or the refund's; the message's key.
    pub booking_id: BookingId,
    /// Reference of the payment.
    pub payment_reference_id: PaymentReference,
    /// The refund; present if and only if the action is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refund_id: Option<RefundId>,
    /// Amount to capture, reverse or refund.
    pub amount: Money,
    /// Currency of the amount.
    pub currency: Currency,
    /// Payment method.
    pub payment_method: PaymentMethod,
    /// What to do.
    pub action: PaymentAction,
    /// When the request was made.
    pub timestamp: Timestamp,
    /// When the hold ends; no capture is attempted afterwards. A header on the topic.
    #[serde(skip, default)]
    pub hold_expires_at: Option<Timestamp>,
}

/// What the gateway did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum PaymentOutcome {
    /// Captured.
    Completed,
    /// Declined.
    Failed,
    /// Voided, or all that was left of it given back.
    Reversed,
    /// The refund's amount was given back.
    Refunded,
    /// The gateway refused the refund for good.
    RefundFailed,
    /// The payer must act at the gateway first.
    ActionRequired,
}

impl PaymentOutcome {
    /// Whether it is the outcome of a refund, and not of a payment.
    pub const fn is_of_refund(self) -> bool {
        matches!(self, Self::Refunded | Self::RefundFailed)
    }
}

/// A message on `payment-events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentEvent {
    /// The payment's (first) booking, or the refund's; the message's key. Settlement uses the reference.
    pub booking_id: BookingId,
    /// Reference of the payment.
    pub payment_reference_id: PaymentReference,
    /// The refund; present if and only if the status is of one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refund_id: Option<RefundId>,
    /// Amount captured, declined, reversed or refunded; must be the payment's, or the refund's.
    pub amount: Money,
    /// What the gateway did.
    pub status: PaymentOutcome,
    /// When the gateway did it.
    pub timestamp: Timestamp,
}

/// A message on `flight-bookings`: sold seats, negative when seats came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlightBooking {
    /// The flight; the message's key.
    pub flight_id: FlightId,
    /// How many seats `available_seats` fell by.
    pub seats_booked: SeatCount,
    /// When it happened.
    pub timestamp: Timestamp,
    /// The booking that took or gave back the seats.
    pub booking_id: BookingId,
}

/// A message on `airline-events`: a flight or booking as it is after the change, or what became of another row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AirlineEvent {
    /// `flight.created`.
    FlightCreated(Flight),
    /// `flight.updated`, or `flight.cancelled` by its status.
    FlightChanged(Flight),
    /// `flight.moved`, after the `flight.updated` of the same change.
    FlightMoved(FlightMoved),
    /// `booking.held`: seats are held for a payment that comes later, until the end of the hold; without passengers.
    BookingHeld(Booking),
    /// `booking.completed`, `booking.failed` or `booking.cancelled`, by its status; without
    /// passengers.
    BookingEnded(Booking),
    /// `booking.changed`: some of its passengers were cancelled or corrected, or it moved to another flight; without
    /// passengers.
    BookingChanged(Booking),
    /// `booking.change_ended`: a change of its flight was declined or lapsed.
    ChangeEnded(ChangeEnded),
    /// `itinerary.completed`, `itinerary.failed` or `itinerary.cancelled`, by its status.
    OrderEnded(OrderEnded),
    /// `refund.requested`, `refund.done` or `refund.failed`, by its status.
    RefundChanged(RefundChanged),
    /// `waitlist.joined`, and then a word for each other status.
    EntryChanged(EntryChanged),
    /// `dispute.opened`, `dispute.won` or `dispute.lost`, by its status.
    DisputeChanged(DisputeChanged),
}

impl AirlineEvent {
    /// The `CloudEvents` types on `airline-events`, which webhooks can take.
    pub const KINDS: &[&str] = &[
        "flight.created",
        "flight.updated",
        "flight.moved",
        "flight.cancelled",
        "booking.held",
        "booking.completed",
        "booking.failed",
        "booking.cancelled",
        "booking.changed",
        "booking.change_ended",
        "itinerary.completed",
        "itinerary.failed",
        "itinerary.cancelled",
        "refund.requested",
        "refund.done",
        "refund.failed",
        "waitlist.joined",
        "waitlist.offered",
        "waitlist.promoted",
        "waitlist.declined",
        "waitlist.lapsed",
        "waitlist.left",
        "dispute.opened",
        "dispute.won",
        "dispute.lost",
    ];

    /// The `CloudEvents` type.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::FlightCreated(_) => "flight.created",
            Self::FlightChanged(flight) => match flight.flight_status {
                FlightStatus::Cancelled => "flight.cancelled",
                _ => "flight.updated",
            },
            Self::FlightMoved(_) => "flight.moved",
            Self::BookingHeld(_) => "booking.held",
            Self::BookingChanged(_) => "booking.changed",
            Self::BookingEnded(booking) => match booking.status {
                BookingStatus::Completed => "booking.completed",
                BookingStatus::Failed => "booking.failed",
                BookingStatus::Cancelled => "booking.cancelled",
                BookingStatus::Pending => "booking.pending",
            },
            Self::ChangeEnded(_) => "booking.change_ended",
            Self::OrderEnded(order) => match order.status {
                BookingStatus::Completed => "itinerary.completed",
                BookingStatus::Failed => "itinerary.failed",
                BookingStatus::Cancelled => "itinerary.cancelled",
                BookingStatus::Pending => "itinerary.pending",
            },
            Self::RefundChanged(refund) => match refund.status {
                RefundStatus::Requested => "refund.requested",
                RefundStatus::Done => "refund.done",
                RefundStatus::Failed => "refund.failed",
            },
            Self::EntryChanged(entry) => match entry.status {
                EntryStatus::Waiting => "waitlist.joined",
                EntryStatus::Offered => "waitlist.offered",
                EntryStatus::Promoted => "waitlist.promoted",
                EntryStatus::Declined => "waitlist.declined",
                EntryStatus::Lapsed => "waitlist.lapsed",
                EntryStatus::Left => "waitlist.left",
            },
            Self::DisputeChanged(dispute) => match dispute.status {
                DisputeStatus::Open => "dispute.opened",
                DisputeStatus::Won => "dispute.won",
                DisputeStatus::Lost => "dispute.lost",
            },
        }
    }
}

/// An event that a command caused; published after its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A request to the payment worker.
    PaymentRequested(PaymentRequest),
    /// `available_seats` changed; with the flight's version afterwards.
    SeatsMoved(FlightBooking, i64),
    /// A flight, a booking or another row changed; with the time, and the version afterwards: of the flight if the
    /// event shows it or one of its bookings, else of the row itself.
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
