//! Panics outside the store: the panicking work fails alone, and work beside it completes.

use crate::support::TestApp;
use airline_booking::domain::{FlightId, Money, PaymentReference, RefundId};
use airline_booking::gateway::{Gateway, GatewayError, Opened, Opening, Repaid};
use airline_booking::lock::memory::MemoryLocks;
use airline_booking::lock::{FlightLocks, Taken};
use async_trait::async_trait;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Locks that can be taken, unless the test makes them panic, and that cannot be renewed.
#[derive(Default)]
struct BrokenLocks {
    locks: MemoryLocks,
    panics_next: AtomicBool,
}

#[async_trait]
impl FlightLocks for BrokenLocks {
    async fn take(&self, flights: &[FlightId]) -> Taken {
        assert!(!self.panics_next.swap(false, Ordering::AcqRel), "a planted bug");
        self.locks.take(flights).await
    }

    async fn keep(&self, _taken: &Taken) -> Infallible {
        panic!("a planted bug")
    }

    async fn release(&self, taken: Taken) {
        self.locks.release(taken).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_the_locks_fails_at_most_its_own_batch() {
    let locks = Arc::new(BrokenLocks::default());
    let app = TestApp::with_parts(|_| {}, |parts| parts.locks = locks.clone()).await;
    let id = app.add_flight(9).await;
    locks.panics_next.store(true, Ordering::Release);
    app.book(id, 1).await.assert_problem(500, "internal");
    let placed = tokio::time::timeout(Duration::from_secs(30), app.book(id, 2)).await;
    let placed = placed.expect("the flight is not locked").booking_id();
    app.run_until_idle().await;
    assert_eq!(app.booking(placed).await["status"], "completed");
    assert_eq!(app.flight(id).await["available_seats"], 7);
    app.finish().await;
}

/// Panics at its first capture.
struct BuggyGateway {
    gateway: Arc<dyn Gateway>,
    has_panicked: AtomicBool,
}

#[async_trait]
impl Gateway for BuggyGateway {
    async fn open(&self, capture: &Opening) -> Result<Opened, GatewayError> {
        assert!(self.has_panicked.swap(true, Ordering::AcqRel), "a planted bug");
        self.gateway.open(capture).await
    }

    async fn status(&self, reference: PaymentReference) -> Result<Opened, GatewayError> {
        self.gateway.status(reference).await
    }

    async fn void(&self, reference: PaymentReference) -> Result<(), GatewayError> {
        self.gateway.void(reference).await
    }

    async fn refund(
        &self,
        id: RefundId,
        reference: PaymentReference,
        amount: Money,
    ) -> Result<Repaid, GatewayError> {
        self.gateway.refund(id, reference, amount).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_gateway_call_panicked_is_counted_and_retried() {
    let replace = |parts: &mut airline_booking::app::Ports| {
        let (gateway, has_panicked) = (parts.gateway.clone(), AtomicBool::default());
        parts.gateway = Arc::new(BuggyGateway { gateway, has_panicked });
    };
    let app = TestApp::with_parts(|_| {}, replace).await;
    let id = app.add_flight(9).await;
    let struck = app.book(id, 1).await.booking_id();
    app.run_until_idle().await;
    assert_eq!(app.booking(struck).await["status"], "pending");
    let told = app.get("/metrics").await.text;
    assert!(told.contains("panics_total{part=\"gateway_call\"} 1\n"), "{told}");
    let other = app.book(id, 2).await.booking_id();
    app.run_until_idle().await;
    assert_eq!(app.booking(other).await["status"], "completed");

    app.pass(Duration::from_secs(60)).await;
    app.run_until_idle().await;
    assert_eq!(app.booking(struck).await["status"], "completed");
    app.finish().await;
}
