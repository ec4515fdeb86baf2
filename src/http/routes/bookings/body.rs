//! The JSON of bookings: the request to place one, and what is sent back.

use crate::booking::PlaceOrder;
use crate::domain::{
    Booking, BookingId, BookingStatus, FailureReason, FlightId, Invalid, Money, Order, OrderRecord,
    PaymentReference, Reference, Refund, Timestamp,
};
use crate::http::routes::Pages;
use crate::http::routes::changing::PendingChangeBody;
use crate::http::routes::party::{PartyBody, positive};
use crate::http::routes::payment::{PaymentBody, PaymentWord};
use crate::http::wire::json::fields::PassengerBody;
use crate::http::wire::json::shape::{Kind, Shape, Shaped};
use crate::http::wire::request_key;
use http::HeaderMap;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use smallvec::smallvec;

/// A booking to place.
///
/// Fields of responses are accepted and ignored.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "ignored fields are named, so that unknown ones are refused")]
#[schema(example = json!({
    "flight_id": 1, "user_id": 123, "seats_booked": 2,
    "passenger_details": [
        {"name": "John Doe", "email": "john@example.com", "phone": "1234567890", "age": 30, "gender": "male"},
        {"name": "Jane Doe", "email": "jane@example.com", "phone": "0987654321", "age": 28, "gender": "female"}
    ]
}))]
pub(crate) struct PlaceBookingBody {
    /// The flight.
    #[schema(required, nullable = false, minimum = 1)]
    flight_id: Option<i64>,
    /// The user who books.
    #[schema(required, nullable = false, minimum = 1)]
    user_id: Option<i64>,
    /// Number of seats: 1 to `MAX_PARTY_SIZE`.
    #[schema(required, nullable = false, minimum = 1)]
    seats_booked: Option<i32>,
    /// The passengers, one for each seat.
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
    /// A field of responses; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    id: IgnoredAny,
    /// A field of responses; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    booking_id: IgnoredAny,
    /// A field of responses; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    reference: IgnoredAny,
    /// A field of responses; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    status: IgnoredAny,
    /// A field of responses; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    failure_reason: IgnoredAny,
    /// A field of responses; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    payment_reference_id: IgnoredAny,
    /// A field of responses; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    message: IgnoredAny,
    /// A field of responses; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    booking_price: IgnoredAny,
    /// A field of responses; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    booking_metadata: IgnoredAny,
    /// A field of responses; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    hold_expires_at: IgnoredAny,
    /// A field of responses; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    pay_by: IgnoredAny,
    /// A field of responses; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    payment_status: IgnoredAny,
    /// A field of responses; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    created_at: IgnoredAny,
    /// A field of responses; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    updated_at: IgnoredAny,
}

impl Shaped for PlaceBookingBody {
    const SHAPE: Shape = Shape {
        fields: &[
            ("flight_id", Kind::Integer64),
            ("user_id", Kind::Integer64),
            ("seats_booked", Kind::Integer32),
            ("passenger_details", Kind::List(&PassengerBody::SHAPE)),
            ("payment", Kind::Text),
            ("payment_method", Kind::Text),
            ("expected_price", Kind::Money),
        ],
        ignored: &[
            "id",
            "booking_id",
            "reference",
            "status",
            "failure_reason",
            "payment_reference_id",
            "message",
            "booking_price",
            "booking_metadata",
            "hold_expires_at",
            "pay_by",
            "payment_status",
            "created_at",
            "updated_at",
        ],
    };
}

/// A booking that was placed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BookingPlacedBody {
    booking_id: BookingId,
    #[schema(value_type = String, example = "K7MQ2X", pattern = "^[2-9A-HJ-NP-Z]{6,13}$")]
    reference: Reference,
    status: BookingStatus,
    #[schema(value_type = String, example = "PAY-0123456789abcdef0123456789abcdef")]
    payment_reference_id: PaymentReference,
    #[schema(value_type = String, example = "Booking created, processing payment")]
    message: &'static str,
    booking_price: Money,
    #[schema(value_type = String, format = DateTime)]
    hold_expires_at: Timestamp,
    /// The same: until when the booking can be paid.
    #[schema(value_type = String, format = DateTime)]
    pay_by: Timestamp,
    payment_status: PaymentWord,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<FailureReason>,
}

