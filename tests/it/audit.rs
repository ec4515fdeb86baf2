//! The audit must be able to fail: each planted violation is found, by its invariant.

use crate::support::TestApp;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

/// Writes past the service and past the schema's checks.
async fn plant(app: &TestApp, statement: &'static str) {
    let options = SqliteConnectOptions::new()
        .filename(app.database())
        .foreign_keys(false)
        .pragma("ignore_check_constraints", "ON");
    let mut connection = SqliteConnection::connect_with(&options).await.expect("a connection");
    let done = sqlx::query(statement).execute(&mut connection).await.expect("planted");
    assert!(done.rows_affected() > 0, "{statement} changed nothing");
    connection.close().await.expect("closed");
}

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
        ("UPDATE bookings SET hold_expires_at = 0 WHERE status = 'pending'", "I5"),
    ] {
        let app = TestApp::start().await;
        let flight = app.add_flight(10).await;
        app.book(flight, 1).await.booking_id();
        app.book_paid_by(flight, 1, "pm_card_declined").await.booking_id();
        app.run_until_idle().await;
        app.gateway.close();
        app.book(flight, 1).await.booking_id();
        app.run_until_idle().await;
        assert_eq!(app.violations().await, Vec::<String>::new());
        plant(&app, statement).await;
        let found = app.violations().await;
        let named = format!("invariant: \"{invariant}\"");
        assert!(found.iter().any(|finding| finding.contains(&named)), "{statement}: {found:?}");
        app.abandon();
    }
}
