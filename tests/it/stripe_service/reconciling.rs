//! `airline-booking reconcile` is clean, and finds each of many differences between Stripe and the database.

use super::Shop;
use super::plants::{HERE, Kind, Plant, Side, THERE};
use crate::support::deployment::is_shared;
use crate::support::process::run_with;
use crate::support::stripe::dispute_event;
use crate::support::{booking, eventually, flight};
use futures::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A payment of some kind, and its booking.
struct Paid {
    kind: Kind,
    booking: i64,
    payment: String,
}

/// Payments of each kind that nothing is planted in.
const SOUND: [Kind; 9] = [
    Kind::Captured,
    Kind::Later,
    Kind::Declined,
    Kind::Voided,
    Kind::Reversed,
    Kind::PartRefund,
    Kind::WholeRefund,
    Kind::Disputed,
    Kind::Open,
];

impl Shop {
    pub(super) async fn reconcile(&self) -> (i32, String) {
        run_with(self.directory.path(), &self.settings(), &["reconcile"]).await
    }

    /// Lets all that happened have happened twenty minutes ago.
    pub(super) async fn grow_older(&self) {
        let by = if is_shared() { "interval '20 minutes'" } else { "1200000000" };
        for table in ["bookings", "payments", "refunds"] {
            let ago = format!("created_at = created_at - {by}, updated_at = updated_at - {by}");
            self.database.plant(&format!("UPDATE {table} SET {ago}")).await;
        }
        for intent in &mut self.stripe.account().intents {
            intent.created -= 1_200;
        }
    }

    async fn pay(&self, kind: Kind) -> Paid {
        let booking = match kind {
            Kind::Captured | Kind::PartRefund | Kind::WholeRefund | Kind::Disputed => {
                self.book("pm_card_visa").await
            }
            Kind::Later => self.book_and_pay_later().await,
            Kind::Declined => self.book("pm_card_chargeDeclinedInsufficientFunds").await,
            Kind::Voided | Kind::Reversed | Kind::Open => {
                self.book("pm_card_threeDSecure2Required").await
            }
        };
        match kind {
            Kind::Captured | Kind::Later => drop(self.comes_to_be(booking, "completed").await),
            Kind::Declined => drop(self.comes_to_be(booking, "failed").await),
            Kind::Open => drop(self.comes_to_need_its_payer(booking).await),
            Kind::PartRefund => self.cancel_paid(booking, &json!({"passengers": [0]})).await,
            Kind::WholeRefund => self.cancel_paid(booking, &json!({})).await,
            Kind::Disputed => self.lose_a_dispute(booking).await,
            Kind::Voided => self.cancel_open(booking, false).await,
            Kind::Reversed => self.cancel_open(booking, true).await,
        }
        let payment = self.payment_of(booking).await;
        Paid { kind, booking, payment }
    }

    pub(super) async fn payment_of(&self, booking: i64) -> String {
        let shown = self.booking(booking).await;
        shown["payment_reference_id"].as_str().expect("a reference").to_owned()
    }

    async fn book_and_pay_later(&self) -> i64 {
        let mut body = booking(self.flight, 2);
        body["payment"] = json!("later");
        let placed = self.post("/api/v1/bookings", &body).await;
        let id = placed["booking_id"].as_i64().expect("an id");
        let method = json!({"payment_method": "pm_card_visa"});
        self.post(&format!("/api/v1/bookings/{id}/payment"), &method).await;
        id
    }

    async fn cancel_paid(&self, booking: i64, part: &Value) {
        self.comes_to_be(booking, "completed").await;
        self.post(&format!("/api/v1/bookings/{booking}/cancel"), part).await;
        eventually("a refund that is done", async || {
            let status = self.booking(booking).await["refunds"][0]["status"].clone();
            if status == "done" { Ok(()) } else { Err(status) }
        })
        .await;
    }

