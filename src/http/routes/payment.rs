//! A payment as bookings and itineraries show it.

use crate::domain::{NextAction, OrderRecord, Payment, PaymentMethod, PaymentStatus, WaitsFor};
use crate::http::routes::Pages;
use serde::Serialize;

/// The payment of a booking or an itinerary: the last one that its user has begun.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Payment)]
pub(crate) struct PaymentBody {
    /// State.
    status: PaymentWord,
    /// Number of attempts to pay; 0 while the user has begun none.
    #[schema(minimum = 0)]
    attempts: usize,
    /// The gateway's token of the payment method, once there is an attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "pm_card_visa")]
    method: Option<PaymentMethod>,
    /// What the payer must do; only while the status is `action_required`.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_action: Option<NextAction>,
    /// Why the gateway declined; only if it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "insufficient_funds")]
    decline_reason: Option<std::sync::Arc<str>>,
}

/// The state of a payment as callers read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PaymentStatus)]
pub(crate) enum PaymentWord {
    /// The user pays later, and has begun no payment yet.
    AwaitingPayment,
    /// The gateway has not answered yet.
    Processing,
    /// The payer must act at the gateway: see `next_action`.
    ActionRequired,
    /// The gateway took the money.
    Captured,
    /// The gateway declined.
    Declined,
    /// All of the money is on its way back.
    Reversing,
    /// All of the money went back, or none was taken.
    Reversed,
}

impl From<&Payment> for PaymentWord {
    fn from(payment: &Payment) -> Self {
        match (payment.status, payment.waits_for) {
            (PaymentStatus::Requested, WaitsFor::Gateway) => Self::Processing,
            (PaymentStatus::Requested, WaitsFor::Method) => Self::AwaitingPayment,
            (PaymentStatus::Requested, WaitsFor::Payer) => Self::ActionRequired,
            (PaymentStatus::Captured, _) => Self::Captured,
            (PaymentStatus::Declined, _) => Self::Declined,
            (PaymentStatus::ReversalRequested, _) => Self::Reversing,
            (PaymentStatus::Reversed, _) => Self::Reversed,
        }
    }
}

impl PaymentBody {
    /// A payment without those before it.
    pub(super) fn of(payment: &Payment, pages: &Pages) -> Self {
        let status = PaymentWord::from(payment);
        let notes = payment.notes.as_deref().cloned().unwrap_or_default();
        let is_asked = status == PaymentWord::ActionRequired;
        let is_declined = status == PaymentWord::Declined;
        let has_method = payment.method.as_str() != PaymentMethod::UNCHOSEN;
        Self {
            status,
            attempts: usize::try_from(payment.attempt).unwrap_or_default()
                - usize::from(!has_method),
            method: has_method.then(|| payment.method.clone()),
            next_action: notes.next_action.filter(|_| is_asked).map(|action| pages.shown(action)),
            decline_reason: notes.decline_reason.filter(|_| is_declined),
        }
    }

    /// The last payment that the user has begun.
    pub(super) fn of_record(record: &OrderRecord, pages: &Pages) -> Self {
        Self { attempts: record.attempts(), ..Self::of(record.begun(), pages) }
    }
}

impl Pages {
    /// An action as callers read it: a page of the service is a path, unless `PUBLIC_URL` is set.
    fn shown(&self, action: NextAction) -> NextAction {
        match (action, &self.public_url) {
            (NextAction::Redirect { url }, Some(origin)) if url.starts_with('/') => {
                NextAction::Redirect { url: format!("{origin}{url}") }
            }
            (action, _) => action,
        }
    }
}
