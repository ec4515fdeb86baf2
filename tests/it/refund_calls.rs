//! Refunds that `payment-requests` asks for: made once each, by their rows, whatever the messages say.

use crate::support::{TestApp, TestDatabase, eventually};
use airline_booking::bus::{Bus, Consumer};
use airline_booking::domain::{Money, PaymentReference, RefundId};
use airline_booking::gateway::{Gateway, GatewayError, Opened, Opening, Repaid};
use airline_booking::messages::{Headers, Message, Topic};
use async_trait::async_trait;
use futures::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

fn refund_id(number: u128) -> String {
    RefundId::from_bits(number).to_string()
}

/// A service with a completed booking of two seats, which cost 5,000.
struct Subject {
    app: TestApp,
    placed: Value,
    events: Box<dyn Consumer>,
}

impl Subject {
    async fn of(app: TestApp) -> Self {
        let events = app.bus.listen(Topic::PaymentEvents).await.expect("a listener");
        let flight = app.add_flight(9).await;
        let placed = app.book(flight, 2).await.json.take();
        let mut subject = Self { app, placed, events };
        assert_eq!(subject.events().await[0]["status"], "completed");
        subject
    }

    async fn start() -> Self {
        Self::of(TestApp::start().await).await
    }

    /// The next events.
    async fn events(&mut self) -> Vec<Value> {
        let events = tokio::time::timeout(Duration::from_secs(60), self.events.receive(9_999));
        let events = events.await.expect("events").expect("a bus");
        events.iter().map(|event| serde_json::from_str(&event.payload).expect("JSON")).collect()
    }

    /// Whether an event has been published that was not read.
    async fn has_event(&mut self) -> bool {
        let look = tokio::time::timeout(Duration::from_millis(50), self.events.receive(1));
        look.await.is_ok()
    }

    /// An amount in minor units, as the database holds it.
    fn stored(&self, minor: i64) -> String {
        match self.app.database {
            TestDatabase::Sqlite(_) => minor.to_string(),
            TestDatabase::Postgres(_) => format!("{minor} * 0.01"),
        }
    }

    /// Inserts the row of a refund.
    async fn owe(&self, number: u128, minor: i64, status: &str) {
        let at = match self.app.database {
            TestDatabase::Sqlite(_) => "1735689600000000",
            TestDatabase::Postgres(_) => "timestamp '2025-01-01'",
        };
        let (id, amount) = (refund_id(number), self.stored(minor));
        let (payment, booking) = (&self.placed["payment_reference_id"], &self.placed["booking_id"]);
        let payment = payment.as_str().expect("a reference");
        let row = format!(
            "INSERT INTO refunds (id, payment_reference_id, booking_id, amount, reason, status,
                    created_at, updated_at)
             VALUES ('{id}', '{payment}', {booking}, {amount}, 'traveller', '{status}', {at}, {at})"
        );
        assert_eq!(self.app.database.plant(&row).await, 1);
    }

    /// How many refunds of this id and amount the gateway has made.
    async fn made(&self, number: u128, minor: i64) -> u64 {
        let (id, amount) = (refund_id(number), self.stored(minor));
        let look = format!(
            "UPDATE gateway_refunds SET amount = amount WHERE id = '{id}' AND amount = {amount}"
        );
        self.app.database.plant(&look).await
    }

    /// How many refunds the gateway has made.
    async fn made_in_all(&self) -> u64 {
        self.app.database.plant("UPDATE gateway_refunds SET amount = amount").await
    }

    /// A request as any writer of the topic can make one.
    fn request(&self, number: u128, minor: i64, change: impl FnOnce(&mut Value)) -> Message {
        let mut request = json!({
            "booking_id": self.placed["booking_id"],
            "payment_reference_id": self.placed["payment_reference_id"],
            "refund_id": refund_id(number), "amount": Money::from_minor(minor), "currency": "INR",
            "payment_method": "pm_card_visa", "action": "refund",
            "timestamp": "2025-01-01T00:00:00Z"
        });
        change(&mut request);
        let (key, headers) = (self.placed["booking_id"].to_string(), Headers::default());
        Message { key, payload: request.to_string(), headers, origin: None }
    }

    async fn ask(&self, message: Message) {
        let asked = self.app.bus.publish(&[(Topic::PaymentRequests, message)]).await;
        asked.expect("published");
    }

    /// Why requests became dead letters since the last look.
    fn reasons(&self) -> Vec<String> {
        let letters = self.app.bus.take_dead_letters();
        let of_requests = letters
            .iter()
            .filter(|letter| letter.headers.get("dlq_topic") == Some("payment-requests"));
        let reason = |letter: &Message| letter.headers.get("dlq_reason").map(str::to_owned);
        of_requests.filter_map(reason).collect()
    }
}

