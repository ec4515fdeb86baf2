//! A Stripe that misbehaves for minutes, while the service is killed again and again.

use super::Shop;
use crate::support::stripe::Fault;
use crate::support::{eventually, flight, within};
use futures::future::join_all;
use serde_json::json;
use std::time::Duration;

const ROUNDS: usize = 6;
const BOOKINGS: usize = 20;

const METHODS: [&str; 4] = [
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_chargeDeclinedInsufficientFunds",
    "pm_card_threeDSecure2Required",
];

impl Shop {
    /// Some payers approve, some give up, some leave.
    fn payers_act(&self, chance: &mut fastrand::Rng) {
        let mut account = self.stripe.account();
        let waiting = account.intents.iter().filter(|its| its.status == "requires_action");
        let waiting: Vec<_> = waiting.map(|its| its.reference.clone()).collect();
        for reference in waiting {
            if chance.u8(..3) > 0 {
                account.act(&reference, chance.bool());
            }
        }
    }

    async fn count(&self, ids: &[i64], status: &str) -> usize {
        let found = join_all(ids.iter().map(|id| self.booking(*id))).await;
        found.iter().filter(|booking| booking["status"] == status).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_booking_is_charged_once_or_not_at_all_whatever_stripe_does_and_however_often_it_is_killed()
 {
    let mut chance = fastrand::Rng::with_seed(14);
    let mut shop = Shop::start("20s").await;
    let created = shop.post("/api/v1/flights", &flight(2 * (ROUNDS * BOOKINGS) as i32)).await;
    shop.flight = created["id"].as_i64().expect("an id");
    shop.stripe.misbehave(14);
    let mut ids = Vec::new();
    for _ in 0..ROUNDS {
        let methods: Vec<_> = (0..BOOKINGS).map(|_| METHODS[chance.usize(..4)]).collect();
        ids.extend(join_all(methods.into_iter().map(|method| shop.book(method))).await);
        tokio::time::sleep(Duration::from_millis(chance.u64(50..900))).await;
        shop.payers_act(&mut chance);
        shop.restart().await;
    }
    within(Duration::from_secs(90), "bookings that have all ended", async || {
        match shop.count(&ids, "pending").await {
            0 => Ok(()),
            pending => Err(pending),
        }
    })
    .await;
    for id in ids.iter().step_by(5) {
        shop.post(&format!("/api/v1/bookings/{id}/cancel"), &json!({})).await;
    }
    shop.stripe.behave();
    let completed = shop.count(&ids, "completed").await;
    assert!(completed > 0, "nothing was sold");
    within(Duration::from_secs(60), "the money of the completed bookings alone", async || {
        // A day passes for the keys, and with it the server errors that they keep.
        shop.stripe.forget_keys();
        let balance = shop.stripe.account().balance();
        if balance == completed as i64 * 500_000 { Ok(()) } else { Err((balance, completed)) }
    })
    .await;
    assert!(shop.stripe.account().intents.iter().all(|intent| intent.captures <= 1));
    eventually("a reconciliation that is clean", async || {
        let (code, printed) = shop.reconcile().await;
        if code == 0 { Ok(()) } else { Err(printed) }
    })
    .await;
    shop.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_made_within_five_seconds_while_captures_hang() {
    let shop = Shop::start("5m").await;
    let paid = shop.book("pm_card_visa").await;
    shop.comes_to_be(paid, "completed").await;
    for _ in 0..8 {
        shop.stripe.plan("/confirm", Fault::DelayedBefore(Duration::from_secs(600)));
        shop.book("pm_card_visa").await;
    }
    eventually("captures that hang", async || {
        let count = shop.stripe.calls("POST /v1/payment_intents ");
        if count == 9 { Ok(()) } else { Err(count) }
    })
    .await;
    shop.post(&format!("/api/v1/bookings/{paid}/cancel"), &json!({})).await;
    within(Duration::from_secs(5), "a refund that is done", async || {
        let status = shop.booking(paid).await["refunds"][0]["status"].clone();
        if status == "done" { Ok(()) } else { Err(status) }
    })
    .await;
}
