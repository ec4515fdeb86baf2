//! Buyers that order random flights and cancel some of what they bought.

use crate::support::asker::Asker;
use crate::support::booking;
use crate::support::callers::Bases;
use fastrand::Rng;
use http::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinHandle;

const BUYERS: usize = 16;

/// Problem codes that end a request without effect.
const REFUSALS: [&str; 3] = ["insufficient_seats", "validation_failed", "booking_not_cancellable"];

/// An order that someone wants. Its user wants no other.
#[derive(Debug, Clone)]
pub struct Wish {
    pub user: i64,
    pub flights: Vec<i64>,
    seats: i32,
    method: &'static str,
    /// Its id and payment reference, if it was accepted.
    pub order: Option<(i64, String)>,
    /// Whether a cancellation of it, or of a part of it, was accepted.
    pub is_cancelled: bool,
    /// Cancellations asked for, each under a key of its own.
    cancellations: usize,
}

pub struct Buyers {
    tasks: Vec<JoinHandle<Vec<Wish>>>,
    kills: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct Buyer {
    asker: Asker,
    flights: Arc<[i64]>,
    /// Orders begun by all.
    begun: Arc<AtomicUsize>,
    orders: usize,
    kills: Arc<AtomicUsize>,
    kills_min: usize,
}

impl Buyers {
    /// Starts them; they end after so many orders and kills.
    pub fn start(bases: &Bases, flights: &[i64], orders: usize, kills_min: usize) -> Self {
        let kills = Arc::new(AtomicUsize::new(0));
        let buyer = Buyer {
            asker: Asker::new(bases),
            flights: flights.into(),
            begun: Arc::default(),
            orders,
            kills: kills.clone(),
            kills_min,
        };
        let tasks = (0..BUYERS).map(|number| {
            let buyer = buyer.clone();
            tokio::spawn(async move { buyer.buy(Rng::with_seed(number as u64)).await })
        });
        Self { tasks: tasks.collect(), kills }
    }

    pub fn count_kill(&self) {
        self.kills.fetch_add(1, Ordering::Relaxed);
    }

    pub fn have_finished(&self) -> bool {
        self.tasks.iter().all(JoinHandle::is_finished)
    }

    pub async fn finish(self) -> Vec<Wish> {
        let mut wishes = Vec::new();
        for task in self.tasks {
            wishes.extend(task.await.expect("no buyer panics"));
        }
        wishes
    }
}

impl Buyer {
    async fn buy(self, mut rng: Rng) -> Vec<Wish> {
        let mut wishes = Vec::new();
        loop {
            let number = self.begun.fetch_add(1, Ordering::Relaxed);
            let kills = self.kills.load(Ordering::Relaxed);
            if number >= self.orders && kills >= self.kills_min {
                return wishes;
            }
            let mut wish = self.wish(number, &mut rng);
            self.place(&mut wish, &mut rng).await;
            wishes.push(wish);
            if rng.u8(..10) < 5 {
                // The new order, which is probably pending, or an earlier one, which is probably paid.
                let at =
                    if rng.u8(..4) == 0 { wishes.len() - 1 } else { rng.usize(..wishes.len()) };
                self.cancel(&mut wishes[at], &mut rng).await;
            }
        }
    }

    /// One to four flights in the order of departure; now and then not in that order, which is refused.
    fn wish(&self, number: usize, rng: &mut Rng) -> Wish {
        let count = rng.usize(1..=4);
        let mut flights = rng.choose_multiple(self.flights.iter().copied(), count);
        if rng.u8(..20) > 0 {
            flights.sort_unstable();
        }
        let method = match rng.u8(..20) {
            0..=2 => "pm_card_declined",
            3 => "pm_card_timeout",
            4 => "pm_card_error",
            _ => "pm_card_visa",
        };
        let (user, seats) = (1_000 + number as i64, rng.i32(1..=3));
        Wish { user, flights, seats, method, order: None, is_cancelled: false, cancellations: 0 }
    }

    async fn place(&self, wish: &mut Wish, rng: &mut Rng) {
        let mut body = booking(0, wish.seats);
        body.as_object_mut().expect("an object").remove("flight_id");
        body["user_id"] = json!(wish.user);
        body["payment_method"] = json!(wish.method);
        body["segments"] = wish.flights.iter().map(|id| json!({"flight_id": id})).collect();
        let key = format!("order-{}", wish.user);
        let Some(placed) = self.ask("/itineraries", &key, &body, rng).await else { return };
        let id = placed["itinerary_id"].as_i64().expect("an id");
        let reference = placed["payment_reference_id"].as_str().expect("a reference");
        wish.order = Some((id, reference.to_owned()));
    }

    /// Cancels an order, a segment, or a passenger.
    async fn cancel(&self, wish: &mut Wish, rng: &mut Rng) {
        let Some((id, _)) = wish.order else { return };
        let path = format!("/itineraries/{id}/cancel");
        for _ in 0..rng.usize(1..=2) {
            let mut body = json!({});
            if rng.bool() {
                body["segments"] = json!([rng.usize(1..=wish.flights.len())]);
            }
            if rng.bool() {
                body["passengers"] = json!([rng.i32(..wish.seats)]);
            }
            let key = format!("cancel-{}-{}", wish.user, wish.cancellations);
            wish.cancellations += 1;
            wish.is_cancelled |= self.ask(&path, &key, &body, rng).await.is_some();
        }
    }

    /// What a post makes, unless it is refused.
    async fn ask(&self, path: &str, key: &str, body: &Value, rng: &mut Rng) -> Option<Value> {
        let turn = rng.usize(..8);
        let (status, answer) =
            self.asker.ask(Method::POST, path, Some(key), Some(body), turn).await;
        if status <= 201 {
            return Some(answer);
        }
        let is_refusal = answer["code"].as_str().is_some_and(|code| REFUSALS.contains(&code));
        assert!(is_refusal, "{status} to {path} {body}: {answer}");
        None
    }
}
