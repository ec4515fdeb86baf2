//! Where references are shown, and that they stay what they are.

use super::{itinerary, placed, reference};
use crate::support::process::Server;
use crate::support::replicas::Replicas;
use crate::support::{TestApp, TestDatabase, booking, flight};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Sends JSON to a server.
async fn post(base: &str, path: &str, body: &Value) -> Value {
    let client = crate::support::process::http_client();
    let sent = client.post(format!("{base}{path}")).json(body).send().await;
    sent.expect("an answer").json().await.expect("JSON")
}

#[tokio::test]
async fn whatever_shows_a_booking_shows_its_reference() {
    let app = TestApp::start().await;
    let placed = placed(&app, &["Asha Rao"]).await;
    let reference = json!(reference(&placed));
    assert_eq!(placed.text.matches("\"reference\"").count(), 1);
    let path = format!("/api/v1/bookings/{}", placed.booking_id());
    app.run_until_idle().await;
    assert_eq!(app.get(&path).await.json["reference"], reference);
    assert_eq!(
        app.get(&path.replace("bookings", "itineraries")).await.json["reference"],
        reference
    );
    let list = app.get("/api/v1/users/123/bookings").await.json;
    assert_eq!(list["bookings"][0]["reference"], reference);
    let manifest = format!("/api/v1/flights/{}/bookings", list["bookings"][0]["flight_id"]);
    assert_eq!(app.get(&manifest).await.json["bookings"][0]["reference"], reference);
    let cancelled = app.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!(
        (&cancelled.json["status"], &cancelled.json["reference"]),
        (&json!("cancelled"), &reference)
    );

    let mut later = booking(app.add_flight(9).await, 1);
    later["payment"] = json!("later");
    let later = app.post("/api/v1/bookings", &later).await;
    let path = format!("/api/v1/bookings/{}", later.booking_id());
    app.clock.advance(chrono::TimeDelta::minutes(1));
    for act in ["extend", "payment"] {
        let shown = app.post(&format!("{path}/{act}"), &json!({})).await.json;
        assert_eq!(shown["reference"], later.json["reference"], "{act} {shown}");
    }
    assert_ne!(later.json["reference"], reference);
    app.finish().await;
}

#[tokio::test]
async fn all_bookings_of_an_itinerary_show_one_reference() {
    let app = TestApp::start().await;
    let placed = itinerary(&app).await;
    app.run_until_idle().await;
    let reference = reference(&placed);
    let mut shown = BTreeSet::new();
    for booked in placed.json["bookings"].as_array().expect("bookings") {
        let path = format!("/api/v1/bookings/{}", booked["booking_id"]);
        shown.insert(app.get(&path).await.json["reference"].to_string());
    }
    let path = format!("/api/v1/itineraries/{}", placed.json["itinerary_id"]);
    shown.insert(app.get(&path).await.json["reference"].to_string());
    let cancelled = app.post(&format!("{path}/cancel"), &json!({"segments": [2]})).await;
    shown.insert(cancelled.json["reference"].to_string());
    for listed in
        app.get("/api/v1/users/123/bookings").await.json["bookings"].as_array().expect("a list")
    {
        shown.insert(listed["reference"].to_string());
    }
    assert_eq!(shown, [format!("\"{reference}\"")].into());
    app.finish().await;
}

#[tokio::test]
async fn references_are_six_symbols_without_look_alikes() {
    let app = TestApp::start().await;
    let flight = app.add_flight(99).await;
    let mut met = BTreeSet::new();
    for _ in 0..50 {
        let shown = reference(&app.book(flight, 1).await);
        assert!(
            shown.len() == 6
                && shown.chars().all(|c| "23456789ABCDEFGHJKLMNPQRSTUVWXYZ".contains(c)),
            "{shown}"
        );
        met.insert(shown);
    }
    assert_eq!(met.len(), 50);
    app.finish().await;
}

#[tokio::test]
async fn a_booking_that_was_read_can_be_sent_again_with_its_reference() {
    let app = TestApp::start().await;
    let mut body = booking(app.add_flight(9).await, 1);
    body["reference"] = json!("ABCDEF");
    assert_ne!(app.post("/api/v1/bookings", &body).await.json["reference"], "ABCDEF");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_references() {
    let database = TestDatabase::create().await;
    let (directory, url) = (tempfile::tempdir().expect("a directory"), database.url());
    let settings = [("DATABASE_URL", url.as_str())];
    let server = Server::start(directory.path(), &settings).await;
    let mut far = flight(9);
    far["timestamp"] = json!("2099-01-20T10:00:00Z");
    let flight = post(&server.base, "/api/v1/flights", &far).await["id"].as_i64().expect("an id");
    let placed = post(&server.base, "/api/v1/bookings", &booking(flight, 1)).await;
    server.kill().await;
    let server = Server::start(directory.path(), &settings).await;
    let asked = json!({"reference": placed["reference"], "last_name": "rao"});
    let found = post(&server.base, super::FIND, &asked).await;
    assert_eq!((&found["id"], &found["reference"]), (&placed["booking_id"], &placed["reference"]));
    assert!(server.terminate().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_have_the_same_references() {
    let replicas = Replicas::new().await;
    // The template of the tests' databases has a key already.
    replicas.execute("DELETE FROM reference_key").await;
    let replicas = replicas.start(2).await;
    let flight = replicas.add_flight(9).await;
    let [one, other] = [0, 1].map(|replica| replicas.servers[replica].base.clone());
    let placed = post(&one, "/api/v1/bookings", &booking(flight, 1)).await;
    let asked = json!({"reference": placed["reference"], "last_name": "Rao"});
    let found = post(&other, super::FIND, &asked).await;
    assert_eq!((&found["id"], &found["reference"]), (&placed["booking_id"], &placed["reference"]));
}
