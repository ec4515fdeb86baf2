//! Each planted violation is found and reported under its invariant.

use crate::support::process::{Server, http_client, run_with};
use crate::support::{TestApp, TestDatabase, booking, eventually, flight};
use serde_json::Value;

#[tokio::test]
async fn each_planted_violation_is_found() {
    for (statement, invariant) in [
        ("UPDATE flights SET held_seats = -1", "I1"),
        ("UPDATE flights SET blocked_seats = -1", "I1"),
        ("UPDATE flights SET available_seats = 11", "I1"),
        ("UPDATE flights SET held_seats = held_seats + 1", "I2"),
        ("UPDATE bookings SET seats_booked = 2 WHERE status = 'pending'", "I2"),
        ("UPDATE flights SET available_seats = available_seats - 1", "I3"),
        ("UPDATE bookings SET seats_booked = 2 WHERE status = 'completed'", "I3"),
        ("UPDATE payments SET amount = amount + 1 WHERE status = 'requested'", "I4"),
        ("UPDATE payments SET status = 'declined' WHERE status = 'captured'", "I4"),
        ("UPDATE payments SET status = 'reversed' WHERE status = 'requested'", "I4"),
        ("DELETE FROM bookings WHERE status = 'failed'", "I4"),
        ("DELETE FROM gateway_ledger WHERE state = 'captured'", "I4"),
        ("UPDATE gateway_ledger SET amount = amount - 1 WHERE state = 'captured'", "I4"),
        ("UPDATE gateway_ledger SET state = 'captured' WHERE state = 'declined'", "I4"),
        ("UPDATE bookings SET hold_expires_at = created_at WHERE status = 'pending'", "I5"),
    ] {
        let app = TestApp::start().await;
        let flight = app.add_flight(10).await;
        app.book(flight, 1).await.booking_id();
        app.book_paid_by(flight, 1, "pm_card_declined").await.booking_id();
        app.run_until_idle().await;
        app.gateway.close();
        app.book(flight, 1).await.booking_id();
        app.run_until_idle().await;
        // Past the time that a lapsed hold may wait for the sweeper.
        app.clock.advance(chrono::TimeDelta::seconds(10));
        assert_eq!(app.violations().await, Vec::<String>::new());
        assert!(app.database.plant(statement).await > 0, "{statement} changed nothing");
        let found = app.violations().await;
        let named = format!("invariant: \"{invariant}\"");
        assert!(found.iter().any(|finding| finding.contains(&named)), "{statement}: {found:?}");
        app.abandon();
    }
}

/// The smallest amount, as the database counts it.
fn paisa(database: &TestDatabase) -> &'static str {
    match database {
        TestDatabase::Sqlite(_) => "1",
        TestDatabase::Postgres(_) => "0.01",
    }
}

/// Damage to orders, and what the rule that names it says.
const DAMAGED_ORDERS: [(&str, &str); 19] = [
    (
        "DELETE FROM bookings WHERE segment = 2 AND status = 'completed'",
        "an order's first payment is for each of its segments",
    ),
    (
        "DELETE FROM bookings WHERE segment = 1 AND status = 'failed'",
        "an order's first payment is for each of its segments",
    ),
    (
        "UPDATE bookings SET segments = 3 WHERE segment = 2",
        "an order's first payment is for each of its segments",
    ),
    (
        "UPDATE bookings SET user_id = 9 WHERE segment = 2",
        "an order's first payment is for each of its segments",
    ),
    (
        "UPDATE bookings SET order_id = 9999 WHERE segment = 2",
        "an order's first payment is for each of its segments",
    ),
    ("UPDATE refunds SET amount = amount + PAISA", "captured payments are the price"),
    ("DELETE FROM refunds", "captured payments are the price"),
    (
        "UPDATE bookings SET status = 'cancelled' WHERE status = 'completed'",
        "captured payments are the price",
    ),
    (
        "UPDATE bookings SET booking_price = booking_price - PAISA WHERE status = 'completed'",
        "captured payments are the price",
    ),
    (
        "UPDATE bookings SET booking_price = booking_price + PAISA
          WHERE status = 'failed' AND segment = 2",
        "the price of all that it would have paid",
    ),
    ("DELETE FROM gateway_refunds", "the gateway has made what we call refunded"),
    (
        "UPDATE gateway_refunds SET amount = amount - PAISA",
        "the gateway has made what we call refunded",
    ),
    (
        "UPDATE gateway_refunds SET id = 'REF-00000000000000000000000000000009'",
        "what the gateway refunded was requested here",
    ),
    (
        "UPDATE bookings SET status = 'failed', failure_reason = 'hold_expired'
          WHERE status = 'completed' AND segment = 2",
        "the payment of a completed booking is captured, that of a failed one is not",
    ),
    (
        "UPDATE bookings SET status = 'pending' WHERE status = 'completed' AND segment = 2",
        "pending if and only if a payment of its order is requested",
    ),
    (
        "UPDATE bookings SET status = 'completed' WHERE status = 'pending' AND segment = 2",
        "bookings of an order that is not paid have one status",
    ),
    (
        "UPDATE bookings SET status = 'cancelled', failure_reason = NULL
          WHERE status = 'failed' AND segment = 2",
        "bookings of an order that is not paid have one status",
    ),
    (
        "UPDATE refunds SET payment_reference_id =
                (SELECT reference FROM payments WHERE status = 'declined')",
        "a refund gives back money of a captured payment",
    ),
    (
        "UPDATE refunds SET booking_id = (SELECT min(id) FROM bookings WHERE status = 'failed')",
        "a refund gives back money of a captured payment",
    ),
];

