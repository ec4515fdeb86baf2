//! The harness: the real service on its own database, with a clock that the test moves.

pub mod airline;
mod answer;
pub mod asker;
pub mod authority;
pub mod callers;
pub mod collector;
pub mod deployment;
mod eventually;
mod faulty;
pub mod garbage;
mod gateway;
pub mod jwt;
pub mod kafka;
pub mod members;
pub mod orders;
pub mod people;
pub mod process;
pub mod proxy;
pub mod receiver;
pub mod redis;
pub mod replicas;
pub mod services;
pub mod sms;
pub mod smtp;
pub mod snapshot;
pub mod streams;
pub mod stripe;

pub use answer::Answer;
pub use deployment::TestDatabase;
use deployment::{Close, Opened};
pub use eventually::{equal, eventually, within};
pub use faulty::{Fault, FaultyStore, ReadFault};
pub use gateway::GatedGateway;

use airline_booking::app::{App, Ports};
use airline_booking::bus::memory::MemoryBus;
use airline_booking::cache::memory::MemoryCache;
use airline_booking::cache::redis::RedisCache;
use airline_booking::clock::{Clock as _, ManualClock};
use airline_booking::config::Config;
use airline_booking::domain::{References, Timestamp};
use airline_booking::ids::RandomIds;
use airline_booking::lock::memory::MemoryLocks;
use airline_booking::lock::redis::RedisLocks;
use airline_booking::store::{Lane, Store};
use airline_booking::tasks::Tasks;
use airline_booking::telemetry::{Metrics, Tracing};
use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tower::ServiceExt;

/// When every test begins: before the sample flights of the specification.
pub fn start_of_test() -> Timestamp {
    "2025-01-01T00:00:00Z".parse().expect("an instant")
}

/// The settings of a test: the defaults, without latency and without limits in the way.
pub fn config() -> Config {
    let mut config = Config::from_env(|_| None).expect("the defaults are sound");
    config.payment_latency = Duration::ZERO;
    // A gate that a test closes may stay closed for long on a busy machine.
    config.gateway_timeout = Duration::from_secs(3_600);
    config.rate_limit = None;
    config.max_in_flight = 100_000;
    config.max_queued_holds = 100_000;
    config
}

/// The service under test. Call [`TestApp::finish`] at the end: it checks the invariants.
pub struct TestApp {
    pub app: App,
    pub clock: Arc<ManualClock>,
    pub gateway: Arc<GatedGateway>,
    pub bus: Arc<MemoryBus>,
    pub store: Arc<dyn Store>,
    pub database: TestDatabase,
    pub faults: Arc<FaultyStore>,
    pub references: References,
    router: axum::Router,
    close: Close,
    finished: bool,
}

