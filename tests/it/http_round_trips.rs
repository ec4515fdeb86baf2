//! An object that was read can be sent back: by clients that change one field of it, and by clients of the
//! existing service, which send every field.

use crate::support::TestApp;
use http::Method;
use serde_json::{Value, json};

/// What the service decides, and a client only reads.
const OF_THE_SERVICE: [&str; 4] = ["version", "updated_at", "held_seats", "blocked_seats"];

async fn put(app: &TestApp, id: i64, body: &Value) -> crate::support::Answer {
    app.put(&format!("/api/v1/flights/{id}"), body).await
}

/// The flight as it is read, without what the service decides.
async fn as_set(app: &TestApp, id: i64) -> Value {
    let mut flight = app.flight(id).await;
    let fields = flight.as_object_mut().expect("an object");
    for name in OF_THE_SERVICE {
        assert!(fields.remove(name).is_some(), "{name}");
    }
    flight
}

#[tokio::test]
async fn a_flight_that_was_read_can_be_sent_back_with_one_field_changed() {
    let app = TestApp::start().await;
    let id = app.add_flight(100).await;
    app.gateway.close();
    // Some of its seats are held, which a client that sends them back does not mean to change.
    app.book(id, 3).await.booking_id();
    let changes = [
        ("source", json!("Pune")),
        ("destination", json!("Chennai")),
        ("timestamp", json!("2025-01-21T11:30:00Z")),
        ("price", json!(2750.5)),
        ("flight_status", json!("delayed")),
        ("total_seats", json!(120)),
        ("available_seats", json!(110)),
    ];
    for (field, value) in changes {
        let before = as_set(&app, id).await;
        let mut whole = app.flight(id).await;
        whole[field] = value.clone();
        let answer = put(&app, id, &whole).await;
        assert_eq!(answer.status, 200, "{field}: {answer:?}");
        let mut expected = before;
        expected[field] = value;
        assert_eq!(as_set(&app, id).await, expected, "{field}");
        assert_eq!(app.flight(id).await["held_seats"], 3, "{field}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_flight_that_was_read_can_be_sent_back_as_it_is() {
    let app = TestApp::start().await;
    let id = app.add_flight(100).await;
    let whole = app.flight(id).await;
    assert_eq!(put(&app, id, &whole).await.status, 200);
    let answer = app.post("/api/v1/flights", &whole).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_ne!(answer.json["id"], whole["id"]);
    assert_eq!(answer.json["version"], 1);
    app.finish().await;
}

#[tokio::test]
async fn a_whole_flight_with_a_stale_version_is_refused() {
    let app = TestApp::start().await;
    let id = app.add_flight(100).await;
    let mut whole = app.flight(id).await;
    assert_eq!(put(&app, id, &json!({ "price": 9 })).await.status, 200);
    whole["available_seats"] = json!(50);
    let answer = put(&app, id, &whole).await;
    assert_eq!((answer.status.as_u16(), &answer.json["code"]), (409, &json!("version_conflict")));
    app.finish().await;
}

/// A flight as clients of the existing service marshal it: every field, in its order, unset ones with
/// Go's zero values.
fn marshalled(fields: &[(&str, Value)]) -> String {
    let mut flight = vec![
        ("id", json!(0)),
        ("source", json!("Delhi")),
        ("destination", json!("Mumbai")),
        ("timestamp", json!("2025-01-20T10:00:00Z")),
        ("available_seats", json!(150)),
        ("total_seats", json!(180)),
        ("flight_status", json!("")),
        ("price", json!(2500)),
        ("version", json!(0)),
        ("created_at", json!("0001-01-01T00:00:00Z")),
        ("updated_at", json!("0001-01-01T00:00:00Z")),
    ];
    for (name, value) in fields {
        let field = flight.iter_mut().find(|(known, _)| known == name).expect("a known field");
        field.1 = value.clone();
    }
    let fields: Vec<_> = flight.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}\n", fields.join(","))
}

async fn send(app: &TestApp, method: Method, path: &str, body: String) -> crate::support::Answer {
    let request = http::Request::builder().method(method).uri(path);
    let request = request.header("content-type", "application/json");
    app.send(request.body(body.into()).expect("a request")).await
}

#[tokio::test]
async fn a_flight_can_be_created_with_all_fields_of_the_existing_service() {
    let app = TestApp::start().await;
    let created = send(&app, Method::POST, "/api/v1/flights", marshalled(&[])).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.json["flight_status"], "scheduled");
    assert_eq!((&created.json["id"], &created.json["version"]), (&json!(1), &json!(1)));
    assert!(created.json["created_at"].as_str().is_some_and(|at| !at.starts_with("0001")));
    // With what a client may have left in the fields that the service sets, and a local time.
    let left = [
        ("id", json!(77)),
        ("version", json!(9)),
        ("flight_status", json!("on_time")),
        ("timestamp", json!("2025-01-20T10:00:00.123456789+05:30")),
        ("created_at", json!("2024-12-01T09:00:00.123456789+05:30")),
        ("updated_at", json!("2024-12-01T09:00:00.123456789+05:30")),
    ];
    let created = send(&app, Method::POST, "/api/v1/flights", marshalled(&left)).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!((&created.json["id"], &created.json["version"]), (&json!(2), &json!(1)));
    assert_eq!(created.json["flight_status"], "on_time");
    app.finish().await;
}

#[tokio::test]
async fn a_flight_can_be_replaced_with_all_fields_of_the_existing_service() {
    let app = TestApp::start().await;
    let created = send(&app, Method::POST, "/api/v1/flights", marshalled(&[])).await;
    assert_eq!(created.status, 201, "{created:?}");
    let path = "/api/v1/flights/1";
    // The id in the path wins.
    let change = [
        ("id", json!(77)),
        ("version", json!(1)),
        ("price", json!(2600.5)),
        ("flight_status", json!("delayed")),
        ("available_seats", json!(0)),
    ];
    let answer = send(&app, Method::PUT, path, marshalled(&change)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let changed = app.flight(1).await;
    assert_eq!((&changed["price"], &changed["version"]), (&json!(2600.5), &json!(2)));
    assert_eq!(
        (&changed["flight_status"], &changed["available_seats"]),
        (&json!("delayed"), &json!(0))
    );
    // An unset status is no status, and an unset version is not the current one.
    let answer = send(&app, Method::PUT, path, marshalled(&[("version", json!(2))])).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(app.flight(1).await["flight_status"], "delayed");
    let answer = send(&app, Method::PUT, path, marshalled(&[])).await;
    assert_eq!((answer.status.as_u16(), &answer.json["code"]), (409, &json!("version_conflict")));
    app.finish().await;
}
