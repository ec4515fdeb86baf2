//! Orders over HTTP, as itineraries: place, read, cancel in part and whole; and what is refused.

use crate::support::{Answer, TestApp, booking};
use airline_booking::domain::{FlightStatus, Money, NewFlight, Timestamp};
use chrono::TimeDelta;
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

mod callers;
mod cancelled;
mod interrupted;
mod once;
mod refused;
mod strict;
mod sums;

const PATH: &str = "/api/v1/itineraries";

/// Cities of flights that connect, one after the other.
const CITIES: [&str; 10] =
    ["Delhi", "Pune", "Goa", "Mumbai", "Chennai", "Kolkata", "Jaipur", "Surat", "Agra", "Lucknow"];

/// The flight number `at` of a journey: two hours, an hour on the ground before the next one.
fn leg(at: usize, seats: i32) -> NewFlight {
    let first: Timestamp = "2025-01-20T06:00:00Z".parse().expect("an instant");
    let departs_at = first + TimeDelta::hours(3) * i32::try_from(at).expect("a small number");
    NewFlight {
        flight_number: None,
        source: CITIES[at % CITIES.len()].into(),
        destination: CITIES[(at + 1) % CITIES.len()].into(),
        departs_at,
        arrives_at: Some(departs_at + TimeDelta::hours(2)),
        available_seats: seats,
        total_seats: seats,
        flight_status: FlightStatus::Scheduled,
        price: price(at),
        taxes: Money::from_minor(0),
        fare_rules: airline_booking::domain::FareName::default(),
    }
}

/// The price of a seat on that flight: 1000.01, 2000.02, …
fn price(at: usize) -> Money {
    Money::from_minor(100_001 * (i64::try_from(at).expect("a small number") + 1))
}

/// Stores flights; gives their ids.
async fn add(app: &TestApp, flights: &[NewFlight]) -> Vec<i64> {
    let mut ids = Vec::new();
    for flight in flights {
        let mut body = json!({
            "source": flight.source, "destination": flight.destination,
            "timestamp": flight.departs_at, "available_seats": flight.available_seats,
            "total_seats": flight.total_seats, "price": flight.price
        });
        if let Some(arrival) = flight.arrives_at {
            body["arrival_timestamp"] = json!(arrival);
        }
        let added = app.post("/api/v1/flights", &body).await;
        ids.push(added.json["id"].as_i64().unwrap_or_else(|| panic!("{added:?}")));
    }
    ids
}

/// A journey of so many flights.
async fn journey(app: &TestApp, flights: usize, seats: i32) -> Vec<i64> {
    add(app, &(0..flights).map(|at| leg(at, seats)).collect::<Vec<_>>()).await
}

