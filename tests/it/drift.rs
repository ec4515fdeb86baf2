//! The look for drift: what breaks an invariant while the service runs is told, until it is repaired.

use crate::support::TestApp;
use airline_booking::booking::Drift;
use std::time::Duration;

async fn look(app: &TestApp, drift: &mut Drift) {
    drift.look(&*app.store, &app.app.metrics).await.expect("a look");
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
async fn each_planted_drift_is_told_until_it_is_repaired() {
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
async fn a_flight_that_nobody_books_comes_by_too_and_is_not_forgotten() {
    let app = TestApp::start().await;
    let flights = futures::future::join_all((0..600).map(|_| app.add_flight(10))).await;
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
async fn the_sweeper_looks_by_itself() {
    let app = TestApp::start().await;
    app.add_flight(10).await;
    app.database.plant("UPDATE flights SET held_seats = 1").await;
    app.app.start_sweeper();
    let seen = async {
        while told(&app).await != ["0", "1", "0"] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), seen).await.expect("it is told");
    app.abandon();
}
