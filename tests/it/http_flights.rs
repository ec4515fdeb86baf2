//! Flights over HTTP: create, read, change, search.

use crate::support::{TestApp, flight};
use airline_booking::domain::{DayKey, FlightStatus, Money, NewFlight, Timestamp, route_key};
use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};
use std::io::Read as _;

async fn search(app: &TestApp, query: &str) -> crate::support::Answer {
    app.get(&format!("/api/v1/flights/search?{query}")).await
}

fn ids(answer: &crate::support::Answer) -> Vec<i64> {
    let flights = answer.json["flights"].as_array().expect("flights");
    assert_eq!(answer.json["count"], flights.len());
    flights.iter().map(|flight| flight["id"].as_i64().expect("an id")).collect()
}

#[tokio::test]
async fn the_flight_of_the_specification_works_unchanged() {
    let app = TestApp::start().await;
    let body = r#"{"source":"Delhi","destination":"Mumbai","timestamp":"2025-01-20T10:00:00Z",
                   "available_seats":150,"total_seats":180,"price":2500.00}"#;
    let request = Request::post("/api/v1/flights").header("content-type", "application/json");
    let answer = app.send(request.body(Body::from(body)).expect("a request")).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("location"), Some("/api/v1/flights/1"));
    assert_eq!(answer.header("etag"), Some("\"1\""));
    assert!(answer.text.contains(r#""price":2500.00,"#), "{}", answer.text);
    let mut stored = answer.json;
    for stamp in ["created_at", "updated_at"] {
        assert!(stored[stamp].take().is_string());
    }
    assert_eq!(
        stored,
        json!({
            "id": 1, "source": "Delhi", "destination": "Mumbai",
            "timestamp": "2025-01-20T10:00:00Z", "available_seats": 150, "held_seats": 0,
            "blocked_seats": 30, "total_seats": 180, "flight_status": "scheduled",
            "price": 2500.0, "taxes": 0.0, "fare_rules": "free", "currency": "INR", "version": 1,
            "created_at": null, "updated_at": null
        })
    );
    app.finish().await;
}

#[tokio::test]
async fn a_timestamp_keeps_its_instant_and_a_price_may_be_a_string() {
    let app = TestApp::start().await;
    let mut body = flight(9);
    body["timestamp"] = json!("2025-01-20T10:00:00+05:30");
    body["price"] = json!("99.5");
    let answer = app.post("/api/v1/flights", &body).await;
    assert_eq!(answer.json["timestamp"], "2025-01-20T04:30:00Z");
    assert!(answer.text.contains(r#""price":99.50,"#));
    app.finish().await;
}

#[tokio::test]
async fn a_flight_with_a_matching_etag_is_not_sent_again() {
    let app = TestApp::start().await;
    let id = app.add_flight(9).await;
    let path = format!("/api/v1/flights/{id}");
    let known = Request::get(&path).header("if-none-match", "\"1\"");
    let unchanged = app.send(known.body(Body::empty()).expect("a request")).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.text.as_str()), (304, ""));
    app.get("/api/v1/flights/999").await.assert_problem(404, "not_found");
    app.get("/api/v1/flights/-1").await.assert_problem(404, "not_found");
    app.get("/api/v1/flights/one").await.assert_problem(400, "malformed_request");
    app.finish().await;
}

#[tokio::test]
async fn prices_of_another_currency_are_not_compared() {
    let app = TestApp::start().await;
    let at: Timestamp = "2025-01-20T10:00:00Z".parse().expect("an instant");
    for (currency, minor) in [("USD", 5_000), ("INR", 10_000), ("INR", 7_000), ("EUR", 1_000)] {
        let flight = NewFlight {
            flight_number: None,
            source: "Delhi".into(),
            destination: "Mumbai".into(),
            departs_at: at,
            arrives_at: None,
            available_seats: 9,
            total_seats: 9,
            flight_status: FlightStatus::Scheduled,
            price: Money::from_minor(minor),
            taxes: Money::default(),
            fare_rules: airline_booking::domain::FareName::default(),
        };
        let day = DayKey { route: route_key("Delhi", "Mumbai"), date: at.date_naive() };
        let currency = currency.parse().expect("a currency");
        app.store.create_flight(flight, &day, currency, at).await.expect("a flight");
    }
    let found = async |order: &str| {
        ids(&search(&app, &format!("source=Delhi&destination=Mumbai&date=2025-01-20&{order}"))
            .await)
    };
    assert_eq!(found("sort=price").await, [3, 2, 4, 1]);
    assert_eq!(found("sort=-price").await, [2, 3, 4, 1]);
    assert_eq!(found("max_price=80").await, [3]);
    app.finish().await;
}

#[tokio::test]
async fn put_changes_only_the_given_fields_and_refuses_a_stale_version() {
    let app = TestApp::start().await;
    let id = app.add_flight(100).await;
    let path = format!("/api/v1/flights/{id}");

    let delayed = app.put(&path, &json!({"flight_status": "delayed"})).await;
    assert_eq!(delayed.status, 200);
    assert_eq!(delayed.json["message"], "Flight updated successfully");
    assert_eq!(delayed.json["flight"]["flight_status"], "delayed");
    assert_eq!(delayed.json["flight"]["version"], 2);
    assert_eq!(delayed.json["flight"]["price"], 2500.0);

    let seats = json!({"available_seats": 90});
    app.put(&path, &seats).await.assert_problem(428, "version_required");
    let stale = json!({"available_seats": 90, "version": 1});
    app.put(&path, &stale).await.assert_problem(409, "version_conflict");
    let if_match = |tag| app.send_json_with(Method::PUT, &path, &seats, tag);
    if_match(&[("if-match", "\"1\"")]).await.assert_problem(412, "precondition_failed");
    if_match(&[("if-match", "one")]).await.assert_problem(412, "precondition_failed");
    let changed = if_match(&[("if-match", "\"2\"")]).await;
    assert_eq!(changed.json["flight"]["blocked_seats"], 10);

    let larger = app.put(&path, &json!({"total_seats": 120, "version": 3})).await;
    let flight = &larger.json["flight"];
    assert_eq!((&flight["available_seats"], &flight["blocked_seats"]), (&json!(110), &json!(10)));

    let nothing = app.put(&path, &json!({})).await;
    assert_eq!((nothing.status.as_u16(), &nothing.json["flight"]["version"]), (200, &json!(4)));
    app.put("/api/v1/flights/999", &json!({"price": 1})).await.assert_problem(404, "not_found");
    app.finish().await;
}

#[tokio::test]
async fn sold_and_held_seats_cannot_be_removed() {
    let app = TestApp::start().await;
    let id = app.add_flight(10).await;
    app.book(id, 4).await.booking_id();
    app.run_until_idle().await;
    app.gateway.close();
    app.book(id, 3).await.booking_id();
    let path = format!("/api/v1/flights/{id}");
    let version = app.flight(id).await["version"].clone();
    for body in [
        json!({"available_seats": 2, "version": version}),
        json!({"total_seats": 6, "version": version}),
        json!({"available_seats": 7, "total_seats": 11, "version": version}),
    ] {
        let refused = app.put(&path, &body).await;
        if body["available_seats"] == 7 {
            assert_eq!(refused.status, 200, "{refused:?}");
        } else {
            refused.assert_problem(409, "seats_in_use");
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn a_cancelled_flight_cannot_be_reopened() {
    let app = TestApp::start().await;
    let id = app.add_flight(10).await;
    let path = format!("/api/v1/flights/{id}");
    assert_eq!(app.put(&path, &json!({"flight_status": "cancelled"})).await.status, 200);
    for status in ["scheduled", "departed"] {
        let back = json!({"flight_status": status});
        app.put(&path, &back).await.assert_problem(409, "flight_cancelled");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_search_lists_flights_on_sale_by_departure() {
    let app = TestApp::start().await;
    for (hour, status) in
        [(18, "delayed"), (10, "scheduled"), (14, "on_time"), (12, "cancelled"), (13, "departed")]
    {
        let mut body = flight(9);
        body["timestamp"] = json!(format!("2025-01-15T{hour}:00:00Z"));
        body["flight_status"] = json!(status);
        body["price"] = json!(100 * (20 - hour));
        app.post("/api/v1/flights", &body).await;
    }
    let day = "source=Delhi&destination=Mumbai&date=2025-01-15";
    let found = search(&app, day).await;
    assert_eq!(ids(&found), [2, 3, 1]);
    assert_eq!(
        ids(&search(&app, "source=%20DELHI&destination=mumbai%20&date=2025-01-15").await),
        [2, 3, 1]
    );
    for (more, expected) in [
        ("sort=price", &[1, 3, 2][..]),
        ("sort=-price", &[2, 3, 1]),
        ("sort=-departure", &[1, 3, 2]),
        ("limit=1", &[2]),
        ("max_price=600", &[3, 1]),
        ("seats=9", &[2, 3, 1]),
        ("seats=10", &[]),
    ] {
        assert_eq!(ids(&search(&app, &format!("{day}&{more}")).await), expected, "{more}");
    }
    let none = search(&app, "source=Delhi&destination=Mumbai&date=2025-01-16").await;
    assert_eq!(none.text, r#"{"flights":[],"count":0}"#);

    let tag = found.header("etag").expect("a tag");
    let path = format!("/api/v1/flights/search?{day}");
    let known = Request::get(path).header("if-none-match", tag).body(Body::empty());
    assert_eq!(app.send(known.expect("a request")).await.status, 304);
    app.finish().await;
}

#[tokio::test]
async fn a_search_is_fresh_after_every_change() {
    let app = TestApp::start().await;
    let day = "source=Delhi&destination=Mumbai&date=2025-01-20";
    assert_eq!(ids(&search(&app, day).await), [0; 0]);
    let id = app.add_flight(2).await;
    let held = |answer: &crate::support::Answer| answer.json["flights"][0]["held_seats"].clone();
    assert_eq!(held(&search(&app, day).await), 0);
    app.gateway.close();
    app.book(id, 1).await.booking_id();
    assert_eq!(held(&search(&app, day).await), 1);
    app.book(id, 1).await.booking_id();
    assert_eq!(ids(&search(&app, day).await), [0; 0]);
    app.gateway.open();
    app.run_until_idle().await;

    let version = app.flight(id).await["version"].clone();
    let elsewhere =
        json!({"timestamp": "2025-02-01T10:00:00Z", "total_seats": 4, "version": version});
    assert_eq!(app.put(&format!("/api/v1/flights/{id}"), &elsewhere).await.status, 200);
    assert_eq!(ids(&search(&app, day).await), [0; 0]);
    assert_eq!(ids(&search(&app, &day.replace("01-20", "02-01")).await), [id]);
    app.finish().await;
}

#[tokio::test]
async fn a_search_that_cannot_be_read_names_the_parameter() {
    let app = TestApp::start().await;
    for (query, pointers) in [
        ("", &["/source", "/destination", "/date"][..]),
        ("source=Delhi&destination=Mumbai", &["/date"]),
        ("source=Delhi&destination=Mumbai&date=2025-02-30", &["/date"]),
        ("source=Delhi&destination=Mumbai&date=15-01-2025", &["/date"]),
        ("source=Delhi&destination=Mumbai&date=2025-1-5", &["/date"]),
        ("source=A&destination=B&date=2025-01-15&seats=x&limit=-1", &["/seats", "/limit"]),
        ("source=A&destination=B&date=2025-01-15&max_price=1e9&sort=up", &["/max_price", "/sort"]),
        ("source=A&destination=B&date=2025-01-15&seats=&limit=", &["/seats", "/limit"]),
    ] {
        let answer = search(&app, query).await;
        answer.assert_problem(400, "malformed_request");
        assert_eq!(answer.pointers(), pointers, "{query}");
    }
    for (query, pointers) in [
        ("source=Delhi&destination=DELHI&date=2025-01-15", &["/destination"][..]),
        ("source=A&destination=B&date=2025-01-15&seats=0&limit=0", &["/seats", "/limit"]),
        ("source=A%00&destination=B&date=2025-01-15", &["/source"]),
        ("source=A&destination=B&date=2025-01-15&limit=1001", &["/limit"]),
    ] {
        let answer = search(&app, query).await;
        answer.assert_problem(422, "validation_failed");
        assert_eq!(answer.pointers(), pointers, "{query}");
    }
    search(&app, "source=%ff").await.assert_problem(400, "malformed_request");
    app.finish().await;
}

#[tokio::test]
async fn bad_flights_are_refused_with_every_bad_field_named_and_nothing_is_created() {
    let app = TestApp::start().await;
    let long = "x".repeat(10_240);
    let with = |field: &str, value: Value| {
        let mut body = flight(9);
        body[field] = value;
        body
    };
    for (body, pointers) in [
        (
            json!({}),
            &[
                "/source",
                "/destination",
                "/available_seats",
                "/total_seats",
                "/price",
                "/timestamp",
            ][..],
        ),
        (json!([]), &[""]),
        (json!(null), &[""]),
        (with("source", json!("")), &["/source"]),
        (with("source", json!(long)), &["/source"]),
        (with("source", json!("De\u{0}lhi")), &["/source"]),
        (with("source", json!(7)), &["/source"]),
        (with("destination", json!(" delhi ")), &["/destination"]),
        (with("timestamp", json!("2025-02-30T10:00:00Z")), &["/timestamp"]),
        (with("timestamp", json!("2025-01-20T10:00:00")), &["/timestamp"]),
        (with("timestamp", json!("1492-01-20T10:00:00Z")), &["/timestamp"]),
        (with("arrival_timestamp", json!("2025-01-20T09:00:00Z")), &["/arrival_timestamp"]),
        (with("available_seats", json!(10)), &["/available_seats"]),
        (with("available_seats", json!(-1)), &["/available_seats"]),
        (with("available_seats", json!(2.5)), &["/available_seats"]),
        (with("total_seats", json!(0)), &["/total_seats", "/available_seats"]),
        (with("total_seats", json!(10_001)), &["/total_seats"]),
        (with("total_seats", json!(99_999_999_999_i64)), &["/total_seats"]),
        (with("price", json!("12.345")), &["/price"]),
        (with("price", json!(0)), &["/price"]),
        (with("price", json!(-5)), &["/price"]),
        (with("price", json!(100_000_000)), &["/price"]),
        (with("price", json!("much")), &["/price"]),
        (with("price", json!({"amount": 1})), &["/price"]),
        (with("flight_status", json!("flying")), &["/flight_status"]),
        (with("flight_number", json!("AB_1")), &["/flight_number"]),
    ] {
        let answer = app.post("/api/v1/flights", &body).await;
        answer.assert_problem(422, "validation_failed");
        assert_eq!(answer.pointers(), pointers, "{body}");
    }
    assert_eq!(app.add_flight(1).await, 1, "nothing was created before");
    app.finish().await;
}

#[tokio::test]
async fn a_long_answer_is_gzipped_on_request() {
    let app = TestApp::start().await;
    for _ in 0..8 {
        app.add_flight(10).await;
    }
    let path = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20";
    let ask = async |encoding: &str| {
        let request = Request::get(path).header("accept-encoding", encoding);
        app.send_raw(request.body(Body::empty()).expect("a request")).await
    };
    let (plain, head) = ask("br, gzip;q=0").await;
    assert!(head.get("content-encoding").is_none() && head["vary"] == "accept-encoding");
    for encoding in ["gzip", "br, GZIP;q=0.5"] {
        let (zipped, head) = ask(encoding).await;
        assert_eq!(head["content-encoding"], "gzip");
        assert!(zipped.len() * 3 < plain.len(), "{} of {}", zipped.len(), plain.len());
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(&zipped[..]).read_to_end(&mut read).expect("gzip");
        assert_eq!(read, plain);
        let again = Request::get(path).header("if-none-match", &head["etag"]);
        let again = app.send(again.body(Body::empty()).expect("a request")).await;
        assert_eq!(again.status, 304);
    }
    app.finish().await;
}