/// A journey with these prices, in the minor unit of a currency with so many decimals.
async fn journey_priced(app: &TestApp, prices: &[u64], decimals: usize) -> Vec<i64> {
    let mut ids = Vec::new();
    for (at, price) in prices.iter().enumerate() {
        let leg = leg(at, 99);
        let digits = format!("{price:0>width$}", width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let point = if decimals > 0 { "." } else { "" };
        let body = json!({
            "source": leg.source, "destination": leg.destination, "timestamp": leg.departs_at,
            "arrival_timestamp": leg.arrives_at, "available_seats": 99, "total_seats": 99,
            "price": format!("{whole}{point}{fraction}")
        });
        let added = app.post("/api/v1/flights", &body).await;
        ids.push(added.json["id"].as_i64().unwrap_or_else(|| panic!("{added:?}")));
    }
    ids
}

/// The body of `POST /itineraries`.
fn itinerary(flights: &[i64], seats: i32) -> Value {
    let mut body = booking(0, seats);
    body.as_object_mut().expect("an object").remove("flight_id");
    body["segments"] = flights.iter().map(|flight| json!({"flight_id": flight})).collect();
    body
}

async fn place(app: &TestApp, flights: &[i64], seats: i32) -> Answer {
    app.post(PATH, &itinerary(flights, seats)).await
}

/// Places an itinerary and waits until it is paid; gives its id.
async fn paid(app: &TestApp, flights: &[i64], seats: i32) -> i64 {
    let id = id_of(&place(app, flights, seats).await);
    app.run_until_idle().await;
    assert_eq!(read(app, id).await["status"], "completed");
    id
}

fn id_of(placed: &Answer) -> i64 {
    assert_eq!(placed.status, 201, "{placed:?}");
    placed.json["itinerary_id"].as_i64().expect("an id")
}

async fn read(app: &TestApp, id: i64) -> Value {
    let answer = app.get(&format!("{PATH}/{id}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json
}

async fn cancel(app: &TestApp, id: i64, part: &Value) -> Answer {
    app.post(&format!("{PATH}/{id}/cancel"), part).await
}

/// A field of each booking.
fn each<'a>(itinerary: &'a Value, field: &str) -> Vec<&'a Value> {
    let bookings = itinerary["bookings"].as_array().expect("bookings");
    bookings.iter().map(|booking| &booking[field]).collect()
}

/// A sum of amounts, in the minor unit.
fn sum<'a>(amounts: impl IntoIterator<Item = &'a Value>) -> i64 {
    amounts.into_iter().map(minor).sum()
}

fn minor(amount: &Value) -> i64 {
    let amount = amount.as_f64().unwrap_or_else(|| panic!("no amount: {amount}"));
    #[expect(clippy::cast_possible_truncation, reason = "amounts of tests are small")]
    let minor = (amount * 100.0).round() as i64;
    minor
}

/// What a refusal must leave as it is: the flights, the user's bookings, what waits for the topics.
async fn all(app: &TestApp, flights: &[i64]) -> Vec<String> {
    let mut all = vec![app.get("/api/v1/users/123/bookings").await.text];
    for flight in flights {
        all.push(app.get(&format!("/api/v1/flights/{flight}")).await.text);
    }
    all.push(app.all_is_sent().await.to_string());
    all
}

/// The same of a service at rest: what its flights made has left the outbox.
async fn at_rest(app: &TestApp, flights: &[i64]) -> Vec<String> {
    app.run_until_idle().await;
    all(app, flights).await
}

