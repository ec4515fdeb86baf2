//! A payment: one attempt to pay for an order, identified by its reference.

use super::{Currency, Money, PaymentReference, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strum::{EnumString, IntoStaticStr, VariantArray};

/// The state of a payment. `reversed` is final. `declined` is too, unless a late capture arrives, which is
/// reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum PaymentStatus {
    /// Open: [`Payment::waits_for`] says for what.
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

/// What a payment pays for, and when.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum PaymentKind {
    /// The hold asks for the capture, and a decline ends the order.
    #[default]
    Now,
    /// The user pays before the hold ends; a decline leaves the hold to a further attempt.
    Later,
    /// It pays what a change of flight costs, and belongs to the order of the changed booking. The booking that holds
    /// the new seats names it; a decline ends the change.
    Difference,
}

impl PaymentKind {
    /// The word in the databases.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What an open payment waits for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum WaitsFor {
    /// The gateway's answer.
    #[default]
    Gateway,
    /// The user's payment method. The gateway does not know the payment yet.
    Method,
    /// The payer's action at the gateway.
    Payer,
}

impl WaitsFor {
    /// The word in the databases, which have none for the gateway.
    pub fn stored(self) -> Option<&'static str> {
        match self {
            Self::Gateway => None,
            Self::Method | Self::Payer => Some(self.into()),
        }
    }
}

/// The state of a dispute: the payer asked the bank for the money of a captured payment.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DisputeStatus {
    /// The bank has not decided. The payment's refunds wait.
    Open,
    /// The money stays; the refunds go on.
    Won,
    /// The bank gave the money back to the payer.
    Lost,
}

impl DisputeStatus {
    /// The word on the wire and in the databases.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Maximum number of attempts to pay an order.
pub const ATTEMPTS_MAX: i32 = 5;

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

    /// The method of a payment until its user has chosen one.
    pub const UNCHOSEN: &'static str = "unchosen";

    /// The placeholder until the user has chosen a method.
    pub fn unchosen() -> Self {
        Self(Self::UNCHOSEN.into())
    }

    /// The method that a caller names: well-formed, and none of the words above.
    pub fn named(token: &str) -> Option<Self> {
        Self::new(token)
            .filter(|method| ![Self::ADOPTED, Self::UNCHOSEN].contains(&method.as_str()))
    }

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
    /// The order's first payment, which its bookings name.
    pub order: PaymentReference,
    /// Its place among the order's attempts, from 1.
    pub attempt: i32,
    /// What it pays for, and when.
    pub kind: PaymentKind,
    /// Sum of the prices of its bookings.
    pub amount: Money,
    /// Currency of the amount.
    pub currency: Currency,
    /// Payment method.
    pub method: PaymentMethod,
    /// State.
    pub status: PaymentStatus,
    /// What it waits for while it is requested.
    pub waits_for: WaitsFor,
    /// The payer's dispute, if there was one.
    pub dispute: Option<DisputeStatus>,
    /// What only few payments have.
    pub notes: Option<Box<PaymentNotes>>,
    /// When it was first requested.
    pub created_at: Timestamp,
    /// When its status last changed, or its request was last repeated.
    pub updated_at: Timestamp,
    /// Trace of its first request (W3C `traceparent`); repeats join it.
    pub traceparent: Option<Arc<str>>,
    /// Starts at 1 and grows by one with each change of its status.
    pub version: i64,
}

impl Payment {
    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.status == PaymentStatus::Requested
    }

    /// Whether more than its status may change: it is not paid at once for an order, is disputed, or its payer had
    /// to act.
    pub fn has_several_steps(&self) -> bool {
        self.kind != PaymentKind::Now
            || self.dispute.is_some()
            || self.waits_for == WaitsFor::Payer
            || self.notes.as_ref().is_some_and(|notes| notes.next_action.is_some())
    }

    /// Where the payer goes after an action at the gateway.
    pub fn return_url(&self) -> Option<&Arc<str>> {
        self.notes.as_ref()?.return_url.as_ref()
    }

    /// Whether it waits for its user's payment method.
    pub fn is_unasked(&self) -> bool {
        self.is_open() && self.waits_for == WaitsFor::Method
    }
}

/// Notes that only few payments have: those whose payer acts at the gateway, and those it declined.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PaymentNotes {
    /// Where the payer goes after an action at the gateway.
    pub return_url: Option<Arc<str>>,
    /// What the payer must do. The payment worker writes it, the rules do not read it.
    pub next_action: Option<NextAction>,
    /// Why the gateway declined. The payment worker writes it, the rules do not read it.
    pub decline_reason: Option<Arc<str>>,
}

impl PaymentNotes {
    /// The notes, if there are any.
    pub fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| self.into())
    }
}

/// What a payer must do at the gateway before it answers, such as 3-D Secure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NextAction {
    /// The payer opens a page.
    Redirect {
        /// The page.
        url: String,
    },
    /// The page that the payer uses goes on with the gateway's own script.
    ClientSecret {
        /// What that script asks for.
        client_secret: String,
    },
}