impl TestApp {
    /// With the settings of [`config`].
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With settings of the test's own.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Box::pin(Self::with_parts(change, |_| {})).await
    }

    /// With settings and parts of the test's own.
    pub async fn with_parts(
        change: impl FnOnce(&mut Config),
        replace: impl FnOnce(&mut Ports),
    ) -> Self {
        let database = TestDatabase::create().await;
        let mut config = config();
        config.database = database.setting();
        change(&mut config);
        let clock = Arc::new(ManualClock::at(start_of_test()));
        let Opened { store, gateway, references, close } =
            database.open_in(config.currency, config.payment_latency, clock.clone()).await;
        let gateway = Arc::new(GatedGateway::new(gateway));
        let bus = Arc::new(MemoryBus::with_log(close.log(), clock.clone()));
        let faults = Arc::new(FaultyStore::new(store.clone()));
        let mut parts = Ports {
            store: faults.clone(),
            gateway: gateway.clone(),
            sandbox: Some(gateway.clone()),
            bus: bus.clone(),
            locks: Arc::new(MemoryLocks::default()),
            cache: Arc::new(MemoryCache::default()),
            clock: clock.clone(),
            ids: Arc::new(RandomIds),
            references: references.clone(),
            tasks: Tasks::default(),
            metrics: Metrics::new(),
            tracing: Tracing::default(),
        };
        if deployment::is_shared() {
            let server = redis::single();
            parts.locks = Arc::new(RedisLocks::new(server.clone(), &redis::prefix("locks")));
            let (prefix, metrics) = (redis::prefix("search"), parts.metrics.clone());
            parts.cache = Arc::new(RedisCache::new(server, &prefix, config.cache_ttl, metrics));
        }
        replace(&mut parts);
        let app = App::assemble(config, parts);
        app.start_pipeline().await.expect("a pipeline");
        let router = app.router();
        Self {
            app,
            clock,
            gateway,
            bus,
            store,
            database,
            faults,
            references,
            router,
            close,
            finished: false,
        }
    }

    /// Closes the store under the service, for good.
    pub async fn take_store_away(&self) {
        self.close.close().await;
    }

    /// Sends a request, with a `Host` as every client's, and reads its answer.
    pub async fn send(&self, mut request: Request<Body>) -> Answer {
        name_host(&mut request);
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        Answer::read(response).await
    }

    /// Sends a request and gives the answer's bytes as they come, and its headers.
    pub async fn send_raw(&self, mut request: Request<Body>) -> (bytes::Bytes, http::HeaderMap) {
        name_host(&mut request);
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (head, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
        (body, head.headers)
    }

    /// Sends a request and gives the answer as it begins.
    pub async fn open(&self, mut request: Request<Body>) -> axum::response::Response {
        name_host(&mut request);
        self.router.clone().oneshot(request).await.expect("infallible")
    }

    /// `GET path`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    /// Sends JSON.
    pub async fn send_json(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.send_json_with(method, path, body, &[]).await
    }

    /// Sends JSON with more headers.
    pub async fn send_json_with(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request =
            Request::builder().method(method).uri(path).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_string())).expect("a request")).await
    }

    /// `POST path` with JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send_json(Method::POST, path, body).await
    }

    /// `PUT path` with JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send_json(Method::PUT, path, body).await
    }

    /// Creates a flight from Delhi to Mumbai with that many seats; gives its id.
    pub async fn add_flight(&self, seats: i32) -> i64 {
        let answer = self.post("/api/v1/flights", &flight(seats)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json["id"].as_i64().expect("an id")
    }

    /// Asks for seats.
    pub async fn book(&self, flight: i64, seats: i32) -> Answer {
        self.post("/api/v1/bookings", &booking(flight, seats)).await
    }

    /// Asks for seats, paid by a method of the gateway's.
    pub async fn book_paid_by(&self, flight: i64, seats: i32, method: &str) -> Answer {
        let mut body = booking(flight, seats);
        body["payment_method"] = json!(method);
        self.post("/api/v1/bookings", &body).await
    }

    /// A flight as the API shows it.
    pub async fn flight(&self, id: i64) -> Value {
        self.get(&format!("/api/v1/flights/{id}")).await.json
    }

    /// A booking as the API shows it.
    pub async fn booking(&self, id: i64) -> Value {
        self.get(&format!("/api/v1/bookings/{id}")).await.json
    }

    /// Moves the clock and lets the sweeper look once.
    pub async fn pass(&self, time: Duration) {
        self.clock.advance(chrono::TimeDelta::from_std(time).expect("a span"));
        self.app.sweeper.step(self.clock.now()).await.expect("a sweep");
    }

    /// Until nothing moves: outbox and bus empty, no batch, no gateway call but those held back.
    pub async fn run_until_idle(&self) {
        // A call's answer may be between two queues: idle means three idle looks in a row.
        let mut idle = 0;
        eventually("an idle service", async || {
            idle = if self.is_idle().await { idle + 1 } else { 0 };
            idle == 3
        })
        .await;
    }

    async fn is_idle(&self) -> bool {
        self.bus.in_flight() == 0
            && self.app.running_tasks() == self.gateway.held_back()
            && self.app.engine.is_idle()
            && self.all_is_sent().await
            && self.store.invalidations(1).await.expect("ends of answers").is_empty()
    }

    /// Whether no message waits in the outbox, of either lane.
    pub async fn all_is_sent(&self) -> bool {
        for lane in Lane::ALL {
            if !self.store.outbox(lane, &[], 1).await.expect("the outbox").is_empty() {
                return false;
            }
        }
        true
    }

    /// The audit's broken rules; none in a sound database.
    pub async fn violations(&self) -> Vec<String> {
        let findings = self.store.audit(self.clock.now()).await.expect("an audit");
        assert!(!findings.is_empty(), "an audit that checks nothing");
        findings
            .into_iter()
            .filter(|finding| finding.violations > 0)
            .map(|finding| format!("{finding:?}"))
            .collect()
    }

    /// Ends a test that took the store away or wrote what is not so, so that no audit can pass.
    pub fn abandon(mut self) {
        self.finished = true;
    }

    /// Lets everything come to rest and checks the invariants and that there are no dead letters.
    pub async fn finish(mut self) {
        self.finished = true;
        self.gateway.open();
        self.run_until_idle().await;
        if !self.violations().await.is_empty() {
            // A test that moves the clock may leave a lapsed hold, which only the sweeper ends.
            self.pass(Duration::ZERO).await;
            self.run_until_idle().await;
        }
        assert_eq!(self.violations().await, Vec::<String>::new());
        assert_eq!(self.bus.take_dead_letters(), []);
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        assert!(self.finished || std::thread::panicking(), "call finish() at the end of a test");
    }
}

/// As HTTP wants it, unless the test names one.
pub fn name_host(request: &mut Request<Body>) {
    let host = http::HeaderValue::from_static("localhost:8080");
    request.headers_mut().entry(http::header::HOST).or_insert(host);
}

/// The body of `POST /flights`: Delhi to Mumbai, in the morning of 2025-01-20.
pub fn flight(seats: i32) -> Value {
    json!({
        "source": "Delhi", "destination": "Mumbai", "timestamp": "2025-01-20T10:00:00Z",
        "available_seats": seats, "total_seats": seats, "price": 2500.00
    })
}

/// The body of `POST /bookings`: a party of that size.
pub fn booking(flight: i64, seats: i32) -> Value {
    let passenger = json!({
        "name": "Asha Rao", "email": "asha@example.com", "phone": "1234567890",
        "age": 30, "gender": "female"
    });
    let passengers = vec![passenger; usize::try_from(seats).unwrap_or_default()];
    json!({
        "flight_id": flight, "user_id": 123, "seats_booked": seats,
        "passenger_details": passengers
    })
}

/// Polls a call so many times and drops it; its answer, if it has one by then.
pub async fn give_up_after<T>(polls: usize, call: impl Future<Output = T>) -> Option<T> {
    let (mut call, mut left) = (pin!(call), polls);
    std::future::poll_fn(|context| {
        left -= 1;
        match call.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