#[tokio::test]
async fn an_itinerary_is_held_paid_and_read_as_one() {
    let app = TestApp::start().await;
    let flights = journey(&app, 3, 9).await;
    app.gateway.close();
    let placed = place(&app, &flights, 2).await;
    let id = id_of(&placed);
    assert_eq!(placed.header("location"), Some(&*format!("{PATH}/{id}")));
    let reference = placed.json["payment_reference_id"].as_str().expect("a reference").to_owned();
    let segment = |at: usize, status: &str, price: f64| {
        json!({
            "booking_id": placed.json["bookings"][at]["booking_id"], "flight_id": flights[at],
            "segment": at + 1, "status": status, "booking_price": price
        })
    };
    let bookings = |status: &str| {
        [(0, 2000.02), (1, 4000.04), (2, 6000.06)].map(|(at, price)| segment(at, status, price))
    };
    let mut expected = json!({
        "itinerary_id": id, "reference": placed.json["reference"], "status": "pending", "bookings": bookings("pending"),
        "payment": {"status": "processing", "attempts": 1, "method": "pm_card_visa"},
        "payment_reference_id": reference, "total_price": 12_000.12, "currency": "INR",
        "hold_expires_at": "2025-01-01T00:05:00Z"
    });
    assert_eq!(placed.json, expected);
    assert_eq!(placed.json["reference"].as_str().map(str::len), Some(6));
    assert!(placed.text.contains(r#""total_price":12000.12"#), "{}", placed.text);
    for flight in &flights {
        assert_eq!(app.flight(*flight).await["held_seats"], 2);
    }

    app.gateway.open();
    app.run_until_idle().await;
    expected["status"] = json!("completed");
    expected["bookings"] = json!(bookings("completed"));
    expected["payment"]["status"] = json!("captured");
    expected["refunds"] = json!([]);
    assert_eq!(read(&app, id).await, expected);
    for flight in &flights {
        let flight = app.flight(*flight).await;
        assert_eq!((&flight["held_seats"], &flight["available_seats"]), (&json!(0), &json!(7)));
    }
    app.finish().await;
}

#[tokio::test]
async fn each_booking_of_an_itinerary_is_read_by_itself_and_names_it() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 9).await;
    let id = paid(&app, &flights, 2).await;
    let itinerary = read(&app, id).await;
    for (at, flight) in flights.iter().enumerate() {
        let number = each(&itinerary, "booking_id")[at].as_i64().expect("an id");
        let shown = app.booking(number).await;
        assert_eq!((&shown["itinerary_id"], &shown["segment"]), (&json!(id), &json!(at + 1)));
        assert_eq!(shown["flight_id"], *flight);
        assert_eq!(shown["payment"], itinerary["payment"]);
        assert_eq!(shown["payment_reference_id"], itinerary["payment_reference_id"]);
        assert_eq!(shown["refunds"], json!([]));
        assert_eq!(shown["booking_metadata"].as_array().map(Vec::len), Some(2));
        assert_eq!(shown["booking_metadata"][0].get("status"), None);
    }
    // The list has both, without what belongs to the itinerary.
    let list = app.get("/api/v1/users/123/bookings").await.json;
    assert_eq!(list["count"], 2);
    for listed in list["bookings"].as_array().expect("a list") {
        assert_eq!(listed["itinerary_id"], id);
        assert!(listed.get("payment").is_none() && listed.get("refunds").is_none());
    }
    // A page may end between two segments.
    let first = app.get("/api/v1/users/123/bookings?limit=1").await.json;
    let cursor = first["next_cursor"].as_str().expect("more");
    let rest = app.get(&format!("/api/v1/users/123/bookings?limit=1&cursor={cursor}")).await.json;
    let segments = [&first, &rest].map(|page| page["bookings"][0]["segment"].clone());
    assert_eq!((segments, rest.get("next_cursor")), ([json!(2), json!(1)], None));
    app.finish().await;
}

#[tokio::test]
async fn a_booking_is_an_itinerary_of_its_own_and_a_later_segment_is_none() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 9).await;
    let alone = app.book(flights[0], 1).await.booking_id();
    let id = paid(&app, &flights, 1).await;
    let shown = read(&app, alone).await;
    assert_eq!(shown["itinerary_id"], alone);
    assert_eq!(shown["bookings"].as_array().map(Vec::len), Some(1));
    assert_eq!(shown["total_price"], shown["bookings"][0]["booking_price"]);
    let second = each(&read(&app, id).await, "booking_id")[1].as_i64().expect("an id");
    for answer in
        [app.get(&format!("{PATH}/{second}")).await, cancel(&app, second, &json!({})).await]
    {
        answer.assert_problem(404, "not_found");
        let detail = answer.json["detail"].as_str().expect("text");
        assert!(detail.contains(&format!("segment 2 of itinerary {id}")), "{detail}");
    }
    for missing in ["999", "0", "-1"] {
        app.get(&format!("{PATH}/{missing}")).await.assert_problem(404, "not_found");
    }
    for unreadable in ["x", "1.0", "99999999999999999999"] {
        let answer = app.get(&format!("{PATH}/{unreadable}")).await;
        answer.assert_problem(400, "malformed_request");
    }
    app.finish().await;
}

