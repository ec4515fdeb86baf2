//! The drift check reports broken invariants while the service runs, until they are repaired.

use crate::support::TestApp;
use crate::support::{equal, eventually};
use airline_booking::booking::Drift;
use airline_booking::bus::Bus;
use airline_booking::clock::Clock as _;
use airline_booking::messages::{Headers, Message, Topic};
use futures::stream::{self, StreamExt as _};

async fn look(app: &TestApp, drift: &mut Drift) {
    drift.check_seats(&*app.store, &app.app.metrics).await.expect("a look");
}

/// Flights that break I1, I2, I3, as `/metrics` tells.
async fn told(app: &TestApp) -> [String; 3] {
    let metrics = app.get("/metrics").await.text;
    Drift::INVARIANTS.map(|invariant| {
        let name = format!("invariant_violations{{invariant=\"{invariant}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&*name)).expect("a gauge").to_owned()
    })
}

#[tokio::test]
async fn each_planted_drift_is_reported_until_it_is_repaired() {
    for (broken, repaired, expected) in [
        ("SET held_seats = 20", "SET held_seats = 1", ["1", "1", "0"]),
        ("SET held_seats = held_seats + 1", "SET held_seats = 1", ["0", "1", "0"]),
        ("SET available_seats = available_seats - 1", "SET available_seats = 8", ["0", "0", "1"]),
    ] {
        let app = TestApp::start().await;
        let flight = app.add_flight(10).await;
        app.add_flight(10).await;
        app.book(flight, 2).await.booking_id();
        app.run_until_idle().await;
        app.gateway.close();
        app.book(flight, 1).await.booking_id();
        let mut drift = Drift::default();
        look(&app, &mut drift).await;
        assert_eq!(told(&app).await, ["0", "0", "0"]);
        let change = |how: &str| format!("UPDATE flights {how} WHERE id = {flight}");
        app.database.plant(&change(broken)).await;
        for _ in 0..3 {
            look(&app, &mut drift).await;
            assert_eq!(told(&app).await, expected, "{broken}");
        }
        app.database.plant(&change(repaired)).await;
        look(&app, &mut drift).await;
        assert_eq!(told(&app).await, ["0", "0", "0"]);
        app.finish().await;
    }
}

#[tokio::test]
async fn seats_kept_from_those_who_wait_are_reported_until_they_are_served() {
    for (broken, repaired) in [
        ("UPDATE waitlist SET seats = 1", "UPDATE waitlist SET seats = 2"),
        ("UPDATE flights SET serve_due = true", "UPDATE flights SET serve_due = false"),
        (
            "UPDATE flights SET gathers_until = created_at",
            "UPDATE flights SET gathers_until = NULL",
        ),
    ] {
        let app = TestApp::start().await;
        let flight = app.add_flight(3).await;
        app.book(flight, 2).await.booking_id();
        app.run_until_idle().await;
        let mut party = crate::support::booking(flight, 2);
        party.as_object_mut().expect("an object").remove("flight_id");
        let joined = app.post(&format!("/api/v1/flights/{flight}/waitlist"), &party).await;
        assert_eq!(joined.status, 201, "{joined:?}");
        let mut drift = Drift::default();
        let mut unserved = async |seconds| {
            let now = app.clock.now() + chrono::TimeDelta::seconds(seconds);
            drift.check_lines(now, &*app.store, &app.app.metrics).await.expect("a look");
            let metrics = app.get("/metrics").await.text;
            let name = format!("invariant_violations{{invariant=\"{}\"}} ", Drift::OF_LINES);
            metrics.lines().find_map(|line| line.strip_prefix(&*name)).expect("a gauge").to_owned()
        };
        assert_eq!(unserved(60).await, "0");
        app.database.plant(broken).await;
        for (seconds, expected) in [(5, "0"), (6, "1"), (60, "1")] {
            assert_eq!(unserved(seconds).await, expected, "{broken} {seconds}");
        }
        app.database.plant(repaired).await;
        assert_eq!(unserved(60).await, "0", "{repaired}");
        app.finish().await;
    }
}

#[tokio::test]
async fn the_drift_check_reaches_flights_without_bookings() {
    let app = TestApp::start().await;
    // So many at once that a busy machine still answers each in time.
    let flights = stream::iter(0..600).map(|_| app.add_flight(10)).buffer_unordered(50);
    let flights: Vec<_> = flights.collect().await;
    let last = flights.iter().max().expect("flights");
    app.database.plant(&format!("UPDATE flights SET held_seats = 1 WHERE id = {last}")).await;
    let mut drift = Drift::default();
    for expected in ["0", "0", "1", "1", "1", "1"] {
        look(&app, &mut drift).await;
        assert_eq!(told(&app).await, ["0", expected, "0"]);
    }
    app.abandon();
}

#[tokio::test]
async fn the_sweeper_runs_the_drift_check() {
    let app = TestApp::start().await;
    app.add_flight(10).await;
    app.database.plant("UPDATE flights SET held_seats = 1").await;
    app.app.start_sweeper();
    eventually("drift in /metrics", async || equal(told(&app).await, ["0", "1", "0"])).await;
    app.abandon();
}

/// Bookings that break I4, as `/metrics` tells, after two looks.
async fn unpaid(app: &TestApp, drift: &mut Drift) -> String {
    for _ in 0..2 {
        drift.check_payments(&*app.store, &app.app.metrics).await.expect("a look");
    }
    let metrics = app.get("/metrics").await.text;
    let name = "invariant_violations{invariant=\"I4\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(name)).expect("a gauge").to_owned()
}

#[tokio::test]
async fn a_booking_that_disagrees_with_its_payment_is_reported_until_they_agree() {
    for (broken, repaired) in [
        ("UPDATE payments SET status = 'declined'", "UPDATE payments SET status = 'captured'"),
        ("UPDATE bookings SET status = 'cancelled'", "UPDATE bookings SET status = 'completed'"),
        (
            "UPDATE gateway_ledger SET amount = amount + 1",
            "UPDATE gateway_ledger SET amount = amount - 1",
        ),
        ("UPDATE bookings SET status = 'pending'", "UPDATE bookings SET status = 'completed'"),
        (
            "UPDATE gateway_ledger SET state = 'refunded'",
            "UPDATE gateway_ledger SET state = 'captured'",
        ),
    ] {
        let app = TestApp::start().await;
        let flight = app.add_flight(10).await;
        app.book(flight, 2).await.booking_id();
        app.book(flight, 1).await.booking_id();
        app.book_paid_by(flight, 1, "pm_card_declined").await.booking_id();
        app.run_until_idle().await;
        let mut drift = Drift::default();
        assert_eq!(unpaid(&app, &mut drift).await, "0");
        let of_first = |what: &str| {
            let column =
                if what.contains("bookings") { "payment_reference_id" } else { "reference" };
            let first = "(SELECT payment_reference_id FROM bookings ORDER BY id LIMIT 1)";
            format!("{what} WHERE {column} = {first}")
        };
        app.database.plant(&of_first(broken)).await;
        assert_eq!(unpaid(&app, &mut drift).await, "1", "{broken}");
        app.database.plant(&of_first(repaired)).await;
        assert_eq!(unpaid(&app, &mut drift).await, "0", "{repaired}");
        app.finish().await;
    }
}

#[tokio::test]
async fn an_order_whose_money_does_not_add_up_is_reported_with_each_of_its_bookings() {
    for (broken, repaired, bookings) in [
        (
            "UPDATE bookings SET booking_price = booking_price + 1 WHERE segment = 1",
            "UPDATE bookings SET booking_price = booking_price - 1 WHERE segment = 1",
            "3",
        ),
        ("UPDATE refunds SET amount = amount + 1", "UPDATE refunds SET amount = amount - 1", "3"),
        (
            "UPDATE gateway_refunds SET amount = amount - 1",
            "UPDATE gateway_refunds SET amount = amount + 1",
            "3",
        ),
        (
            "UPDATE bookings SET status = 'pending' WHERE segment = 1",
            "UPDATE bookings SET status = 'completed' WHERE segment = 1",
            "3",
        ),
    ] {
        let app = TestApp::start().await;
        let flights = app.add_row_of_flights::<3>(10).await;
        let order = app.order(&flights, 2, "pm_card_visa").await.id();
        app.book(flights[0], 1).await.booking_id();
        app.run_until_idle().await;
        app.cancel_segment(order, 3).await;
        app.run_until_idle().await;
        let mut drift = Drift::default();
        assert_eq!(unpaid(&app, &mut drift).await, "0");
        let of_order = |what: &str| {
            let (set, rest) = what.split_once(" WHERE ").unwrap_or((what, "true"));
            let column =
                if what.contains("gateway") { "reference" } else { "payment_reference_id" };
            let payment = "(SELECT payment_reference_id FROM bookings ORDER BY id LIMIT 1)";
            format!("{set} WHERE {rest} AND {column} = {payment}")
        };
        app.database.plant(&of_order(broken)).await;
        assert_eq!(unpaid(&app, &mut drift).await, bookings, "{broken}");
        app.database.plant(&of_order(repaired)).await;
        assert_eq!(unpaid(&app, &mut drift).await, "0", "{repaired}");
        app.finish().await;
    }
}

#[tokio::test]
async fn a_booking_completed_without_the_gateway_is_reported_at_any_age() {
    let app = TestApp::start().await;
    let flight = app.add_flight(1_000).await;
    app.book(flight, 1).await.booking_id();
    app.run_until_idle().await;
    app.gateway.close();
    let minted = app.book(flight, 1).await.json.take();
    let event = serde_json::json!({
        "booking_id": minted["booking_id"], "payment_reference_id": minted["payment_reference_id"],
        "amount": 2500.0, "status": "completed", "timestamp": "2025-01-01T00:00:00Z"
    });
    let (key, headers) = (minted["booking_id"].to_string(), Headers::default());
    let message = Message { key, payload: event.to_string(), headers, origin: None };
    app.run_until_idle().await;
    app.bus.publish(&[(Topic::PaymentEvents, message)]).await.expect("published");
    let booking = minted["booking_id"].as_i64().expect("a number");
    assert_eq!(app.booking(booking).await["status"], "completed");
    let mut drift = Drift::default();
    assert_eq!(unpaid(&app, &mut drift).await, "1");
    app.abandon();
}
