//! The circuits around the payment gateway: opened by failures and by slowness, probed, closed again.

use crate::support::TestApp;
use crate::support::eventually;
use airline_booking::breaker::PAUSE;
use airline_booking::domain::{Money, PaymentReference, RefundId};
use airline_booking::gateway::{Gateway, GatewayError, Opened, Opening, Repaid};
use async_trait::async_trait;
use futures::future::join_all;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// How the gateway answers captures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    Failing,
    /// Works, and refuses every capture.
    Refusing,
    /// Answers after 300 ms.
    Slow,
    /// Answers never.
    Hanging,
}

/// A gateway with moods. Counts its calls; refunds are always well.
struct Moody {
    mood: watch::Sender<Mood>,
    captures: AtomicUsize,
    refunds: AtomicUsize,
}

impl Moody {
    fn new(mood: Mood) -> Arc<Self> {
        let (captures, refunds) = (AtomicUsize::default(), AtomicUsize::default());
        Arc::new(Self { mood: watch::Sender::new(mood), captures, refunds })
    }

    fn captures(&self) -> usize {
        self.captures.load(Ordering::Acquire)
    }
}

#[async_trait]
impl Gateway for Moody {
    async fn open(&self, _: &Opening) -> Result<Opened, GatewayError> {
        self.captures.fetch_add(1, Ordering::AcqRel);
        let mood = *self.mood.borrow();
        match mood {
            Mood::Well => {}
            Mood::Failing => return Err(GatewayError::Unanswered("planned".into())),
            Mood::Refusing => return Err(GatewayError::Refused("planned".into())),
            Mood::Slow => sleep(Duration::from_millis(300)).await,
            Mood::Hanging => std::future::pending().await,
        }
        Ok(Opened::Captured)
    }

    async fn status(&self, _: PaymentReference) -> Result<Opened, GatewayError> {
        Ok(Opened::Captured)
    }

