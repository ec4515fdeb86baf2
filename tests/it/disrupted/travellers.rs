//! Travellers with bookings on flights that are cancelled later, some with an onward flight, which half of them give up.

use super::airline::Airline;
use crate::support::asker::Asker;
use crate::support::booking;
use fastrand::Rng;
use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};

/// Requests at once.
const BUYERS: usize = 32;
const LEAVERS: usize = 8;

/// One of so many has an onward flight.
const ONWARD_EVERY: usize = 15;

/// A booking that someone bought. Amounts are in paise.
#[derive(Debug, Clone)]
pub struct Bought {
    pub id: i64,
    pub flight: i64,
    pub price: i64,
}

/// An order of one user.
#[derive(Debug, Clone)]
pub struct Traveller {
    pub user: i64,
    pub order: i64,
    /// On a flight that will be cancelled.
    pub doomed: Bought,
    pub onward: Option<Bought>,
}

impl Traveller {
    /// Whether this traveller gives the onward flight up.
    pub fn leaves(&self) -> bool {
        self.onward.is_some() && self.user % 2 == 0
    }
}

/// Buys so many bookings of doomed flights.
pub async fn buy(airline: &Airline, asker: &Asker, bookings: usize) -> Vec<Traveller> {
    let travellers = (0..bookings).map(|number| buy_one(airline, asker, number));
    stream::iter(travellers).buffer_unordered(BUYERS).collect().await
}

async fn buy_one(airline: &Airline, asker: &Asker, number: usize) -> Traveller {
    let (user, mut rng) = (1_000_000 + number as i64, Rng::with_seed(number as u64));
    let flight = airline.doomed[number % airline.doomed.len()];
    let mut body = booking(flight, 1 + number as i32 % 3);
    body["user_id"] = json!(user);
    let key = format!("buy-{number}");
    if !number.is_multiple_of(ONWARD_EVERY) {
        let made = asker.post("/bookings", &key, &body, &mut rng).await;
        let doomed = bought(&made.expect("seats are free"), flight);
        return Traveller { user, order: doomed.id, doomed, onward: None };
    }
    let onward = airline.onward[number / ONWARD_EVERY % airline.onward.len()];
    body.as_object_mut().expect("an object").remove("flight_id");
    body["segments"] = json!([{"flight_id": flight}, {"flight_id": onward}]);
    let made = asker.post("/itineraries", &key, &body, &mut rng).await.expect("seats are free");
    let order = made["itinerary_id"].as_i64().unwrap_or_else(|| panic!("no order: {made}"));
    let (doomed, onward) =
        (bought(&made["bookings"][0], flight), bought(&made["bookings"][1], onward));
    Traveller { user, order, doomed, onward: Some(onward) }
}

fn bought(made: &Value, flight: i64) -> Bought {
    let id = made["booking_id"].as_i64().unwrap_or_else(|| panic!("no booking: {made}"));
    Bought { id, flight, price: paise(&made["booking_price"]) }
}

/// An amount of an answer.
pub fn paise(amount: &Value) -> i64 {
    (amount.as_f64().expect("an amount") * 100.0).round() as i64
}

/// Those who give their onward flight up do so, free of charge, since the flight before it is cancelled.
pub async fn leave(asker: Asker, leavers: Vec<Traveller>) -> usize {
    stream::iter(leavers.into_iter().map(|traveller| leave_one(asker.clone(), traveller)))
        .buffer_unordered(LEAVERS)
        .count()
        .await
}

async fn leave_one(asker: Asker, traveller: Traveller) {
    let onward = traveller.onward.as_ref().expect("an onward flight");
    let mut rng = Rng::with_seed(onward.id as u64);
    let path = format!("/itineraries/{}", traveller.order);
    let quote = asker.get(&format!("{path}/cancellation?segments=2"), &mut rng).await;
    assert_eq!((paise(&quote["refund"]), paise(&quote["fee"])), (onward.price, 0), "{quote}");
    assert_eq!(quote["rule"], "airline");
    let body = json!({"segments": [2], "expected_refund": quote["refund"]});
    let key = format!("leave-{}", traveller.user);
    let left = asker.post(&format!("{path}/cancel"), &key, &body, &mut rng).await;
    let left = left.expect("the quote holds");
    assert_eq!(left["bookings"][1]["status"], "cancelled", "{left}");
}
