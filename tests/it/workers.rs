//! Workers that panic, stall or are stopped: each is noticed, and a shutdown finishes running work.

use crate::support::deployment::Opened;
use crate::support::process::http_client;
use crate::support::{
    Answer, Fault, GatedGateway, TestApp, TestDatabase, booking, config, eventually, flight,
};
use airline_booking::app::{App, Ports};
use airline_booking::bus::memory::MemoryBus;
use airline_booking::cache::memory::MemoryCache;
use airline_booking::cache::{CacheAway, Generation, SearchCache};
use airline_booking::clock::SystemClock;
use airline_booking::domain::{
    BookingId, BookingStatus, DayKey, Invalidation, Money, PaymentReference, RefundId,
};
use airline_booking::gateway::simulated::SimulatedGateway;
use airline_booking::gateway::{Gateway, GatewayError, Opened as Told, Opening, Repaid};
use airline_booking::ids::RandomIds;
use airline_booking::lock::memory::MemoryLocks;
use airline_booking::store::Store;
use airline_booking::tasks::Tasks;
use airline_booking::telemetry::{Metrics, Tracing};
use async_trait::async_trait;
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tower::ServiceExt as _;

/// A cache whose worker panics when told to.
#[derive(Default)]
struct Panics {
    cache: MemoryCache,
    told: Notify,
}

#[async_trait]
impl SearchCache for Panics {
    async fn current(&self, key: &DayKey) -> Generation {
        self.cache.current(key).await
    }

    async fn fetch(&self, key: &DayKey, generation: Generation) -> Option<Bytes> {
        self.cache.fetch(key, generation).await
    }

    async fn keep(&self, key: &DayKey, generation: Generation, answer: &Bytes) {
        self.cache.keep(key, generation, answer).await;
    }

    fn invalidate(&self, keys: &[DayKey]) {
        self.cache.invalidate(keys);
    }

    fn needs_outbox(&self) -> bool {
        self.cache.needs_outbox()
    }

    async fn invalidate_everywhere(&self, what: &Invalidation) -> Result<(), CacheAway> {
        self.cache.invalidate_everywhere(what).await
    }

    async fn run(&self) {
        self.told.notified().await;
        panic!("as it was told to");
    }

    async fn ping(&self) -> Result<(), CacheAway> {
        self.cache.ping().await
    }
}

/// An app with its workers, on a database of its own that lasts until it is dropped.
async fn app_with(
    gateway: impl FnOnce(SimulatedGateway) -> Arc<dyn Gateway>,
) -> (App, Arc<dyn Store>, TestDatabase) {
    let database = TestDatabase::create().await;
    let mut config = config();
    config.database = database.setting();
    let clock = Arc::new(SystemClock);
    let opened = database.open(Duration::ZERO, clock.clone()).await;
    let parts = Ports {
        store: opened.store.clone(),
        gateway: gateway(opened.gateway),
        sandbox: None,
        bus: Arc::new(MemoryBus::default()),
        locks: Arc::new(MemoryLocks::default()),
        cache: Arc::new(MemoryCache::default()),
        clock,
        ids: Arc::new(RandomIds),
        references: opened.references.clone(),
        tasks: Tasks::default(),
        metrics: Metrics::new(),
        tracing: Tracing::default(),
    };
    let app = App::assemble(config, parts);
    app.start_pipeline().await.expect("a pipeline");
    (app, opened.store, database)
}

