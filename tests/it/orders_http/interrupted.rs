//! Itineraries whose request is dropped, whose commit is lost, or which many requests change at once: each
//! change happens once, whole or not at all.

use super::{PATH, all, at_rest, cancel, each, id_of, itinerary, journey, minor, paid, read, sum};
use crate::support::{Answer, Fault, TestApp, give_up_after};
use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};

async fn post(app: &TestApp, path: &str, body: &Value, key: &str) -> Answer {
    app.send_json_with(Method::POST, path, body, &[("idempotency-key", key)]).await
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotent-replayed") == Some("true")
}

/// Bookings of the user on the first page.
async fn bookings(app: &TestApp) -> usize {
    let list = app.get("/api/v1/users/123/bookings?limit=1000").await.json;
    list["bookings"].as_array().expect("a list").len()
}

#[tokio::test]
async fn an_itinerary_dropped_at_any_step_is_whole_with_its_key_or_not_there() {
    let app = TestApp::start().await;
    let flights = journey(&app, 3, 1_000).await;
    for polls in 1.. {
        let (before, key) = (bookings(&app).await, format!("go-{polls}"));
        let body = itinerary(&flights, 1);
        let answer = give_up_after(polls, post(&app, PATH, &body, &key)).await;
        app.run_until_idle().await;
        let made = bookings(&app).await - before;
        assert!(made == 0 || made == 3, "{polls} polls: {made} bookings");

        let again = post(&app, PATH, &body, &key).await;
        assert_eq!((again.status.as_u16(), is_replayed(&again)), (201, made == 3), "{polls} polls");
        app.run_until_idle().await;
        assert_eq!(bookings(&app).await - before, 3, "{polls} polls");
        if let Some(answer) = answer {
            assert_eq!(id_of(&answer), id_of(&again));
            break;
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn a_cancellation_of_a_part_dropped_at_any_step_happens_once() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 1_000).await;
    let part = json!({"segments": [2], "passengers": [1]});
    for polls in 1.. {
        let (id, key) = (paid(&app, &flights, 2).await, format!("leave-{polls}"));
        let path = format!("{PATH}/{id}/cancel");
        let answer = give_up_after(polls, post(&app, &path, &part, &key)).await;
        app.run_until_idle().await;
        let was_made = read(&app, id).await["refunds"] != json!([]);
        let again = post(&app, &path, &part, &key).await;
        assert_eq!((again.status.as_u16(), is_replayed(&again)), (200, was_made), "{polls} polls");
        assert_eq!(again.json["refunds"].as_array().map(Vec::len), Some(1), "{polls} polls");
        if answer.is_some() {
            break;
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn an_itinerary_whose_commit_is_lost_or_panics_happens_once() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 9).await;
    for (at, fault) in [Fault::LostBefore, Fault::LostAfter, Fault::Panics, Fault::PanicsAfter]
        .into_iter()
        .enumerate()
    {
        let key = format!("{fault:?}");
        app.faults.plan([fault]);
        let body = itinerary(&flights, 1);
        let first = post(&app, PATH, &body, &key).await;
        let again = post(&app, PATH, &body, &key).await;
        let id = id_of(&again);
        assert_eq!(is_replayed(&again), first.status == 201, "{fault:?}: {first:?}");
        app.run_until_idle().await;
        assert_eq!(bookings(&app).await, 2 * (at + 1), "{fault:?}");

        app.faults.plan([fault]);
        let (path, part) = (format!("{PATH}/{id}/cancel"), json!({"segments": [1]}));
        let first = post(&app, &path, &part, &key).await;
        let again = post(&app, &path, &part, &key).await;
        assert_eq!(is_replayed(&again), first.status == 200, "{fault:?}: {first:?}");
        assert_eq!(each(&again.json, "status"), ["cancelled", "completed"], "{fault:?}");
        assert_eq!(again.json["refunds"].as_array().map(Vec::len), Some(1), "{fault:?}");
        app.run_until_idle().await;
    }
    app.finish().await;
}

#[tokio::test]
async fn an_unreachable_store_refuses_an_itinerary_and_changes_nothing() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 9).await;
    let id = paid(&app, &flights, 1).await;
    let before = at_rest(&app, &flights).await;
    app.faults.plan([Fault::LostBefore; 12]);
    for answer in [
        app.post(PATH, &itinerary(&flights, 1)).await,
        cancel(&app, id, &json!({"segments": [1]})).await,
    ] {
        assert!([200, 201, 503].contains(&answer.status.as_u16()), "{answer:?}");
        if answer.status == 503 {
            answer.assert_problem(503, "unavailable");
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert_eq!(all(&app, &flights).await, before);
        }
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancellations_of_overlapping_parts_at_once_refund_each_seat_once() {
    let app = TestApp::start().await;
    let flights = journey(&app, 3, 1_000).await;
    for _round in 0..5 {
        let id = paid(&app, &flights, 3).await;
        let parts = [
            json!({"segments": [1]}),
            json!({"segments": [1, 2]}),
            json!({"passengers": [0]}),
            json!({"passengers": [0, 2], "segments": [3]}),
            json!({}),
        ];
        let all = (0..25).map(|at| cancel(&app, id, &parts[at % parts.len()]));
        for answer in join_all(all).await {
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        app.run_until_idle().await;
        let shown = read(&app, id).await;
        assert_eq!(shown["status"], "cancelled");
        let refunds = shown["refunds"].as_array().expect("refunds");
        assert_eq!(sum(refunds.iter().map(|r| &r["amount"])), minor(&shown["total_price"]));
        assert!(refunds.iter().all(|refund| refund["status"] == "done"), "{shown}");
    }
    for flight in flights {
        assert_eq!(app.flight(flight).await["available_seats"], 1_000);
    }
    app.finish().await;
}
