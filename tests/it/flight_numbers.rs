//! Flight numbers: one rule for what is posted, put, imported and stored.

use crate::support::process::run_with;
use crate::support::{TestApp, TestDatabase, flight};
use serde_json::{Value, json};

fn numbered(number: &str) -> Value {
    let mut body = flight(9);
    body["flight_number"] = json!(number);
    body
}

#[tokio::test]
async fn a_flight_number_is_stored_in_capitals_without_spaces_and_hyphens() {
    let app = TestApp::start().await;
    for number in ["ai101", "Ai 101", " AI-101 ", "AI101"] {
        let created = app.post("/api/v1/flights", &numbered(number)).await;
        assert_eq!(created.status, 201, "{number}: {created:?}");
        assert_eq!(created.json["flight_number"], "AI101", "{number}");
        let path = created.header("location").expect("a location").to_owned();
        let same = app.put(&path, &json!({ "flight_number": number })).await;
        assert_eq!(same.json["flight"]["version"], 1, "{number} is no change: {same:?}");
        let other = app.put(&path, &json!({ "flight_number": "ai-0102 " })).await;
        assert_eq!(other.json["flight"]["flight_number"], "AI0102", "{other:?}");
    }
    for number in ["", " ", "--", "AI/101", "ÄI101", &"A1 ".repeat(11)] {
        let refused = app.post("/api/v1/flights", &numbered(number)).await;
        refused.assert_problem(422, "validation_failed");
        assert_eq!(refused.pointers(), ["/flight_number"], "{number}");
        let refused = app.put("/api/v1/flights/1", &json!({ "flight_number": number })).await;
        refused.assert_problem(422, "validation_failed");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_repeat_that_writes_the_flight_number_in_another_case_is_the_same_request() {
    let app = TestApp::start().await;
    let key = [("idempotency-key", "schedule-1")];
    for (number, replayed) in [("AI101", None), ("ai 101", Some("true"))] {
        let path = "/api/v1/flights";
        let sent = app.send_json_with(http::Method::POST, path, &numbered(number), &key).await;
        assert_eq!(sent.status, 201, "{sent:?}");
        assert_eq!(sent.header("idempotent-replayed"), replayed, "{sent:?}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_flight_number_stored_in_lower_case_is_the_same_number() {
    let app = TestApp::start().await;
    app.post("/api/v1/flights", &numbered("AI101")).await;
    app.database.plant("UPDATE flights SET flight_number = 'ai-101'").await;
    let path = "/api/v1/flights/1";
    assert_eq!(app.get(path).await.json["flight_number"], "AI101");
    let query = "source=Delhi&destination=Mumbai&date=2025-01-20";
    let found = app.get(&format!("/api/v1/flights/search?{query}")).await;
    assert_eq!(found.json["flights"][0]["flight_number"], "AI101", "{found:?}");
    let changed = app.put(path, &json!({ "price": 2600 })).await;
    assert_eq!(changed.json["flight"]["flight_number"], "AI101");
    let stored = "UPDATE flights SET version = version WHERE flight_number = 'AI101'";
    assert_eq!(app.database.plant(stored).await, 1, "a change writes it as it is kept");
    app.finish().await;
}

#[tokio::test]
async fn an_import_recognises_a_flight_number_stored_in_lower_case() {
    let database = TestDatabase::create().await;
    let directory = tempfile::tempdir().expect("a directory");
    let line = "AI101,Delhi,Mumbai,2030-01-20T10:00:00Z,180,2500.00";
    let text = format!("flight_number,source,destination,timestamp,total_seats,price\n{line}\n");
    std::fs::write(directory.path().join("flights.csv"), text).expect("a file");
    for printed in ["1 imported", "0 imported, 1 already there"] {
        let settings = [("DATABASE_URL", &*database.url())];
        let (_, told) = run_with(directory.path(), &settings, &["import", "flights.csv"]).await;
        assert!(told.contains(printed), "{told}");
        database.plant("UPDATE flights SET flight_number = 'ai 1-01'").await;
    }
}
