//! What the clients of a contest share: flights, requests, and counts of what became of them.

use crate::support::replicas::Replicas;
use crate::support::{booking, eventually, flight};
use fastrand::Rng;
use serde_json::{Value, json};
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

/// Prices of the flights, which have few seats: some changes find none.
const PRICES: [i32; 4] = [2500, 2000, 3000, 2500];
const SEATS: i32 = 13;

/// Seats of a booking.
pub const PARTY: i32 = 2;

/// A card that pays, one that does not, and one whose payer never acts.
pub const PAYS: &str = "pm_card_visa";
pub const DECLINES: &str = "pm_card_declined";
pub const ASKS: &str = "pm_card_3ds";

/// Problem codes that refuse a request on a booking that others change too.
const REFUSALS: [&str; 4] =
    ["insufficient_seats", "validation_failed", "change_pending", "booking_not_changeable"];

pub struct Contest<'a> {
    replicas: &'a Replicas,
    flights: Vec<i64>,
    changes: usize,
    users: AtomicI64,
    pub counts: Counts,
}

/// What became of the changes that were asked for.
#[derive(Default)]
pub struct Counts {
    asked: AtomicUsize,
    /// Made at once, for nothing or less.
    pub made: AtomicUsize,
    /// Begun, with a difference to pay.
    pub begun: AtomicUsize,
    pub full: AtomicUsize,
    /// Of those that one client alone could follow.
    pub paid: AtomicUsize,
    pub declined: AtomicUsize,
    pub cancelled_while_pending: AtomicUsize,
}

/// Counts one more.
pub fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        write!(
            f,
            "{} changes asked for: {} made at once, {} begun, {} without seats; of those of one client, {} paid, {} \
             declined, {} cancelled while they waited",
            of(&self.asked),
            of(&self.made),
            of(&self.begun),
            of(&self.full),
            of(&self.paid),
            of(&self.declined),
            of(&self.cancelled_while_pending),
        )
    }
}

impl Counts {
    pub fn expect_each_kind(&self) {
        let all = [
            &self.made,
            &self.begun,
            &self.full,
            &self.paid,
            &self.declined,
            &self.cancelled_while_pending,
        ];
        assert!(all.iter().all(|counter| counter.load(Ordering::Relaxed) > 0), "{self}");
    }
}

impl<'a> Contest<'a> {
    pub async fn start(replicas: &'a Replicas, changes: usize) -> Self {
        let mut flights = Vec::new();
        for price in PRICES {
            let mut body = flight(SEATS);
            body["price"] = json!(price);
            let created = replicas.client.post(replicas.url(0, "/api/v1/flights")).json(&body);
            let created: Value = created.send().await.expect("sent").json().await.expect("JSON");
            flights.push(created["id"].as_i64().expect("an id"));
        }
        let (users, counts) = (AtomicI64::new(1), Counts::default());
        Self { replicas, flights, changes, users, counts }
    }

    /// Whether enough changes were made or begun.
    pub fn is_over(&self) -> bool {
        let (made, begun) = (&self.counts.made, &self.counts.begun);
        made.load(Ordering::Relaxed) + begun.load(Ordering::Relaxed) >= self.changes
    }

    /// A random flight.
    pub fn any(&self, rng: &mut Rng) -> i64 {
        self.flights[rng.usize(0..self.flights.len())]
    }

    /// What one of the replicas answers to a request about a booking.
    pub async fn post(&self, id: i64, what: &str, body: &Value, rng: &mut Rng) -> (u16, Value) {
        let path = format!("/api/v1/bookings/{id}/{what}");
        self.post_to(&path, body, rng).await
    }

    /// Asks for a change. It is made, begun or refused.
    pub async fn change(&self, id: i64, to: i64, card: &str, rng: &mut Rng) -> (u16, Value) {
        let body = json!({"flight_id": to, "payment_method": card});
        let (status, answer) = self.post(id, "change", &body, rng).await;
        let code = answer["code"].as_str().unwrap_or_default();
        count(&self.counts.asked);
        match (status, code) {
            (200, _) => count(&self.counts.made),
            (202, _) => count(&self.counts.begun),
            (409, "insufficient_seats") => count(&self.counts.full),
            (409 | 422, code) if REFUSALS.contains(&code) => {}
            _ => panic!("{status} to a change of {id} to {to}: {answer}"),
        }
        (status, answer)
    }

    /// Until a replica is not too busy to answer.
    async fn post_to(&self, path: &str, body: &Value, rng: &mut Rng) -> (u16, Value) {
        loop {
            let url = self.replicas.url(rng.usize(0..2), path);
            let answer = self.replicas.client.post(url).json(body).send().await.expect("an answer");
            let status = answer.status().as_u16();
            if status != 503 {
                return (status, answer.json().await.expect("JSON"));
            }
        }
    }

    /// A booking as one of the replicas shows it.
    pub async fn booking(&self, id: i64, rng: &mut Rng) -> Value {
        self.replicas.get(rng.usize(0..2), &format!("/api/v1/bookings/{id}")).await
    }

    /// A new booking, paid, on any flight that has seats.
    pub async fn buy(&self, rng: &mut Rng) -> i64 {
        let user = self.users.fetch_add(1, Ordering::Relaxed);
        let id = eventually("seats on any flight", async || {
            let mut body = booking(self.any(rng), PARTY);
            body["user_id"] = json!(user);
            let (status, placed) = self.post_to("/api/v1/bookings", &body, rng).await;
            if status == 201 {
                Ok(placed["booking_id"].as_i64().expect("an id"))
            } else {
                Err(placed)
            }
        })
        .await;
        eventually("a paid booking", async || {
            let shown = self.booking(id, rng).await;
            if shown["status"] == "completed" { Ok(()) } else { Err(shown) }
        })
        .await;
        id
    }
}
