//! Each metric changes when its event happens, has a help text, and is documented.

use crate::support::collector::Collector;
use crate::support::replicas::Replicas;
use crate::support::{Fault, TestApp, booking, eventually};
use airline_booking::bus::Bus as _;
use airline_booking::clock::Clock as _;
use airline_booking::domain::FlightId;
use airline_booking::lock::memory::MemoryLocks;
use airline_booking::lock::{FlightLocks, Taken};
use airline_booking::messages::{Headers, Message, Topic};
use async_trait::async_trait;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// What `/metrics` says: each series with its value.
struct Told(BTreeMap<String, f64>);

impl Told {
    fn of(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        };
        Self(samples.filter_map(sample).collect())
    }

    async fn by(app: &TestApp) -> Self {
        Self::of(&app.get("/metrics").await.text)
    }

    /// The sum over the series of this name that have these labels.
    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let is_meant = |series: &str| {
            let rest =
                series.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with('{'));
            rest.is_some_and(|rest| labels.iter().all(|label| rest.contains(label)))
        };
        self.0.iter().filter(|(series, _)| is_meant(series)).map(|(_, value)| value).sum()
    }

    /// The same of what has no fractions.
    fn count(&self, name: &str, labels: &[&str]) -> i64 {
        self.sum(name, labels).round() as i64
    }

    /// Asserts by how much series have grown since `before`: at least, since sweeps and retries may
    /// add to it.
    #[track_caller]
    fn have_grown(&self, before: &Self, expected: &[(&str, &[&str], f64)]) {
        for (name, labels, by) in expected {
            let grown = self.sum(name, labels) - before.sum(name, labels);
            assert!(grown >= *by, "{name} {labels:?} grew by {grown}, not by {by}");
        }
    }
}

/// How locks behave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Free,
    /// Another replica has them.
    Busy,
    /// They do not answer.
    Slow,
}

/// Locks whose mood a test sets.
struct MoodyLocks {
    locks: MemoryLocks,
    mood: watch::Sender<Mood>,
    /// Calls that they have not answered.
    unanswered: AtomicUsize,
}

#[async_trait]
impl FlightLocks for MoodyLocks {
    async fn take(&self, flights: &[FlightId]) -> Taken {
        let mut mood = self.mood.subscribe();
        if *mood.borrow() == Mood::Slow {
            self.unanswered.fetch_add(1, Ordering::AcqRel);
        }
        let mood = *mood.wait_for(|mood| *mood != Mood::Slow).await.expect("it has a mood");
        if mood == Mood::Busy { Taken::default() } else { self.locks.take(flights).await }
    }

    async fn keep(&self, taken: &Taken) -> Infallible {
        self.locks.keep(taken).await
    }

