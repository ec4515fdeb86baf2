//! Rows changed by hand so that they cannot be read fail only the commands of a batch that need them.

use crate::support::{TestApp, start_of_test};
use airline_booking::domain::{BookingId, FlightId, PaymentMethod, PaymentReference, UserId};
use airline_booking::engine::Error;
use airline_booking::rules::{Cancel, CancelledBy, Command, Hold, OrderPart, Outcome};
use airline_booking::store::StoreError;
use std::time::Duration;

fn hold(flight: i64, number: i64) -> Command {
    Command::Hold(Hold {
        segments: Hold::on_one(BookingId(1_000_000 + number), FlightId(flight)),
        reference: PaymentReference::draw(start_of_test()),
        user_id: UserId(123),
        seats: 1,
        passengers: Vec::new().into(),
        method: Some(PaymentMethod::default()),
        idempotency: None,
        request: None,
        pending_max: None,
        expected_price: None,
    })
}

fn cancel(booking: i64) -> Command {
    let by = CancelledBy::Airline;
    Command::Cancel(Cancel {
        part: OrderPart::default(),
        booking_id: BookingId(booking),
        by,
        request: None,
        expected_refund: None,
    })
}

/// The table and column that a command could not be judged for.
fn corrupt(outcome: &Result<Outcome, Error>) -> Option<String> {
    match outcome {
        Err(Error::Store(StoreError::Corrupt { table, column, .. })) => {
            Some(format!("{table}.{column}"))
        }
        _ => None,
    }
}

#[tokio::test]
async fn unreadable_rows_fail_only_their_own_commands_in_a_commit() {
    let app = TestApp::start().await;
    let (damaged, sound) = (app.add_flight(9).await, app.add_flight(9).await);
    app.gateway.close();
    let mut bookings = Vec::new();
    for _ in 0..3 {
        bookings.push(app.book(sound, 1).await.booking_id());
    }
    // Their captures wait at the gateway.
    app.run_until_idle().await;
    let payment = app.booking(bookings[1]).await["payment_reference_id"].clone();
    let payment = payment.as_str().expect("a reference").to_owned();
    let plant = async |statement: String| assert_eq!(app.database.plant(&statement).await, 1);
    plant(format!("UPDATE flights SET currency = 'none' WHERE id = {damaged}")).await;
    plant(format!("UPDATE bookings SET status = 'odd' WHERE id = {}", bookings[0])).await;
    plant(format!("UPDATE payments SET method = '' WHERE reference = '{payment}'")).await;

    let before = app.faults.loads_and_commits();
    let commands = vec![
        hold(damaged, 1),
        cancel(bookings[0]),
        hold(sound, 2),
        cancel(bookings[1]),
        cancel(bookings[2]),
    ];
    let outcomes = app.app.engine.submit_all(commands, &[]).await.expect("answers");
    let refused: Vec<_> = outcomes.iter().map(corrupt).collect();
    let expected =
        [Some("flights.currency"), Some("bookings.status"), None, Some("payments.method")];
    assert_eq!(refused[..4], expected.map(|column| column.map(str::to_owned)), "{outcomes:?}");
    assert!(outcomes[2].is_ok() && outcomes[4].is_ok(), "{outcomes:?}");
    let after = app.faults.loads_and_commits();
    assert_eq!((after.0 - before.0, after.1 - before.1), (1, 1), "loads and commits");

    app.book(damaged, 1).await.assert_problem(500, "internal");
    assert_eq!(app.book(sound, 1).await.status, 201);
    assert_eq!(app.store.unreadable()["flights"], 1);

    plant(format!("UPDATE flights SET currency = 'INR' WHERE id = {damaged}")).await;
    plant(format!("UPDATE bookings SET status = 'pending' WHERE id = {}", bookings[0])).await;
    plant(format!("UPDATE payments SET method = 'pm_card_visa' WHERE reference = '{payment}'"))
        .await;
    assert_eq!(app.book(damaged, 1).await.status, 201, "it can be read again");
    app.gateway.open();
    app.run_until_idle().await;
    app.finish().await;
}

#[tokio::test]
async fn a_payment_of_an_unreadable_booking_becomes_a_dead_letter_and_delays_no_other() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    app.gateway.close();
    let damaged = app.book(flight, 1).await.booking_id();
    let other = app.book(flight, 1).await.booking_id();
    app.run_until_idle().await;
    let status =
        |status: &str| format!("UPDATE bookings SET status = '{status}' WHERE id = {damaged}");
    app.database.plant(&status("odd")).await;
    app.gateway.open();
    app.run_until_idle().await;
    assert_eq!(app.booking(other).await["status"], "completed");
    let letters = app.bus.take_dead_letters();
    assert_eq!(letters.len(), 1, "{letters:?}");

    app.database.plant(&status("pending")).await;
    app.pass(Duration::from_secs(60)).await;
    app.run_until_idle().await;
    assert_eq!(app.booking(damaged).await["status"], "completed");
    app.finish().await;
}