async fn add_flight(app: &App, seats: i32) -> i64 {
    let mut flight = flight(seats);
    flight["timestamp"] = json!("9000-01-01T10:00:00Z");
    let added = post(app.router(), "/api/v1/flights", &flight).await;
    added["id"].as_i64().expect("an id")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_waits_for_gateway_calls_and_settles_their_answers() {
    let mut gate = None;
    let (app, store, _database) =
        app_with(|real| gate.insert(Arc::new(GatedGateway::new(real))).clone()).await;
    let gateway = gate.expect("it was made");
    gateway.close();
    let body = booking(add_flight(&app, 5).await, 2);
    let placed = post(app.router(), "/api/v1/bookings", &body).await["booking_id"].as_i64();
    eventually("a gateway call", async || gateway.held_back() > 0).await;

    // The stop has begun when the gateway answers.
    tokio::join!(biased; app.stop(), async { gateway.open() });
    let booking = store.booking(BookingId(placed.expect("an id"))).await.expect("a store");
    assert_eq!(booking.expect("a booking").status, BookingStatus::Completed);
}

/// A gateway that fails every call.
struct Failing;

#[async_trait]
impl Gateway for Failing {
    async fn open(&self, _: &Opening) -> Result<Told, GatewayError> {
        Err(GatewayError::Unanswered("planned".into()))
    }

    async fn status(&self, _: PaymentReference) -> Result<Told, GatewayError> {
        Err(GatewayError::Unanswered("planned".into()))
    }

    async fn void(&self, _: PaymentReference) -> Result<(), GatewayError> {
        Err(GatewayError::Unanswered("planned".into()))
    }

    async fn refund(
        &self,
        _: RefundId,
        _: PaymentReference,
        _: Money,
    ) -> Result<Repaid, GatewayError> {
        Err(GatewayError::Unanswered("planned".into()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_an_open_circuit() {
    let (app, _, _database) = app_with(|_| Arc::new(Failing)).await;
    let flight = add_flight(&app, 100).await;
    for _ in 0..20 {
        post(app.router(), "/api/v1/bookings", &booking(flight, 1)).await;
    }
    let open = "circuit_breaker_state{target=\"gateway\"} 1\n";
    eventually("an open circuit", async || app.metrics.render().contains(open)).await;
    let asked = Instant::now();
    app.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
}

async fn post(router: axum::Router, path: &str, body: &Value) -> Value {
    let request = Request::post(path).header("host", "localhost");
    let request = request.header("content-type", "application/json");
    let request = request.body(Body::from(body.to_string())).expect("a request");
    Answer::read(router.oneshot(request).await.expect("infallible")).await.json
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_worker_degrades_the_service_until_it_makes_progress() {
    let app = TestApp::with(|config| config.stalled_after = Duration::from_millis(1)).await;
    let is = async |worker: &str, condition: &str| {
        let status = if condition == "ok" { "ok" } else { "degraded" };
        eventually(format!("{worker} {condition}"), async || {
            let health = app.get("/api/v1/health").await;
            assert_eq!(health.status, 200, "{health:?}");
            let its = &health.json["checks"][worker]["status"];
            let is_so = its == condition && health.json["status"] == status;
            if is_so { Ok(()) } else { Err(health) }
        })
        .await;
    };
    let flight = app.add_flight(9).await;
    is("settlement", "ok").await;
    is("payments", "ok").await;

    app.gateway.close();
    app.book(flight, 1).await.booking_id();
    is("payments", "down").await;
    assert_eq!(app.get("/readyz").await.status, 200);

    app.faults.plan(vec![Fault::LostBefore; 10_000]);
    app.gateway.open();
    is("settlement", "down").await;
    assert_eq!(app.get("/readyz").await.status, 200);
    let told = app.get("/metrics").await.text;
    for worker in ["settlement", "payments"] {
        let series = format!("worker_stalled_seconds{{worker=\"{worker}\"}} ");
        assert!(told.contains(&series), "{told}");
    }

    app.faults.heal();
    app.run_until_idle().await;
    is("settlement", "ok").await;
    is("payments", "ok").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_worker_stops_the_process_cleanly_with_an_error() {
    let database = TestDatabase::create().await;
    let mut config = config();
    config.database = database.setting();
    let clock = Arc::new(SystemClock);
    let Opened { store, gateway, references, .. } =
        database.open(Duration::ZERO, clock.clone()).await;
    let cache = Arc::new(Panics::default());
    let parts = Ports {
        store,
        gateway: Arc::new(gateway),
        sandbox: None,
        bus: Arc::new(MemoryBus::default()),
        locks: Arc::new(MemoryLocks::default()),
        cache: cache.clone(),
        clock,
        ids: Arc::new(RandomIds),
        references,
        tasks: Tasks::default(),
        metrics: Metrics::new(),
        tracing: Tracing::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let probe = format!("http://{}/readyz", listener.local_addr().expect("an address"));
    let app = App::assemble(config, parts);
    let serving = app.serve(vec![listener], std::future::pending());
    let serving = tokio::time::timeout(Duration::from_secs(30), serving);
    let told = async {
        let answer = http_client().get(&probe).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        cache.told.notify_one();
    };
    let (ended, ()) = tokio::join!(serving, told);
    let error = ended.expect("it ends").expect_err("not as if it had been told to stop");
    assert!(error.to_string().contains("the worker cache panicked"), "{error}");
    assert!(http_client().get(&probe).send().await.is_err(), "nobody answers any more");
}
