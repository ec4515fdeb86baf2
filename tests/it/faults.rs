//! A store that loses connections and refuses commits: every caller gets one true answer.

use crate::support::{Fault, TestApp, booking, flight};
use airline_booking::domain::FlightId;
use futures::future::join_all;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_is_found_and_not_done_twice() {
    let app = TestApp::start().await;
    let flight = app.add_flight(100).await;
    app.gateway.close();
    app.faults.plan([Fault::LostAfter, Fault::LostBefore, Fault::LostAfter]);
    let answers = join_all((0..20).map(|_| app.book(flight, 2))).await;
    assert!(answers.iter().all(|answer| answer.status == 201));
    assert_eq!(app.flight(flight).await["held_seats"], 40);
    let listed = app.get("/api/v1/users/123/bookings").await;
    assert_eq!(listed.json["count"], 20);
    app.finish().await;
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_is_not_a_version_conflict() {
    let app = TestApp::start().await;
    let id = app.add_flight(100).await;
    app.faults.plan([Fault::LostAfter]);
    let path = format!("/api/v1/flights/{id}");
    let put = app.put(&path, &json!({"total_seats": 120, "version": 1})).await;
    assert_eq!((put.status.as_u16(), &put.json["flight"]["version"]), (200, &json!(2)));
    app.finish().await;
}

#[tokio::test]
async fn a_store_that_stays_away_is_a_503_and_changes_nothing() {
    let app = TestApp::start().await;
    let flight = app.add_flight(100).await;
    app.faults.plan([Fault::LostBefore; 4]);
    let refused = app.book(flight, 2).await;
    refused.assert_problem(503, "unavailable");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(app.flight(flight).await["held_seats"], 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_command_fails_alone_and_spoils_no_others_booking() {
    let app = TestApp::start().await;
    let flight = app.add_flight(100).await;
    app.faults.plan([Fault::RefusesSeats(7)]);
    let sizes: Vec<i32> = (0..30).map(|client| if client == 13 { 7 } else { 1 }).collect();
    let answers = join_all(sizes.iter().map(|seats| app.book(flight, *seats))).await;
    for (answer, seats) in answers.iter().zip(&sizes) {
        match seats {
            7 => {
                answer.assert_problem(500, "internal");
                assert!(!answer.text.contains("schema"), "{answer:?}");
            }
            _ => assert_eq!(answer.status, 201, "{answer:?}"),
        }
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_store_refuses_is_put_aside_and_holds_up_no_other() {
    let app = TestApp::start().await;
    let flight = app.add_flight(100).await;
    app.gateway.close();
    let struck = app.book(flight, 7).await.booking_id();
    let other = app.book(flight, 2).await.booking_id();
    app.faults.plan([Fault::RefusesSeats(7)]);
    app.gateway.open();
    app.run_until_idle().await;
    assert_eq!(app.booking(other).await["status"], "completed");
    assert_eq!(app.booking(struck).await["status"], "pending");
    let letters = app.bus.take_dead_letters();
    assert_eq!(letters.len(), 1, "{letters:?}");

    // Its payment is asked for again, and the gateway answers as before.
    app.faults.heal();
    app.pass(std::time::Duration::from_secs(60)).await;
    app.run_until_idle().await;
    assert_eq!(app.booking(struck).await["status"], "completed");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_another_replica_overtook_are_decided_again() {
    let app = TestApp::start().await;
    let ids = [app.add_flight(5).await, app.add_flight(5).await];
    app.faults.plan(ids.map(|id| Fault::Overtaken(FlightId(id))));
    let answers = join_all((0..12).map(|client| app.book(ids[client % 2], 1))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 10);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.assert_problem(409, "insufficient_seats");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_caller_that_went_away_before_the_decision_holds_no_seats() {
    let app = TestApp::start().await;
    let id = app.add_flight(5).await;
    let body = booking(id, 2);
    let asked = app.post("/api/v1/bookings", &body);
    // Dropped at its first await: the command may be in its line, nobody waits for it.
    assert!(futures::FutureExt::now_or_never(asked).is_none());
    app.run_until_idle().await;
    let held = app.flight(id).await["held_seats"].as_i64().expect("a count");
    let listed = app.get("/api/v1/users/123/bookings").await.json["count"].as_i64();
    assert_eq!(listed, Some(i64::from(held > 0)), "seats and booking agree");
    app.post("/api/v1/flights", &flight(1)).await;
    app.finish().await;
}
