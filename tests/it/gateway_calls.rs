//! Calls to the payment gateway follow the database's rows, have a time-out, and never delay refunds.

use crate::support::TestApp;
use crate::support::eventually;
use airline_booking::bus::Bus;
use airline_booking::domain::{Money, PaymentReference, RefundId};
use airline_booking::gateway::{Gateway, GatewayError, Opened, Opening, Repaid};
use airline_booking::messages::{Headers, Message, Topic};
use async_trait::async_trait;
use futures::future::join_all;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// Receives captures and never answers the first of them; counts reversals and refunds.
#[derive(Default)]
struct Silent {
    unanswered: usize,
    captures: Mutex<Vec<Opening>>,
    heard: Notify,
    reversals: AtomicUsize,
    reversed: Notify,
}

impl Silent {
    /// Does not answer that many captures.
    fn to(unanswered: usize) -> Arc<Self> {
        Arc::new(Self { unanswered, ..Self::default() })
    }

    fn captures(&self) -> Vec<Opening> {
        self.captures.lock().expect("no panic").clone()
    }

    async fn has_heard(&self, captures: usize) {
        while self.captures().len() < captures {
            self.heard.notified().await;
        }
    }
}

#[async_trait]
impl Gateway for Silent {
    async fn open(&self, capture: &Opening) -> Result<Opened, GatewayError> {
        let number = {
            let mut captures = self.captures.lock().expect("no panic");
            captures.push(capture.clone());
            captures.len()
        };
        self.heard.notify_one();
        if number <= self.unanswered {
            std::future::pending::<()>().await;
        }
        Ok(Opened::Captured)
    }

    async fn status(&self, _: PaymentReference) -> Result<Opened, GatewayError> {
        Ok(Opened::Captured)
    }

    async fn void(&self, _: PaymentReference) -> Result<(), GatewayError> {
        self.reversals.fetch_add(1, Ordering::AcqRel);
        self.reversed.notify_one();
        Ok(())
    }

    async fn refund(
        &self,
        _: RefundId,
        reference: PaymentReference,
        _: Money,
    ) -> Result<Repaid, GatewayError> {
        self.void(reference).await.map(|()| Repaid::Done)
    }
}

#[tokio::test]
async fn a_capture_without_an_answer_times_out_and_is_retried() {
    let gateway = Silent::to(1);
    let app = TestApp::with_parts(
        |config| config.gateway_timeout = Duration::from_millis(200),
        |parts| parts.gateway = gateway.clone(),
    )
    .await;
    let flight = app.add_flight(5).await;
    let booking = app.book(flight, 2).await.booking_id();
    app.run_until_idle().await;
    assert_eq!(app.booking(booking).await["status"], "completed");
    assert_eq!(gateway.captures().len(), 2);
    let told = app.app.metrics.render();
    assert!(told.contains("payment_gateway_errors_total 1\n"), "{told}");
    app.abandon();
}

#[tokio::test(flavor = "multi_thread")]
async fn captures_without_an_answer_delay_no_refund() {
    const CAPTURES: usize = 4_200;
    let gateway = Silent::to(usize::MAX);
    let app = TestApp::with_parts(|_| {}, |parts| parts.gateway = gateway.clone()).await;
    let flight = app.add_flight(10_000).await;
    let placed = join_all((0..CAPTURES).map(|_| app.book(flight, 1))).await;
    // As many as may be under way at once.
    let heard = tokio::time::timeout(Duration::from_secs(60), gateway.has_heard(4_096));
    heard.await.expect("captures are asked for");
    let cancel = format!("/api/v1/bookings/{}/cancel", placed[0].json["booking_id"]);
    assert_eq!(app.post(&cancel, &json!({})).await.status, 200);
    let reversed = tokio::time::timeout(Duration::from_secs(60), gateway.reversed.notified());
    reversed.await.expect("the refund is asked for");
    app.abandon();
}

/// A request as any writer of the topic can make one.
fn forged(placed: &Value, change: impl FnOnce(&mut Value)) -> Message {
    let mut request = json!({
        "booking_id": placed["booking_id"], "payment_reference_id": placed["payment_reference_id"],
        "amount": 5000.0, "currency": "INR", "payment_method": "pm_card_visa",
        "action": "capture", "timestamp": "2025-01-01T00:00:00Z"
    });
    change(&mut request);
    let (key, headers) = (placed["booking_id"].to_string(), Headers::default());
    Message { key, payload: request.to_string(), headers, origin: None }
}

