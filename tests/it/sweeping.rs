//! The sweeper when the store refuses some of its work, and after a crash.

use crate::support::{Fault, TestApp, eventually};
use airline_booking::clock::Clock as _;
use airline_booking::config::Config;
use airline_booking::domain::{Booking, Payment, Timestamp};
use airline_booking::store::{Lane, OutboxEntry};
use futures::future::join_all;
use std::collections::HashSet;
use std::time::Duration;

const HOLD: Duration = Duration::from_secs(310);

/// Payments that were not requested again since this instant.
async fn unanswered(app: &TestApp, since: Timestamp) -> Vec<(Payment, Booking)> {
    app.store.unanswered_payments(since, None, 9_999).await.expect("payments").found
}

async fn requests(app: &TestApp) -> Vec<OutboxEntry> {
    app.store.outbox(Lane::Requests, &[], 9_999).await.expect("the outbox")
}

async fn metric(app: &TestApp, name: &str) -> i64 {
    let metrics = app.get("/metrics").await.text;
    let line = metrics.lines().find(|line| line.starts_with(&format!("{name} ")));
    let value = line.and_then(|line| line.rsplit_once(' ')).expect("the metric").1;
    value.parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_that_the_store_refuses_stops_neither_other_expiries_nor_reversals() {
    let app = TestApp::start().await;
    let flight = app.add_flight(100).await;
    let reversed = app.book(flight, 1).await.booking_id();
    app.run_until_idle().await;
    app.gateway.close();
    let cancel = app.post(&format!("/api/v1/bookings/{reversed}/cancel"), &().into()).await;
    assert_eq!(cancel.status, 200, "{cancel:?}");
    let struck = app.book(flight, 7).await.booking_id();
    let other = app.book(flight, 2).await.booking_id();
    app.faults.plan([Fault::RefusesSeats(7)]);

    // A capture that is asked for only after its hold has lapsed is not made.
    eventually("both captures at the gate", async || app.gateway.held_back() == 2).await;
    app.run_until_idle().await;
    app.pass(HOLD).await;
    assert_eq!(app.booking(struck).await["status"], "pending");
    assert_eq!(app.booking(other).await["failure_reason"], "hold_expired");
    let overdue = unanswered(&app, app.clock.now()).await;
    assert!(overdue.is_empty(), "not asked again: {overdue:?}");
    assert_eq!(metric(&app, "sweep_refused").await, 1);

    app.faults.heal();
    app.pass(Duration::from_secs(2)).await;
    assert_eq!(app.booking(struck).await["failure_reason"], "hold_expired");
    assert_eq!(metric(&app, "sweep_refused").await, 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_expires_behind_more_than_a_page_of_refused_ones() {
    let app = TestApp::start().await;
    let flights = join_all((0..4).map(|_| app.add_flight(9_000))).await;
    app.gateway.close();
    let struck = join_all((0..513).map(|number| app.book(flights[number % 4], 7))).await;
    assert!(struck.iter().all(|answer| answer.status == 201));
    app.clock.advance(chrono::TimeDelta::seconds(1));
    let good = app.book(flights[0], 1).await.booking_id();
    // Each capture waits at the gate: one that is asked for only after its hold has lapsed is not made.
    app.run_until_idle().await;
    app.faults.plan([Fault::RefusesSeats(7)]);
    app.pass(HOLD).await;
    assert_eq!(app.booking(good).await["failure_reason"], "hold_expired");
    assert_eq!(metric(&app, "sweep_refused").await, 513);

    app.faults.heal();
    // A step ends with the page with which it has done enough.
    app.pass(Duration::from_secs(2)).await;
    app.pass(Duration::from_secs(2)).await;
    assert_eq!(metric(&app, "sweep_refused").await, 0);
    app.finish().await;
}

/// A service that sweeps every 10 ms and never empties its outbox.
async fn app_without_relay() -> TestApp {
    TestApp::with(|config| {
        config.sweep_interval = Duration::from_millis(10);
        let apart = Config::from_env(|name| match name {
            "ROLES" => Some("api,sweeper".to_owned()),
            "DB_HOST" | "KAFKA_BROKERS" => Some("unused".to_owned()),
            _ => None,
        });
        config.roles = apart.expect("roles").roles;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_left_by_a_crash_are_requested_again_after_the_outbox_is_sent() {
    // A crash leaves rows: only this test takes them out.
    let app = app_without_relay().await;
    let flight = app.add_flight(9).await;
    let at_gateway = app.book(flight, 1).await.booking_id();
    let sent: Vec<i64> = requests(&app).await.iter().map(|entry| entry.id).collect();
    app.store.outbox(Lane::Requests, &sent, 1).await.expect("the outbox");
    app.book(flight, 1).await.booking_id();
    let left: Vec<i64> = requests(&app).await.iter().map(|entry| entry.id).collect();
    assert_eq!(left.len(), 1);

    app.clock.advance(chrono::TimeDelta::seconds(1));
    let started_at = app.clock.now();
    app.app.start_sweeper();
    while app.faults.looks() == 0 {
        tokio::task::yield_now().await;
    }
    app.store.outbox(Lane::Requests, &left, 1).await.expect("the outbox");
    eventually("each payment, requested again", async || {
        unanswered(&app, started_at).await.is_empty()
    })
    .await;
    let keys: HashSet<String> = requests(&app)
        .await
        .into_iter()
        .flat_map(|entry| entry.messages)
        .map(|(_, message)| message.payload.clone())
        .collect();
    let wanted = format!("\"booking_id\":{at_gateway}");
    assert!(keys.iter().any(|payload| payload.contains(&wanted)), "{keys:?}");
    app.abandon();
}

#[tokio::test(flavor = "multi_thread")]
async fn gauges_are_updated_when_the_clock_is_set_back_or_forward() {
    let app = app_without_relay().await;
    let flight = app.add_flight(99).await;
    app.app.start_sweeper();
    let hour = chrono::TimeDelta::hours(1);
    let mut told_before = 0;
    for set in [chrono::TimeDelta::zero(), -hour, hour, -hour, -hour] {
        app.clock.set(set);
        app.book(flight, 1).await.booking_id();
        app.clock.advance(chrono::TimeDelta::seconds(6));
        told_before = eventually(format!("a deeper outbox, clock set by {set}"), async || {
            let depth = metric(&app, "outbox_depth").await;
            if depth > told_before { Ok(depth) } else { Err(depth) }
        })
        .await;
    }
    app.abandon();
}
