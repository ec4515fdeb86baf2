//! Flight locks that nobody releases: a replica that was killed keeps them until their lease ends.

use crate::support::TestApp;
use airline_booking::domain::FlightId;
use airline_booking::lock::{FlightLocks, Taken};
use async_trait::async_trait;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

/// Another replica holds the lock of this flight, for ever.
struct HeldElsewhere(FlightId);

#[async_trait]
impl FlightLocks for HeldElsewhere {
    async fn take(&self, flights: &[FlightId]) -> Taken {
        let free = flights.iter().copied().filter(|flight| *flight != self.0);
        Taken::new(free.collect(), None)
    }

    async fn keep(&self, _taken: &Taken) -> Infallible {
        pending().await
    }

    async fn release(&self, _taken: Taken) {}
}

#[tokio::test]
async fn a_flight_whose_lock_is_never_released_is_booked_and_settled_without_it() {
    let held = FlightId(1);
    let locks = Arc::new(HeldElsewhere(held));
    let app = TestApp::with_parts(|_| {}, |parts| parts.locks = locks).await;
    assert_eq!((app.add_flight(9).await, app.add_flight(9).await), (held.0, 2));
    let both =
        async { (app.book(held.0, 2).await.booking_id(), app.book(2, 1).await.booking_id()) };
    let both = tokio::time::timeout(Duration::from_secs(30), both).await;
    let (waited, free) = both.expect("no booking waits for ever");
    app.run_until_idle().await;
    for booking in [waited, free] {
        assert_eq!(app.booking(booking).await["status"], "completed");
    }
    assert_eq!(app.flight(held.0).await["available_seats"], 7);
    app.finish().await;
}