    async fn lose_a_dispute(&self, booking: i64) {
        self.comes_to_be(booking, "completed").await;
        let payment = self.payment_of(booking).await;
        let intent = {
            let mut account = self.stripe.account();
            let its = account.intents.iter().find(|its| its.reference == payment);
            let intent = its.expect("its intent").id.clone();
            account.dispute(&intent, 200_000);
            account.disputes.last_mut().expect("a dispute").status = "lost";
            intent
        };
        assert_eq!(self.tell(&dispute_event("charge.dispute.closed", &intent)).await, 204);
    }

    async fn cancel_open(&self, booking: i64, is_approved: bool) {
        self.comes_to_need_its_payer(booking).await;
        if is_approved {
            let payment = self.payment_of(booking).await;
            self.stripe.account().act(&payment, true);
        }
        self.post(&format!("/api/v1/bookings/{booking}/cancel"), &json!({})).await;
        eventually("a payment that is reversed", async || {
            let payment = self.booking(booking).await["payment"].clone();
            if payment["status"] == "reversed" { Ok(()) } else { Err(payment) }
        })
        .await;
    }

    async fn plant(&self, plant: &Plant, number: usize, paid: &Paid, other: &str) {
        match plant.side {
            Side::Here(statement) => {
                let statement = statement
                    .replace("{payment}", &paid.payment)
                    .replace("{booking}", &paid.booking.to_string())
                    .replace("{other}", other)
                    .replace("{refund}", &format!("REF-{number:032x}"));
                assert!(self.database.plant(&statement).await > 0, "{statement}");
            }
            Side::There(change) => change(&mut self.stripe.account(), &paid.payment),
        }
    }
}

/// The lines of each payment in a table. Fails if one is named twice.
pub(super) fn by_payment(printed: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut payment = String::new();
    let table = printed.lines().skip(1).take_while(|line| !line.contains(" payments compared: "));
    for line in table {
        let (name, rest) = line.split_at(36);
        if !name.trim().is_empty() {
            name.clone_into(&mut payment);
            assert!(!found.contains_key(name), "{name} is named twice: {printed}");
        }
        found.entry(payment.clone()).or_default().push(rest.trim_start().to_owned());
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn reconciliation_is_clean_and_names_each_planted_difference_once() {
    let mut shop = Shop::start_redriving("1h", "1h").await;
    let created = shop.post("/api/v1/flights", &flight(400)).await;
    shop.flight = created["id"].as_i64().expect("an id");
    let plants: Vec<_> = HERE.iter().chain(&THERE).collect();
    assert!(plants.len() >= 50);
    let kinds = SOUND.into_iter().chain(plants.iter().map(|plant| plant.of));
    let mut paid = join_all(kinds.map(|kind| shop.pay(kind))).await;
    let server = shop.server.take().expect("it runs");
    assert!(server.terminate().await, "a clean stop");
    shop.grow_older().await;
    let (code, printed) = shop.reconcile().await;
    let clean = format!("{} payments compared: clean", SOUND.len() + plants.len());
    assert_eq!((code, printed.trim_end()), (0, &*clean));

    let planted = paid.split_off(SOUND.len());
    let other = |its: &&crate::support::stripe::Intent| its.reference == paid[0].payment;
    let other = shop.stripe.account().intents.iter().find(other).expect("an intent").id.clone();
    for (number, (plant, paid)) in plants.iter().zip(&planted).enumerate() {
        assert_eq!(plant.of, paid.kind);
        shop.plant(plant, number + 16, paid, &other).await;
    }
    let (code, printed) = shop.reconcile().await;
    assert_eq!(code, 1, "{printed}");
    let mut found = by_payment(&printed);
    for (plant, paid) in plants.iter().zip(&planted) {
        let lines = found.remove(&paid.payment).unwrap_or_default();
        let is_told = lines.iter().any(|line| line.contains(plant.told));
        assert!(is_told, "{:?}, {}: {lines:?}", plant.of, plant.told);
    }
    assert_eq!(found, BTreeMap::new(), "{printed}");
    // The words of a table stand under each other.
    let header = printed.lines().next().expect("a header");
    let column = header.find("what was done").expect("a column");
    for line in printed.lines().skip(1).take_while(|line| !line.contains(" compared: ")) {
        assert!(line[..column].ends_with("  ") && !line[column..].starts_with(' '), "{printed}");
    }
}
