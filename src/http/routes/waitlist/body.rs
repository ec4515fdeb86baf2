//! The JSON of waiting lists: the request to wait, and an entry.

use crate::booking::{ShownEntry, WaitFor};
use crate::domain::{
    BookingId, EndReason, EntryStatus, FlightId, Invalid, Money, PaymentMethod, SeatCount,
    Timestamp, UserId, WaitMode, WaitlistId,
};
use crate::http::routes::Pages;
use crate::http::routes::party::{PartyBody, method};
use crate::http::routes::payment::PaymentBody;
use crate::http::wire::json::fields::{PassengerBody, instant};
use crate::http::wire::json::shape::{Kind, Shape, Shaped};
use crate::http::wire::request_key;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

/// A party that waits for a flight.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "user_id": 123, "seats_booked": 1,
    "passenger_details": [
        {"name": "John Doe", "email": "john@example.com", "phone": "1234567890", "age": 30, "gender": "male"}
    ]
}))]
pub(crate) struct JoinBody {
    /// The user who waits.
    #[schema(required, nullable = false, minimum = 1)]
    user_id: Option<i64>,
    /// Number of seats: 1 to `MAX_PARTY_SIZE`. The party gets all of them or none.
    #[schema(required, nullable = false, minimum = 1)]
    seats_booked: Option<i32>,
    /// The passengers, one for each seat.
    #[schema(required, nullable = false)]
    passenger_details: Option<Vec<PassengerBody>>,
    /// What happens once seats are free: `ask` (the default) offers them for `OFFER_TTL`; `auto` buys them.
    #[schema(example = "ask", pattern = "^(ask|auto)$")]
    mode: Option<String>,
    /// The payment gateway's token of the payment method; with `auto` alone, which needs it.
    #[schema(example = "pm_card_visa", max_length = 64)]
    payment_method: Option<String>,
    /// Maximum price of a seat, in the flight's currency; any by default.
    max_price: Option<Money>,
    /// When to stop waiting; at the departure by default.
    #[schema(format = DateTime)]
    until: Option<String>,
}

impl Shaped for JoinBody {
    const SHAPE: Shape = Shape {
        fields: &[
            ("user_id", Kind::Integer64),
            ("seats_booked", Kind::Integer32),
            ("passenger_details", Kind::List(&PassengerBody::SHAPE)),
            ("mode", Kind::Text),
            ("payment_method", Kind::Text),
            ("max_price", Kind::Money),
            ("until", Kind::Text),
        ],
        ignored: &[],
    };
}

impl JoinBody {
    /// The party that waits, or all broken rules, those in `invalid` included.
    pub(super) fn check(
        self,
        path: &'static str,
        flight_id: FlightId,
        mut invalid: Invalid,
        seats_max: SeatCount,
        headers: &HeaderMap,
    ) -> Result<WaitFor, Invalid> {
        let party = PartyBody {
            user_id: self.user_id,
            seats_booked: self.seats_booked,
            passenger_details: self.passenger_details,
            payment: Some("later".to_owned()),
            payment_method: None,
        };
        let party = party.check(&mut invalid, seats_max);
        let auto = auto(&mut invalid, self.mode.as_deref(), self.payment_method.as_deref());
        if self.max_price.is_some_and(Money::is_negative) {
            invalid.add("/max_price", "must not be negative");
        }
        let until = self.until.as_deref().and_then(|text| instant(&mut invalid, "until", text));
        let method = auto.as_ref().map(PaymentMethod::as_str);
        let party_asked = (party.user_id, party.seats, &party.passengers);
        let asked = (flight_id, party_asked, method, self.max_price, until);
        let request = request_key::of_user(path, party.user_id, headers, &asked, &mut invalid);
        invalid.or(WaitFor {
            flight_id,
            user_id: party.user_id,
            seats: party.seats,
            passengers: party.passengers,
            auto,
            max_price: self.max_price,
            until,
            request,
        })
    }
}

/// The payment method of an automatic purchase; `None`: the party is asked.
fn auto(
    invalid: &mut Invalid,
    mode: Option<&str>,
    payment_method: Option<&str>,
) -> Option<PaymentMethod> {
    match (mode.unwrap_or("ask"), payment_method) {
        ("auto", Some(_)) => Some(method(invalid, payment_method)),
        ("auto", None) => {
            invalid.add("/payment_method", "is required if mode is auto");
            None
        }
        ("ask", None) => None,
        ("ask", Some(_)) => {
            invalid.add("/payment_method", "must be absent unless mode is auto");
            None
        }
        _ => {
            invalid.add("/mode", "must be ask or auto");
            None
        }
    }
}

/// An entry of a waiting list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = WaitlistEntry)]
pub(crate) struct EntryBody {
    /// Id.
    waitlist_id: WaitlistId,
    /// The flight.
    flight_id: FlightId,
    /// The user who waits.
    user_id: UserId,
    /// State.
    status: EntryStatus,
    /// Why it lapsed; only if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<EndReason>,
    /// What happens once seats are free.
    mode: WaitMode,
    /// Seats of the party.
    #[schema(minimum = 1)]
    seats_booked: SeatCount,
    /// Those who wait before it; `null` if it does not wait.
    position: Option<PositionBody>,
    /// How often parties behind it and new bookings got seats before it.
    #[schema(minimum = 0)]
    overtaken: i32,
    /// Maximum price of a seat.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_price: Option<Money>,
    /// When it stops waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// The booking that holds its seats, once it got them.
    #[serde(skip_serializing_if = "Option::is_none")]
    booking_id: Option<BookingId>,
    /// When its offer ends; only while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    offer_expires_at: Option<Timestamp>,
    /// The payment of its booking.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<PaymentBody>,
    /// When its party joined.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// Those who wait before a party.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = WaitlistPosition)]
pub(crate) struct PositionBody {
    /// Number of parties.
    #[schema(minimum = 0)]
    parties: i64,
    /// Seats of all of them.
    #[schema(minimum = 0)]
    seats: SeatCount,
}

impl EntryBody {
    pub(super) fn of(shown: &ShownEntry, pages: &Pages) -> Self {
        let (status, reason) = shown.status();
        let ShownEntry { record, order } = shown;
        let (entry, booking) = (&record.entry, order.as_ref().map(|order| order.order.first()));
        let is_offered = |_: &&_| status == EntryStatus::Offered;
        Self {
            waitlist_id: entry.id,
            flight_id: entry.flight_id,
            user_id: entry.user_id,
            status,
            reason,
            mode: entry.mode,
            seats_booked: entry.seats,
            position: (status == EntryStatus::Waiting).then_some(PositionBody {
                parties: record.ahead.parties,
                seats: record.ahead.seats,
            }),
            overtaken: match status {
                EntryStatus::Waiting => entry.overtaken_in_all(record.passed),
                _ => entry.overtaken,
            },
            max_price: entry.max_price,
            until: entry.until,
            booking_id: booking.map(|booking| booking.id),
            offer_expires_at: booking.filter(is_offered).map(|booking| booking.hold_expires_at),
            payment: order.as_ref().map(|order| PaymentBody::of_record(order, pages)),
            created_at: entry.created_at,
            updated_at: booking.map_or(entry.updated_at, |b| b.updated_at.max(entry.updated_at)),
        }
    }
}
