//! Booking references: all bookings of an order show one, and a traveller finds the order by it and a last name.

mod limits;
mod shown;
mod without_token;

use crate::support::{Answer, TestApp, booking};
use airline_booking::clock::Clock as _;
use airline_booking::domain::BookingId;
use airline_booking::people::erase::Erase;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const FIND: &str = "/api/v1/bookings/find";

/// Asks for a booking, as the client of this number.
async fn find_as(app: &TestApp, client: u32, reference: &str, last_name: &str) -> Answer {
    let peer = SocketAddr::from((client.to_be_bytes(), 4711));
    let body = json!({"reference": reference, "last_name": last_name});
    let request = Request::post(FIND)
        .header("content-type", "application/json")
        .extension(ConnectInfo(peer))
        .body(Body::from(body.to_string()));
    app.send(request.expect("a request")).await
}

async fn find(app: &TestApp, reference: &str, last_name: &str) -> Answer {
    find_as(app, 1, reference, last_name).await
}

/// A booking of passengers with these names.
async fn placed(app: &TestApp, names: &[&str]) -> Answer {
    let flight = app.add_flight(9).await;
    app.post("/api/v1/bookings", &party(booking(flight, names.len() as i32), names)).await
}

/// The same order, for passengers with these names.
fn party(mut order: Value, names: &[&str]) -> Value {
    for (at, name) in names.iter().enumerate() {
        order["passenger_details"][at]["name"] = json!(name);
    }
    order
}

fn reference(of: &Answer) -> String {
    of.json["reference"].as_str().unwrap_or_else(|| panic!("{of:?}")).to_owned()
}

/// An order of two flights, for two passengers.
async fn itinerary(app: &TestApp) -> Answer {
    let flights: [i64; 2] = app.add_row_of_flights(9).await;
    let mut body = party(booking(0, 2), &["Asha Rao", "Jürgen Müller"]);
    body.as_object_mut().expect("an object").remove("flight_id");
    body["segments"] = json!([{"flight_id": flights[0]}, {"flight_id": flights[1]}]);
    app.post("/api/v1/itineraries", &body).await
}

