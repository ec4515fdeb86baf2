//! Messages to travellers: what they tell, by what way, and what became of them.

use super::Timestamp;
use serde::Serialize;
use strum::{EnumString, IntoStaticStr, VariantArray};

/// The way of a message.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Channel {
    /// To an e-mail address.
    Mail,
    /// To a telephone number.
    Sms,
}

impl Channel {
    /// The word on the wire and in the databases.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The state of a message. The last two are final.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MessageStatus {
    /// It waits to be sent, or to be tried again.
    Pending,
    /// The provider took it.
    Sent,
    /// The provider refused it for good, or took it at no attempt within a day.
    Failed,
}

impl MessageStatus {
    /// The word on the wire and in the databases.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What a message tells: the type of the event on `airline-events` that causes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
pub enum MessageKind {
    /// Seats are held until they are paid for.
    #[strum(serialize = "booking.held")]
    BookingHeld,
    /// A booking was paid.
    #[strum(serialize = "booking.completed")]
    BookingCompleted,
    /// A booking was declined or expired.
    #[strum(serialize = "booking.failed")]
    BookingFailed,
    /// A booking was cancelled as a whole.
    #[strum(serialize = "booking.cancelled")]
    BookingCancelled,
    /// Passengers were cancelled or corrected, or the booking moved to another flight.
    #[strum(serialize = "booking.changed")]
    BookingChanged,
    /// A change of flight ended without its payment.
    #[strum(serialize = "booking.change_ended")]
    ChangeEnded,
    /// An order of several flights was paid.
    #[strum(serialize = "itinerary.completed")]
    OrderCompleted,
    /// An order of several flights was declined or expired.
    #[strum(serialize = "itinerary.failed")]
    OrderFailed,
    /// All flights of an order were cancelled.
    #[strum(serialize = "itinerary.cancelled")]
    OrderCancelled,
    /// A refund was made.
    #[strum(serialize = "refund.done")]
    RefundDone,
    /// The gateway refused a refund.
    #[strum(serialize = "refund.failed")]
    RefundFailed,
    /// A party that waited has an offer.
    #[strum(serialize = "waitlist.offered")]
    WaitlistOffered,
    /// A party that waited has bought its seats.
    #[strum(serialize = "waitlist.promoted")]
    WaitlistPromoted,
    /// An offer was not taken in time.
    #[strum(serialize = "waitlist.lapsed")]
    WaitlistLapsed,
    /// A flight's departure was moved.
    #[strum(serialize = "flight.moved")]
    FlightMoved,
    /// The payer asked the bank for the money.
    #[strum(serialize = "dispute.opened")]
    DisputeOpened,
    /// The bank left the money with the airline.
    #[strum(serialize = "dispute.won")]
    DisputeWon,
    /// The bank gave the money back.
    #[strum(serialize = "dispute.lost")]
    DisputeLost,
}

impl MessageKind {
    /// The event's type.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether it tells of an order as a whole, and not of one of its bookings.
    pub const fn is_of_order(self) -> bool {
        matches!(
            self,
            Self::BookingHeld | Self::OrderCompleted | Self::OrderFailed | Self::OrderCancelled
        )
    }

    /// Whether it asks for a payment, and is pointless once the seats are paid for or gone.
    pub const fn asks_for_payment(self) -> bool {
        matches!(self, Self::BookingHeld | Self::WaitlistOffered)
    }
}

impl Serialize for MessageKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A message about a booking that was sent or failed, without its recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageEnded {
    /// Its way.
    pub channel: Channel,
    /// What it told.
    pub kind: MessageKind,
    /// Whether it was sent; else it failed.
    pub is_sent: bool,
    /// When.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_read_from_its_own_word() {
        for kind in MessageKind::VARIANTS {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
            assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.as_str());
        }
        assert!("booking.pending".parse::<MessageKind>().is_err());
    }
}
