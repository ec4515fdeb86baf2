//! The state of an account: payment intents and refunds, and the answers that Stripe keeps under idempotency keys.

use airline_booking::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// The parameters of a call.
pub type Params = BTreeMap<String, String>;

/// A status and a body.
pub type Reply = (u16, Value);

#[derive(Debug, Clone)]
pub struct Intent {
    pub id: String,
    pub amount: i64,
    pub currency: String,
    pub status: &'static str,
    pub reference: String,
    pub decline: Option<&'static str>,
    pub return_url: Option<String>,
    /// How often its money was taken.
    pub captures: u32,
    /// The amount taken.
    pub received: i64,
    /// In seconds.
    pub created: i64,
}

#[derive(Debug, Clone)]
pub struct Refund {
    pub id: String,
    pub intent: String,
    pub amount: i64,
    pub status: &'static str,
    pub refund_id: String,
    /// In seconds.
    pub created: i64,
}

#[derive(Debug, Clone)]
pub struct Dispute {
    pub id: String,
    pub intent: String,
    pub amount: i64,
    pub status: &'static str,
}

#[derive(Debug, Default)]
pub struct Account {
    pub disputes: Vec<Dispute>,
    pub intents: Vec<Intent>,
    pub refunds: Vec<Refund>,
    pub keys: HashMap<String, (String, Reply)>,
    /// The calls that arrived, as `POST /v1/… key`.
    pub calls: Vec<String>,
}

impl Account {
    /// What the account has of its customers.
    pub fn balance(&self) -> i64 {
        let taken = |intent: &Intent| intent.amount * i64::from(intent.captures);
        let refunds = self.refunds.iter().filter(|refund| refund.status != "failed");
        self.intents.iter().map(taken).sum::<i64>()
            - refunds.map(|refund| refund.amount).sum::<i64>()
            - self
                .disputes
                .iter()
                .filter(|its| its.status == "lost")
                .map(|its| its.amount)
                .sum::<i64>()
    }

    /// A payer disputes an amount of a captured intent at the bank.
    pub fn dispute(&mut self, intent: &str, amount: i64) {
        let id = format!("dp_{}", self.disputes.len() + 1);
        let intent = intent.to_owned();
        self.disputes.push(Dispute { id, intent, amount, status: "needs_response" });
    }

    /// The payer acts: pays, or gives up.
    pub fn act(&mut self, reference: &str, is_approved: bool) {
        let waits =
            |its: &&mut Intent| its.reference == reference && its.status == "requires_action";
        let intent = self.intents.iter_mut().find(waits).expect("an intent that waits");
        if is_approved {
            intent.capture();
        } else {
            (intent.status, intent.decline) =
                ("requires_payment_method", Some("payment_intent_authentication_failure"));
        }
    }

    pub fn handle(&mut self, method: &str, path: &str, params: &Params) -> Reply {
        let parts: Vec<_> = path.trim_start_matches("/v1/").split('/').collect();
        match (method, &parts[..]) {
            ("POST", ["payment_intents"]) => self.create(params),
            ("GET", ["payment_intents", id]) => self.with(id, |intent| (200, intent.json())),
            ("POST", ["payment_intents", id, "confirm"]) => {
                self.with(id, |intent| intent.confirm(params))
            }
            ("POST", ["payment_intents", id, "cancel"]) => self.with(id, Intent::cancel),
            ("GET", ["payment_intents"]) => {
                let listed = self.intents.iter().filter(|its| is_since(params, its.created));
                page(params, listed.map(|intent| (&*intent.id, intent.json())))
            }
            ("POST", ["refunds"]) => self.refund(params),
            ("GET", ["refunds"]) => self.list_refunds(params),
            ("GET", ["disputes"]) => {
                let of = params.get("payment_intent");
                let listed =
                    self.disputes.iter().filter(|its| of.is_none_or(|of| its.intent == *of));
                page(params, listed.map(|dispute| (&*dispute.id, dispute.json())))
            }
            _ => error(404, "invalid_request_error", None, None),
        }
    }

    fn with(&mut self, id: &str, act: impl FnOnce(&mut Intent) -> Reply) -> Reply {
        match self.intents.iter_mut().find(|intent| intent.id == id) {
            Some(intent) => act(intent),
            None => error(404, "invalid_request_error", Some("resource_missing"), Some("intent")),
        }
    }

    fn create(&mut self, params: &Params) -> Reply {
        let amount = params["amount"].parse().expect("a whole amount");
        if amount < 50 {
            return error(400, "invalid_request_error", Some("amount_too_small"), Some("amount"));
        }
        let intent = Intent {
            id: format!("pi_{}", self.intents.len() + 1),
            amount,
            currency: params["currency"].clone(),
            // As Stripe has an intent without a payment method.
            status: "requires_payment_method",
            reference: params["metadata[reference]"].clone(),
            decline: None,
            return_url: None,
            captures: 0,
            received: 0,
            created: SystemClock.now().timestamp(),
        };
        let reply = (200, intent.json());
        self.intents.push(intent);
        reply
    }