impl BookingPlacedBody {
    /// A new order of one booking.
    pub(super) fn of(order: &Order, pages: &Pages) -> Self {
        let booking = order.first();
        let payment_status = PaymentWord::from(&order.payment);
        Self {
            booking_id: booking.id,
            reference: pages.references.of(order.id()),
            status: booking.status,
            payment_reference_id: booking.payment_reference,
            message: match booking.status {
                BookingStatus::Pending if order.payment.is_unasked() => {
                    "Booking created, waiting for payment"
                }
                BookingStatus::Pending => "Booking created, processing payment",
                BookingStatus::Completed => "Booking completed, payment captured",
                BookingStatus::Failed => "Booking failed, no payment was taken",
                BookingStatus::Cancelled => "Booking cancelled",
            },
            booking_price: booking.booking_price,
            hold_expires_at: booking.hold_expires_at,
            pay_by: booking.hold_expires_at,
            payment_status,
            failure_reason: booking.failure_reason,
        }
    }
}

/// A booking, its payment and its refunds.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = BookingRecord)]
pub(crate) struct BookingBody {
    #[serde(flatten)]
    booking: ShownBooking,
    /// What pays for its itinerary.
    payment: PaymentBody,
    /// Refunds of this booking, oldest first.
    refunds: Vec<Refund>,
    /// Its change of flight, while that waits for the payment of the difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    change: Option<PendingChangeBody>,
}

impl BookingBody {
    /// The booking at this place of an order.
    pub(in crate::http::routes) fn of(record: OrderRecord, at: usize, pages: &Pages) -> Self {
        let payment = PaymentBody::of_record(&record, pages);
        let change = PendingChangeBody::of(&record, record.order.bookings[at].id, pages);
        let OrderRecord { mut order, mut refunds, .. } = record;
        let booking = order.bookings.swap_remove(at);
        refunds.retain(|refund| refund.booking_id == booking.id);
        Self { booking: ShownBooking::of(booking, pages), payment, refunds, change }
    }
}

/// A booking, and its reference.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ReferencedBooking)]
pub(crate) struct ShownBooking {
    #[serde(flatten)]
    pub(super) booking: Booking,
    /// By which travellers find it; the same for all bookings of an itinerary.
    #[schema(value_type = String, example = "K7MQ2X", pattern = "^[2-9A-HJ-NP-Z]{6,13}$")]
    pub(super) reference: Reference,
}

impl ShownBooking {
    /// A booking as it is shown.
    pub(super) fn of(booking: Booking, pages: &Pages) -> Self {
        Self { reference: pages.references.of(booking.order_id), booking }
    }
}

/// What to cancel of a booking.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"passengers": [0]}))]
pub(crate) struct CancelBookingBody {
    /// Places of passengers in `booking_metadata`, from 0; all by default.
    #[schema(min_items = 1)]
    pub(super) passengers: Option<Vec<i32>>,
    /// What the caller expects to come back: refused with `refund_changed` if it is another amount now.
    pub(super) expected_refund: Option<Money>,
}

impl Shaped for CancelBookingBody {
    const SHAPE: Shape = Shape {
        fields: &[("passengers", Kind::Integers), ("expected_refund", Kind::Money)],
        ignored: &[],
    };
}

/// A user's bookings.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BookingList {
    /// Newest first.
    pub(super) bookings: Vec<ShownBooking>,
    /// Number of bookings in this list.
    pub(super) count: usize,
    /// The `cursor` of the next request, if there are more bookings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

impl PlaceBookingBody {
    /// The booking to place, or all broken rules, those in `invalid` included.
    pub(super) fn check(
        self,
        mut invalid: Invalid,
        seats_max: i32,
        headers: &HeaderMap,
    ) -> Result<PlaceOrder, Invalid> {
        let flight_id = positive(&mut invalid, "flight_id", self.flight_id);
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
            (FlightId(flight_id), party.user_id, party.seats, &party.passengers, party.method());
        let idempotency = request_key::of(headers, &asked, &mut invalid);
        invalid.or(PlaceOrder {
            flights: smallvec![FlightId(flight_id)],
            user_id: party.user_id,
            seats: party.seats,
            passengers: party.passengers,
            method: party.method,
            idempotency,
            request: None,
            pending_max: None,
            expected_price: self.expected_price,
        })
    }
}
