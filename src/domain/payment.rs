//! A payment: one attempt to be paid for a booking, named by its reference.

use super::{Currency, Money, PaymentReference, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where a payment is. `declined` and `reversed` are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaymentStatus {
    /// The gateway has been, or is about to be, asked to capture.
    Requested,
    /// The money is ours.
    Captured,
    /// The gateway said no.
    Declined,
    /// The gateway has been, or is about to be, asked to void or refund; asked until it answers.
    ReversalRequested,
    /// Voided or refunded.
    Reversed,
}

impl PaymentStatus {
    /// Every status.
    pub const ALL: [Self; 5] =
        [Self::Requested, Self::Captured, Self::Declined, Self::ReversalRequested, Self::Reversed];

    /// The word in the databases.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Captured => "captured",
            Self::Declined => "declined",
            Self::ReversalRequested => "reversal_requested",
            Self::Reversed => "reversed",
        }
    }

    /// The status of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// How it is paid: a token of the gateway's, 1 to 64 letters, digits and underscores.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PaymentMethod(Arc<str>);

impl PaymentMethod {
    /// The method that is used where none is named.
    pub const DEFAULT: &'static str = "pm_card_visa";

    /// A method, if the token is well-formed.
    pub fn new(token: &str) -> Option<Self> {
        let sound = (1..=64).contains(&token.len())
            && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        sound.then(|| Self(token.into()))
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

/// One payment and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Names it here and at the gateway.
    pub reference: PaymentReference,
    /// The sum of its bookings' prices.
    pub amount: Money,
    /// The amount's currency.
    pub currency: Currency,
    /// How it is paid.
    pub method: PaymentMethod,
    /// Where it is.
    pub status: PaymentStatus,
    /// When it was first asked for.
    pub created_at: Timestamp,
    /// When its status last changed or it was last driven again.
    pub updated_at: Timestamp,
    /// In which trace it was first asked for (W3C `traceparent`), so that repeats join it.
    pub traceparent: Option<Arc<str>>,
}
