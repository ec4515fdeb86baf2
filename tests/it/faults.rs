//! A store that loses connections and refuses commits: every caller gets exactly one correct answer.

use crate::support::{Fault, TestApp, booking, flight, start_of_test};
use airline_booking::domain::{
    BookingId, FlightId, FlightPatch, PaymentMethod, PaymentOutcome, PaymentReference, UserId,
};
use airline_booking::rules::{Command, ExpectedVersion, Hold, PutFlight, Settle};
use chrono::TimeDelta;
use futures::future::join_all;
use serde_json::json;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_is_not_repeated() {
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
async fn bookings_whose_commit_was_found_written_afterwards_are_counted_once() {
    let app = TestApp::start().await;
    let flight = app.add_flight(100).await;
    let count = |event: &str| {
        let metrics = app.app.metrics.render();
        let series = format!("bookings_total{{event=\"{event}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&series));
        value.expect("the series starts at zero").to_owned()
    };
    for (number, fault) in [(1, Fault::LostAfter), (2, Fault::PanicsAfter)] {
        app.faults.plan([fault]);
        let booking = app.book(flight, 1).await.booking_id();
        assert_eq!(count("held"), number.to_string(), "{fault:?}");
        app.run_until_idle().await;
        app.faults.plan([fault]);
        let path = format!("/api/v1/bookings/{booking}/cancel");
        assert_eq!(app.post(&path, &json!({})).await.status, 200);
        assert_eq!(count("cancelled"), number.to_string(), "{fault:?}");
    }
    assert_eq!((count("held"), count("completed")), ("2".to_owned(), "2".to_owned()));
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
async fn while_the_store_is_away_callers_get_503_and_nothing_changes() {
    let app = TestApp::start().await;
    let flight = app.add_flight(100).await;
    app.faults.plan([Fault::LostBefore; 4]);
    let refused = app.book(flight, 2).await;
    refused.assert_problem(503, "unavailable");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(app.flight(flight).await["held_seats"], 0);
    app.finish().await;
}

#[tokio::test]
async fn a_panic_in_a_commit_fails_only_its_command_and_leaves_no_lock() {
    let app = TestApp::start().await;
    let ids = [app.add_flight(100).await, app.add_flight(100).await];
    app.gateway.close();
    let waiting = app.book(ids[0], 3).await.booking_id();
    app.faults.plan([Fault::Panics]);
    app.book(ids[0], 2).await.assert_problem(500, "internal");
    let others = async {
        for id in ids {
            assert_eq!(app.book(id, 1).await.status, 201);
        }
        app.gateway.open();
        app.run_until_idle().await;
    };
    tokio::time::timeout(Duration::from_secs(30), others).await.expect("no flight is locked");
    assert_eq!(app.booking(waiting).await["status"], "completed");
    assert_eq!(app.flight(ids[0]).await["available_seats"], 96);
    assert!(app.app.metrics.render().contains("panics_total{part=\"batch\"} 1\n"));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_panicked_after_its_write_is_not_repeated() {
    let app = TestApp::start().await;
    let id = app.add_flight(100).await;
    app.gateway.close();
    app.faults.plan([Fault::PanicsAfter, Fault::PanicsAfter]);
    let answers = join_all((0..20).map(|_| app.book(id, 2))).await;
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    assert_eq!(app.flight(id).await["held_seats"], 40);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_always_panics_fails_alone() {
    let app = TestApp::start().await;
    let ids = [app.add_flight(100).await, app.add_flight(100).await];
    app.faults.plan([Fault::PanicsAtSeats(7)]);
    let sizes: Vec<i32> = (0..30).map(|client| if client == 13 { 7 } else { 1 }).collect();
    let asked = sizes.iter().enumerate().map(|(client, seats)| app.book(ids[client % 2], *seats));
    for (answer, seats) in join_all(asked).await.iter().zip(&sizes) {
        match seats {
            7 => {
                answer.assert_problem(500, "internal");
                assert!(!answer.text.contains("planted"), "{answer:?}");
            }
            _ => assert_eq!(answer.status, 201, "{answer:?}"),
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn a_put_and_the_hold_behind_it_both_succeed_when_their_answer_was_lost() {
    let app = TestApp::start().await;
    let id = FlightId(app.add_flight(100).await);
    app.gateway.close();
    app.faults.plan([Fault::LostAfter]);
    let put = Command::PutFlight(PutFlight {
        flight_id: id,
        patch: FlightPatch { total_seats: Some(120), ..FlightPatch::default() },
        expected: Some(ExpectedVersion::Body(1)),
    });
    let outcomes = app.app.engine.submit_all(vec![put, hold(id, 1), hold(id, 2)], &[]).await;
    let outcomes = outcomes.expect("the store answers");
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let flight = app.flight(id.0).await;
    assert_eq!((&flight["version"], &flight["held_seats"]), (&json!(4), &json!(3)));
    app.finish().await;
}

#[tokio::test]
async fn a_put_with_an_unknown_outcome_is_not_reported_as_a_conflict() {
    let app = TestApp::start().await;
    let id = app.add_flight(100).await;
    app.faults.plan([Fault::LostAfterOvertaken(FlightId(id))]);
    let path = format!("/api/v1/flights/{id}");
    let put = app.put(&path, &json!({"total_seats": 120, "version": 1})).await;
    put.assert_problem(503, "unavailable");
    assert_eq!(app.flight(id).await["total_seats"], 120);
    app.finish().await;
}

#[tokio::test]
async fn a_search_after_a_commit_whose_answer_was_lost_shows_what_it_changed() {
    let app = TestApp::start().await;
    for fault in [Fault::LostAfter, Fault::PanicsAfter] {
        let id = app.add_flight(100).await;
        let search = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20";
        assert!(!app.get(search).await.text.contains("4321"));
        app.faults.plan([fault]);
        let path = format!("/api/v1/flights/{id}");
        assert_eq!(app.put(&path, &json!({"price": 4321.00})).await.status, 200);
        assert!(app.get(search).await.text.contains("4321"), "{fault:?}");
        assert_eq!(app.put(&path, &json!({"price": 2500.00})).await.status, 200);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_command_in_a_batch_fails_alone() {
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
async fn an_event_that_the_store_refuses_becomes_a_dead_letter_and_delays_no_other() {
    Box::pin(an_event_becomes_a_dead_letter_and_delays_no_other(Fault::RefusesSeats(7))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_panics_becomes_a_dead_letter_and_delays_no_other() {
    Box::pin(an_event_becomes_a_dead_letter_and_delays_no_other(Fault::PanicsAtSeats(7))).await;
}

/// `fault` strikes what has seven seats.
async fn an_event_becomes_a_dead_letter_and_delays_no_other(fault: Fault) {
    let app = TestApp::start().await;
    let flight = app.add_flight(100).await;
    app.gateway.close();
    let struck = app.book(flight, 7).await.booking_id();
    let other = app.book(flight, 2).await.booking_id();
    app.faults.plan([fault]);
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
async fn commands_are_decided_again_after_another_replica_changed_the_flight() {
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
async fn a_caller_that_disconnects_before_the_decision_holds_no_seats() {
    let app = TestApp::start().await;
    let id = app.add_flight(5).await;
    let body = booking(id, 2);
    let asked = app.post("/api/v1/bookings", &body);
    // Dropped at its first await: the command may be in its queue, and no caller waits for it.
    assert!(futures::FutureExt::now_or_never(asked).is_none());
    app.run_until_idle().await;
    let held = app.flight(id).await["held_seats"].as_i64().expect("a count");
    let listed = app.get("/api/v1/users/123/bookings").await.json["count"].as_i64();
    assert_eq!(listed, Some(i64::from(held > 0)), "seats and booking agree");
    app.post("/api/v1/flights", &flight(1)).await;
    app.finish().await;
}

/// An attempt's connection is lost and its commit is still on its way, so no later attempt may say that
/// nothing was written.
#[tokio::test]
async fn no_error_denies_a_booking_that_a_late_commit_still_writes() {
    let app = TestApp::start().await;
    app.gateway.close();
    for next in [Fault::Locked, Fault::Refuses, Fault::LostBefore] {
        let id = app.add_flight(10).await;
        app.faults.plan([Fault::LostUntilLanded, next, next, next]);
        app.book(id, 2).await.assert_problem(503, "unavailable");
        app.faults.heal();
        assert!(app.faults.land().await.stale.is_empty(), "{next:?}");
        assert_eq!(app.flight(id).await["held_seats"], 2, "{next:?}");
    }
    app.gateway.open();
    app.run_until_idle().await;
    app.finish().await;
}

#[tokio::test]
async fn no_rule_refuses_a_booking_that_a_late_commit_still_writes() {
    let app = TestApp::start().await;
    app.gateway.close();
    let id = app.add_flight(10).await;
    app.faults.plan([Fault::LostUntilLanded]);
    app.faults.hold_back([FlightId(id)]);
    let departs = async {
        while app.faults.held_back().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        app.clock.advance(TimeDelta::days(20));
        app.faults.hold_back([]);
    };
    let (answer, ()) = tokio::join!(app.book(id, 2), departs);
    answer.assert_problem(503, "unavailable");
    assert!(app.faults.land().await.stale.is_empty());
    assert_eq!(app.flight(id).await["held_seats"], 2);
    app.gateway.open();
    app.run_until_idle().await;
    app.finish().await;
}

#[tokio::test]
async fn a_late_commit_that_lands_before_the_next_attempt_is_found_and_not_repeated() {
    let app = TestApp::start().await;
    let id = app.add_flight(10).await;
    app.faults.plan([Fault::LostUntilLanded, Fault::LandsFirst]);
    let booking = app.book(id, 2).await.booking_id();
    app.run_until_idle().await;
    assert_eq!(app.booking(booking).await["status"], "completed");
    assert_eq!(app.flight(id).await["available_seats"], 8);
    app.finish().await;
}

/// Another replica's commit may leave the flight as the lost one would have: same version, same seats, same
/// microsecond.
#[tokio::test]
async fn an_equal_flight_does_not_prove_that_a_booking_was_written() {
    let app = TestApp::start().await;
    // A capture would turn held seats into sold ones.
    app.gateway.close();
    let id = app.add_flight(10).await;
    app.faults.plan([Fault::LostToAnEqual]);
    let booking = app.book(id, 2).await.booking_id();
    assert_eq!(app.booking(booking).await["seats_booked"], 2);
    // The other replica's change took two seats of no booking.
    assert_eq!(app.flight(id).await["held_seats"], 4);
    app.abandon();
}

/// A hold shares the batch and the flight of a settlement that another replica has made already.
#[tokio::test]
async fn a_hold_beside_a_stale_settlement_is_answered_as_it_was_written() {
    let app = TestApp::start().await;
    let id = FlightId(app.add_flight(3).await);
    let booked = app.book(id.0, 1).await.booking_id();
    app.run_until_idle().await;
    let path = format!("/api/v1/bookings/{booked}/cancel");
    assert_eq!(app.post(&path, &json!({})).await.status, 200);
    let cancelled = app.store.booking(BookingId(booked)).await.expect("the store answers");
    let cancelled = cancelled.expect("the booking");
    let reversed = Command::Settle(Settle {
        refund_id: None,
        reference: cancelled.payment_reference,
        booking_id: cancelled.id,
        amount: cancelled.booking_price,
        outcome: PaymentOutcome::Reversed,
    });
    app.faults.plan([Fault::PaymentsOvertaken]);
    let outcomes = app.app.engine.submit_all(vec![reversed, hold(id, 3)], &[]).await;
    let outcomes = outcomes.expect("the store answers");
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(app.flight(id.0).await["held_seats"], 3);
    // The gateway may not have been asked yet, and is not any more: the test says that it has given the money back.
    app.abandon();
}

/// A hold of a booking number that no other takes.
fn hold(flight_id: FlightId, number: i64) -> Command {
    Command::Hold(Hold {
        segments: Hold::on_one(BookingId(1_000_000 + number), flight_id),
        reference: PaymentReference::draw(start_of_test()),
        user_id: UserId(123),
        seats: number as i32,
        passengers: Vec::new().into(),
        method: Some(PaymentMethod::default()),
        idempotency: None,
        request: None,
        pending_max: None,
        expected_price: None,
    })
}
