//! Prometheus metrics. Handles are made once; counting is an atomic addition.

mod circuits;
mod counters;
mod messages;
mod panics;
mod progress;
mod registrar;
mod routes;
mod store_gauges;
mod topics;
mod webhooks;

use circuits::Circuits;
use counters::LinesLost;
use messages::MessageMetrics;
use progress::Stalls;
use prometheus::{Encoder, Histogram, IntCounter, IntCounterVec, IntGauge, Registry, TextEncoder};
use registrar::{Registrar, SECONDS, SOUND};
use routes::Routes;
use std::collections::BTreeMap;
use std::sync::Arc;
use store_gauges::StoreGauges;
use strum::VariantArray as _;
use topics::TopicMetrics;

pub use circuits::{CircuitGauge, CircuitState};
pub use messages::MessageEvent;
pub use panics::{Panicked, Part};
pub use progress::{Open, Progress};
pub use routes::Route;
pub use store_gauges::{BacklogGauges, PoolUse};
pub use webhooks::{Seconds, WebhookMetrics};

/// All metrics of one service. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    routes: Arc<Routes>,
    /// Requests being worked on.
    pub http_in_flight: IntGauge,
    /// Connections closed because their client has the maximum number.
    pub connections_refused: IntCounter,
    /// Open streams of events.
    pub event_streams: IntGauge,
    /// Streams of events that were cut off because their client was too slow.
    pub event_streams_cut: IntCounter,
    /// Streams of events that were refused, since there were as many as may be.
    pub event_streams_refused: IntCounter,
    /// Search answers found in the in-process cache.
    pub cache_hits: IntCounter,
    /// Search answers that the in-process cache lacks.
    pub cache_misses: IntCounter,
    /// Of the misses, answers found in the shared cache.
    pub cache_shared_hits: IntCounter,
    /// Of the misses, answers that the shared cache lacks too.
    pub cache_shared_misses: IntCounter,
    /// Calls to Redis that failed.
    pub redis_errors: IntCounter,
    redis_up: IntGauge,
    /// Commands in a batch.
    pub batch_size: Histogram,
    /// Seconds that a command waited for its batch.
    pub wait_seconds: Histogram,
    /// Commands decided again because another commit came first.
    pub version_conflicts: IntCounter,
    /// Commands decided again because the commit found a user's limit on unpaid seats reached.
    pub limit_conflicts: IntCounter,
    /// Commands that waited for another replica's lock.
    pub lock_waits: IntCounter,
    /// Holds waiting for the engine.
    pub holds_queued: IntGauge,
    /// Other commands waiting for the engine.
    pub urgent_queued: IntGauge,
    bookings: IntCounterVec,
    entries: IntCounterVec,
    topics: Arc<TopicMetrics>,
    messages: Arc<MessageMetrics>,
    panics: IntCounterVec,
    stalls: Arc<Stalls>,
    spans: IntCounterVec,
    circuits: Arc<Circuits>,
    store: Arc<StoreGauges>,
    lines_lost: Arc<LinesLost>,
    /// Webhooks.
    pub webhooks: Arc<WebhookMetrics>,
    /// Seconds of a gateway call.
    pub gateway_seconds: Histogram,
    /// Gateway calls without an answer.
    pub gateway_errors: IntCounter,
    /// Bookings whose passengers the sweeper has erased.
    pub passengers_erased: IntCounter,
    /// Payment requests left to the sweeper because too many gateway calls wait.
    pub payments_deferred: IntCounter,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics at zero, in a registry of their own.
    pub fn new() -> Self {
        let registrar = Registrar::new();
        let queued = registrar.gauges(
            "booking_queue_depth",
            "Commands waiting for the booking engine.",
            &["queue"],
        );
        let cache = registrar.counters(
            "cache_requests_total",
            "Searches by cache layer and result (hit or miss).",
            &["layer", "result"],
        );
        let metrics = Self {
            routes: Arc::new(Routes::register(&registrar)),
            http_in_flight: registrar
                .gauge("http_in_flight_requests", "HTTP requests being worked on."),
            connections_refused: counters::connections_refused(&registrar),
            event_streams: registrar.gauge("event_streams", "Open streams of events."),
            event_streams_cut: counters::event_streams_cut(&registrar),
            event_streams_refused: counters::event_streams_refused(&registrar),
            cache_hits: cache.with_label_values(&["process", "hit"]),
            cache_misses: cache.with_label_values(&["process", "miss"]),
            cache_shared_hits: cache.with_label_values(&["redis", "hit"]),
            cache_shared_misses: cache.with_label_values(&["redis", "miss"]),
            redis_errors: counters::redis_errors(&registrar),
            redis_up: IntGauge::new("redis_up", "1 while Redis answers, else 0.").expect(SOUND),
            batch_size: registrar.histogram(
                "booking_batch_size",
                "Commands decided in one transaction.",
                &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0],
            ),
            wait_seconds: registrar.histogram(
                "booking_wait_seconds",
                "Seconds that a command waited for its batch.",
                SECONDS,
            ),
            version_conflicts: counters::version_conflicts(&registrar),
            limit_conflicts: counters::limit_conflicts(&registrar),
            lock_waits: counters::lock_waits(&registrar),
            holds_queued: queued.with_label_values(&["holds"]),
            urgent_queued: queued.with_label_values(&["urgent"]),
            bookings: registrar.counters(
                "bookings_total",
                "Bookings by event: held, completed, failed, expired, cancelled, refused.",
                &["event"],
            ),
            entries: counters::entries(&registrar),
            topics: Arc::new(TopicMetrics::register(&registrar)),
            messages: Arc::new(MessageMetrics::register(&registrar)),
            panics: panics::register(&registrar),
            stalls: Arc::new(Stalls::register(&registrar)),
            circuits: Arc::new(Circuits::register(&registrar)),
            store: Arc::new(StoreGauges::register(&registrar)),
            lines_lost: Arc::new(LinesLost::register(&registrar)),
            webhooks: Arc::new(WebhookMetrics::register(&registrar)),
            spans: counters::spans(&registrar),
            gateway_seconds: registrar.histogram(
                "payment_gateway_seconds",
                "Seconds of a call to the payment gateway.",
                SECONDS,
            ),
            passengers_erased: counters::passengers_erased(&registrar),
            payments_deferred: counters::payments_deferred(&registrar),
            gateway_errors: counters::gateway_errors(&registrar),
            registry: registrar.0,
        };
        metrics.start_at_zero();
        metrics
    }

    /// Creates the series of known labels: a counter that appears with its first event has no rate for
    /// that event.
    fn start_at_zero(&self) {
        for part in Part::VARIANTS {
            self.panics(*part);
        }
        for event in ["held", "completed", "failed", "expired", "cancelled", "refused"] {
            self.bookings.with_label_values(&[event]);
        }
        for event in ["waiting", "offered", "promoted", "declined", "lapsed", "left"] {
            self.entries.with_label_values(&[event]);
        }
        for invariant in ["I1", "I2", "I3", "I4", "I7"] {
            self.store.set_violations(invariant, 0);
        }
    }

    /// The handles of one method of one route, by its template.
    ///
    /// Each pair is a series for the life of the process: callers pass bounded sets of both.
    pub fn route(&self, method: &'static str, path: &str) -> Arc<Route> {
        self.routes.route(method, path)
    }

    /// Counts an event in a booking's life, such as `held`.
    pub fn count_booking(&self, event: &str) {
        self.bookings.with_label_values(&[event]).inc();
    }

    /// Counts an event in the life of a waiting list's entry, such as `offered`.
    pub fn count_entry(&self, event: &str) {
        self.entries.with_label_values(&[event]).inc();
    }

    fn panics(&self, part: Part) -> IntCounter {
        self.panics.with_label_values(&[<&str>::from(part)])
    }

    /// Sets the backlog of the store. Called by the process that sweeps.
    pub fn set_backlog(&self, backlog: &BacklogGauges) {
        self.store.set_backlog(backlog);
    }

    /// Sets how many flights break an invariant. Called by the process that sweeps.
    pub fn set_violations(&self, invariant: &str, flights: usize) {
        self.store.set_violations(invariant, flights);
    }

    /// Sets whether this process holds the lease of a job.
    pub fn set_job(&self, job: &str, is_ours: bool) {
        self.store.set_job(job, is_ours);
    }

    /// Notes the version to which a flight is about to be changed; the highest is shown.
    pub fn observe_version(&self, version: i64) {
        self.store.observe_version(version);
    }

    /// Sets the highest version that the store can keep.
    pub fn set_version_limit(&self, limit: i64) {
        self.store.set_version_limit(limit);
    }

    /// Reads the use of connections from `source` each time the metrics are rendered.
    pub fn watch_pools(&self, source: impl Fn() -> Vec<PoolUse> + Send + Sync + 'static) {
        self.store.watch_pools(Box::new(source));
    }

    /// Sets how many items the sweeper can't carry out. Called by the process that sweeps.
    pub fn set_sweep_refused(&self, refused: usize) {
        self.store.set_sweep_refused(refused);
    }

    /// Reads the number of unreadable rows from `source` each time the metrics are rendered.
    pub fn watch_unreadable(
        &self,
        source: impl Fn() -> BTreeMap<&'static str, usize> + Send + Sync + 'static,
    ) {
        self.store.watch_unreadable(Box::new(source));
    }

    /// Sets whether Redis answers. The gauge appears with the first call: 0 means an outage, not
    /// "unknown" or "not configured".
    pub fn set_redis_up(&self, is_up: bool) {
        self.redis_up.set(i64::from(is_up));
        let state = if is_up { CircuitState::Closed } else { CircuitState::Open };
        self.circuit("redis").set(state);
        // Every registration but the first fails, because the gauge is registered.
        let _ = self.registry.register(Box::new(self.redis_up.clone()));
    }

    /// Counts spans: `ended`, `sent`, `failed`.
    pub fn count_spans(&self, outcome: &str, spans: usize) {
        self.spans.with_label_values(&[outcome]).inc_by(spans as u64);
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        self.store.refresh();
        self.stalls.refresh();
        self.lines_lost.refresh();
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("text is written to memory");
        String::from_utf8(text).expect("names and labels are UTF-8")
    }
}
