//! The JSON of changes of flight.

use crate::booking::MoveBooking;
use crate::domain::{Booking, BookingId, FlightId, Invalid, Money, OrderRecord, Timestamp};
use crate::http::routes::Pages;
use crate::http::routes::party::{method, positive};
use crate::http::routes::payment::PaymentBody;
use crate::http::wire::json::shape::{Kind, Shape, Shaped};
use serde::{Deserialize, Serialize};

/// A change of flight to make.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChangeBooking, example = json!({"flight_id": 2, "expected_difference": -500.00}))]
pub(crate) struct ChangeFlightBody {
    /// The flight to move to, on the same route.
    #[schema(required, nullable = false, minimum = 1)]
    flight_id: Option<i64>,
    /// What the caller expects to pay, or below zero to get back: refused with `difference_changed` if it is another
    /// amount now.
    expected_difference: Option<Money>,
    /// The payment gateway's token of the method with which a difference is paid; `pm_card_visa` by default.
    #[schema(example = "pm_card_visa", max_length = 64)]
    payment_method: Option<String>,
}

impl Shaped for ChangeFlightBody {
    const SHAPE: Shape = Shape {
        fields: &[
            ("flight_id", Kind::Integer64),
            ("expected_difference", Kind::Money),
            ("payment_method", Kind::Text),
        ],
        ignored: &[],
    };
}

impl ChangeFlightBody {
    /// The change of a booking. Notes broken rules.
    pub(super) fn check(self, booking: &Booking, invalid: &mut Invalid) -> MoveBooking {
        MoveBooking {
            booking_id: booking.id,
            user_id: booking.user_id,
            flight_id: FlightId(positive(invalid, "flight_id", self.flight_id)),
            method: method(invalid, self.payment_method.as_deref()),
            expected_difference: self.expected_difference,
            pending_max: None,
            request: None,
        }
    }
}

/// A change of flight that waits for the payment of its difference.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PendingChange)]
pub(crate) struct PendingChangeBody {
    /// The flight whose seats are held.
    flight_id: FlightId,
    /// What is to pay.
    difference: Money,
    /// Until when the seats are held.
    #[schema(value_type = String, format = DateTime)]
    pay_by: Timestamp,
    /// What pays the difference.
    payment: PaymentBody,
}

impl PendingChangeBody {
    /// The change of a booking, if one waits for its payment.
    pub(in crate::http::routes) fn of(
        record: &OrderRecord,
        booking: BookingId,
        pages: &Pages,
    ) -> Option<Self> {
        let change = record.change.as_ref()?;
        (change.replacement.replaces == Some(booking)).then(|| Self {
            flight_id: change.replacement.flight_id,
            difference: change.payment.amount,
            pay_by: change.replacement.hold_expires_at,
            payment: PaymentBody::of(&change.payment, pages),
        })
    }
}
