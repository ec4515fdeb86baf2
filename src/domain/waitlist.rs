//! An entry of a flight's waiting list: a party that waits for seats, and what became of it.

use super::{
    Booking, BookingStatus, FailureReason, FlightId, Money, Passenger, PaymentMethod,
    PaymentReference, PaymentStatus, SeatCount, Timestamp, UserId, WaitlistId,
};
use serde::Serialize;
use std::sync::Arc;
use strum::{EnumString, IntoStaticStr, VariantArray};

/// What a party wants once it gets seats.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum WaitMode {
    /// An offer: a hold with a deadline, which its user pays or lets go.
    #[default]
    Ask,
    /// The seats, paid at once with the method that the entry names.
    Auto,
}

impl WaitMode {
    /// The word on the wire and in the databases.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The state of an entry. All but the first two are final.
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
pub enum EntryStatus {
    /// Its party waits.
    Waiting,
    /// Seats are held for its party, and not paid yet.
    Offered,
    /// Its party has bought its seats.
    Promoted,
    /// Its user turned the offer down, or the card of an automatic purchase failed.
    Declined,
    /// Its time ended: the reason says which.
    Lapsed,
    /// Its user left the line.
    Left,
}

impl EntryStatus {
    /// The word on the wire and in the databases.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether the party waits, or has an open offer. A user has one such entry for a flight at most.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Waiting | Self::Offered)
    }
}

/// Why an entry lapsed.
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
pub enum EndReason {
    /// Its own `until` passed.
    Until,
    /// The flight departed, or closed before its departure.
    Departure,
    /// The airline cancelled the flight.
    FlightCancelled,
    /// Its offer was not paid in time.
    OfferExpired,
}

impl EndReason {
    /// The word on the wire and in the databases.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// An entry of a waiting list, as it is stored.
///
/// While its offer is open its stored status stays [`EntryStatus::Offered`]: what became of the offer is known from
/// the booking ([`Entry::ended_by`]), so that paying and cancelling write nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Id, also of the booking that it may become.
    pub id: WaitlistId,
    /// The flight.
    pub flight_id: FlightId,
    /// The user who waits.
    pub user_id: UserId,
    /// Place in the line: the flight's version at the joining, so that it grows in the order of the commits.
    pub place: i64,
    /// Seats of the party.
    pub seats: SeatCount,
    /// The passengers; `None` once it waits no more, when the booking alone has them.
    pub passengers: Option<Arc<[Passenger]>>,
    /// What the party wants.
    pub mode: WaitMode,
    /// How an automatic purchase is paid.
    pub payment_method: Option<PaymentMethod>,
    /// Maximum price of a seat; `None`: any.
    pub max_price: Option<Money>,
    /// When its user stops waiting; `None`: at the departure.
    pub until: Option<Timestamp>,
    /// State, as stored.
    pub status: EntryStatus,
    /// Why it lapsed; only if it did.
    pub reason: Option<EndReason>,
    /// How often it was overtaken, without the new holds since `passed_before`.
    pub overtaken: i32,
    /// The flight's `passed` from which new holds count; `None`: they don't.
    pub passed_before: Option<i32>,
    /// When seats have gathered for it for the longest time; `None`: they never began to.
    pub gathers_until: Option<Timestamp>,
    /// Reference of the payment that its booking will have.
    pub payment_reference: PaymentReference,
    /// When its party joined.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Starts at 1 and grows by one with each change.
    pub version: i64,
}

impl Entry {
    /// What became of its offer, by the booking and its last payment; `None`: it is open.
    ///
    /// A booking that was cancelled after it was paid had been bought. One whose payment its gateway reversed by
    /// itself counts as declined.
    pub fn ended_by(
        &self,
        booking: &Booking,
        payment: PaymentStatus,
        is_flight_cancelled: bool,
    ) -> Option<(EntryStatus, Option<EndReason>)> {
        match (booking.status, booking.failure_reason) {
            (BookingStatus::Pending, _) => None,
            (BookingStatus::Completed, _) => Some((EntryStatus::Promoted, None)),
            (BookingStatus::Failed, Some(FailureReason::PaymentDeclined)) => {
                Some((EntryStatus::Declined, None))
            }
            (BookingStatus::Failed, _) => {
                Some((EntryStatus::Lapsed, Some(EndReason::OfferExpired)))
            }
            (BookingStatus::Cancelled, _) if payment == PaymentStatus::Captured => {
                Some((EntryStatus::Promoted, None))
            }
            (BookingStatus::Cancelled, _) if is_flight_cancelled => {
                Some((EntryStatus::Lapsed, Some(EndReason::FlightCancelled)))
            }
            (BookingStatus::Cancelled, _) => Some((EntryStatus::Declined, None)),
        }
    }

    /// The entry in another state. Its passengers go: a booking has them, or nobody needs them.
    #[must_use]
    pub fn ended(&self, status: EntryStatus, reason: Option<EndReason>, now: Timestamp) -> Self {
        let version = self.version + 1;
        Self { status, reason, passengers: None, updated_at: now, version, ..self.clone() }
    }

    /// How often it was overtaken in all, at the flight's `passed` of now.
    pub fn overtaken_in_all(&self, passed: i32) -> i32 {
        self.overtaken + self.passed_before.map_or(0, |before| passed - before)
    }
}
