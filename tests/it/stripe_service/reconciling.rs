//! `airline-booking reconcile` is clean, and finds what differs between Stripe and the database.

use super::Shop;
use crate::support::eventually;
use crate::support::process::run_with;
use crate::support::stripe::{Intent, Refund};
use serde_json::json;

/// A difference to plant.
enum Plant {
    /// In the row of a captured payment.
    Row(&'static str),
    /// In its intent.
    Intent(fn(&mut Intent)),
    /// In the refund that was made.
    Refund(fn(&mut Refund)),
}

const PLANTS: [(Plant, &str); 10] = [
    (Plant::Row("status = 'declined'"), "declined here, the gateway keeps 5000.00"),
    (Plant::Row("status = 'reversed'"), "reversed here, the gateway keeps 5000.00"),
    (Plant::Row("gateway_reference = 'pi_99'"), "captured here, unknown at the gateway"),
    (Plant::Row("gateway_reference = NULL"), "the gateway keeps 5000.00 as"),
    (Plant::Intent(|its| its.status = "canceled"), "captured here, not at the gateway"),
    (Plant::Intent(|its| its.amount = 400_000), "5000.00 captured here, 4000.00 at the gateway"),
    (Plant::Refund(|its| its.status = "failed"), "is done here, not at the gateway"),
    (Plant::Refund(|its| its.amount -= 100), "4999.00 at the gateway"),
    (Plant::Refund(|its| its.refund_id = String::new()), "the gateway gave back 5000.00 as"),
    (
        Plant::Refund(|its| its.refund_id = "REF-00000000000000000000000000000007".into()),
        "the gateway made the refund REF-00000000000000000000000000000007",
    ),
];

impl Shop {
    pub(super) async fn reconcile(&self) -> (i32, String) {
        run_with(self.directory.path(), &self.settings(), &["reconcile"]).await
    }

    /// Plants a difference, compares, and undoes it; gives what was printed.
    async fn reconcile_with(&self, plant: &Plant) -> (i32, String) {
        let (intents, refunds) = {
            let account = self.stripe.account();
            (account.intents.clone(), account.refunds.clone())
        };
        // A captured payment without a refund.
        let is_kept = |its: &Intent| its.captures > 0 && its.id != refunds[0].intent;
        let place = intents.iter().position(is_kept).expect("a captured intent");
        let Intent { id, reference, .. } = &intents[place];
        let row = |set: &str| format!("UPDATE payments SET {set} WHERE reference = '{reference}'");
        match plant {
            Plant::Row(set) => drop(self.database.plant(&row(set)).await),
            Plant::Intent(change) => change(&mut self.stripe.account().intents[place]),
            Plant::Refund(change) => change(&mut self.stripe.account().refunds[0]),
        }
        let printed = self.reconcile().await;
        let undo = row(&format!("status = 'captured', gateway_reference = '{id}'"));
        self.database.plant(&undo).await;
        let mut account = self.stripe.account();
        (account.intents, account.refunds) = (intents, refunds);
        printed
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reconciliation_is_clean_and_finds_each_planted_difference() {
    let mut shop = Shop::start("5m").await;
    let mut paid = Vec::new();
    for _ in 0..5 {
        let id = shop.book("pm_card_visa").await;
        shop.comes_to_be(id, "completed").await;
        paid.push(id);
    }
    let declined = shop.book("pm_card_chargeDeclinedInsufficientFunds").await;
    shop.comes_to_be(declined, "failed").await;
    shop.post(&format!("/api/v1/bookings/{}/cancel", paid[0]), &json!({})).await;
    eventually("a refund that is done", async || {
        let status = shop.booking(paid[0]).await["refunds"][0]["status"].clone();
        if status == "done" { Ok(()) } else { Err(status) }
    })
    .await;
    let server = shop.server.take().expect("it runs");
    assert!(server.terminate().await, "a clean stop");
    let (code, printed) = shop.reconcile().await;
    assert_eq!((code, printed.trim_end()), (0, "6 payments compared: clean"));
    for (plant, told) in &PLANTS {
        let (code, printed) = shop.reconcile_with(plant).await;
        let is_told = printed.lines().any(|line| line.starts_with("PAY-") && line.contains(told));
        assert!(code == 1 && is_told, "{told}: {code} {printed}");
    }
    let (code, printed) = shop.reconcile().await;
    assert_eq!(code, 0, "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_makes_the_service_ask_again_about_an_open_payment() {
    let shop = Shop::start_redriving("1h", "1h").await;
    let id = shop.book("pm_card_threeDSecure2Required").await;
    shop.comes_to_need_its_payer(id).await;
    let reference = shop.stripe.account().intents[0].reference.clone();
    shop.stripe.account().act(&reference, true);
    // Without a webhook, and older than what may be under way.
    let row = format!("UPDATE payments SET updated_at = {{}} WHERE reference = '{reference}'");
    let long_ago = if crate::support::deployment::is_shared() {
        "updated_at - interval '20 minutes'"
    } else {
        "updated_at - 1200000000"
    };
    shop.database.plant(&row.replace("{}", long_ago)).await;
    let (code, printed) = shop.reconcile().await;
    assert!(
        code == 1 && printed.contains("requested here, the gateway keeps 5000.00"),
        "{printed}"
    );
    assert_eq!(shop.booking(id).await["status"], "pending");
    let (directory, settings) = (shop.directory.path(), shop.settings());
    let (code, printed) = run_with(directory, &settings, &["reconcile", "--repair"]).await;
    assert_eq!(code, 1, "{printed}");
    shop.comes_to_be(id, "completed").await;
    let (code, printed) = shop.reconcile().await;
    assert_eq!(code, 0, "{printed}");
    shop.finish().await;
}
