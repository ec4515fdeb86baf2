//! The JSON of itineraries: the request to place one, the request to cancel one, and what is sent back.

use crate::booking::PlaceOrder;
use crate::domain::{
    Booking, BookingId, BookingStatus, Currency, FailureReason, FlightId, FlightIds, Invalid,
    Money, Order, OrderRecord, PaymentReference, Reference, Refund, SEGMENTS_MAX, SeatCount,
    Timestamp,
};
use crate::http::routes::Pages;
use crate::http::routes::party::{PartyBody, positive};
use crate::http::routes::payment::PaymentBody;
use crate::http::wire::json::fields::{PassengerBody, required};
use crate::http::wire::json::shape::{Kind, Shape, Shaped};
use crate::http::wire::request_key;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

/// An itinerary to place.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "user_id": 123, "segments": [{"flight_id": 1}, {"flight_id": 2}], "seats_booked": 2,
    "passenger_details": [
        {"name": "John Doe", "email": "john@example.com", "phone": "1234567890", "age": 30, "gender": "male"},
        {"name": "Jane Doe", "email": "jane@example.com", "phone": "0987654321", "age": 28, "gender": "female"}
    ]
}))]
pub(crate) struct PlaceItineraryBody {
    /// The user who books.
    #[schema(required, nullable = false, minimum = 1)]
    user_id: Option<i64>,
    /// The flights in the order of travel, 1 to 8, none twice. Only the last may lack an arrival.
    #[schema(required, nullable = false, min_items = 1, max_items = 8)]
    segments: Option<Vec<SegmentBody>>,
    /// Number of seats on each flight: 1 to `MAX_PARTY_SIZE`.
    #[schema(required, nullable = false, minimum = 1)]
    seats_booked: Option<i32>,
    /// The passengers, one for each seat; the same on every flight.
    #[schema(required, nullable = false)]
    passenger_details: Option<Vec<PassengerBody>>,
    /// When the seats are paid: `now` by default; `later`: they are held for `PAYMENT_WINDOW`.
    #[schema(example = "now", pattern = "^(now|later)$")]
    payment: Option<String>,
    /// The payment gateway's token of the payment method, if paid now; `pm_card_visa` by default.
    #[schema(example = "pm_card_visa", max_length = 64)]
    payment_method: Option<String>,
    /// The price of all seats that the caller has seen: refused with `price_changed` if it is another now.
    expected_price: Option<Money>,
}

/// A flight of an itinerary.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SegmentBody {
    /// The flight.
    #[schema(required, nullable = false, minimum = 1)]
    flight_id: Option<i64>,
}

impl SegmentBody {
    const SHAPE: Shape = Shape { fields: &[("flight_id", Kind::Integer64)], ignored: &[] };
}

impl Shaped for PlaceItineraryBody {
    const SHAPE: Shape = Shape {
        fields: &[
            ("user_id", Kind::Integer64),
            ("segments", Kind::List(&SegmentBody::SHAPE)),
            ("seats_booked", Kind::Integer32),
            ("passenger_details", Kind::List(&PassengerBody::SHAPE)),
            ("payment", Kind::Text),
            ("payment_method", Kind::Text),
            ("expected_price", Kind::Money),
        ],
        ignored: &[],
    };
}

impl PlaceItineraryBody {
    /// The order to place, or all broken rules, those in `invalid` included.
    pub(super) fn check(
        self,
        mut invalid: Invalid,
        seats_max: SeatCount,
        headers: &HeaderMap,
    ) -> Result<PlaceOrder, Invalid> {
        let flights = flights(self.segments, &mut invalid);
        let party = PartyBody {
            user_id: self.user_id,
            seats_booked: self.seats_booked,
            passenger_details: self.passenger_details,
            payment: self.payment,
            payment_method: self.payment_method,
        };
        let party = party.check(&mut invalid, seats_max);
        Money::check(self.expected_price, &mut invalid, "/expected_price");
        let asked =
            (flights.as_slice(), party.user_id, party.seats, &party.passengers, party.method());
        let request =
            request_key::of_user(super::PATH, party.user_id, headers, &asked, &mut invalid);
        invalid.or(PlaceOrder {
            flights,
            user_id: party.user_id,
            seats: party.seats,
            passengers: party.passengers,
            method: party.method,
            idempotency: None,
            request,
            pending_max: None,
            expected_price: self.expected_price,
        })
    }
}