#[tokio::test]
async fn a_refund_is_made_by_its_row_and_told_with_its_id() {
    let mut subject = Subject::start().await;
    subject.owe(1, 2_500, "requested").await;
    // The event is about the booking of the row.
    let other = |request: &mut Value| request["booking_id"] = json!(999);
    subject.ask(subject.request(1, 2_500, other)).await;
    let events = subject.events().await;
    let [event] = &*events else { panic!("{events:?}") };
    assert_eq!(event["refund_id"], json!(refund_id(1)));
    assert_eq!(event["status"], "refunded");
    assert_eq!(event["amount"], 25.0);
    for field in ["booking_id", "payment_reference_id"] {
        assert_eq!(event[field], subject.placed[field]);
    }
    assert_eq!((subject.made(1, 2_500).await, subject.made_in_all().await), (1, 1));
    assert_eq!(subject.reasons(), [""; 0]);
    subject.app.abandon();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_duplicates_of_a_request_move_money_once() {
    let mut subject = Subject::start().await;
    subject.owe(1, 2_500, "requested").await;
    let request = subject.request(1, 2_500, |_| {});
    let requests = vec![(Topic::PaymentRequests, request); 1_000];
    subject.app.bus.publish(&requests).await.expect("published");
    subject.app.run_until_idle().await;
    let events = subject.events().await;
    assert!(!events.is_empty());
    let ids: BTreeSet<_> = events.iter().map(|event| event["refund_id"].to_string()).collect();
    assert_eq!(ids, BTreeSet::from([json!(refund_id(1)).to_string()]));
    assert_eq!((subject.made(1, 2_500).await, subject.made_in_all().await), (1, 1));
    subject.app.abandon();
}

#[tokio::test]
async fn a_request_for_a_refund_that_is_not_requested_makes_no_call() {
    let mut subject = Subject::start().await;
    for (number, status) in [(1, "done"), (2, "failed")] {
        subject.owe(number, 2_500, status).await;
        subject.ask(subject.request(number, 2_500, |_| {})).await;
    }
    subject.app.run_until_idle().await;
    assert_eq!((subject.has_event().await, subject.made_in_all().await), (false, 0));
    assert_eq!(subject.reasons(), [""; 0]);
    subject.app.abandon();
}

#[tokio::test]
async fn a_request_that_differs_from_the_refunds_row_becomes_a_dead_letter() {
    let mut subject = Subject::start().await;
    subject.owe(1, 2_500, "requested").await;
    let set = |field: &'static str, value: Value| {
        subject.request(1, 2_500, move |request| request[field] = value)
    };
    let forgeries = [
        ("over another amount", set("amount", json!(5000.0))),
        ("over another amount", set("amount", json!(-25.0))),
        ("in another currency", set("currency", json!("EUR"))),
        ("of another payment", set("payment_reference_id", json!(format!("PAY-{:032x}", 9)))),
        ("no refund of this id", subject.request(2, 2_500, |_| {})),
        ("missing field `refund_id`", set("refund_id", Value::Null)),
        ("another type or value", set("refund_id", json!("REF-1"))),
        ("`refund_id` without a refund", set("action", json!("capture"))),
        ("`refund_id` without a refund", set("action", json!("reverse"))),
    ];
    for (what, message) in forgeries {
        subject.ask(message).await;
        subject.app.run_until_idle().await;
        let reasons = subject.reasons();
        assert!(matches!(&*reasons, [reason] if reason.contains(what)), "{what}: {reasons:?}");
    }
    assert_eq!((subject.has_event().await, subject.made_in_all().await), (false, 0));
    // The true one is still made.
    subject.ask(subject.request(1, 2_500, |_| {})).await;
    assert_eq!(subject.events().await.len(), 1);
    subject.app.abandon();
}

#[tokio::test]
async fn a_refund_beyond_the_payment_is_neither_made_nor_told() {
    let mut subject = Subject::start().await;
    for (number, minor) in [(1, 300_000), (2, 300_000)] {
        subject.owe(number, minor, "requested").await;
        subject.ask(subject.request(number, minor, |_| {})).await;
        subject.app.run_until_idle().await;
    }
    assert_eq!(subject.events().await.len(), 1);
    assert_eq!((subject.made(1, 300_000).await, subject.made_in_all().await), (1, 1));
    let told = subject.app.app.metrics.render();
    assert!(told.contains("payment_gateway_errors_total 3\n"), "{told}");
    subject.app.abandon();
}