#[tokio::test]
async fn a_booking_is_found_by_its_reference_and_the_last_name_of_any_passenger() {
    let app = TestApp::start().await;
    let placed = placed(&app, &["Asha Rao", "Jürgen Müller", "Cher"]).await;
    app.run_until_idle().await;
    let shown = app.get(&format!("/api/v1/bookings/{}", placed.booking_id())).await;
    let reference = reference(&placed);
    for typed in [&reference, &reference.to_lowercase(), &format!("  {reference} ")] {
        for name in ["Rao", "rao", " RAO ", "Müller", "muller", "MU\u{308}LLER", "Cher", "cher"] {
            let found = find(&app, typed, name).await;
            assert_eq!((found.status.as_u16(), &found.json), (200, &shown.json), "{typed} {name}");
            assert_eq!(found.header("cache-control"), Some("no-store"));
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn an_itinerary_is_found_by_a_passenger_of_any_segment_and_shown_by_its_first_booking() {
    let app = TestApp::start().await;
    let placed = itinerary(&app).await;
    app.run_until_idle().await;
    // A change of a name would make a difference between the segments.
    let second = placed.json["bookings"][1]["booking_id"].as_i64().expect("an id");
    let rename = match app.database {
        crate::support::TestDatabase::Sqlite(_) => {
            "UPDATE bookings SET booking_metadata = replace(booking_metadata, 'Asha Rao', 'Asha Iyer') WHERE id = "
        }
        crate::support::TestDatabase::Postgres(_) => {
            "UPDATE bookings SET booking_metadata = replace(booking_metadata::text, 'Asha Rao', 'Asha Iyer')::jsonb WHERE id = "
        }
    };
    assert_eq!(app.database.plant(&format!("{rename}{second}")).await, 1);
    let reference = reference(&placed);
    for name in ["Rao", "Iyer", "Müller"] {
        let found = find(&app, &reference, name).await;
        assert_eq!((found.status.as_u16(), &found.json["segment"]), (200, &json!(1)), "{name}");
        assert_eq!(found.json["id"], placed.json["itinerary_id"]);
        assert_eq!(found.json["reference"], reference.as_str());
    }
    app.finish().await;
}

#[tokio::test]
async fn cancelled_and_failed_bookings_are_found_too() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    let failed = app.book_paid_by(flight, 1, "pm_card_declined").await;
    let cancelled = app.book(flight, 1).await;
    app.run_until_idle().await;
    let cancel = format!("/api/v1/bookings/{}/cancel", cancelled.booking_id());
    assert_eq!(app.post(&cancel, &json!({})).await.status, 200);
    for (placed, status) in [(failed, "failed"), (cancelled, "cancelled")] {
        let found = find(&app, &reference(&placed), "Rao").await;
        assert_eq!((found.status.as_u16(), &found.json["status"]), (200, &json!(status)));
    }
    app.finish().await;
}

#[tokio::test]
async fn every_miss_is_answered_alike() {
    let app = TestApp::start().await;
    let mut references = None;
    let (placed, journey) = (placed(&app, &["Asha Rao"]).await, itinerary(&app).await);
    let by = app.references.clone();
    let reference = reference(&placed);
    let second = journey.json["bookings"][1]["booking_id"].as_i64().expect("an id");
    let none = by.of(BookingId(999)).to_string();
    // A later segment's own id has a reference, which is never shown.
    let of_second = by.of(BookingId(second)).to_string();
    let misses = [
        (reference.as_str(), "Iyer"),
        (reference.as_str(), "Asha"),
        (reference.as_str(), "Asha Rao"),
        (none.as_str(), "Rao"),
        (of_second.as_str(), "Rao"),
        ("000000", "Rao"),
        ("AAAAAAA", "Rao"),
        ("ZZZZZZZZZZZZZ", "Rao"),
        ("what is this", "Rao"),
        ("x", "Rao"),
        (&reference[..5], "Rao"),
    ];
    for (client, (reference, name)) in misses.into_iter().enumerate() {
        let asked = Instant::now();
        let mut missed = find_as(&app, client as u32, reference, name).await;
        assert!(asked.elapsed() >= Duration::from_millis(50), "{reference} {name}");
        missed.assert_problem(404, "not_found");
        missed.json.as_object_mut().expect("an object").remove("request_id");
        missed.headers.remove("x-request-id");
        let alike = references.get_or_insert_with(|| (missed.json.clone(), missed.headers.clone()));
        assert_eq!((&missed.json, &missed.headers), (&alike.0, &alike.1), "{reference} {name}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_passenger_whose_data_were_erased_is_never_found() {
    let app = TestApp::start().await;
    let placed = placed(&app, &["Asha Rao"]).await;
    app.run_until_idle().await;
    let reference = reference(&placed);
    assert_eq!(find(&app, &reference, "Rao").await.status, 200);
    let user = airline_booking::domain::UserId(123);
    let erase = Erase { store: &*app.store, user, all: true, now: app.clock.now() };
    assert_eq!(erase.run().await.expect("erased").bookings, 1);
    for name in ["Rao", "Erased", "erased"] {
        find(&app, &reference, name).await.assert_problem(404, "not_found");
    }
    app.finish().await;
}

#[tokio::test]
async fn what_can_not_be_asked_for_is_named() {
    let app = TestApp::start().await;
    let long = "x".repeat(101);
    for (body, pointers) in [
        (json!({}), &["/reference", "/last_name"][..]),
        (json!({"reference": "", "last_name": ""}), &["/reference", "/last_name"]),
        (json!({"reference": " ", "last_name": "\u{a0}\u{ad}"}), &["/reference", "/last_name"]),
        (json!({"reference": "ABCDEF", "last_name": null}), &["/last_name"]),
        (json!({"reference": 7, "last_name": "Rao"}), &["/reference"]),
        (json!({"reference": "ABCDEF", "last_name": long}), &["/last_name"]),
        (json!({"reference": "ABCDEF", "last_name": "Rao", "name": "x"}), &["/name"]),
    ] {
        let refused = app.post(FIND, &body).await;
        refused.assert_problem(422, "validation_failed");
        assert_eq!(refused.pointers(), pointers, "{body}");
    }
    app.get(FIND).await.assert_problem(405, "method_not_allowed");
    app.finish().await;
}