    async fn void(&self, _: PaymentReference) -> Result<(), GatewayError> {
        self.refunds.fetch_add(1, Ordering::AcqRel);
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

async fn app_with(gateway: &Arc<Moody>) -> TestApp {
    TestApp::with_parts(
        |config| config.gateway_timeout = Duration::from_millis(500),
        |parts| parts.gateway = gateway.clone(),
    )
    .await
}

/// The state of a circuit by its metric: 0 closed, 1 open, 2 half open.
fn state(app: &TestApp, target: &str) -> i64 {
    let metrics = app.app.metrics.render();
    let name = format!("circuit_breaker_state{{target=\"{target}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.expect("the metric is there from the start").parse().expect("a number")
}

async fn book(app: &TestApp, flight: i64, count: usize) -> Vec<i64> {
    let placed = join_all((0..count).map(|_| app.book(flight, 1))).await;
    placed.iter().map(crate::support::Answer::booking_id).collect()
}

async fn all_are(app: &TestApp, bookings: &[i64], status: &str) -> bool {
    for id in bookings {
        if app.booking(*id).await["status"] != status {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn failures_open_the_circuit_and_what_waits_completes_once_it_closes() {
    let gateway = Moody::new(Mood::Failing);
    let app = app_with(&gateway).await;
    let flight = app.add_flight(100).await;
    assert_eq!([state(&app, "gateway"), state(&app, "gateway_refunds")], [0, 0]);
    assert_eq!(app.get("/api/v1/health").await.json["checks"]["gateway"]["status"], "ok");
    let bookings = book(&app, flight, 20).await;
    eventually("an open circuit", async || state(&app, "gateway") == 1).await;
    let opened = Instant::now();
    let health = app.get("/api/v1/health").await;
    assert_eq!((health.status.as_u16(), &health.json["status"]), (200, &json!("degraded")));
    assert_eq!(health.json["checks"]["gateway"]["status"], "down");

    // Calls that were under way when it opened have ended; no other goes out.
    sleep(Duration::from_millis(100)).await;
    let called = gateway.captures();
    let later = book(&app, flight, 20).await;
    sleep(PAUSE.saturating_sub(opened.elapsed() + Duration::from_millis(500))).await;
    assert_eq!(gateway.captures(), called, "an open circuit lets no call out");

    gateway.mood.send_replace(Mood::Well);
    let all = [bookings, later].concat();
    eventually("all completed", async || all_are(&app, &all, "completed").await).await;
    assert_eq!(state(&app, "gateway"), 0);
    assert_eq!(app.get("/api/v1/health").await.json["status"], "ok");
    app.abandon();
}

#[tokio::test]
async fn a_failed_probe_opens_the_circuit_again() {
    let gateway = Moody::new(Mood::Failing);
    let app = app_with(&gateway).await;
    let flight = app.add_flight(100).await;
    book(&app, flight, 20).await;
    eventually("an open circuit", async || state(&app, "gateway") == 1).await;
    sleep(Duration::from_millis(100)).await;
    let called = gateway.captures();
    sleep(PAUSE + Duration::from_millis(500)).await;
    let probes = gateway.captures() - called;
    assert!((1..=2).contains(&probes), "{probes} calls went out as probes");
    assert_eq!(state(&app, "gateway"), 1);
    app.abandon();
}

#[tokio::test]
async fn slowness_opens_the_circuit_and_its_answers_count() {
    let gateway = Moody::new(Mood::Slow);
    let app = app_with(&gateway).await;
    let flight = app.add_flight(100).await;
    let bookings = book(&app, flight, 16).await;
    eventually("an open circuit", async || state(&app, "gateway") == 1).await;
    eventually("all completed", async || all_are(&app, &bookings, "completed").await).await;
    assert_eq!(gateway.captures(), 16, "no slow answer was asked for again");
    app.abandon();
}

#[tokio::test]
async fn while_the_circuit_is_open_holds_lapse_uncharged() {
    let gateway = Moody::new(Mood::Failing);
    let app = app_with(&gateway).await;
    let flight = app.add_flight(100).await;
    let bookings = book(&app, flight, 20).await;
    eventually("an open circuit", async || state(&app, "gateway") == 1).await;
    sleep(Duration::from_millis(100)).await;
    let called = gateway.captures();
    app.clock.advance(chrono::TimeDelta::seconds(301));
    app.pass(Duration::ZERO).await;
    eventually("all lapsed", async || all_are(&app, &bookings, "failed").await).await;
    eventually("all reversed", async || gateway.refunds.load(Ordering::Acquire) == 20).await;
    gateway.mood.send_replace(Mood::Well);
    eventually("nothing waits", async || app.app.running_tasks() == 0).await;
    assert_eq!(gateway.captures(), called, "nothing is charged after the hold");
    app.abandon();
}

/// A refused refund would else keep out the news of what it waits for.
#[tokio::test]
async fn refusals_open_no_circuit() {
    let gateway = Moody::new(Mood::Refusing);
    let app = app_with(&gateway).await;
    let flight = app.add_flight(100).await;
    book(&app, flight, 30).await;
    eventually("30 refusals, and each repeated", async || gateway.captures() >= 60).await;
    assert_eq!(state(&app, "gateway"), 0);
    gateway.mood.send_replace(Mood::Well);
    let paid = book(&app, flight, 1).await;
    eventually("paid", async || all_are(&app, &paid, "completed").await).await;
    app.abandon();
}

#[tokio::test]
async fn while_captures_hang_refunds_flow() {
    let gateway = Moody::new(Mood::Well);
    let app = app_with(&gateway).await;
    let flight = app.add_flight(100).await;
    let paid = book(&app, flight, 1).await;
    eventually("paid", async || all_are(&app, &paid, "completed").await).await;
    gateway.mood.send_replace(Mood::Hanging);
    book(&app, flight, 20).await;
    eventually("an open circuit", async || state(&app, "gateway") == 1).await;
    let cancel = format!("/api/v1/bookings/{}/cancel", paid[0]);
    assert_eq!(app.post(&cancel, &json!({})).await.status, 200);
    let refunded = async || gateway.refunds.load(Ordering::Acquire) == 1;
    tokio::time::timeout(Duration::from_secs(2), eventually("the refund", refunded))
        .await
        .expect("a refund waits for no capture");
    assert_eq!(state(&app, "gateway_refunds"), 0);
    app.abandon();
}
