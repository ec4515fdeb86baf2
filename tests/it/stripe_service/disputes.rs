//! Refunds that Stripe or a bank refuses, and payments that their payers dispute.

use super::{Shop, WEBHOOK_SECRET, signature};
use crate::support::eventually;
use crate::support::process::http_client;
use crate::support::stripe::{Fault, dispute_event, refund_event};
use airline_booking::clock::{Clock, SystemClock};
use serde_json::{Value, json};

impl Shop {
    /// Sends a signed event; gives its status.
    pub(super) async fn tell(&self, event: &Value) -> u16 {
        let (body, now) = (event.to_string(), SystemClock.now().timestamp());
        self.webhook(&body, &signature(WEBHOOK_SECRET, now, &body)).await
    }

    async fn refunds_come_to_be(&self, id: i64, statuses: &[&str]) -> Value {
        eventually(format!("refunds that are {statuses:?}"), async || {
            let refunds = self.booking(id).await["refunds"].clone();
            let all = refunds.as_array().expect("a list").iter();
            let is: Vec<_> = all.map(|refund| refund["status"].clone()).collect();
            if is == statuses { Ok(()) } else { Err(refunds) }
        })
        .await;
        self.booking(id).await["refunds"].clone()
    }

    /// A booking of two seats that is paid, and its intent.
    async fn paid(&self) -> (i64, String) {
        let id = self.book("pm_card_visa").await;
        self.comes_to_be(id, "completed").await;
        let intent = self.stripe.account().intents.last().expect("an intent").id.clone();
        (id, intent)
    }

    async fn cancel(&self, id: i64, body: Value) -> Value {
        self.post(&format!("/api/v1/bookings/{id}/cancel"), &body).await
    }

    async fn retry(&self, refund: &Value) -> (u16, Value) {
        let base = &self.server.as_ref().expect("it runs").base;
        let id = refund["id"].as_str().expect("an id");
        let sent = http_client().post(format!("{base}/api/v1/refunds/{id}/retry")).send().await;
        let answer = sent.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_stripe_refuses_is_owed_until_staff_has_it_made() {
    let shop = Shop::start("5m").await;
    let (id, _) = shop.paid().await;
    shop.stripe.plan("POST /v1/refunds", Fault::Refuses);
    shop.cancel(id, json!({})).await;
    let refunds = shop.refunds_come_to_be(id, &["failed"]).await;
    assert_eq!(shop.stripe.account().balance(), 500_000, "nothing went back");
    // The key of the refused call is forgotten after a day.
    shop.stripe.forget_keys();
    let (status, retried) = shop.retry(&refunds[0]).await;
    assert_eq!((status, &retried["status"]), (200, &json!("requested")));
    let refunds = shop.refunds_come_to_be(id, &["done"]).await;
    assert_eq!(shop.stripe.account().balance(), 0);
    let (status, problem) = shop.retry(&refunds[0]).await;
    assert_eq!((status, &problem["code"]), (409, &json!("refund_not_failed")));
    let unknown = json!({"id": "REF-00000000000000000000000000000001"});
    assert_eq!(shop.retry(&unknown).await.0, 404);
    assert_eq!(shop.retry(&json!({"id": "none"})).await.0, 404);
    shop.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_the_bank_sends_back_has_failed_and_is_made_again() {
    let shop = Shop::start("5m").await;
    let (id, _) = shop.paid().await;
    shop.cancel(id, json!({"passengers": [0]})).await;
    let refunds = shop.refunds_come_to_be(id, &["done"]).await;
    let refund = refunds[0]["id"].as_str().expect("an id").to_owned();
    // What the event says is not believed: the refund stands at Stripe.
    assert_eq!(shop.tell(&refund_event("refund.failed", &refund)).await, 204);
    shop.refunds_come_to_be(id, &["done"]).await;
    shop.stripe.account().refunds[0].status = "failed";
    for kind in ["refund.failed", "charge.refund.updated"] {
        assert_eq!(shop.tell(&refund_event(kind, &refund)).await, 204);
        shop.refunds_come_to_be(id, &["failed"]).await;
    }
    assert_eq!(shop.retry(&refunds[0]).await.0, 200);
    shop.refunds_come_to_be(id, &["done"]).await;
    assert_eq!(shop.stripe.account().balance(), 250_000);
    shop.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_wait_while_a_dispute_is_open_and_a_lost_one_is_not_refunded_as_well() {
    let shop = Shop::start("5m").await;
    let (id, intent) = shop.paid().await;
    shop.stripe.account().dispute(&intent, 500_000);
    assert_eq!(shop.tell(&dispute_event("charge.dispute.created", &intent)).await, 204);
    shop.cancel(id, json!({"passengers": [1]})).await;
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    shop.refunds_come_to_be(id, &["requested"]).await;
    assert_eq!(shop.stripe.calls("POST /v1/refunds"), 0, "no refund is asked for");
    shop.stripe.account().disputes[0].status = "lost";
    assert_eq!(shop.tell(&dispute_event("charge.dispute.closed", &intent)).await, 204);
    let ended = shop.comes_to_be(id, "cancelled").await;
    let reasons: Vec<_> = ended["refunds"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|refund| {
            (refund["reason"].clone(), refund["status"].clone(), refund["amount"].clone())
        })
        .collect();
    let half = (json!("dispute"), json!("done"), json!(2500.0));
    assert_eq!(reasons, [half.clone(), half]);
    assert_eq!(shop.stripe.account().balance(), 0, "the bank alone gave it back");
    assert_eq!(shop.stripe.calls("POST /v1/refunds"), 0);
    shop.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_dispute_that_is_won_the_refunds_go_on() {
    let shop = Shop::start("5m").await;
    let (id, intent) = shop.paid().await;
    shop.stripe.account().dispute(&intent, 500_000);
    assert_eq!(shop.tell(&dispute_event("charge.dispute.created", &intent)).await, 204);
    shop.cancel(id, json!({})).await;
    shop.stripe.account().disputes[0].status = "won";
    assert_eq!(shop.tell(&dispute_event("charge.dispute.closed", &intent)).await, 204);
    shop.refunds_come_to_be(id, &["done"]).await;
    assert_eq!(shop.stripe.account().balance(), 0);
    shop.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn news_that_stripe_does_not_confirm_just_now_is_told_again() {
    let shop = Shop::start("5m").await;
    let (_, intent) = shop.paid().await;
    shop.stripe.account().dispute(&intent, 500_000);
    shop.stripe.plan("/v1/disputes", Fault::FailsBefore);
    let event = dispute_event("charge.dispute.created", &intent);
    assert_eq!(shop.tell(&event).await, 503, "Stripe sends it again later");
    assert_eq!(shop.tell(&event).await, 204);
    for unknown in ["pi_999", "../v1/refunds", ""] {
        let status = shop.tell(&dispute_event("charge.dispute.created", unknown)).await;
        assert!([204, 503].contains(&status), "{unknown}: {status}");
    }
    shop.finish().await;
}
