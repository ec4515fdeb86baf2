//! `PASSENGER_RETENTION`: the sweeper erases passengers some time after departure.

use crate::support::{TestApp, TestDatabase, flight};
use airline_booking::clock::Clock as _;
use airline_booking::domain::BookingId;
use airline_booking::store::Scrub;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// Longer than the pause between two walks.
const PAUSE: Duration = Duration::from_secs(61);

async fn keeping_for(days: u32) -> TestApp {
    TestApp::with(|config| config.passenger_retention = Some(days * DAY)).await
}

async fn add_flight(app: &TestApp, departs_at: &str) -> i64 {
    let mut body = flight(1_000);
    body["timestamp"] = json!(departs_at);
    app.post("/api/v1/flights", &body).await.json["id"].as_i64().expect("an id")
}

async fn is_erased(app: &TestApp, booking: i64) -> bool {
    app.booking(booking).await["booking_metadata"][0]["name"] == "Erased"
}

async fn metric(app: &TestApp, name: &str) -> i64 {
    let metrics = app.get("/metrics").await.text;
    let line = metrics.lines().find(|line| line.starts_with(&format!("{name} ")));
    let value = line.and_then(|line| line.rsplit_once(' ')).expect("the metric").1;
    value.parse().expect("a number")
}

/// Sweeps until so many bookings' passengers were erased.
async fn sweep_until_erased(app: &TestApp, bookings: i64) {
    let erased = async {
        while metric(app, "passengers_erased_total").await < bookings {
            app.pass(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), erased).await.expect("they are erased");
}

#[tokio::test(flavor = "multi_thread")]
async fn passengers_are_erased_once_their_flight_departed_so_long_ago_and_not_before() {
    let app = keeping_for(90).await;
    let soon = add_flight(&app, "2025-01-02T10:00:00Z").await;
    let later = add_flight(&app, "2025-01-20T10:00:00Z").await;
    let past = add_flight(&app, "2024-06-01T10:00:00Z").await;
    let flown = app.book(soon, 2).await.booking_id();
    let failed = app.book_paid_by(soon, 1, "pm_card_declined").await.booking_id();
    let not_yet = app.book(later, 1).await.booking_id();
    let made_late = app.book(past, 1).await.booking_id();
    app.run_until_idle().await;
    app.pass(89 * DAY).await;
    assert_eq!(metric(&app, "passengers_erased_total").await, 0);
    assert!(!is_erased(&app, flown).await);

    app.pass(DAY + DAY / 2).await;
    app.pass(DAY).await;
    sweep_until_erased(&app, 3).await;
    for (booking, erased) in [(flown, true), (failed, true), (made_late, true), (not_yet, false)] {
        assert_eq!(is_erased(&app, booking).await, erased, "booking {booking}");
    }
    let shown = app.booking(flown).await;
    assert_eq!(shown["booking_metadata"].as_array().map(Vec::len), Some(2));
    assert_eq!(shown["status"], "completed");
    app.pass(30 * DAY).await;
    sweep_until_erased(&app, 4).await;
    app.pass(PAUSE).await;
    assert_eq!(metric(&app, "passengers_erased_total").await, 4, "each once");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_retention_passengers_are_kept() {
    let app = TestApp::start().await;
    let soon = add_flight(&app, "2025-01-02T10:00:00Z").await;
    let flown = app.book(soon, 1).await.booking_id();
    app.run_until_idle().await;
    app.pass(3_000 * DAY).await;
    assert!(!is_erased(&app, flown).await);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_that_cannot_be_erased_delays_no_other_and_is_retried() {
    let app = keeping_for(1).await;
    let soon = add_flight(&app, "2025-01-02T10:00:00Z").await;
    let mut bookings = Vec::new();
    for _ in 0..9 {
        bookings.push(app.book(soon, 1).await.booking_id());
    }
    app.run_until_idle().await;
    app.faults.refuse_to_erase(Some(BookingId(bookings[3])));
    app.pass(3 * DAY).await;
    sweep_until_erased(&app, 8).await;
    assert_eq!(metric(&app, "sweep_refused").await, 1);
    assert!(!is_erased(&app, bookings[3]).await);

    app.faults.refuse_to_erase(None);
    app.pass(PAUSE).await;
    sweep_until_erased(&app, 9).await;
    app.pass(Duration::from_secs(1)).await;
    assert_eq!(metric(&app, "sweep_refused").await, 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_flights_and_bookings_than_a_page_takes_are_erased_page_by_page() {
    let app = keeping_for(1).await;
    let full = add_flight(&app, "2025-01-02T10:00:00Z").await;
    let mut flights = Vec::new();
    for minute in 0..40 {
        let at = format!("2025-01-02T11:{minute:02}:00Z");
        flights.push(add_flight(&app, &at).await);
    }
    let body = |flight: i64| {
        let mut body = crate::support::booking(flight, 1);
        body["passenger_details"][0]["name"] = json!("Marked Zq9xK");
        body
    };
    for _ in 0..300 {
        app.post("/api/v1/bookings", &body(full)).await.booking_id();
    }
    // Between departures without bookings.
    for flight in flights.iter().skip(1).step_by(3) {
        app.post("/api/v1/bookings", &body(*flight)).await.booking_id();
    }
    app.run_until_idle().await;
    // Rows that grow are moved to other pages, and leave copies where they were.
    let blanks = " ".repeat(400);
    let grow = "UPDATE bookings SET booking_metadata = booking_metadata";
    if let TestDatabase::Sqlite(_) = &app.database {
        app.database.plant(&format!("{grow} || '{blanks}' WHERE id % 3 = 0")).await;
    }
    let now = app.clock.now();
    app.pass(3 * DAY).await;
    assert!(app.clock.now() > now);
    let step = metric(&app, "passengers_erased_total").await;
    assert!((1..=256).contains(&step), "{step} in a step");
    sweep_until_erased(&app, 313).await;
    app.pass(PAUSE).await;
    if let TestDatabase::Sqlite(directory) = &app.database {
        // The log is emptied, deleted values were overwritten, and the file was written again.
        for name in ["test.db", "test.db-wal"] {
            let bytes = std::fs::read(directory.path().join(name)).expect("a file");
            let left = bytes.windows(5).filter(|window| *window == b"Zq9xK").count();
            assert_eq!(left, 0, "{name}");
        }
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bookings_succeed_while_the_file_is_rewritten() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9_000).await;
    let is_booked = AtomicBool::new(false);
    let book = async {
        for _ in 0..100 {
            let pair = tokio::join!(app.book(flight, 1), app.book(flight, 2));
            assert_eq!((pair.0.status.as_u16(), pair.1.status.as_u16()), (201, 201), "{pair:?}");
        }
        is_booked.store(true, Ordering::Relaxed);
    };
    let rewrite = async {
        while !is_booked.load(Ordering::Relaxed) {
            app.store.scrub(Scrub::Rewrite).await.expect("written again");
            // PostgreSQL has no file to rewrite, and answers at once.
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(book, rewrite);
    app.run_until_idle().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_booking_keeps_its_passengers_until_it_has_ended() {
    let app = TestApp::with(|config| {
        config.passenger_retention = Some(Duration::ZERO);
        config.lock_ttl = Duration::from_secs(3_600);
    })
    .await;
    let past = add_flight(&app, "2024-06-01T10:00:00Z").await;
    app.gateway.close();
    let pending = app.book(past, 1).await.booking_id();
    app.run_until_idle().await;
    app.pass(PAUSE).await;
    app.pass(PAUSE).await;
    assert!(!is_erased(&app, pending).await);
    app.gateway.open();
    app.run_until_idle().await;
    let ended: Value = app.booking(pending).await;
    assert_eq!(ended["status"], "completed");
    // It was made after its flight had departed: the walk over all finds it.
    app.pass(DAY).await;
    sweep_until_erased(&app, 1).await;
    app.finish().await;
}
