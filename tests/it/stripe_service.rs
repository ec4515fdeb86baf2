//! The whole service with `PAYMENT_GATEWAY=stripe`, against a hostile Stripe.

mod disputes;
mod hostile;
mod plants;
mod reconciling;
mod repairing;
mod switching;
mod traced;

use crate::support::process::{Server, http_client, run_with};
use crate::support::stripe::{API_KEY, FakeStripe, Fault, WEBHOOK_SECRET, event, signature};
use crate::support::{TestDatabase, booking, eventually, flight};
use airline_booking::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;

struct Shop {
    stripe: FakeStripe,
    server: Option<Server>,
    database: TestDatabase,
    url: String,
    directory: TempDir,
    hold: &'static str,
    redrive_after: &'static str,
    flight: i64,
}

impl Shop {
    /// Starts the service on a database of its own, with a flight of 20 seats. Seats are held for that time.
    async fn start(hold: &'static str) -> Self {
        Self::start_redriving(hold, "1s").await
    }

    /// The same, where unanswered payments are asked about again after this time.
    async fn start_redriving(hold: &'static str, redrive_after: &'static str) -> Self {
        let stripe = FakeStripe::start().await;
        let directory = tempfile::tempdir().expect("a directory");
        let database = TestDatabase::create().await;
        let url = database.url();
        let mut shop =
            Self { stripe, server: None, database, url, directory, hold, redrive_after, flight: 0 };
        shop.restart().await;
        let created = shop.post("/api/v1/flights", &flight(20)).await;
        shop.flight = created["id"].as_i64().expect("an id");
        shop
    }

