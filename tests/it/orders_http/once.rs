//! Idempotency keys of itineraries: a repeat makes and cancels nothing.

use super::{PATH, each, id_of, itinerary, journey, paid, read};
use crate::support::replicas::Replicas;
use crate::support::{Answer, TestApp, booking, flight};
use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

async fn post(app: &TestApp, path: &str, body: &Value, key: &str) -> Answer {
    app.send_json_with(Method::POST, path, body, &[("idempotency-key", key)]).await
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotent-replayed") == Some("true")
}

#[tokio::test]
async fn a_repeated_itinerary_with_its_key_is_placed_once() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 100).await;
    let body = itinerary(&flights, 2);
    let first = post(&app, PATH, &body, "journey-7").await;
    assert!(!is_replayed(&first));
    app.run_until_idle().await;
    let again = post(&app, PATH, &body, "\"journey-7\"").await;
    assert_eq!((again.status.as_u16(), is_replayed(&again)), (201, true));
    assert_eq!(again.json["itinerary_id"], first.json["itinerary_id"]);
    assert_eq!(again.json["status"], "completed", "a replay shows the itinerary as it is now");
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(each(&again.json, "booking_id"), each(&first.json, "booking_id"));
    let mut booked = flights.clone();
    booked.reverse();
    for other in [itinerary(&flights, 1), itinerary(&flights[..1], 2), itinerary(&booked, 2)] {
        post(&app, PATH, &other, "journey-7").await.assert_problem(422, "idempotency_key_reused");
    }
    let mut anothers = body.clone();
    anothers["user_id"] = json!(124);
    let theirs = post(&app, PATH, &anothers, "journey-7").await;
    assert_ne!(id_of(&theirs), id_of(&first), "each user has keys of its own");
    // Bookings have keys of their own too.
    let alone = post(&app, "/api/v1/bookings", &booking(flights[0], 2), "journey-7").await;
    assert!(alone.status == 201 && !is_replayed(&alone));
    app.clock.advance(chrono::TimeDelta::hours(25));
    let later = post(&app, PATH, &body, "journey-7").await;
    assert!(id_of(&later) != id_of(&first) && !is_replayed(&later));
    app.finish().await;
}

#[tokio::test]
async fn a_refused_itinerary_does_not_use_its_key_up() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 1).await;
    let body = itinerary(&flights, 2);
    post(&app, PATH, &body, "k").await.assert_problem(409, "insufficient_seats");
    for flight in &flights {
        let more = json!({"total_seats": 3, "version": 1});
        app.put(&format!("/api/v1/flights/{flight}"), &more).await;
    }
    let placed = post(&app, PATH, &body, "k").await;
    assert!(placed.status == 201 && !is_replayed(&placed), "{placed:?}");
    let malformed = post(&app, PATH, &body, "two words").await;
    malformed.assert_problem(422, "validation_failed");
    assert_eq!(malformed.pointers(), ["/headers/Idempotency-Key"]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn itineraries_placed_at_once_with_one_key_are_one() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 100).await;
    let body = itinerary(&flights, 2);
    let answers = join_all((0..50).map(|_| post(&app, PATH, &body, "at-once"))).await;
    let ids: BTreeSet<_> = answers.iter().map(id_of).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(answers.iter().filter(|answer| !is_replayed(answer)).count(), 1);
    app.run_until_idle().await;
    for flight in flights {
        assert_eq!(app.flight(flight).await["available_seats"], 98);
    }
    app.finish().await;
}

#[tokio::test]
async fn a_repeated_cancellation_with_its_key_is_recognised() {
    let app = TestApp::start().await;
    let flights = journey(&app, 3, 100).await;
    let (id, other) = (paid(&app, &flights, 2).await, paid(&app, &flights, 2).await);
    let path = |id: i64| format!("{PATH}/{id}/cancel");
    let part = json!({"segments": [1, 3], "passengers": [1]});
    let first = post(&app, &path(id), &part, "leave").await;
    assert_eq!((first.status.as_u16(), is_replayed(&first)), (200, false));
    let reordered = json!({"passengers": [1.0], "segments": [3, 1]});
    let again = post(&app, &path(id), &reordered, "leave").await;
    assert_eq!((again.status.as_u16(), is_replayed(&again)), (200, true));
    for (id, part) in [(other, &part), (id, &json!({})), (id, &json!({"segments": [1, 3]}))] {
        let reused = post(&app, &path(id), part, "leave").await;
        reused.assert_problem(422, "idempotency_key_reused");
    }
    assert_eq!(read(&app, other).await["refunds"], json!([]));
    // A key of a whole cancellation means another request for a part of it.
    let booked = app.book(flights[0], 2).await.booking_id();
    app.run_until_idle().await;
    let path = format!("/api/v1/bookings/{booked}/cancel");
    let some = post(&app, &path, &json!({"passengers": [0]}), "some").await;
    assert_eq!((some.status.as_u16(), is_replayed(&some)), (200, false));
    let again = post(&app, &path, &json!({"passengers": [0]}), "some").await;
    assert_eq!((again.status.as_u16(), is_replayed(&again)), (200, true));
    post(&app, &path, &json!({}), "some").await.assert_problem(422, "idempotency_key_reused");
    app.finish().await;
}

