//! A payment: one attempt to pay for a booking, identified by its reference.

use super::{Currency, Money, PaymentReference, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strum::{EnumString, IntoStaticStr, VariantArray};

/// The state of a payment. `reversed` is final. `declined` is too, unless a late capture arrives, which is
/// reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum PaymentStatus {
    /// A capture is requested from the gateway, or about to be.
    Requested,
    /// The gateway captured the payment.
    Captured,
    /// The gateway declined the payment.
    Declined,
    /// A void or refund is requested, or about to be, and repeated until the gateway answers.
    ReversalRequested,
    /// Voided or refunded.
    Reversed,
}

impl PaymentStatus {
    /// The word in the databases.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Payment method: a token of the gateway, 1 to 64 letters, digits and underscores.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PaymentMethod(Arc<str>);

impl PaymentMethod {
    /// The method if a request names none.
    pub const DEFAULT: &'static str = "pm_card_visa";

    /// A method, if the token is well-formed.
    pub fn new(token: &str) -> Option<Self> {
        let sound = (1..=64).contains(&token.len())
            && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        sound.then(|| Self(token.into()))
    }

    /// The method of payments that an earlier service took. The gateway does not know them.
    pub const ADOPTED: &'static str = "adopted";

    /// Whether an earlier service took the payment.
    pub fn is_adopted(&self) -> bool {
        self.as_str() == Self::ADOPTED
    }

    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for PaymentMethod {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

/// A payment and its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Reference, here and at the gateway.
    pub reference: PaymentReference,
    /// Sum of the prices of its bookings.
    pub amount: Money,
    /// Currency of the amount.
    pub currency: Currency,
    /// Payment method.
    pub method: PaymentMethod,
    /// State.
    pub status: PaymentStatus,
    /// When it was first requested.
    pub created_at: Timestamp,
    /// When its status last changed, or its request was last repeated.
    pub updated_at: Timestamp,
    /// Trace of its first request (W3C `traceparent`); repeats join it.
    pub traceparent: Option<Arc<str>>,
    /// Starts at 1 and grows by one with each change of its status.
    pub version: i64,
}
