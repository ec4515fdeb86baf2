//! `PAYMENT_GATEWAY` is changed on a database with payments of the other gateway: no money is called returned that was
//! not, and none is taken twice.

use super::Shop;
use crate::support::eventually;
use crate::support::process::{Server, http_client};
use crate::support::stripe::Fault;
use serde_json::json;
use std::time::Duration;

impl Shop {
    /// Restarts the service with the simulated gateway, which takes that long for an answer.
    async fn restart_simulated(&mut self, latency: &str) {
        if let Some(server) = self.server.take() {
            server.kill().await;
        }
        let settings = self.settings().map(|(name, value)| match name {
            "PAYMENT_GATEWAY" => (name, "simulated"),
            _ => (name, value),
        });
        let own = settings.into_iter().filter(|(name, _)| !name.starts_with("STRIPE_"));
        let own: Vec<_> = own.chain([("PAYMENT_LATENCY", latency)]).collect();
        self.server = Some(Server::start(self.directory.path(), &own).await);
    }

    async fn stop(&mut self) {
        let server = self.server.take().expect("it runs");
        assert!(server.terminate().await, "a clean stop");
    }

    async fn errors(&self) -> f64 {
        let base = &self.server.as_ref().expect("it runs").base;
        let answer = http_client().get(format!("{base}/metrics")).send().await.expect("an answer");
        let text = answer.text().await.expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix("payment_gateway_errors_total "));
        line.expect("the counter").parse().expect("a number")
    }

    /// Waits until the gateway was asked twice in vain: a request and its repeat.
    async fn is_refused_again(&self) {
        let before = self.errors().await;
        eventually("requests that are refused", async || {
            let refused = self.errors().await - before;
            if refused >= 6.0 { Ok(()) } else { Err(refused) }
        })
        .await;
    }

    async fn payment_is(&self, booking: i64, status: &str) {
        eventually(format!("a payment that is {status}"), async || {
            let payment = self.booking(booking).await["payment"].clone();
            if payment["status"] == status { Ok(()) } else { Err(payment) }
        })
        .await;
    }

    async fn refund_is(&self, booking: i64, status: &str) {
        eventually(format!("a refund that is {status}"), async || {
            let refund = self.booking(booking).await["refunds"][0].clone();
            if refund["status"] == status { Ok(()) } else { Err(refund) }
        })
        .await;
    }

    /// How many payments the simulated gateway has in a state.
    async fn in_the_ledger(&self, state: &str) -> u64 {
        let look = format!("UPDATE gateway_ledger SET state = state WHERE state = '{state}'");
        self.database.plant(&look).await
    }

    async fn cancel_at(&self, booking: i64) {
        self.post(&format!("/api/v1/bookings/{booking}/cancel"), &json!({})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_neither_takes_nor_returns_what_the_simulated_gateway_took() {
    let mut shop = Shop::start("1h").await;
    shop.stop().await;
    shop.restart_simulated("2s").await;
    let refunded = shop.book("pm_card_visa").await;
    shop.comes_to_be(refunded, "completed").await;
    // Captured, and killed before the answer comes at the repeat.
    let reversed = shop.book("pm_card_timeout").await;
    eventually("a capture without an answer", async || {
        let captured = shop.in_the_ledger("captured").await;
        if captured == 2 { Ok(()) } else { Err(captured) }
    })
    .await;
    shop.restart().await;

    shop.is_refused_again().await;
    assert_eq!(shop.booking(reversed).await["status"], "pending");
    shop.cancel_at(reversed).await;
    shop.cancel_at(refunded).await;
    shop.is_refused_again().await;
    shop.payment_is(reversed, "reversing").await;
    shop.refund_is(refunded, "requested").await;
    assert_eq!(shop.stripe.account().calls, [""; 0]);
    let paid = shop.book("pm_card_visa").await;
    shop.comes_to_be(paid, "completed").await;
    shop.stop().await;

    shop.restart_simulated("0s").await;
    shop.payment_is(reversed, "reversed").await;
    shop.refund_is(refunded, "done").await;
    assert_eq!(shop.in_the_ledger("refunded").await, 1);
    shop.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulated_gateway_neither_takes_nor_returns_what_stripe_took() {
    let mut shop = Shop::start("1h").await;
    let refunded = shop.book("pm_card_visa").await;
    shop.comes_to_be(refunded, "completed").await;
    shop.stop().await;
    shop.restart().await;
    // Stripe's answers come too late for this process.
    let delay = Fault::DelayedAfter(Duration::from_secs(600));
    shop.stripe.plan("/confirm", delay);
    let reversed = shop.book("pm_card_visa").await;
    eventually("a capture without an answer", async || {
        let balance = shop.stripe.account().balance();
        if balance == 1_000_000 { Ok(()) } else { Err(balance) }
    })
    .await;
    shop.restart_simulated("0s").await;

    shop.is_refused_again().await;
    assert_eq!(shop.booking(reversed).await["status"], "pending");
    shop.cancel_at(reversed).await;
    shop.cancel_at(refunded).await;
    shop.is_refused_again().await;
    shop.payment_is(reversed, "reversing").await;
    shop.refund_is(refunded, "requested").await;
    assert_eq!(shop.stripe.account().balance(), 1_000_000);
    let paid = shop.book("pm_card_visa").await;
    shop.comes_to_be(paid, "completed").await;
    shop.stop().await;

    shop.restart().await;
    shop.payment_is(reversed, "reversed").await;
    shop.refund_is(refunded, "done").await;
    shop.balance_comes_to_be(0).await;
    shop.finish().await;
}