/// The flights of segments. Notes the rules that they break.
fn flights(segments: Option<Vec<SegmentBody>>, invalid: &mut Invalid) -> FlightIds {
    let mut flights = FlightIds::new();
    let Some(segments) = required(invalid, "segments", segments) else { return flights };
    if !(1..=SEGMENTS_MAX).contains(&segments.len()) {
        invalid.add("/segments", format!("must be 1 to {SEGMENTS_MAX} segments"));
        return flights;
    }
    for (at, segment) in segments.into_iter().enumerate() {
        let name = format!("segments/{at}/flight_id");
        let flight = FlightId(positive(invalid, &name, segment.flight_id));
        let earlier = flights.iter().position(|earlier| *earlier == flight);
        if let Some(earlier) = earlier.filter(|_| flight.0 > 0) {
            let rule = format!("must differ from the flight of segment {}", earlier + 1);
            invalid.add(format!("/{name}"), rule);
        }
        flights.push(flight);
    }
    flights
}

/// What to cancel of an itinerary: the seats of these passengers on these segments.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"segments": [2]}))]
pub(crate) struct CancelItineraryBody {
    /// Segments, from 1; all by default.
    #[schema(min_items = 1, max_items = 8)]
    pub(super) segments: Option<Vec<i32>>,
    /// Places of passengers in `passenger_details`, from 0; all by default.
    #[schema(min_items = 1)]
    pub(super) passengers: Option<Vec<i32>>,
    /// What the caller expects to come back: refused with `refund_changed` if it is another amount now.
    pub(super) expected_refund: Option<Money>,
}

impl Shaped for CancelItineraryBody {
    const SHAPE: Shape = Shape {
        fields: &[
            ("segments", Kind::Integers),
            ("passengers", Kind::Integers),
            ("expected_refund", Kind::Money),
        ],
        ignored: &[],
    };
}

/// An itinerary that was placed: bookings that are paid together.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PlacedItinerary)]
pub(crate) struct ItineraryBody {
    /// Id of its first booking.
    itinerary_id: BookingId,
    /// By which travellers find it.
    #[schema(value_type = String, example = "K7MQ2X", pattern = "^[2-9A-HJ-NP-Z]{6,13}$")]
    reference: Reference,
    /// Completed while one of its bookings is.
    status: BookingStatus,
    /// Why it failed; only if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<FailureReason>,
    /// Its bookings, one a flight, in the order of travel.
    bookings: Vec<SegmentBooked>,
    /// What pays for all of them.
    payment: PaymentBody,
    /// Reference of the payment.
    #[schema(value_type = String, example = "PAY-0123456789abcdef0123456789abcdef")]
    payment_reference_id: PaymentReference,
    /// Price of all seats as they were ordered.
    total_price: Money,
    /// Currency of all amounts.
    #[schema(value_type = String, example = "INR")]
    currency: Currency,
    /// When the hold of the seats ends, and with it the time to pay.
    #[schema(value_type = String, format = DateTime)]
    hold_expires_at: Timestamp,
    /// Refunds of its bookings, oldest first. Absent from the answer to a new itinerary.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Refund>, required = false)]
    refunds: Option<Vec<Refund>>,
}

/// A booking of an itinerary.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = BookedSegment)]
pub(crate) struct SegmentBooked {
    booking_id: BookingId,
    flight_id: FlightId,
    /// Place in the itinerary, from 1.
    #[schema(minimum = 1, maximum = 8)]
    segment: i32,
    status: BookingStatus,
    /// Price of its seats; without those of cancelled passengers.
    booking_price: Money,
    /// The departure that it was sold with, if its flight departs at another time now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    was: Option<Timestamp>,
}

impl From<&Booking> for SegmentBooked {
    fn from(booking: &Booking) -> Self {
        Self {
            booking_id: booking.id,
            flight_id: booking.flight_id,
            segment: booking.segment,
            status: booking.status,
            booking_price: booking.booking_price,
            was: booking.was,
        }
    }
}

impl ItineraryBody {
    /// A new itinerary.
    pub(super) fn of(order: &Order, pages: &Pages) -> Self {
        let first = order.first();
        Self {
            itinerary_id: order.id(),
            reference: pages.references.of(order.id()),
            status: order.status(),
            failure_reason: first.failure_reason,
            bookings: order.bookings.iter().map(SegmentBooked::from).collect(),
            payment: PaymentBody::of(&order.payment, pages),
            payment_reference_id: first.payment_reference,
            total_price: order.total_price(),
            currency: order.payment.currency,
            hold_expires_at: first.hold_expires_at,
            refunds: None,
        }
    }

    /// An itinerary as it is now.
    pub(in crate::http::routes) fn with_refunds(record: OrderRecord, pages: &Pages) -> Self {
        let payment = PaymentBody::of_record(&record, pages);
        Self { payment, refunds: Some(record.refunds), ..Self::of(&record.order, pages) }
    }
}
