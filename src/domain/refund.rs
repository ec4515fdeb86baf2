//! A refund: money of a captured payment that goes back, in part or whole.

use super::{BookingId, Money, PaymentReference, RefundId, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strum::{EnumString, IntoStaticStr, VariantArray};

/// The state of a refund. Its amount is owed until it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum RefundStatus {
    /// Requested from the gateway, or about to be, and repeated until the gateway answers.
    Requested,
    /// The gateway gave the amount back.
    Done,
    /// The gateway refused it for good. Repeated only by staff.
    Failed,
}

impl RefundStatus {
    /// The word on the wire and in the databases.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Why money goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum RefundReason {
    /// The traveller, or staff on their behalf, cancelled.
    Traveller,
    /// The airline cancelled the flight.
    Airline,
    /// The airline moved the flight.
    Moved,
    /// The booking was changed to a flight that costs less.
    Change,
    /// The payment was captured after its booking had ended.
    LateCapture,
    /// The payer's bank took it back: a dispute was lost.
    Dispute,
}

impl RefundReason {
    /// The word on the wire and in the databases.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A refund, as it is stored and as bookings and orders show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Refund {
    /// Id.
    #[schema(value_type = String, example = "REF-0123456789abcdef0123456789abcdef")]
    pub id: RefundId,
    /// The payment whose money goes back.
    #[serde(skip)]
    pub payment: PaymentReference,
    /// The booking that was cancelled, in part or whole.
    pub booking_id: BookingId,
    /// The amount that goes back, in the payment's currency.
    pub amount: Money,
    /// State.
    pub status: RefundStatus,
    /// Why it goes back.
    pub reason: RefundReason,
    /// How often it was requested from the gateway.
    #[serde(skip)]
    pub attempts: i32,
    /// The gateway's own name for it, once it gave one.
    #[serde(skip)]
    pub gateway_reference: Option<Arc<str>>,
    /// When it was first requested.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its status last changed, or its request was last repeated.
    #[serde(skip)]
    pub updated_at: Timestamp,
    /// Starts at 1 and grows by one with each change of its status or amount.
    #[serde(skip)]
    pub version: i64,
}

impl Refund {
    /// The next version of the refund, to be changed further.
    #[must_use]
    pub fn next_version(&self, now: Timestamp) -> Self {
        Self { updated_at: now, version: self.version + 1, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_refund_shows_its_amount_and_state_and_not_its_payment() {
        let at = Timestamp::UNIX_EPOCH;
        let refund = Refund {
            id: RefundId::from_bits(1),
            payment: PaymentReference::from_bits(2),
            booking_id: BookingId(3),
            amount: Money::from_minor(12_345),
            status: RefundStatus::Requested,
            reason: RefundReason::Traveller,
            attempts: 1,
            gateway_reference: Some("re_1".into()),
            created_at: at,
            updated_at: at,
            version: 1,
        };
        let shown = json!({
            "id": format!("REF-{:032x}", 1), "booking_id": 3, "amount": 123.45,
            "status": "requested", "reason": "traveller", "created_at": "1970-01-01T00:00:00Z"
        });
        assert_eq!(serde_json::to_value(refund).expect("JSON"), shown);
    }
}
