//! `kill -9` under load, again and again: no answered booking is missing, none is stuck.

use crate::support::process::{Server, http_client, run_with};
use crate::support::{TestDatabase, booking, eventually, flight};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

const KILLS: usize = 10;
const CLIENTS: usize = 16;

/// Bookings that are answered before each kill, however slow the machine is.
const ANSWERED_MIN: usize = 12;

/// Fast enough that payments are under way at any kill.
const SETTINGS: &[(&str, &str)] = &[
    ("PAYMENT_LATENCY", "20ms"),
    ("MAX_PARTY_SIZE", "9"),
    ("SWEEP_INTERVAL", "100ms"),
    ("PAYMENT_REDRIVE_AFTER", "2s"),
];

async fn create_flights(client: &reqwest::Client, base: &str) -> Vec<i64> {
    let mut ids = Vec::new();
    for _ in 0..4 {
        let created = client.post(format!("{base}/api/v1/flights")).json(&flight(9_000));
        let created: Value = created.send().await.expect("sent").json().await.expect("JSON");
        ids.push(created["id"].as_i64().expect("an id"));
    }
    ids
}

/// Books until `stop` is set or the connection is refused; reports each answered booking.
async fn load(
    client: reqwest::Client,
    base: String,
    flights: Vec<i64>,
    number: usize,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    answered: mpsc::UnboundedSender<Value>,
) {
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let mut body = booking(flights[(number + round) % flights.len()], 2);
        if round % 5 == 0 {
            body["payment_method"] = json!("pm_card_declined");
        }
        let Ok(response) = client.post(format!("{base}/api/v1/bookings")).json(&body).send().await
        else {
            return;
        };
        assert_ne!(response.status(), 500);
        if response.status() == 201
            && let Ok(booking) = response.json().await
        {
            answered.send(booking).expect("the test listens");
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_kills_under_load_lose_no_answered_booking() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = TestDatabase::create().await;
    let url = database.url();
    let settings = [SETTINGS, &[("DATABASE_URL", url.as_str())]].concat();
    let client = http_client();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let mut flights = Vec::new();
    for kill in 0..KILLS {
        let server = Server::start(directory.path(), &settings).await;
        if flights.is_empty() {
            flights = create_flights(&client, &server.base).await;
        }
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (client, base, flights) =
                    (client.clone(), server.base.clone(), flights.clone());
                let (stop, count, sender) = (stop.clone(), count.clone(), sender.clone());
                tokio::spawn(load(client, base, flights, number, stop, count, sender))
            })
            .collect();
        let is_under_way = async || count.load(Ordering::Relaxed) >= ANSWERED_MIN;
        eventually("answered bookings", is_under_way).await;
        // Each kill comes at another moment of the pipeline.
        tokio::time::sleep(Duration::from_millis(37 * kill as u64)).await;
        server.kill().await;
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.await.expect("no client panics");
        }
    }
    drop(sender);

    let mut answered = HashMap::new();
    while let Some(booking) = receiver.recv().await {
        let id = booking["booking_id"].as_i64().expect("an id");
        let again = answered.insert(id, booking["payment_reference_id"].clone());
        assert_eq!(again, None, "two answers name booking {id}");
    }
    assert!(answered.len() > 100, "only {} bookings were answered", answered.len());

    let server = Server::start(directory.path(), &settings).await;
    for (id, reference) in &answered {
        let ended = ended(&client, &server.base, *id).await;
        assert_eq!(&ended["payment_reference_id"], reference);
        assert!(
            ended["status"] == "completed" || ended["failure_reason"] == "payment_declined",
            "{ended}"
        );
    }
    assert!(server.terminate().await, "a clean stop");
    let (code, printed) = run_with(directory.path(), &settings, &["audit"]).await;
    assert_eq!(code, 0, "{printed}");
}

/// The booking once it is no longer pending.
async fn ended(client: &reqwest::Client, base: &str, id: i64) -> Value {
    eventually("a booking that is not pending", async || {
        let response = client.get(format!("{base}/api/v1/bookings/{id}")).send().await;
        let booking: Value = response.expect("sent").json().await.expect("JSON");
        if booking["status"] == "pending" { Err(booking) } else { Ok(booking) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_a_database_is_refused_and_a_killed_one_leaves_no_lock() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = TestDatabase::create().await;
    let url = database.url();
    let settings = [("DATABASE_URL", url.as_str())];
    let first = Server::start(directory.path(), &settings).await;
    let second = [("SERVER_PORT", "0"), ("DATABASE_URL", url.as_str())];
    let (code, printed) = run_with(directory.path(), &second, &["serve"]).await;
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("another airline-booking serves from"), "{printed}");
    first.kill().await;
    Server::start(directory.path(), &settings).await.kill().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_is_refused_even_when_a_link_names_the_same_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("bookings.db");
    let url = format!("sqlite:{}", file.display());
    let first = Server::start(directory.path(), &[("DATABASE_URL", &url)]).await;
    let (symbolic, hard) = (directory.path().join("symbolic.db"), directory.path().join("hard.db"));
    std::os::unix::fs::symlink(&file, &symbolic).expect("a link");
    for (other, why) in [(&symbolic, "another airline-booking serves from"), (&hard, "hard links")]
    {
        if other == &hard {
            std::fs::hard_link(&file, &hard).expect("a link");
        }
        let url = format!("sqlite:{}", other.display());
        let second = [("SERVER_PORT", "0"), ("DATABASE_URL", url.as_str())];
        let (code, printed) = run_with(directory.path(), &second, &["serve"]).await;
        assert_eq!(code, 1, "{printed}");
        assert!(printed.contains(why), "{printed}");
    }
    first.kill().await;
    std::fs::remove_file(&hard).expect("removed");
    let through_link = format!("sqlite:{}", symbolic.display());
    Server::start(directory.path(), &[("DATABASE_URL", &through_link)]).await.kill().await;
}