    async fn restart(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill().await;
        }
        let settings = self.settings();
        self.server = Some(Server::start(self.directory.path(), &settings).await);
    }

    fn settings(&self) -> [(&str, &str); 9] {
        [
            ("PAYMENT_GATEWAY", "stripe"),
            ("DATABASE_URL", &self.url),
            ("STRIPE_SECRET_KEY", API_KEY),
            ("STRIPE_API_BASE", &self.stripe.base),
            ("LOCK_TTL", self.hold),
            ("SWEEP_INTERVAL", "100ms"),
            ("PAYMENT_REDRIVE_AFTER", self.redrive_after),
            ("STRIPE_WEBHOOK_SECRETS", WEBHOOK_SECRET),
            ("AUTH", "off"),
        ]
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let base = &self.server.as_ref().expect("it runs").base;
        let sent = http_client().post(format!("{base}{path}")).json(body).send().await;
        sent.expect("sent").json().await.expect("JSON")
    }

    /// Books two seats; gives the booking's id.
    async fn book(&self, method: &str) -> i64 {
        let mut body = booking(self.flight, 2);
        body["payment_method"] = json!(method);
        let placed = self.post("/api/v1/bookings", &body).await;
        placed["booking_id"].as_i64().unwrap_or_else(|| panic!("no booking: {placed}"))
    }

    async fn booking(&self, id: i64) -> Value {
        let base = &self.server.as_ref().expect("it runs").base;
        let answer = http_client().get(format!("{base}/api/v1/bookings/{id}")).send().await;
        answer.expect("an answer").json().await.expect("JSON")
    }

    async fn comes_to_be(&self, id: i64, status: &str) -> Value {
        eventually(format!("a booking that is {status}"), async || {
            let found = self.booking(id).await;
            if found["status"] == status { Ok(()) } else { Err(found) }
        })
        .await;
        self.booking(id).await
    }

    async fn comes_to_need_its_payer(&self, id: i64) -> Value {
        eventually("an action that is required", async || {
            let payment = self.booking(id).await["payment"].clone();
            if payment["status"] == "action_required" { Ok(()) } else { Err(payment) }
        })
        .await;
        self.booking(id).await["payment"].clone()
    }

    /// Sends a webhook, from behind a proxy with a name of its own; gives its status.
    async fn webhook(&self, body: &str, signature: &str) -> u16 {
        let base = &self.server.as_ref().expect("it runs").base;
        let event = http_client()
            .post(format!("{base}/payments/webhooks/stripe"))
            .header("host", "hooks.shop.example")
            .header("content-type", "application/json")
            .header("stripe-signature", signature)
            .body(body.to_owned());
        event.send().await.expect("an answer").status().as_u16()
    }

    async fn balance_comes_to_be(&self, balance: i64) {
        eventually(format!("a balance of {balance}"), async || {
            let account = self.stripe.account();
            if account.balance() == balance { Ok(()) } else { Err(format!("{account:?}")) }
        })
        .await;
    }

    /// Stops the service and audits its database.
    async fn finish(mut self) {
        let server = self.server.take().expect("it runs");
        assert!(server.terminate().await, "a clean stop");
        let (code, printed) = run_with(self.directory.path(), &self.settings(), &["audit"]).await;
        assert_eq!(code, 0, "{printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_takes_the_money_of_a_booking_and_gives_it_back_when_it_is_cancelled() {
    let shop = Shop::start("5m").await;
    let id = shop.book("pm_card_visa").await;
    shop.comes_to_be(id, "completed").await;
    assert_eq!(shop.stripe.account().balance(), 500_000);
    let cancelled = shop.post(&format!("/api/v1/bookings/{id}/cancel"), &json!({})).await;
    assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
    shop.balance_comes_to_be(0).await;
    eventually("a refund that is done", async || {
        let status = shop.booking(id).await["refunds"][0]["status"].clone();
        if status == "done" { Ok(()) } else { Err(status) }
    })
    .await;
    shop.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_stripe_declines_fails_the_booking_with_its_reason() {
    let shop = Shop::start("5m").await;
    let id = shop.book("pm_card_chargeDeclinedInsufficientFunds").await;
    let failed = shop.comes_to_be(id, "failed").await;
    assert_eq!(failed["payment"]["decline_reason"], "insufficient_funds", "{failed}");
    assert_eq!(shop.stripe.account().balance(), 0);
    shop.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_whose_answer_comes_after_the_hold_has_lapsed_is_given_back() {
    for fault in
        [Fault::DelayedAfter(Duration::from_secs(4)), Fault::DelayedBefore(Duration::from_secs(4))]
    {
        let shop = Shop::start("1s").await;
        shop.stripe.plan("/confirm", fault);
        let id = shop.book("pm_card_visa").await;
        shop.comes_to_be(id, "failed").await;
        eventually("a payment that is reversed", async || {
            let payment = shop.booking(id).await["payment"].clone();
            if payment["status"] == "reversed" { Ok(()) } else { Err(payment) }
        })
        .await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(shop.stripe.account().balance(), 0, "{fault:?}");
        shop.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_the_steps_of_a_payment_takes_its_money_once() {
    for call in ["/payment_intents", "/confirm"] {
        let mut shop = Shop::start("5m").await;
        shop.stripe.plan(call, Fault::DelayedAfter(Duration::from_secs(60)));
        let id = shop.book("pm_card_visa").await;
        eventually("a call", async || {
            let count = shop.stripe.calls(call);
            if count > 0 { Ok(()) } else { Err(count) }
        })
        .await;
        shop.restart().await;
        shop.comes_to_be(id, "completed").await;
        assert_eq!(shop.stripe.account().balance(), 500_000, "{call}");
        shop.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_who_approves_at_the_bank_completes_the_booking() {
    let shop = Shop::start("5m").await;
    let id = shop.book("pm_card_threeDSecure2Required").await;
    let shown = shop.comes_to_need_its_payer(id).await["next_action"].clone();
    assert_eq!(shown, json!({"type": "client_secret", "client_secret": "pi_1_secret_1"}));
    let reference = shop.stripe.account().intents[0].reference.clone();
    shop.stripe.account().act(&reference, true);
    shop.comes_to_be(id, "completed").await;
    assert_eq!(shop.stripe.account().balance(), 500_000);
    shop.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_makes_the_service_ask_at_once_and_settles_nothing_by_itself() {
    let shop = Shop::start_redriving("5m", "1h").await;
    let id = shop.book("pm_card_threeDSecure2Required").await;
    shop.comes_to_need_its_payer(id).await;
    let reference = shop.stripe.account().intents[0].reference.clone();
    let body = event("payment_intent.succeeded", &reference).to_string();
    let now = SystemClock.now().timestamp();
    let right = signature(WEBHOOK_SECRET, now, &body);

    // Signed, and not true: nothing is settled.
    assert_eq!(shop.webhook(&body, &right).await, 204);
    eventually("a question about the intent", async || {
        let count = shop.stripe.calls("GET /v1/payment_intents/");
        if count > 0 { Ok(()) } else { Err(count) }
    })
    .await;
    assert_eq!(shop.booking(id).await["payment"]["status"], "action_required");

    shop.stripe.account().act(&reference, true);
    let asked = shop.stripe.calls("GET /v1/payment_intents/");
    for refused in [
        String::new(),
        "t=1".to_owned(),
        signature("whsec_anothers", now, &body),
        signature(WEBHOOK_SECRET, now - 600, &body),
        signature(WEBHOOK_SECRET, now, "another body"),
    ] {
        assert_eq!(shop.webhook(&body, &refused).await, 400, "{refused}");
    }
    assert_eq!(shop.webhook("[]", &signature(WEBHOOK_SECRET, now, "[]")).await, 400);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(shop.stripe.calls("GET /v1/payment_intents/"), asked);
    assert_eq!(shop.booking(id).await["status"], "pending");

    // Duplicates, out of order, at once, and one about nothing of the service.
    let early = event("payment_intent.created", &reference).to_string();
    let foreign = event("payment_intent.succeeded", "PAY-00000000000000000000000000000007");
    for body in [&body, &early, &body, &foreign.to_string()] {
        assert_eq!(shop.webhook(body, &signature(WEBHOOK_SECRET, now, body)).await, 204);
    }
    shop.comes_to_be(id, "completed").await;
    assert_eq!(shop.webhook(&body, &right).await, 204);
    assert_eq!(shop.stripe.account().balance(), 500_000);
    shop.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_endpoint_for_webhooks_without_stripe() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[]).await;
    let sent = http_client().post(format!("{}/payments/webhooks/stripe", server.base)).send().await;
    assert_eq!(sent.expect("an answer").status(), 404);
    let document = http_client().get(format!("{}/openapi.json", server.base)).send().await;
    let document: Value = document.expect("an answer").json().await.expect("JSON");
    assert_eq!(document["paths"].get("/payments/webhooks/stripe"), None);
}