/// Fails or hangs at its first refunds, and, if told to, at every capture.
struct Unsound {
    gateway: Arc<dyn Gateway>,
    failures: usize,
    hangs: usize,
    refunds: AtomicUsize,
    captures_hang: AtomicBool,
    captures: AtomicUsize,
}

#[async_trait]
impl Gateway for Unsound {
    async fn open(&self, capture: &Opening) -> Result<Opened, GatewayError> {
        if self.captures_hang.load(Ordering::Acquire) {
            self.captures.fetch_add(1, Ordering::AcqRel);
            std::future::pending::<()>().await;
        }
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
        let number = self.refunds.fetch_add(1, Ordering::AcqRel);
        if number < self.failures {
            return Err(GatewayError::Unanswered("out of order".into()));
        }
        if number < self.failures + self.hangs {
            std::future::pending::<()>().await;
        }
        self.gateway.refund(id, reference, amount).await
    }
}

/// A service whose gateway fails or hangs at that many refunds.
async fn unsound(failures: usize, hangs: usize, limit: Duration) -> (Subject, Arc<Unsound>) {
    let mut made = None;
    let replace = |parts: &mut airline_booking::app::Ports| {
        let unsound = Arc::new(Unsound {
            gateway: parts.gateway.clone(),
            failures,
            hangs,
            refunds: AtomicUsize::default(),
            captures_hang: AtomicBool::default(),
            captures: AtomicUsize::default(),
        });
        parts.gateway = unsound.clone();
        made = Some(unsound);
    };
    let app = TestApp::with_parts(|config| config.gateway_timeout = limit, replace).await;
    (Subject::of(app).await, made.expect("a gateway"))
}

#[tokio::test]
async fn a_refund_that_the_gateway_does_not_answer_is_retried_and_then_left_to_the_sweeper() {
    let (mut subject, gateway) = unsound(3 + 2, 0, Duration::from_secs(60)).await;
    subject.owe(1, 2_500, "requested").await;
    subject.ask(subject.request(1, 2_500, |_| {})).await;
    subject.app.run_until_idle().await;
    assert_eq!(gateway.refunds.load(Ordering::Acquire), 3);
    assert_eq!((subject.has_event().await, subject.made_in_all().await), (false, 0));
    // The request that comes again.
    subject.ask(subject.request(1, 2_500, |_| {})).await;
    assert_eq!(subject.events().await[0]["status"], "refunded");
    assert_eq!((gateway.refunds.load(Ordering::Acquire), subject.made_in_all().await), (6, 1));
    subject.app.abandon();
}

#[tokio::test]
async fn a_refund_that_hangs_delays_no_other_and_is_retried() {
    let (mut subject, gateway) = unsound(0, 1, Duration::from_secs(1)).await;
    for number in [1, 2] {
        subject.owe(number, 2_500, "requested").await;
    }
    subject.ask(subject.request(1, 2_500, |_| {})).await;
    eventually("a call that hangs", async || gateway.refunds.load(Ordering::Acquire) == 1).await;
    subject.ask(subject.request(2, 2_500, |_| {})).await;
    let told = [subject.events().await, subject.events().await].concat();
    let told: Vec<_> = told.iter().map(|event| event["refund_id"].clone()).collect();
    assert_eq!(told, [json!(refund_id(2)), json!(refund_id(1))]);
    assert_eq!(subject.made_in_all().await, 2);
    subject.app.abandon();
}

#[tokio::test(flavor = "multi_thread")]
async fn captures_that_hang_delay_no_refund() {
    const CAPTURES: usize = 4_200;
    let (mut subject, gateway) = unsound(0, 0, Duration::from_secs(3_600)).await;
    gateway.captures_hang.store(true, Ordering::Release);
    let flight = subject.app.add_flight(10_000).await;
    join_all((0..CAPTURES).map(|_| subject.app.book(flight, 1))).await;
    // As many as may be under way at once.
    eventually("captures", async || gateway.captures.load(Ordering::Acquire) == 4_096).await;
    subject.owe(1, 2_500, "requested").await;
    subject.ask(subject.request(1, 2_500, |_| {})).await;
    assert_eq!(subject.events().await[0]["refund_id"], json!(refund_id(1)));
    subject.app.abandon();
}