    async fn release(&self, taken: Taken) {
        self.locks.release(taken).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_searches_and_sales_are_counted() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    app.run_until_idle().await;
    let before = Told::by(&app).await;
    let search = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20";
    for _ in 0..2 {
        assert_eq!(app.get(search).await.status, 200);
    }
    let sold = app.book(flight, 2).await.booking_id();
    app.book_paid_by(flight, 1, "pm_card_declined").await.booking_id();
    app.book_paid_by(flight, 1, "pm_card_error").await.booking_id();
    assert_eq!(app.book(flight, 9).await.status, 409);
    app.run_until_idle().await;
    app.post(&format!("/api/v1/bookings/{sold}/cancel"), &serde_json::json!({})).await;
    app.pass(Duration::from_secs(301)).await;
    app.run_until_idle().await;
    app.faults.plan([Fault::Overtaken(FlightId(flight))]);
    app.book(flight, 1).await.booking_id();
    // Else the fault may strike the commit of its settlement.
    app.run_until_idle().await;
    app.faults.plan([Fault::Panics]);
    assert_eq!(app.book(flight, 1).await.status, 500);
    app.run_until_idle().await;

    let (bookings, published) = ("bookings_total", "events_published_total");
    Told::by(&app).await.have_grown(
        &before,
        &[
            ("http_requests_total", &["path=\"/api/v1/bookings\"", "code=\"Created\""], 4.0),
            ("http_requests_total", &["path=\"/api/v1/bookings\"", "status=\"409\""], 1.0),
            ("http_request_duration_seconds_count", &["path=\"/api/v1/flights/search\""], 2.0),
            ("cache_requests_total", &["layer=\"process\"", "result=\"miss\""], 1.0),
            ("cache_requests_total", &["layer=\"process\"", "result=\"hit\""], 1.0),
            ("booking_batch_size_count", &[], 6.0),
            ("booking_batch_size_sum", &[], 6.0),
            ("booking_wait_seconds_count", &[], 6.0),
            ("booking_version_conflicts_total", &[], 1.0),
            (bookings, &["\"held\""], 4.0),
            (bookings, &["\"completed\""], 2.0),
            (bookings, &["\"failed\""], 1.0),
            (bookings, &["\"expired\""], 1.0),
            (bookings, &["\"cancelled\""], 1.0),
            (bookings, &["\"refused\""], 1.0),
            (published, &["\"payment-requests\""], 6.0),
            (published, &["\"payment-events\""], 5.0),
            (published, &["\"flight-bookings\""], 3.0),
            (published, &["\"airline-events\""], 5.0),
            ("events_consumed_total", &["\"payment-requests\"", "\"payment-service\""], 6.0),
            ("events_consumed_total", &["\"payment-events\"", "\"booking-service\""], 5.0),
            ("payment_gateway_seconds_count", &[], 8.0),
            ("payment_gateway_errors_total", &[], 3.0),
            ("panics_total", &["part=\"batch\""], 1.0),
        ],
    );
    app.finish().await;
}

/// Makes one booking wait for its flight's lock, and three more in the flight's queue, until metrics show it.
async fn hold_up_bookings(
    app: &TestApp,
    flight: i64,
    locks: &MoodyLocks,
    mood: &watch::Sender<Mood>,
) {
    mood.send_replace(Mood::Busy);
    let waited = async {
        eventually("a lock wait", async || {
            Told::by(app).await.sum("booking_lock_waits_total", &[]) >= 1.0
        })
        .await;
        let in_flight = Told::by(app).await.sum("http_in_flight_requests", &[]);
        assert!(in_flight >= 2.0, "the booking, and this look: {in_flight}");
        // The first is in a batch that makes no progress; the others wait in the flight's queue.
        mood.send_replace(Mood::Slow);
        eventually("an unanswered lock", async || locks.unanswered.load(Ordering::Acquire) > 0)
            .await;
    };
    let line = async {
        waited.await;
        let others = async {
            let others = futures::future::join_all((0..3).map(|_| app.book(flight, 1))).await;
            for booked in others {
                booked.booking_id();
            }
        };
        let looked = async {
            let depth = async || Told::by(app).await.sum("booking_queue_depth", &["\"holds\""]);
            eventually("a queue", async || depth().await >= 1.0).await;
            mood.send_replace(Mood::Free);
        };
        tokio::join!(others, looked)
    };
    let (booked, _) = tokio::join!(app.book(flight, 1), line);
    booked.booking_id();
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_and_dead_letters_have_metrics() {
    let mood = watch::Sender::new(Mood::Free);
    let (mine, unanswered) = (MemoryLocks::default(), AtomicUsize::new(0));
    let locks = Arc::new(MoodyLocks { locks: mine, mood: mood.clone(), unanswered });
    let theirs = locks.clone();
    let app = TestApp::with_parts(|_| {}, |parts| parts.locks = theirs).await;
    let flight = app.add_flight(9).await;
    app.run_until_idle().await;
    let before = Told::by(&app).await;
    hold_up_bookings(&app, flight, &locks, &mood).await;

    let headers = Headers::default();
    let letter = Message { key: "1".into(), payload: "{".into(), headers, origin: None };
    app.bus.publish(&[(Topic::PaymentEvents, letter)]).await.expect("published");
    assert_eq!(app.bus.take_dead_letters().len(), 1);

    // A group does not commit its message, so it stays in the outbox; and the gateway does not
    // answer, so a booking stays pending past its hold, and a refund unanswered.
    let paid = app.book(flight, 1).await.booking_id();
    app.run_until_idle().await;
    app.post(&format!("/api/v1/bookings/{paid}/cancel"), &json!({})).await;
    app.run_until_idle().await;
    assert_eq!(app.database.plant("UPDATE refunds SET status = 'requested'").await, 1);
    let mut slow = app.bus.consume(Topic::AirlineEvents, "slow").await.expect("a consumer");
    app.gateway.close();
    app.book(flight, 1).await.booking_id();
    app.add_flight(9).await;
    slow.receive(1).await.expect("what is told");
    app.clock.advance(chrono::TimeDelta::seconds(310));
    app.app.sweeper.measure_backlog(app.clock.now()).await;
    let after = Told::by(&app).await;
    after.have_grown(
        &before,
        &[
            ("events_dead_lettered_total", &["\"payment-events\""], 1.0),
            ("outbox_depth", &[], 1.0),
            ("outbox_oldest_age_seconds", &[], 310.0),
            ("bookings_stuck", &[], 1.0),
            ("payments_unanswered", &[], 1.0),
            ("refunds_unanswered", &[], 1.0),
            ("refunds_oldest_age_seconds", &[], 310.0),
        ],
    );
    assert!(after.sum("db_pool_connections", &["state=\"idle\""]) > 0.0);
    assert!(after.sum("db_pool_connections_max", &[]) > 0.0);
    assert_eq!(after.count("job_leader", &["\"relay\""]), 1);

    slow.commit().await.expect("committed");
    let goes_on = tokio::spawn(async move {
        while slow.receive(99).await.is_ok() {
            slow.commit().await.expect("committed");
        }
    });
    app.pass(Duration::ZERO).await;
    app.gateway.open();
    app.run_until_idle().await;
    app.app.sweeper.measure_backlog(app.clock.now()).await;
    let rested = Told::by(&app).await;
    for name in [
        "outbox_depth",
        "outbox_oldest_age_seconds",
        "bookings_stuck",
        "refunds_unanswered",
        "refunds_oldest_age_seconds",
    ] {
        assert_eq!(rested.count(name, &[]), 0, "{name}");
    }
    app.app.start_sweeper();
    eventually("a leader of the sweep", async || {
        Told::by(&app).await.count("job_leader", &["\"sweep\""]) == 1
    })
    .await;
    app.finish().await;
    goes_on.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_lists_have_metrics() {
    let app = TestApp::start().await;
    let flight = app.add_flight(1).await;
    let sold = app.book(flight, 1).await.booking_id();
    app.run_until_idle().await;
    let before = Told::by(&app).await;
    let mut entries = Vec::new();
    for user in 7..11 {
        let mut party = booking(flight, 1);
        party.as_object_mut().expect("an object").remove("flight_id");
        party["user_id"] = json!(user);
        let joined = app.post(&format!("/api/v1/flights/{flight}/waitlist"), &party).await;
        entries.push(joined.json["waitlist_id"].as_i64().expect("an id"));
    }
    let left = http::Request::delete(format!("/api/v1/waitlist/{}", entries[3]));
    app.send(left.body(axum::body::Body::empty()).expect("a request")).await;
    app.post(&format!("/api/v1/bookings/{sold}/cancel"), &json!({})).await;
    app.run_until_idle().await;
    app.app.sweeper.measure_backlog(app.clock.now()).await;
    let line = Told::by(&app).await;
    assert_eq!(line.count("waitlist_parties", &[]), 2);
    assert_eq!(line.count("waitlist_offers_open", &[]), 1);

    app.post(&format!("/api/v1/waitlist/{}/decline", entries[0]), &json!({})).await;
    app.run_until_idle().await;
    app.pass(Duration::from_secs(31 * 60)).await;
    app.post(&format!("/api/v1/waitlist/{}/accept", entries[2]), &json!({})).await;
    app.run_until_idle().await;
    app.pass(Duration::from_secs(1)).await;
    app.app.sweeper.measure_backlog(app.clock.now()).await;
    let after = Told::by(&app).await;
    assert_eq!(after.count("waitlist_parties", &[]) + after.count("waitlist_offers_open", &[]), 0);
    for (event, times) in [
        ("\"waiting\"", 4),
        ("\"offered\"", 3),
        ("\"promoted\"", 1),
        ("\"declined\"", 1),
        ("\"lapsed\"", 1),
        ("\"left\"", 1),
    ] {
        let counted = |told: &Told| told.count("waitlist_total", &[event]);
        assert_eq!(counted(&after) - counted(&before), times, "{event}");
    }
    app.finish().await;
}

#[tokio::test]
async fn spans_are_counted_when_they_end_and_when_they_are_sent() {
    let collector = Collector::start().await;
    let mut tracing = None;
    let trace = |parts: &mut airline_booking::app::Ports| {
        parts.tracing = collector.tracing_counted_in(parts.metrics.clone());
        tracing = Some(parts.tracing.clone());
    };
    let app = TestApp::with_parts(|_| {}, trace).await;
    let flight = app.add_flight(9).await;
    app.book(flight, 1).await.booking_id();
    app.run_until_idle().await;
    let metrics = app.app.metrics.clone();
    app.finish().await;
    tracing.expect("it was begun").stop(Duration::from_secs(5)).await;
    let told = Told::of(&metrics.render());
    let of = |outcome| told.sum("trace_spans_total", &[outcome]);
    assert!(of("\"ended\"") > 15.0);
    assert_eq!((of("\"sent\""), of("\"failed\"")), (of("\"ended\""), 0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_services_have_metrics_and_every_metric_is_documented_with_its_unit() {
    let replicas = Replicas::new().await.start(1).await;
    let flight = replicas.add_flight(9).await;
    let place = replicas.client.post(replicas.url(0, "/api/v1/bookings")).json(&booking(flight, 1));
    let placed = place.send().await.expect("an answer").json().await.expect("JSON");
    replicas.expect_ended(&[placed]).await;
    let render = async || {
        let answer = replicas.client.get(replicas.url(0, "/metrics")).send().await;
        answer.expect("an answer").text().await.expect("text")
    };
    // Lags are measured every few seconds, and answers are shared once Redis knows their day.
    let search = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-";
    let mut day = 10..32;
    eventually("consumer lags and a cache miss", async || {
        replicas.get(0, &format!("{search}{}", day.next().unwrap_or(10))).await;
        let told = Told::of(&render().await);
        told.0.keys().any(|series| series.starts_with("kafka_consumer_lag{"))
            && told.sum("cache_requests_total", &["\"redis\"", "\"miss\""]) >= 1.0
    })
    .await;
    let text = render().await;
    let told = Told::of(&text);
    assert_eq!(told.count("redis_up", &[]), 1);
    assert_eq!(told.count("build_info", &[]), 1);
    for topic in [Topic::PaymentRequests, Topic::PaymentEvents] {
        let topic = format!("topic=\"{}\"", topic.as_str());
        assert!(told.sum("events_published_total", &[&topic]) >= 1.0, "{topic}");
        assert!(told.sum("events_consumed_total", &[&topic]) >= 1.0, "{topic}");
    }

    let guide = std::fs::read_to_string("docs/operations.md").expect("the guide");
    let rows = guide.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next());
    let documented: BTreeSet<&str> = rows.collect();
    let mut names = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let (name, help) = line.split_once(' ').expect("a help text");
        if name.starts_with("process_") {
            continue;
        }
        assert!(help.ends_with('.') && help.len() > 20, "{name}: {help}");
        assert!(documented.contains(name), "{name} is not documented");
        names.insert(name);
    }
    assert!(names.len() >= 27, "{names:?}");
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a type");
        let is_sound = match kind {
            "counter" => name.ends_with("_total"),
            "histogram" => name.ends_with("_seconds") || name == "booking_batch_size",
            _ => !name.ends_with("_total"),
        };
        assert!(is_sound, "{name} is a {kind}");
    }
    for server in replicas.servers {
        assert!(server.terminate().await, "a clean end");
    }
}