/// An order that lost a segment, one that is whole, a declined one and a pending one.
async fn app_with_orders() -> TestApp {
    let app = TestApp::start().await;
    let flights = app.add_row_of_flights::<2>(10).await;
    let refunded = app.order(&flights, 2, "pm_card_visa").await.id();
    app.order(&flights, 1, "pm_card_visa").await;
    app.order(&flights, 1, "pm_card_declined").await;
    app.run_until_idle().await;
    app.cancel_segment(refunded, 2).await;
    eventually("a refund that is done", async || {
        let done = "UPDATE refunds SET attempts = attempts WHERE status = 'done'";
        let done = app.database.plant(done).await;
        if done == 1 { Ok(()) } else { Err(done) }
    })
    .await;
    app.run_until_idle().await;
    app.gateway.close();
    app.order(&flights, 1, "pm_card_visa").await;
    app.run_until_idle().await;
    app
}

#[tokio::test]
async fn each_damage_to_an_order_is_named_by_its_own_rule() {
    for (damage, rule) in DAMAGED_ORDERS {
        let app = Box::pin(app_with_orders()).await;
        assert_eq!(app.violations().await, Vec::<String>::new());
        let damage = damage.replace("PAISA", paisa(&app.database));
        assert!(app.database.plant(&damage).await > 0, "{damage} changed nothing");
        let found = app.violations().await;
        let is_named = found.iter().any(|f| f.contains("\"I4\"") && f.contains(rule));
        assert!(is_named, "{damage}: {found:?}");
        app.abandon();
    }
}

/// A booking stays pending: neither the gateway nor the sweeper gets to it in time.
const PENDING: [(&str, &str); 2] = [("PAYMENT_LATENCY", "1h"), ("SWEEP_INTERVAL", "1h")];

/// Sets the end of holds so far back that the sweeper is late.
fn lapsed(database: &TestDatabase) -> &'static str {
    match database {
        TestDatabase::Sqlite(_) => "UPDATE bookings SET hold_expires_at = 0",
        TestDatabase::Postgres(_) => "UPDATE bookings SET hold_expires_at = 'epoch'",
    }
}

async fn book(server: &Server) {
    let client = http_client();
    let created = client.post(format!("{}/api/v1/flights", server.base)).json(&flight(9));
    let created: Value = created.send().await.expect("sent").json().await.expect("JSON");
    let id = created["id"].as_i64().expect("an id");
    let booked = client.post(format!("{}/api/v1/bookings", server.base)).json(&booking(id, 1));
    assert_eq!(booked.send().await.expect("sent").status(), 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_lapsed_is_a_violation_only_while_a_service_runs() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = TestDatabase::create().await;
    let url = database.url();
    let settings = [&PENDING[..], &[("DATABASE_URL", url.as_str())]].concat();
    let server = Server::start(directory.path(), &settings).await;
    book(&server).await;
    let (code, printed) = run_with(directory.path(), &settings, &["audit"]).await;
    assert_eq!(code, 0, "{printed}");
    assert_eq!(database.plant(lapsed(&database)).await, 1);
    let (code, printed) = run_with(directory.path(), &settings, &["audit"]).await;
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("1 violation"), "{printed}");

    server.kill().await;
    let audit = async || run_with(directory.path(), &settings, &["audit"]).await;
    let (mut code, mut printed) = audit().await;
    // PostgreSQL takes a moment to notice that the process is gone.
    while code != 0 && printed.contains("1 violation") {
        (code, printed) = audit().await;
    }
    assert_eq!(code, 0, "{printed}");
    let told = "no service is running; the next start will expire 1 bookings whose hold has lapsed";
    assert!(printed.contains(told), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_or_import_of_a_newer_release_does_not_migrate_a_running_service() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = TestDatabase::create().await;
    let url = database.url();
    let settings = [("DATABASE_URL", url.as_str())];
    let server = Server::start(directory.path(), &settings).await;
    // The last step of this release's schema is not there yet.
    database.plant("DELETE FROM _sqlx_migrations WHERE version = 9").await;
    database.plant("DROP TABLE request_keys").await;
    let flights = directory.path().join("flights.csv");
    let header = "source,destination,timestamp,total_seats,price\n";
    std::fs::write(&flights, format!("{header}Delhi,Mumbai,2030-01-01T00:00:00Z,9,9\n")).unwrap();
    for command in [vec!["audit"], vec!["import", flights.to_str().expect("UTF-8")]] {
        let (code, printed) = run_with(directory.path(), &settings, &command).await;
        assert_eq!(code, 1, "{printed}");
        assert!(printed.contains("a service of an older release runs"), "{printed}");
    }
    let steps = "UPDATE _sqlx_migrations SET description = description WHERE version = 9";
    assert_eq!(database.plant(steps).await, 0, "the step was taken");

    server.kill().await;
    let audit = async || run_with(directory.path(), &settings, &["audit"]).await;
    let (mut code, mut printed) = audit().await;
    while code != 0 && printed.contains("a service of an older release runs") {
        (code, printed) = audit().await;
    }
    assert_eq!(code, 0, "{printed}");
}
