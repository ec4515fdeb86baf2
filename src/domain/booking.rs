//! A booking: seats on one flight, for the passengers of one user's party. One or more bookings, each a
//! segment, are an [`Order`](super::Order).

use super::{
    BookingId, FareName, FlightId, LastName, Money, PaymentReference, SeatCount, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;
use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

/// The state of a booking: pending, then one of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, IntoStaticStr, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum BookingStatus {
    /// Its seats are held; the gateway has not answered yet.
    Pending,
    /// Paid; its seats are sold.
    Completed,
    /// Declined or expired; its seats were released.
    Failed,
    /// Cancelled by the traveller or the airline; its seats are free again, and a refund is under way or done.
    Cancelled,
}

impl BookingStatus {
    /// The word on the wire and in the databases.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Why a booking failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum FailureReason {
    /// The gateway declined the payment.
    PaymentDeclined,
    /// The payment did not arrive while the seats were held.
    HoldExpired,
    /// It was pending in the database of an earlier service, and its payment never ran.
    Adopted,
}

impl FailureReason {
    /// The word on the wire and in the databases.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A passenger. Personal data: never logged, never on a topic.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Passenger {
    /// Full name, 1 to 100 characters.
    #[schema(example = "John Doe")]
    pub name: String,
    /// E-mail address for tickets.
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
    /// `cancelled` once the passenger's seat is given back. Not stored with the passenger.
    #[serde(skip_serializing_if = "Option::is_none", skip_deserializing)]
    pub status: Option<PassengerStatus>,
}

/// The state of a passenger of a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, IntoStaticStr, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum PassengerStatus {
    /// The seat was given back.
    Cancelled,
}

impl PassengerStatus {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Places of passengers in their booking's list, from 0.
pub type Places = SmallVec<[u16; 8]>;

impl Passenger {
    /// The placeholder for a passenger whose data were erased. It is valid like any passenger, so clients
    /// can read it.
    pub fn erased() -> Self {
        Self {
            name: "Erased".to_owned(),
            // A domain reserved by RFC 2606, which never exists.
            email: "erased@erased.invalid".to_owned(),
            phone: "000".to_owned(),
            age: 0,
            gender: "erased".to_owned(),
            status: None,
        }
    }

    /// Whether the data were erased: it is the placeholder.
    pub fn is_erased(&self) -> bool {
        *self == Self { status: self.status, ..Self::erased() }
    }
}

impl std::fmt::Debug for Passenger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passenger(redacted)")
    }
}

