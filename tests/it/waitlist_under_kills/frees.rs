//! The ways in which seats become free, but for what becomes of offers.

use crate::support::asker::Asker;
use fastrand::Rng;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Seats of a flight at least: a party of nine may wait for it.
const SEATS_MIN: i32 = 12;

/// How seats become free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// A booking is cancelled.
    Cancel,
    /// A passenger of a booking is.
    CancelPassenger,
    /// A hold lapses without a payment. Nothing is asked for.
    Lapse,
    /// The operator puts seats on sale.
    MoreSeats,
    /// A booking moves to another flight.
    ChangeAway,
}

impl Way {
    /// One flight's, as often as it needs some.
    pub const ALL: [Self; 5] =
        [Self::Cancel, Self::CancelPassenger, Self::Lapse, Self::MoreSeats, Self::ChangeAway];
}

/// What makes seats of a flight free.
#[derive(Debug, Clone)]
pub struct Free {
    pub way: Way,
    flight: i64,
    /// The booking whose seats they are; with [`Way::MoreSeats`] none.
    booking: Option<i64>,
    /// Seats of the booking, or seats more.
    seats: i32,
}

/// A flight whose seats are all sold or held, and what will free some.
pub struct SoldOut {
    pub id: i64,
    pub frees: Vec<Free>,
}

impl SoldOut {
    /// Adds a flight, and sells its seats to users from `user` on: a booking for each free that needs one.
    pub async fn sell(asker: &Asker, frees: usize, user: i64) -> Self {
        let mut rng = Rng::with_seed(user as u64);
        let parties: Vec<(Way, i32)> =
            (0..frees).map(|at| (Way::ALL[at % Way::ALL.len()], 2 + (at % 3) as i32)).collect();
        let sold = parties.iter().filter(|(way, _)| *way != Way::MoreSeats);
        let sold: i32 = sold.map(|(_, seats)| seats).sum();
        let rest = SEATS_MIN - sold;
        let id = asker.add_flight(sold.max(SEATS_MIN)).await;
        let mut all = Vec::new();
        for (at, (way, seats)) in parties.into_iter().enumerate() {
            let booking = if way == Way::MoreSeats {
                None
            } else {
                let is_later = way == Way::Lapse;
                let booked = asker.book(id, user + at as i64, seats, is_later, &mut rng).await;
                Some(booked.expect("seats are free"))
            };
            all.push(Free { way, flight: id, booking, seats });
        }
        if rest > 0 {
            let booked = asker.book(id, user + frees as i64, rest, false, &mut rng).await;
            booked.expect("seats are free");
        }
        Self { id, frees: all }
    }
}

/// How often seats became free in each way.
pub type Freed = Arc<Mutex<BTreeMap<Way, usize>>>;

impl Free {
    /// Frees the seats. `roomy` is a flight with seats for those who move.
    pub async fn make(&self, asker: &Asker, roomy: i64, freed: &Freed, rng: &mut Rng) {
        let done = match (self.way, self.booking) {
            (Way::Cancel, Some(id)) => self.cancel(asker, id, &json!({}), rng).await,
            (Way::CancelPassenger, Some(id)) => {
                self.cancel(asker, id, &json!({"passengers": [0]}), rng).await
            }
            (Way::ChangeAway, Some(id)) => {
                let (path, key) = (format!("/bookings/{id}/change"), format!("change-{id}"));
                asker.post(&path, &key, &json!({"flight_id": roomy}), rng).await.map(|_| ())
            }
            (Way::MoreSeats, _) => self.add_seats(asker, rng).await,
            (Way::Lapse, _) | (_, None) => Ok(()),
        };
        done.unwrap_or_else(|code| panic!("{code}: {self:?}"));
        *freed.lock().expect("no panic").entry(self.way).or_default() += 1;
    }

    async fn cancel(
        &self,
        asker: &Asker,
        id: i64,
        body: &serde_json::Value,
        rng: &mut Rng,
    ) -> Result<(), String> {
        let (path, key) = (format!("/bookings/{id}/cancel"), format!("cancel-{id}"));
        asker.post(&path, &key, body, rng).await.map(|_| ())
    }

    /// Against the version of now. A repeat of a request that was not answered may add seats once more.
    async fn add_seats(&self, asker: &Asker, rng: &mut Rng) -> Result<(), String> {
        let path = format!("/flights/{}", self.flight);
        loop {
            let seen = asker.get(&path, rng).await;
            let total = seen["total_seats"].as_i64().expect("a number") + i64::from(self.seats);
            let body = json!({"total_seats": total, "version": seen["version"]});
            match asker.put(&path, &body, rng).await {
                Err(code) if code == "version_conflict" => {}
                done => return done.map(|_| ()),
            }
        }
    }
}