    fn refund(&mut self, params: &Params) -> Reply {
        let amount: i64 = params["amount"].parse().expect("a whole amount");
        let Some(intent) = self.intents.iter().find(|its| its.id == params["payment_intent"])
        else {
            return error(404, "invalid_request_error", Some("resource_missing"), None);
        };
        let mut disputes = self.disputes.iter().filter(|its| its.intent == intent.id);
        if disputes.any(|its| its.status == "needs_response") {
            return error(400, "invalid_request_error", Some("charge_disputed"), None);
        }
        let of_intent = self.refunds.iter().filter(|its| its.intent == intent.id);
        let given: i64 = of_intent.filter(|its| its.status != "failed").map(|its| its.amount).sum();
        if intent.status != "succeeded" || given + amount > intent.amount {
            return error(400, "invalid_request_error", Some("charge_already_refunded"), None);
        }
        let refund = Refund {
            id: format!("re_{}", self.refunds.len() + 1),
            intent: intent.id.clone(),
            amount,
            status: "succeeded",
            refund_id: params["metadata[refund_id]"].clone(),
            created: SystemClock.now().timestamp(),
        };
        let reply = (200, refund.json());
        self.refunds.push(refund);
        reply
    }

    fn list_refunds(&self, params: &Params) -> Reply {
        let intent = params.get("payment_intent");
        let listed = self.refunds.iter().filter(|its| {
            intent.is_none_or(|of| its.intent == *of) && is_since(params, its.created)
        });
        page(params, listed.map(|refund| (&*refund.id, refund.json())))
    }
}

fn is_since(params: &Params, created: i64) -> bool {
    let since = params.get("created[gte]").map(|since| since.parse::<i64>().expect("seconds"));
    since.is_none_or(|since| created >= since)
}

/// Pages of two, so that a client that reads one page misses the rest.
fn page<'a>(params: &Params, all: impl Iterator<Item = (&'a str, Value)>) -> Reply {
    let all: Vec<_> = all.collect();
    let from = params.get("starting_after").map_or(0, |after| {
        all.iter().position(|(id, _)| id == after).map_or(all.len(), |place| place + 1)
    });
    let page: Vec<_> = all.iter().skip(from).take(2).map(|(_, item)| item.clone()).collect();
    let has_more = all.len() > from + page.len();
    (200, json!({"object": "list", "data": page, "has_more": has_more}))
}

impl Intent {
    fn json(&self) -> Value {
        let last_payment_error = self.decline.map(
            |code| json!({"type": "card_error", "code": "card_declined", "decline_code": code}),
        );
        let next_action = (self.status == "requires_action").then(|| match &self.return_url {
            Some(url) => json!({"type": "redirect_to_url",
                "redirect_to_url": {"url": format!("https://hooks.stripe.test/{}", self.id), "return_url": url}}),
            None => json!({"type": "use_stripe_sdk", "use_stripe_sdk": {}}),
        });
        json!({
            "id": self.id, "object": "payment_intent", "status": self.status, "created": self.created,
            "amount": self.amount, "amount_received": self.received,
            "currency": self.currency, "client_secret": format!("{}_secret_1", self.id),
            "metadata": {"reference": self.reference}, "next_action": next_action,
            "last_payment_error": last_payment_error,
        })
    }

    pub fn capture(&mut self) {
        (self.status, self.captures) = ("succeeded", self.captures + 1);
        self.received = self.amount;
    }

    fn confirm(&mut self, params: &Params) -> Reply {
        if self.status != "requires_payment_method" {
            return error(
                400,
                "invalid_request_error",
                Some("payment_intent_unexpected_state"),
                None,
            );
        }
        self.return_url = params.get("return_url").cloned();
        match &*params["payment_method"] {
            "pm_card_visa" => self.capture(),
            "pm_card_threeDSecure2Required" => self.status = "requires_action",
            "pm_bank" => self.status = "processing",
            "pm_card_chargeDeclinedInsufficientFunds" => {
                self.status = "requires_payment_method";
                self.decline = Some("insufficient_funds");
                let body = json!({"error": {"type": "card_error", "code": "card_declined",
                    "decline_code": "insufficient_funds", "message": "Your card has insufficient funds."}});
                return (402, body);
            }
            _ => {
                let (code, param) = (Some("resource_missing"), Some("payment_method"));
                return error(400, "invalid_request_error", code, param);
            }
        }
        (200, self.json())
    }

    fn cancel(&mut self) -> Reply {
        if matches!(self.status, "succeeded" | "canceled" | "processing") {
            return error(
                400,
                "invalid_request_error",
                Some("payment_intent_unexpected_state"),
                None,
            );
        }
        self.status = "canceled";
        (200, self.json())
    }
}

impl Refund {
    fn json(&self) -> Value {
        json!({
            "id": self.id, "object": "refund", "amount": self.amount, "status": self.status,
            "payment_intent": self.intent, "metadata": {"refund_id": self.refund_id},
            "created": self.created,
        })
    }
}

impl Dispute {
    fn json(&self) -> Value {
        json!({"id": self.id, "object": "dispute", "amount": self.amount, "status": self.status,
            "payment_intent": self.intent})
    }
}

pub fn error(status: u16, kind: &str, code: Option<&str>, param: Option<&str>) -> Reply {
    (status, json!({"error": {"type": kind, "code": code, "param": param, "message": "…"}}))
}