/// A booking, as it is stored and as `GET /bookings/{id}` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a column of the row, and a member of answers"
)]
pub struct Booking {
    /// Id.
    pub id: BookingId,
    /// The order: the id of its first booking.
    #[serde(rename = "itinerary_id")]
    pub order_id: BookingId,
    /// Place in the order, from 1 to `segments`.
    #[schema(minimum = 1, maximum = 8)]
    pub segment: i32,
    /// Number of bookings in the order, the cancelled ones among them.
    #[serde(skip, default = "one")]
    pub segments: i32,
    /// The flight.
    pub flight_id: FlightId,
    /// The user who booked.
    pub user_id: UserId,
    /// State.
    pub status: BookingStatus,
    /// Why the booking failed; only if it did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure_reason: Option<FailureReason>,
    /// Reference of its payment.
    #[serde(rename = "payment_reference_id")]
    #[schema(value_type = String, example = "PAY-0123456789abcdef0123456789abcdef")]
    pub payment_reference: PaymentReference,
    /// Price of all its seats at the time of the hold.
    pub booking_price: Money,
    /// The part of the price that every refund returns.
    pub booking_taxes: Money,
    /// The part of what was paid that stays with the airline, for cancelled seats.
    pub fee: Money,
    /// The fare rules that it was sold with. Their version is that of the sale.
    #[schema(value_type = String, example = "free")]
    pub fare_rules: FareName,
    /// The departure that it was sold with; `None` for bookings of earlier releases.
    #[serde(skip)]
    pub sold_departure: Option<Timestamp>,
    /// The departure that it was sold with, if its flight departs at another time now. Set where an order is read for
    /// its caller.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = String, required = false, format = DateTime)]
    pub was: Option<Timestamp>,
    /// Number of seats, without those of cancelled passengers.
    #[schema(minimum = 1)]
    pub seats_booked: SeatCount,
    /// When a change sold its present flight to it; `None`: when it was made.
    #[serde(skip)]
    pub sold_at: Option<Timestamp>,
    /// The booking whose change of flight it holds seats for. Such a booking is shown nowhere; it ends with the
    /// change.
    #[serde(skip)]
    pub replaces: Option<BookingId>,
    /// Whether seats were ever held for a change of it: only then are there bookings that replace it.
    #[serde(skip)]
    pub has_changes: bool,
    /// Whether its hold was extended, which is possible once.
    #[serde(skip)]
    pub extended: bool,
    /// Passengers whose seats were given back, in ascending order.
    #[serde(skip)]
    pub cancelled: Places,
    /// Whether its passengers were replaced by placeholders.
    #[serde(skip)]
    pub erased: bool,
    /// The passengers, one for each seat. Absent on topics and in decisions.
    #[serde(rename = "booking_metadata", skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Vec<Passenger>>)]
    pub passengers: Option<Arc<[Passenger]>>,
    /// When the hold of the seats ends.
    #[schema(value_type = String, format = DateTime)]
    pub hold_expires_at: Timestamp,
    /// When the booking was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Starts at 1 and grows by one with each change.
    #[serde(skip, default = "first_version")]
    pub version: i64,
    /// Whether a change that is not written yet changes more of it than its status. Not stored.
    #[serde(skip)]
    pub is_rewritten: bool,
}

/// A booking without other segments.
const fn one() -> i32 {
    1
}

const fn first_version() -> i64 {
    1
}

impl Booking {
    /// Whether its passengers have yet to travel: it has neither failed nor been cancelled, and its flight
    /// departs after `now`. Goes by the departure alone, whatever `BOOKING_CLOSES_BEFORE` says.
    pub fn is_yet_to_fly(&self, departs_at: Timestamp, now: Timestamp) -> bool {
        matches!(self.status, BookingStatus::Pending | BookingStatus::Completed) && departs_at > now
    }

    /// Whether more of it than its status and its failure reason differs from `earlier`.
    pub fn differs_beyond_status(&self, earlier: &Self) -> bool {
        let with_status = Self {
            status: self.status,
            failure_reason: self.failure_reason,
            updated_at: self.updated_at,
            version: self.version,
            ..earlier.without_passengers()
        };
        with_status != self.without_passengers()
    }

    /// When its present flight was sold to it.
    pub fn sale(&self) -> Timestamp {
        self.sold_at.unwrap_or(self.created_at)
    }

    /// Price of one seat.
    pub fn seat_price(&self) -> Money {
        self.booking_price.per(self.seats_booked)
    }

    /// Taxes of one seat.
    pub fn seat_taxes(&self) -> Money {
        self.booking_taxes.per(self.seats_booked)
    }

    /// Number of passengers, those whose seats were given back among them.
    pub fn party_size(&self) -> usize {
        self.seats_booked.unsigned_abs() as usize + self.cancelled.len()
    }

    /// Whether one of its passengers, those whose seats were given back among them, has this last name. Compares all,
    /// so that the place of a match does not show in the time.
    pub fn has_passenger_called(&self, name: &LastName) -> bool {
        let passengers = self.passengers.iter().flat_map(|all| all.iter());
        passengers.fold(false, |found, passenger| name.is_of(passenger) | found)
    }

    /// The departure that it was sold with, unless its flight still departs then.
    pub fn departure_before(&self, departs_at: Timestamp) -> Option<Timestamp> {
        self.sold_departure.filter(|sold| *sold != departs_at)
    }

    /// A copy without passengers, for uses that must not carry personal data.
    #[must_use]
    pub fn without_passengers(&self) -> Self {
        Self { passengers: None, ..self.clone() }
    }
}
