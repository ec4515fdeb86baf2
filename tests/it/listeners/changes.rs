//! What people do: they book, cancel, and change prices.

use crate::support::asker::Asker;
use crate::support::booking;
use fastrand::Rng;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinHandle;

/// People who change things at once.
const PEOPLE: usize = 16;

const FIRST_USER: i64 = 1_000_000;

/// The cheapest price that a flight is set to; each is set once.
const FIRST_PRICE: usize = 3_000;

/// What was answered.
#[derive(Debug, Default)]
pub struct Changed {
    /// Bookings that were answered 201.
    pub booked: BTreeSet<i64>,
    /// Those whose cancellation was answered.
    pub cancelled: BTreeSet<i64>,
    /// Prices of each flight.
    pub prices: BTreeMap<i64, BTreeSet<usize>>,
}

pub struct Changing {
    people: Vec<JoinHandle<Changed>>,
}

impl Changing {
    /// Starts to make so many changes.
    pub fn start(asker: &Asker, flights: &[i64], changes: usize) -> Self {
        let next = Arc::new(AtomicUsize::new(0));
        let people = (0..PEOPLE).map(|number| {
            let person = Person {
                asker: asker.clone(),
                flights: flights.to_vec(),
                rng: Rng::with_seed(number as u64),
                changed: Changed::default(),
            };
            tokio::spawn(person.change(next.clone(), changes))
        });
        Self { people: people.collect() }
    }

    pub fn have_finished(&self) -> bool {
        self.people.iter().all(JoinHandle::is_finished)
    }

    pub async fn finish(self) -> Changed {
        let mut all = Changed::default();
        for person in self.people {
            let mut did = person.await.expect("nobody panics");
            all.booked.append(&mut did.booked);
            all.cancelled.append(&mut did.cancelled);
            for (flight, mut prices) in did.prices {
                all.prices.entry(flight).or_default().append(&mut prices);
            }
        }
        all
    }
}

struct Person {
    asker: Asker,
    flights: Vec<i64>,
    rng: Rng,
    changed: Changed,
}

impl Person {
    async fn change(mut self, next: Arc<AtomicUsize>, changes: usize) -> Changed {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= changes {
                return self.changed;
            }
            let flight = self.flights[self.rng.usize(..self.flights.len())];
            match self.rng.u8(..20) {
                0..4 => self.change_price(flight, FIRST_PRICE + number).await,
                4..7 if !self.changed.booked.is_empty() => self.cancel(number).await,
                _ => self.book(flight, FIRST_USER + number as i64).await,
            }
        }
    }

    async fn change_price(&mut self, flight: i64, price: usize) {
        let (path, body) = (format!("/flights/{flight}"), json!({"price": price}));
        let answer = self.asker.put(&path, &body, &mut self.rng).await;
        answer.expect("a price may change");
        self.changed.prices.entry(flight).or_default().insert(price);
    }

    async fn book(&mut self, flight: i64, user: i64) {
        let mut body = booking(flight, 1);
        body["user_id"] = json!(user);
        let is_declined = self.rng.u8(..10) == 0;
        body["payment_method"] =
            json!(if is_declined { "pm_card_declined" } else { "pm_card_visa" });
        body["passenger_details"][0]["email"] = json!(format!("p{user}@example.com"));
        let key = format!("book-{user}");
        let booked = self.asker.post("/bookings", &key, &body, &mut self.rng);
        let booked = booked.await.expect("there are seats");
        self.changed.booked.insert(booked["booking_id"].as_i64().expect("an id"));
    }

    /// One of its own bookings, paid or not.
    async fn cancel(&mut self, number: usize) {
        let booked: Vec<_> = self.changed.booked.difference(&self.changed.cancelled).collect();
        let Some(id) = booked.get(number % booked.len().max(1)) else { return };
        let (id, path) = (**id, format!("/bookings/{id}/cancel"));
        let key = format!("cancel-{id}");
        match self.asker.post(&path, &key, &json!({}), &mut self.rng).await {
            Ok(_) => _ = self.changed.cancelled.insert(id),
            // It was declined before.
            Err(code) => assert_eq!(code, "booking_not_cancellable", "{path}"),
        }
    }
}
