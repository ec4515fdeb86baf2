//! A payment as bookings and itineraries show it.

use crate::domain::{Payment, PaymentMethod, PaymentStatus};
use serde::Serialize;

/// The payment of a booking or an itinerary.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Payment)]
pub(crate) struct PaymentBody {
    /// State.
    status: PaymentWord,
    /// Number of attempts to pay.
    #[schema(minimum = 1)]
    attempts: u32,
    /// The gateway's token of the payment method.
    #[schema(value_type = String, example = "pm_card_visa")]
    method: PaymentMethod,
}

/// The state of a payment as callers read it.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PaymentStatus)]
enum PaymentWord {
    /// The gateway has not answered yet.
    Processing,
    /// The gateway took the money.
    Captured,
    /// The gateway declined.
    Declined,
    /// All of the money is on its way back.
    Reversing,
    /// All of the money went back, or none was taken.
    Reversed,
}

impl From<&Payment> for PaymentBody {
    fn from(payment: &Payment) -> Self {
        let status = match payment.status {
            PaymentStatus::Requested => PaymentWord::Processing,
            PaymentStatus::Captured => PaymentWord::Captured,
            PaymentStatus::Declined => PaymentWord::Declined,
            PaymentStatus::ReversalRequested => PaymentWord::Reversing,
            PaymentStatus::Reversed => PaymentWord::Reversed,
        };
        Self { status, attempts: 1, method: payment.method.clone() }
    }
}
