//! Payments through a hostile Stripe while one of two replicas is killed again and again: each booking ends charged once
//! with its seats, or not charged, or refunded, without them.
//!
//! `tests/run` places a few hundred; `KILLED_PAYMENTS=5000` says how many.

mod payers;

use crate::support::callers::Bases;
use crate::support::process::{Server, http_client, run_with};
use crate::support::replicas::Replicas;
use crate::support::stripe::{API_KEY, FakeStripe, WEBHOOK_SECRET};
use crate::support::{booking, equal, eventually};
use fastrand::Rng;
use payers::Payers;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BOOKINGS: usize = 200;
const CLIENTS: usize = 16;
const SEATS: i32 = 10_000;

/// Interval between two kills in a long run, and in a short one.
const KILL_EVERY: [Duration; 2] = [Duration::from_secs(5), Duration::from_millis(1_500)];
const KILLS_MIN: usize = 4;

/// What is still under way.
const OPEN: &str = "
    SELECT (SELECT count(*) FROM payments WHERE status IN ('requested', 'reversal_requested'))
         + (SELECT count(*) FROM refunds WHERE status = 'requested')
         + (SELECT count(*) FROM outbox)";

/// Two replicas, one of which is killed now and then, and their Stripe.
struct Shop {
    stripe: Arc<FakeStripe>,
    replicas: Replicas,
    bases: Bases,
    servers: Vec<Option<Server>>,
    directory: tempfile::TempDir,
}

impl Shop {
    async fn start() -> Self {
        let stripe = Arc::new(FakeStripe::start().await);
        let replicas = Replicas::new().await;
        let settings = [
            ("PAYMENT_GATEWAY", "stripe"),
            ("STRIPE_SECRET_KEY", API_KEY),
            ("STRIPE_API_BASE", &stripe.base),
            ("STRIPE_WEBHOOK_SECRETS", WEBHOOK_SECRET),
            ("GATEWAY_TIMEOUT", "2s"),
            ("PAYMENT_REDRIVE_AFTER", "2s"),
            ("LOCK_TTL", "12s"),
            ("RUST_LOG", "error"),
            ("MAX_PENDING_PER_USER", "0"),
        ];
        let replicas = settings.iter().fold(replicas, |all, (name, value)| all.with(name, value));
        let directory = tempfile::tempdir().expect("a directory");
        let bases = Bases::new(vec![String::new(); 2]);
        let mut shop = Self { stripe, replicas, bases, servers: vec![None, None], directory };
        shop.start_replica(0).await;
        shop.start_replica(1).await;
        shop
    }

    async fn start_replica(&mut self, number: usize) {
        let server = Server::start(self.directory.path(), &self.replicas.settings()).await;
        let mut bases: Vec<_> = (0..2).map(|other| self.bases.of(other)).collect();
        bases[number].clone_from(&server.base);
        self.bases.set(bases);
        self.servers[number] = Some(server);
    }

    async fn kill_and_restart(&mut self, turn: usize) {
        let number = turn % 2;
        self.servers[number].take().expect("it runs").kill().await;
        self.start_replica(number).await;
    }

    async fn add_flight(&self) -> i64 {
        let url = format!("{}/api/v1/flights", self.bases.of(0));
        let created = http_client().post(url).json(&crate::support::flight(SEATS)).send().await;
        let created: Value = created.expect("sent").json().await.expect("JSON");
        created["id"].as_i64().unwrap_or_else(|| panic!("no flight: {created}"))
    }

    /// Waits until nothing is under way. A refund whose key keeps a server error is made a day later.
    async fn comes_to_rest(&self, database: &mut PgConnection) {
        let looked_at = Instant::now();
        eventually("an end of all that is under way", async || {
            if looked_at.elapsed() > Duration::from_secs(15) {
                self.stripe.forget_keys();
            }
            let open = sqlx::query_scalar::<_, i64>(OPEN).fetch_one(&mut *database).await;
            equal(open.expect("a count"), 0)
        })
        .await;
    }
}