#[tokio::test]
async fn a_payment_request_that_differs_from_its_row_becomes_a_dead_letter() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    app.gateway.close();
    let mut placed = app.book_paid_by(flight, 2, "pm_card_declined").await;
    assert_eq!(placed.status, 201);
    let placed = placed.json.take();
    let declined = |change: &dyn Fn(&mut Value)| {
        forged(&placed, |request| {
            request["payment_method"] = json!("pm_card_declined");
            change(request);
        })
    };
    let forgeries = [
        ("method", forged(&placed, |_| {})),
        ("amount", declined(&|request| request["amount"] = json!(0.01))),
        ("currency", declined(&|request| request["currency"] = json!("EUR"))),
        (
            "no payment",
            declined(&|request| {
                request["payment_reference_id"] = json!(format!("PAY-{:032x}", 9));
            }),
        ),
    ];
    for (what, message) in forgeries {
        app.bus.publish(&[(Topic::PaymentRequests, message)]).await.expect("published");
        let letters = app.bus.take_dead_letters();
        assert_eq!(letters.len(), 1, "{what}");
        let reason = letters[0].headers.get("dlq_reason").expect("a reason");
        assert!(reason.contains(what), "{reason}");
    }
    app.gateway.open();
    app.run_until_idle().await;
    let booking = app.booking(placed["booking_id"].as_i64().expect("a number")).await;
    assert_eq!(booking["failure_reason"], "payment_declined");
    app.finish().await;
}

#[tokio::test]
async fn a_request_that_names_another_booking_settles_only_its_own() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    app.gateway.close();
    let placed = app.book(flight, 2).await.json.take();
    let other = app.book_paid_by(flight, 1, "pm_card_declined").await.json.take();
    let forgery = forged(&placed, |request| request["booking_id"] = other["booking_id"].clone());
    app.bus.publish(&[(Topic::PaymentRequests, forgery)]).await.expect("published");
    app.gateway.open();
    app.run_until_idle().await;
    let letters = app.bus.take_dead_letters();
    let reasons: Vec<_> = letters.iter().map(|letter| letter.headers.get("dlq_reason")).collect();
    assert_eq!(reasons, [Some("the payment is for another booking")]);
    for (booking, status) in [(&placed, "completed"), (&other, "failed")] {
        let id = booking["booking_id"].as_i64().expect("a number");
        assert_eq!(app.booking(id).await["status"], status);
    }
    app.finish().await;
}

#[tokio::test]
async fn an_expired_hold_is_neither_captured_nor_reversed_before_its_row_says_so() {
    let gateway = Silent::to(usize::MAX);
    let app = TestApp::with_parts(|_| {}, |parts| parts.gateway = gateway.clone()).await;
    let flight = app.add_flight(9).await;
    let placed = app.book(flight, 2).await.json.take();
    gateway.has_heard(1).await;
    app.clock.advance(chrono::TimeDelta::seconds(301));
    // Without the header that tells the hold's end, and with one in the future.
    let unsaid = forged(&placed, |_| {});
    let mut late = unsaid.clone();
    late.headers.set("ce_holdexpiresat", "2030-01-01T00:00:00Z");
    for request in [late, unsaid] {
        app.bus.publish(&[(Topic::PaymentRequests, request)]).await.expect("published");
    }
    // A reversal waits for the row that asks for it: without one, a lost answer would not be asked for again.
    eventually("the requests, dropped", async || app.app.running_tasks() == 1).await;
    assert_eq!(gateway.reversals.load(Ordering::Acquire), 0);
    app.pass(Duration::ZERO).await;
    gateway.reversed.notified().await;
    assert_eq!(gateway.captures().len(), 1);
    app.abandon();
}

#[tokio::test]
async fn an_event_of_another_booking_becomes_a_dead_letter() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    app.gateway.close();
    let placed = app.book(flight, 2).await.json.take();
    let other = app.book(flight, 2).await.json.take();
    let event = json!({
        "booking_id": other["booking_id"], "payment_reference_id": placed["payment_reference_id"],
        "amount": 5000.0, "status": "failed", "timestamp": "2025-01-01T00:00:00Z"
    });
    let (key, headers) = (other["booking_id"].to_string(), Headers::default());
    let message = Message { key, payload: event.to_string(), headers, origin: None };
    app.bus.publish(&[(Topic::PaymentEvents, message)]).await.expect("published");
    let letters = app.bus.take_dead_letters();
    assert_eq!(letters.len(), 1);
    let reason = letters[0].headers.get("dlq_reason");
    assert_eq!(reason, Some("the payment is for another booking"));
    app.finish().await;
}
