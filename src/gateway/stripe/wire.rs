//! The parts of Stripe's objects that the adapter reads.

use crate::domain::NextAction;
use crate::gateway::Repaid;
use serde::Deserialize;
use std::collections::HashMap;

/// A payment intent.
#[derive(Debug, Deserialize)]
pub(super) struct Intent {
    pub(super) id: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) amount: i64,
    #[serde(default)]
    pub(super) amount_received: i64,
    pub(super) currency: Option<String>,
    /// In seconds.
    #[serde(default)]
    pub(super) created: i64,
    #[serde(default)]
    pub(super) metadata: HashMap<String, String>,
    client_secret: Option<String>,
    next_action: Option<ActionOfIntent>,
    pub(super) last_payment_error: Option<Problem>,
}

#[derive(Debug, Deserialize)]
struct ActionOfIntent {
    redirect_to_url: Option<Redirect>,
}

#[derive(Debug, Deserialize)]
struct Redirect {
    url: Option<String>,
}

impl Intent {
    /// What the payer must do: open the page, or go on with Stripe's own script.
    pub(super) fn action(self) -> Option<NextAction> {
        let page = self.next_action.and_then(|action| action.redirect_to_url?.url);
        let client_secret = self.client_secret;
        page.map(|url| NextAction::Redirect { url })
            .or_else(|| Some(NextAction::ClientSecret { client_secret: client_secret? }))
    }
}

/// A refund.
#[derive(Debug, Deserialize)]
pub(super) struct StripeRefund {
    pub(super) id: String,
    pub(super) amount: i64,
    pub(super) status: Option<String>,
    pub(super) payment_intent: Option<String>,
    failure_reason: Option<String>,
    #[serde(default)]
    pub(super) metadata: HashMap<String, String>,
}

impl StripeRefund {
    /// Whether its money stays with the merchant, so that another refund must follow.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.status.as_deref(), Some("failed" | "canceled"))
    }

    /// Whether it has this id of ours.
    pub(super) fn is_of(&self, id: &str) -> bool {
        self.metadata.get("refund_id").is_some_and(|its| its == id)
    }

    /// What its status means.
    pub(super) fn outcome(&self) -> Repaid {
        match self.status.as_deref() {
            Some("failed" | "canceled") => {
                Repaid::Failed(self.failure_reason.as_deref().map(Into::into))
            }
            Some("pending" | "requires_action") => Repaid::Processing,
            _ => Repaid::Done,
        }
    }
}

/// A dispute.
#[derive(Debug, Deserialize)]
pub(super) struct StripeDispute {
    pub(super) id: String,
    pub(super) amount: i64,
    pub(super) status: String,
    pub(super) payment_intent: Option<String>,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    pub(super) data: Vec<T>,
    #[serde(default)]
    pub(super) has_more: bool,
}

/// The body of an error.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorBody {
    pub(super) error: Problem,
}

/// An error of a call, or the reason why an intent's last attempt failed.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Problem {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    pub(super) code: Option<String>,
    pub(super) decline_code: Option<String>,
}

impl Problem {
    /// The shortest exact reason.
    pub(super) fn reason(&self) -> Option<&str> {
        self.decline_code.as_deref().or(self.code.as_deref())
    }
}