/// Two replicas, and two flights that connect.
async fn two_replicas() -> (Replicas, Vec<i64>) {
    let replicas = Replicas::new().await.start(2).await;
    let mut flights = Vec::new();
    for hour in [6, 12] {
        let mut body = flight(1_000);
        body["timestamp"] = json!(format!("2099-01-20T{hour:02}:00:00Z"));
        body["arrival_timestamp"] = json!(format!("2099-01-20T{:02}:00:00Z", hour + 2));
        let added = replicas.client.post(replicas.url(0, "/api/v1/flights")).json(&body);
        let added: Value = added.send().await.expect("sent").json().await.expect("JSON");
        flights.push(added["id"].as_i64().expect("an id"));
    }
    (replicas, flights)
}

/// What a replica answers to a request with a key: status, whether it is a replay, body.
async fn at(
    replicas: &Replicas,
    replica: usize,
    path: &str,
    body: &Value,
    key: &str,
) -> (u16, bool, Value) {
    let request = replicas.client.post(replicas.url(replica, path)).json(body);
    let request = request.header("idempotency-key", key).header("prefer", "wait=20");
    let answer = request.send().await.expect("an answer");
    let is_replayed = answer.headers().contains_key("idempotent-replayed");
    (answer.status().as_u16(), is_replayed, answer.json().await.expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_at_two_replicas_at_once_is_one_itinerary() {
    let (replicas, flights) = two_replicas().await;
    let body = itinerary(&flights, 1);
    let mut placed = BTreeSet::new();
    for round in 0..100 {
        let key = format!("at-once-{round}");
        let place = |replica| at(&replicas, replica, PATH, &body, &key);
        let (one, two) = tokio::join!(place(0), place(1));
        assert_eq!((one.0, two.0), (201, 201), "{key}: {one:?} {two:?}");
        assert_eq!(one.2["itinerary_id"], two.2["itinerary_id"], "{key}");
        assert!(one.1 != two.1, "{key}: one made it, the other repeats");
        let id = one.2["itinerary_id"].as_i64().expect("an id");
        assert!(placed.insert(id), "{key}: an id of an earlier round");
    }
    let settled = replicas.settled().await;
    assert_eq!(settled.len(), 200, "two bookings a round");
    assert!(settled.values().all(|(_, status, _)| status == "completed"));
    for flight in flights {
        let flight = replicas.get(0, &format!("/api/v1/flights/{flight}")).await;
        assert_eq!(flight["available_seats"], 900);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_cancelled_at_two_replicas_at_once_is_refunded_once() {
    let (replicas, flights) = two_replicas().await;
    let body = itinerary(&flights, 2);
    for round in 0..20 {
        let (_, _, placed) = at(&replicas, round % 2, PATH, &body, &format!("go-{round}")).await;
        assert_eq!(placed["status"], "completed", "{placed}");
        let path = format!("{PATH}/{}/cancel", placed["itinerary_id"]);
        let (part, key) = (json!({"segments": [2], "passengers": [0]}), format!("leave-{round}"));
        let cancel = |replica| at(&replicas, replica, &path, &part, &key);
        let (one, two) = tokio::join!(cancel(0), cancel(1));
        assert_eq!((one.0, two.0), (200, 200), "{one:?} {two:?}");
        assert!(one.1 != two.1, "{key}: one cancelled it, the other repeats");
        for (_, _, shown) in [one, two] {
            assert_eq!(shown["refunds"].as_array().map(Vec::len), Some(1), "{shown}");
        }
    }
    replicas.settled().await;
    let second = replicas.get(1, &format!("/api/v1/flights/{}", flights[1])).await;
    assert_eq!(second["available_seats"], 1_000 - 20);
}