/// Places bookings until there are enough, each repeated with its key until it has an answer; cancels some.
async fn buy(bases: Bases, flight: i64, client: usize, count: usize) -> usize {
    let (http, mut rng) = (http_client(), Rng::with_seed(client as u64));
    let mut accepted = 0;
    for round in 0..count {
        let mut body = booking(flight, 1);
        body["user_id"] = json!(1 + client * 100_000 + round);
        body["payment_method"] = json!(match rng.usize(0..10) {
            0 | 1 => "pm_card_chargeDeclinedInsufficientFunds",
            2 | 3 => "pm_card_threeDSecure2Required",
            _ => "pm_card_visa",
        });
        let id = loop {
            let url = format!("{}/api/v1/bookings", bases.of(rng.usize(0..2)));
            let post = http.post(url).header("idempotency-key", format!("k{round}")).json(&body);
            let Ok(answer) = post.send().await else { continue };
            let is_accepted = answer.status() == 201;
            let Ok(answer) = answer.json::<Value>().await else { continue };
            if is_accepted {
                break answer["booking_id"].as_i64().expect("a number");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        accepted += 1;
        if rng.usize(0..6) == 0 {
            tokio::time::sleep(Duration::from_millis(rng.u64(0..400))).await;
            let url = format!("{}/api/v1/bookings/{id}/cancel", bases.of(rng.usize(0..2)));
            // Whether it is cancelled or not, its money must follow.
            let _ = http.post(url).send().await;
        }
    }
    accepted
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "its figures are what a long run is for")]
async fn each_booking_ends_charged_once_with_seats_or_not_charged_without() {
    let bookings =
        std::env::var("KILLED_PAYMENTS").ok().map(|text| text.parse().expect("a number"));
    let kill_every = KILL_EVERY[usize::from(bookings.is_none())];
    let bookings: usize = bookings.unwrap_or(BOOKINGS);
    let mut shop = Shop::start().await;
    let flight = shop.add_flight().await;
    let payers = Payers::start(shop.stripe.clone(), shop.bases.clone());
    shop.stripe.misbehave(7);
    let began = Instant::now();
    let clients = (0..CLIENTS).map(|client| {
        tokio::spawn(buy(shop.bases.clone(), flight, client, bookings.div_ceil(CLIENTS)))
    });
    let clients: Vec<_> = clients.collect();
    let mut kills = 0;
    let mut due = tokio::time::interval(kill_every);
    due.tick().await;
    while kills < KILLS_MIN || !clients.iter().all(tokio::task::JoinHandle::is_finished) {
        due.tick().await;
        shop.kill_and_restart(kills).await;
        kills += 1;
    }
    let mut accepted = 0;
    for client in clients {
        accepted += client.await.expect("no client panics");
    }
    shop.stripe.behave();
    let bought_in = began.elapsed();
    let url = shop.replicas.setting("DATABASE_URL").to_owned();
    let mut database = PgConnection::connect(&url).await.expect("a connection");
    shop.comes_to_rest(&mut database).await;
    let refused = payers.stop().await;

    let ends = ends(&mut database).await;
    let (completed, failed): (usize, usize) = (
        ends.values().filter(|(status, _)| status == "completed").count(),
        ends.values().filter(|(status, _)| status == "failed").count(),
    );
    let (intents, refunds) = {
        let account = shop.stripe.account();
        (account.intents.len(), account.refunds.len())
    };
    println!(
        "{accepted} bookings accepted, {kills} kills in {bought_in:.1?}: {completed} completed, {failed} failed, {} \
         cancelled; {intents} intents, {refunds} refunds; {refused} forged or stale webhooks refused",
        ends.len() - completed - failed,
    );
    assert_eq!(ends.len(), accepted);
    assert!(kills >= KILLS_MIN && completed > 0 && failed > 0 && refused > 0);
    expect_money_beside_seats(&shop, &ends);
    let books = "SELECT count(*) FROM gateway_ledger";
    let books: i64 = sqlx::query_scalar(books).fetch_one(&mut database).await.expect("a count");
    assert_eq!(books, 0, "the simulated gateway took nothing");
    shop.replicas.audit().await;
    let settings = shop.replicas.settings();
    let (code, printed) = run_with(shop.directory.path(), &settings, &["reconcile"]).await;
    assert_eq!(code, 0, "{printed}");
}

/// Each booking by its payment: its status, and its price in the currency's minor unit.
async fn ends(database: &mut PgConnection) -> HashMap<String, (String, i64)> {
    let all = "SELECT payment_reference_id, status, (booking_price * 100)::bigint FROM bookings";
    let rows: Vec<(String, String, i64)> =
        sqlx::query_as(all).fetch_all(database).await.expect("bookings");
    rows.into_iter().map(|(payment, status, price)| (payment, (status, price))).collect()
}

/// Stripe keeps the price of each completed booking, once, and nothing for any other.
fn expect_money_beside_seats(shop: &Shop, ends: &HashMap<String, (String, i64)>) {
    let account = shop.stripe.account();
    let mut kept: HashMap<&str, i64> = HashMap::new();
    for intent in &account.intents {
        assert!(intent.captures <= 1, "charged twice: {intent:?}");
        let refunds = account.refunds.iter().filter(|refund| refund.intent == intent.id);
        let refunded: i64 = refunds.map(|refund| refund.amount).sum();
        let taken = intent.amount * i64::from(intent.captures);
        assert!(refunded <= taken, "refunded twice: {intent:?}");
        *kept.entry(&intent.reference).or_default() += taken - refunded;
    }
    for (payment, (status, price)) in ends {
        let kept = kept.remove(payment.as_str()).unwrap_or_default();
        let owed = if status == "completed" { *price } else { 0 };
        assert_eq!(kept, owed, "payment {payment} of a {status} booking");
    }
    assert!(kept.is_empty(), "payments of no booking: {kept:?}");
}
