//! The audit must be able to fail: each planted violation is found, by its invariant.

use crate::support::TestApp;

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
