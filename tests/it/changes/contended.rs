//! Changes between crossing flights, on two replicas at once.

use crate::support::replicas::Replicas;
use crate::support::{booking, flight};
use fastrand::Rng;
use futures::future::join_all;
use serde_json::{Value, json};

/// Prices of the flights, which have few seats: some changes find none.
const PRICES: [i32; 4] = [2500, 2000, 3000, 2500];
const SEATS: i32 = 14;

/// Bookings, each changed, cancelled in part or whole by two clients at a time.
const BOOKINGS: usize = 24;
const STEPS: usize = 12;

async fn flights(replicas: &Replicas) -> Vec<i64> {
    let mut ids = Vec::new();
    for price in PRICES {
        let mut body = flight(SEATS);
        body["price"] = json!(price);
        let created = replicas.client.post(replicas.url(0, "/api/v1/flights")).json(&body);
        let created: Value = created.send().await.expect("sent").json().await.expect("JSON");
        ids.push(created["id"].as_i64().expect("an id"));
    }
    ids
}

/// A client who changes one booking again and again, at either replica. Returns how many changes were made or begun.
async fn client(replicas: &Replicas, flights: &[i64], id: i64, seed: u64) -> usize {
    let mut rng = Rng::with_seed(seed);
    let mut changed = 0;
    for _ in 0..STEPS {
        let replica = rng.usize(0..2);
        let (path, body) = match rng.usize(0..12) {
            0 => ("cancel", json!({"passengers": [rng.usize(0..2)]})),
            1 if rng.usize(0..4) == 0 => ("cancel", json!({})),
            _ => {
                let method = if rng.usize(0..4) == 0 { "pm_card_declined" } else { "pm_card_visa" };
                let to = flights[rng.usize(0..flights.len())];
                ("change", json!({"flight_id": to, "payment_method": method}))
            }
        };
        let url = replicas.url(replica, &format!("/api/v1/bookings/{id}/{path}"));
        let answer = replicas.client.post(url).json(&body).send().await.expect("an answer");
        let status = answer.status().as_u16();
        assert!([200, 202, 409, 422, 503].contains(&status), "{status}: {:?}", answer.text().await);
        changed += usize::from(path == "change" && status < 300);
    }
    changed
}

#[tokio::test(flavor = "multi_thread")]
async fn random_changes_on_two_replicas_sell_each_seat_once_and_conserve_money() {
    let replicas = Replicas::new().await.start(2).await;
    let flights = flights(&replicas).await;
    let mut placed = Vec::new();
    for number in 0..BOOKINGS {
        let body = booking(flights[number % flights.len()], 2);
        let url = replicas.url(number % 2, "/api/v1/bookings");
        let answer = replicas.client.post(url).json(&body).send().await.expect("an answer");
        assert_eq!(answer.status(), 201);
        let made: Value = answer.json().await.expect("JSON");
        placed.push(made["booking_id"].as_i64().expect("an id"));
    }
    replicas.settled().await;
    let clients = (0..2 * BOOKINGS)
        .map(|number| client(&replicas, &flights, placed[number % BOOKINGS], number as u64));
    let changed: usize = join_all(clients).await.into_iter().sum();
    assert!(changed > BOOKINGS, "{changed} changes");
    replicas.settled().await;
    replicas.outbox_is_empty().await;
    let mut held = 0;
    for flight in &flights {
        let shown = replicas.get(1, &format!("/api/v1/flights/{flight}")).await;
        held += shown["held_seats"].as_i64().expect("a number");
    }
    assert_eq!(held, 0);
    replicas.audit().await;
}
