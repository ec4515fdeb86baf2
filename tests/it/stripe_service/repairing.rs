//! `airline-booking reconcile --repair` makes the service ask again about what is still open, and leaves the rest to
//! people.

use super::Shop;
use super::reconciling::by_payment;
use crate::support::eventually;
use crate::support::process::run_with;
use crate::support::stripe::Fault;
use serde_json::json;

impl Shop {
    async fn repair(&self) -> (i32, String) {
        let (directory, settings) = (self.directory.path(), self.settings());
        run_with(directory, &settings, &["reconcile", "--repair"]).await
    }

    /// Stripe makes no refund for as long as the service asks by itself.
    fn refuse_refunds(&self) {
        for _ in 0..3 {
            self.stripe.plan("POST /v1/refunds", Fault::Locked);
        }
    }

    async fn cancel_in_vain(&self, booking: i64) {
        let asked = self.stripe.calls("POST /v1/refunds");
        self.refuse_refunds();
        self.post(&format!("/api/v1/bookings/{booking}/cancel"), &json!({})).await;
        eventually("a refund that is asked for in vain", async || {
            let asked = self.stripe.calls("POST /v1/refunds") - asked;
            if asked == 3 { Ok(()) } else { Err(asked) }
        })
        .await;
    }

    /// A payment that its payer has approved without a word to the service.
    async fn approved(&self) -> i64 {
        let booking = self.book("pm_card_threeDSecure2Required").await;
        self.comes_to_need_its_payer(booking).await;
        let payment = self.payment_of(booking).await;
        self.stripe.account().act(&payment, true);
        booking
    }

    async fn sold(&self) -> i64 {
        let booking = self.book("pm_card_visa").await;
        self.comes_to_be(booking, "completed").await;
        booking
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_asks_again_about_all_that_is_open_and_leaves_the_rest_to_people() {
    let shop = Shop::start_redriving("1h", "1h").await;
    let (open, reversed, refunded) =
        (shop.approved().await, shop.approved().await, shop.sold().await);
    shop.cancel_in_vain(reversed).await;
    shop.cancel_in_vain(refunded).await;
    let broken = shop.payment_of(shop.sold().await).await;
    let mut waiting = Vec::new();
    for (booking, told) in [
        (open, "requested here, the gateway keeps 5000.00"),
        (reversed, "reversal_requested here, the gateway keeps 5000.00"),
        (refunded, "is requested here, not made at the gateway"),
    ] {
        waiting.push((shop.payment_of(booking).await, told));
    }
    shop.grow_older().await;
    for intent in shop.stripe.account().intents.iter_mut().filter(|its| its.reference == broken) {
        intent.received -= 100;
    }

    let (code, printed) = shop.reconcile().await;
    let mut expected = vec![(broken.clone(), "5000.00 captured here, 4999.00 at the gateway")];
    expected.extend(waiting.clone());
    for (is_repair, done) in
        [(false, "nothing: --repair asks Stripe again"), (true, "asked Stripe again")]
    {
        let (code, printed) = if is_repair { shop.repair().await } else { (code, printed.clone()) };
        assert_eq!(code, 1, "{printed}");
        let found = by_payment(&printed);
        assert_eq!(found.len(), expected.len(), "{printed}");
        for (payment, told) in &expected {
            let done = if *payment == broken { "nothing: needs a person" } else { done };
            let lines = &found[payment];
            assert!(lines[0].contains(told) && lines[0].ends_with(done), "{told}: {printed}");
        }
        let verdict = if is_repair {
            "4 payments compared: 4 differences, 3 asked about again, 1 for a person"
        } else {
            "4 payments compared: 4 differences, 3 that --repair asks about again, 1 for a person"
        };
        assert_eq!(printed.trim_end().lines().last(), Some(verdict));
    }

    shop.comes_to_be(open, "completed").await;
    eventually("a reversal and a refund that are done", async || {
        let payment = shop.booking(reversed).await["payment"]["status"].clone();
        let refund = shop.booking(refunded).await["refunds"][0]["status"].clone();
        if payment == "reversed" && refund == "done" { Ok(()) } else { Err((payment, refund)) }
    })
    .await;
    let (code, printed) = shop.reconcile().await;
    assert_eq!(code, 1, "{printed}");
    assert_eq!(by_payment(&printed).into_keys().collect::<Vec<_>>(), [broken], "{printed}");
    shop.finish().await;
}
