//! Booking numbers drawn from a sequence that lies behind the table, as after a restore.

use crate::support::deployment::is_shared;
use crate::support::{Answer, TestApp, booking};
use futures::future::join_all;
use http::Method;
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn bookings_in_one_batch_get_new_numbers_when_a_drawn_one_is_taken() {
    let app = TestApp::start().await;
    let flight = app.add_flight(100).await;
    let mut stored = Vec::new();
    for _ in 0..3 {
        stored.push(app.book(flight, 1).await.booking_id());
    }
    app.run_until_idle().await;
    // The next two numbers to be drawn, and one far behind them.
    let highest = stored[2] + 900;
    let taken = [stored[2] + 1, stored[2] + 2, highest];
    for (was, now) in stored.iter().zip(taken) {
        let moved = format!("UPDATE bookings SET id = {now} WHERE id = {was}");
        assert_eq!(app.database.plant(&moved).await, 1);
    }
    let wait = [("prefer", "wait=30"), ("idempotency-key", "once")];
    let body = booking(flight, 2);
    let waited = app.send_json_with(Method::POST, "/api/v1/bookings", &body, &wait);
    let (waited, others) = tokio::join!(waited, join_all((0..5).map(|_| app.book(flight, 1))));
    let mut numbers: BTreeSet<i64> = others.iter().map(Answer::booking_id).collect();
    numbers.insert(waited.booking_id());
    assert_eq!(numbers.len(), 6, "each has a number of its own: {numbers:?}");
    assert!(numbers.iter().all(|number| !taken.contains(number)), "{numbers:?}");
    assert!(numbers.iter().any(|number| *number > highest), "{numbers:?}");
    assert_eq!(waited.json["status"], "completed", "{waited:?}");
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains("booking_version_conflicts_total 0\n"), "{metrics}");

    let again = app.send_json_with(Method::POST, "/api/v1/bookings", &body, &wait).await;
    assert_eq!(again.booking_id(), waited.booking_id());
    app.run_until_idle().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_repairs_a_sequence_that_was_reset_to_a_used_number() {
    if !is_shared() {
        // In a file numbers are counted from the highest that is stored.
        return;
    }
    let app = TestApp::start().await;
    let flights = [app.add_flight(1_000).await, app.add_flight(1_000).await];
    app.gateway.close();
    app.book(flights[0], 1).await.booking_id();
    app.database.plant("SELECT setval('bookings_id_seq', 1, false)").await;
    // More than were drawn before.
    let answers = join_all((0..600).map(|client| app.book(flights[client % 2], 1))).await;
    let numbers: BTreeSet<i64> = answers.iter().map(Answer::booking_id).collect();
    assert_eq!(numbers.len(), 600);
    app.gateway.open();
    app.run_until_idle().await;
    app.finish().await;
}