#[tokio::test]
async fn an_itinerary_waits_for_its_payment_if_the_caller_prefers_to() {
    let app = TestApp::start().await;
    let flights = journey(&app, 8, 9).await;
    let kinds = [
        ("pm_card_visa", "completed", "captured", Value::Null),
        ("pm_card_declined", "failed", "declined", json!("payment_declined")),
    ];
    for ((method, status, payment, reason), count) in
        kinds.iter().zip([8, 8]).chain(kinds.iter().zip([1, 1]))
    {
        let mut body = itinerary(&flights[..count], 1);
        body["payment_method"] = json!(method);
        let wait = [("prefer", "wait=30")];
        let placed = app.send_json_with(Method::POST, PATH, &body, &wait).await;
        assert_eq!(placed.header("preference-applied"), Some("wait=30"));
        assert_eq!((placed.status.as_u16(), &placed.json["status"]), (201, &json!(status)));
        assert_eq!(placed.json["failure_reason"], *reason);
        let paid = json!({"status": payment, "attempts": 1, "method": method});
        assert_eq!(placed.json["payment"], paid);
        assert!(each(&placed.json, "status").iter().all(|each| **each == *status), "{placed:?}");
    }
    for (at, flight) in flights.iter().enumerate() {
        let flight = app.flight(*flight).await;
        let left = if at == 0 { 7 } else { 8 };
        assert_eq!((&flight["held_seats"], &flight["available_seats"]), (&json!(0), &json!(left)));
    }
    app.finish().await;
}

#[tokio::test]
async fn a_found_itinerary_can_be_booked_and_its_price_holds() {
    let app = TestApp::start().await;
    journey(&app, 3, 9).await;
    app.run_until_idle().await;
    let path = "/api/v1/itineraries/search?source=Delhi&destination=Mumbai&date=2025-01-20";
    let found = app.get(path).await.json["itineraries"][0].clone();
    let segments = found["segments"].as_array().expect("segments");
    let flights: Vec<_> =
        segments.iter().map(|flight| flight["id"].as_i64().expect("id")).collect();
    assert_eq!(flights.len(), 3);
    let placed = place(&app, &flights, 3).await;
    assert_eq!(minor(&placed.json["total_price"]), 3 * minor(&found["price"]));
    assert_eq!(minor(&placed.json["total_price"]), sum(each(&placed.json, "booking_price")));
    app.finish().await;
}

/// The names of all fields below a value, those in lists among them.
fn fields(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(inner) => {
            for (name, value) in inner {
                found.insert(format!("{at}/{name}"));
                fields(value, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(inner) => inner.iter().for_each(|value| fields(value, at, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_examples_of_the_document_have_the_fields_of_the_answers() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 9).await;
    let placed = place(&app, &flights, 2).await.json;
    app.run_until_idle().await;
    let id = placed["itinerary_id"].as_i64().expect("an id");
    let second = each(&placed, "booking_id")[1].as_i64().expect("an id");
    let cancelled = cancel(&app, id, &json!({"segments": [2]})).await.json;
    let document = app.get("/openapi.json").await.json;
    let example = |path: &str, method: &str, status: &str| {
        let responses = &document["paths"][path][method]["responses"];
        responses[status]["content"]["application/json"]["example"].clone()
    };
    let one = "/api/v1/itineraries/{id}";
    for (shown, example) in [
        (placed, example(PATH, "post", "201")),
        (cancelled, example(&format!("{one}/cancel"), "post", "200")),
        (read(&app, id).await, example(one, "get", "200")),
        (app.booking(second).await, example("/api/v1/bookings/{id}/cancel", "post", "200")),
    ] {
        let [mut real, mut documented] = [BTreeSet::new(), BTreeSet::new()];
        fields(&shown, "", &mut real);
        fields(&example, "", &mut documented);
        assert_eq!(real, documented);
    }
    app.finish().await;
}

#[tokio::test]
async fn the_last_flight_may_lack_an_arrival() {
    let app = TestApp::start().await;
    let open = NewFlight { arrives_at: None, ..leg(1, 9) };
    let flights = add(&app, &[leg(0, 9), open]).await;
    paid(&app, &flights, 1).await;
    app.finish().await;
}
