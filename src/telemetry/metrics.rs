//! Prometheus metrics. Handles are made once; counting is an atomic addition.

use super::counters::{
    deferred, erased, limit_conflicts, lock_waits, redis_errors, refused, unanswered,
    version_conflicts,
};
use super::panics;
use super::panics::Part;
use super::progress::Watched;
use super::store_gauges::{PoolUse, StoreGauges, Waiting};
use crate::messages::{Message, Topic};
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};
use std::time::Duration;

/// From half a millisecond to ten seconds.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// All metrics of one service. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    http: Arc<Http>,
    /// Requests being worked on.
    pub http_in_flight: IntGauge,
    /// Connections closed because their client had as many as it may.
    pub connections_refused: IntCounter,
    /// Search answers found in the in-process cache.
    pub cache_hits: IntCounter,
    /// Search answers that were not there.
    pub cache_misses: IntCounter,
    /// Of those, answers that another replica had shared.
    pub cache_shared_hits: IntCounter,
    /// Of those, answers that no replica had shared.
    pub cache_shared_misses: IntCounter,
    /// Calls to Redis that failed.
    pub redis_errors: IntCounter,
    redis_up: IntGauge,
    /// Commands in a batch.
    pub batch_size: Histogram,
    /// Seconds that a command waited for its batch.
    pub wait_seconds: Histogram,
    /// Commands decided again because another commit was first.
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
    published: IntCounterVec,
    consumed: IntCounterVec,
    consumer_lag: IntGaugeVec,
    dead_lettered: IntCounterVec,
    dead_letters_lost: IntCounterVec,
    topics_lost: IntCounterVec,
    panics: IntCounterVec,
    pub(super) watched: Arc<Watched>,
    spans: IntCounterVec,
    store: Arc<StoreGauges>,
    /// Seconds of a gateway call.
    pub gateway_seconds: Histogram,
    /// Gateway calls without an answer.
    pub gateway_errors: IntCounter,
    /// Bookings whose passengers the sweeper has erased.
    pub passengers_erased: IntCounter,
    /// Requests left to the sweeper, since too many calls wait for the gateway.
    pub payments_deferred: IntCounter,
}

struct Http {
    requests: IntCounterVec,
    seconds: HistogramVec,
    routes: RwLock<HashMap<&'static str, HashMap<String, Arc<Route>>>>,
}

/// One method of one route: its handles, resolved once.
pub struct Route {
    method: &'static str,
    path: String,
    requests: IntCounterVec,
    by_status: RwLock<HashMap<u16, IntCounter>>,
    seconds: Histogram,
}

impl Route {
    /// Counts one answered request.
    pub fn observe(&self, status: http::StatusCode, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        let known = {
            let counters = self.by_status.read().expect("no holder of the counters panics");
            counters.get(&status.as_u16()).map(IntCounter::inc)
        };
        if known.is_none() {
            let code = status.canonical_reason().unwrap_or("Unknown");
            let labels = [self.method, &*self.path, code, status.as_str()];
            let counter = self.requests.with_label_values(&labels);
            counter.inc();
            let mut counters = self.by_status.write().expect("no holder of the counters panics");
            counters.insert(status.as_u16(), counter);
        }
    }
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
        let made = Maker(Registry::new());
        made.process_and_build();
        let queued = made.gauges(
            "booking_queue_depth",
            "Commands waiting for the booking engine.",
            &["queue"],
        );
        let cache = made.counters(
            "cache_requests_total",
            "Searches by cache layer and result (hit or miss).",
            &["layer", "result"],
        );
        let metrics = Self {
            http: Arc::new(Http {
                requests: made.counters(
                    "http_requests_total",
                    "HTTP requests by method, route, status text (code) and status.",
                    &["method", "path", "code", "status"],
                ),
                seconds: made.histograms(
                    "http_request_duration_seconds",
                    "Seconds from a request's head to its answer.",
                    &["method", "path"],
                ),
                routes: RwLock::default(),
            }),
            http_in_flight: made.gauge("http_in_flight_requests", "HTTP requests being worked on."),
            connections_refused: refused(&made),
            cache_hits: cache.with_label_values(&["process", "hit"]),
            cache_misses: cache.with_label_values(&["process", "miss"]),
            cache_shared_hits: cache.with_label_values(&["redis", "hit"]),
            cache_shared_misses: cache.with_label_values(&["redis", "miss"]),
            redis_errors: redis_errors(&made),
            redis_up: IntGauge::new("redis_up", "1 while Redis answers, else 0.").expect(SOUND),
            batch_size: made.histogram(
                "booking_batch_size",
                "Commands decided in one transaction.",
                &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0],
            ),
            wait_seconds: made.histogram(
                "booking_wait_seconds",
                "Seconds that a command waited for its batch.",
                SECONDS,
            ),
            version_conflicts: version_conflicts(&made),
            limit_conflicts: limit_conflicts(&made),
            lock_waits: lock_waits(&made),
            holds_queued: queued.with_label_values(&["holds"]),
            urgent_queued: queued.with_label_values(&["urgent"]),
            bookings: made.counters(
                "bookings_total",
                "What became of bookings: held, completed, failed, expired, cancelled, refused.",
                &["event"],
            ),
            published: made
                .by_topic("events_published_total", "Messages handed over to the bus, by topic."),
            consumed: made.counters(
                "events_consumed_total",
                "Messages received from the bus, by topic and consumer group.",
                &["topic", "group"],
            ),
            consumer_lag: made.gauges(
                "kafka_consumer_lag",
                "Messages in this process's partitions that the group has not committed.",
                &["topic", "group"],
            ),
            dead_lettered: made.by_topic(
                "events_dead_lettered_total",
                "Messages put aside because they can't be applied, by topic.",
            ),
            dead_letters_lost: made.by_topic(
                "dead_letters_lost_total",
                "Messages put aside whose dead letter Kafka refused, by topic.",
            ),
            topics_lost: made.by_topic("topics_lost_total", "Topics found deleted, by topic."),
            panics: panics::made_by(&made),
            watched: Arc::new(Watched::made_by(&made)),
            store: Arc::new(StoreGauges::made_by(&made)),
            spans: made.counters(
                "trace_spans_total",
                "Spans that ended, were sent to the collector, or could not be sent.",
                &["outcome"],
            ),
            gateway_seconds: made.histogram(
                "payment_gateway_seconds",
                "Seconds of a call to the payment gateway.",
                SECONDS,
            ),
            passengers_erased: erased(&made),
            payments_deferred: deferred(&made),
            gateway_errors: unanswered(&made),
            registry: made.0,
        };
        metrics.begin_at_zero();
        metrics
    }

    /// A counter that appears with its first event has no rate for it: known ones are there before.
    fn begin_at_zero(&self) {
        for topic in Topic::ALL {
            self.published.with_label_values(&[topic.as_str()]);
            self.dead_lettered.with_label_values(&[topic.as_str()]);
            self.dead_letters_lost.with_label_values(&[topic.as_str()]);
            self.topics_lost.with_label_values(&[topic.as_str()]);
        }
        for part in Part::ALL {
            self.panics(part);
        }
        for event in ["held", "completed", "failed", "expired", "cancelled", "refused"] {
            self.bookings.with_label_values(&[event]);
        }
        for invariant in ["I1", "I2", "I3", "I4"] {
            self.store.tell_violations(invariant, 0);
        }
    }

    /// The handles of one method of one route, by its template.
    ///
    /// Each pair is a series for the life of the process: callers pass bounded sets of both.
    pub fn route(&self, method: &'static str, path: &str) -> Arc<Route> {
        let known = {
            let routes = self.http.routes.read().expect("no holder of the routes panics");
            routes.get(method).and_then(|paths| paths.get(path)).cloned()
        };
        known.unwrap_or_else(|| {
            let mut routes = self.http.routes.write().expect("no holder of the routes panics");
            let route = Route {
                method,
                path: path.to_owned(),
                requests: self.http.requests.clone(),
                by_status: RwLock::default(),
                seconds: self.http.seconds.with_label_values(&[method, path]),
            };
            let paths = routes.entry(method).or_default();
            paths.entry(path.to_owned()).or_insert_with(|| Arc::new(route)).clone()
        })
    }

    /// Counts what became of a booking.
    pub fn count_booking(&self, event: &str) {
        self.bookings.with_label_values(&[event]).inc();
    }

    /// Counts messages that went out.
    pub fn count_published(&self, messages: &[(Topic, Message)]) {
        for topic in Topic::ALL {
            let count = messages.iter().filter(|(its, _)| *its == topic).count();
            self.published.with_label_values(&[topic.as_str()]).inc_by(count as u64);
        }
    }

    /// Counts messages that came in, those that come again as well.
    pub fn count_consumed(&self, topic: Topic, group: &str, messages: usize) {
        self.consumed.with_label_values(&[topic.as_str(), group]).inc_by(messages as u64);
    }

    /// How far this process is behind in a topic.
    pub fn set_consumer_lag(&self, topic: Topic, group: &str, lag: i64) {
        self.consumer_lag.with_label_values(&[topic.as_str(), group]).set(lag);
        self.watched.tell_lag(topic, group, lag > 0);
    }

    /// This process has left the group, so that its lag is another's.
    pub fn forget_consumer_lag(&self, topic: Topic, group: &str) {
        self.watched.tell_lag(topic, group, false);
        // Nothing to remove where none was told yet.
        let _ = self.consumer_lag.remove_label_values(&[topic.as_str(), group]);
    }

    /// Counts a message that was put aside.
    pub fn count_dead_lettered(&self, topic: Topic) {
        self.dead_lettered.with_label_values(&[topic.as_str()]).inc();
    }

    /// Counts a dead letter that Kafka refused, also as a stub.
    pub fn count_dead_letter_lost(&self, topic: Topic) {
        self.dead_letters_lost.with_label_values(&[topic.as_str()]).inc();
    }

    /// Counts a topic that was found deleted while the service runs.
    pub fn count_topic_lost(&self, topic: Topic) {
        self.topics_lost.with_label_values(&[topic.as_str()]).inc();
    }

    pub(super) fn panics(&self, part: Part) -> IntCounter {
        self.panics.with_label_values(&[part.as_str()])
    }

    /// Sets what waits in the store. The process that sweeps does so.
    pub fn set_waiting(&self, waiting: &Waiting) {
        self.store.set_waiting(waiting);
    }

    /// Tells how many flights break an invariant; whoever sweeps does.
    pub fn tell_violations(&self, invariant: &str, flights: usize) {
        self.store.tell_violations(invariant, flights);
    }

    /// Sets whether this process holds the lease of a job.
    pub fn set_job(&self, job: &str, is_ours: bool) {
        self.store.set_job(job, is_ours);
    }

    /// Tells the version to which a flight is about to be changed.
    pub fn tell_version(&self, version: i64) {
        self.store.tell_version(version);
    }

    /// Tells the highest version that the store takes.
    pub fn tell_version_limit(&self, limit: i64) {
        self.store.tell_version_limit(limit);
    }

    /// Where the use of connections is asked for, each time that metrics are.
    pub fn watch_pools(&self, source: impl Fn() -> Vec<PoolUse> + Send + Sync + 'static) {
        self.store.watch_pools(Box::new(source));
    }

    /// Tells how much of the sweeper's work is refused; whoever sweeps does.
    pub fn tell_refused(&self, refused: usize) {
        self.store.tell_refused(refused);
    }

    /// Where unreadable rows are asked for, each time that metrics are.
    pub fn watch_unreadable(
        &self,
        source: impl Fn() -> BTreeMap<&'static str, usize> + Send + Sync + 'static,
    ) {
        self.store.watch_unreadable(Box::new(source));
    }

    /// Tells whether Redis answers. Before it is known, and where there is none, nothing is said of
    /// it: 0 is an outage.
    pub fn tell_redis(&self, is_up: bool) {
        self.redis_up.set(i64::from(is_up));
        // It is registered once; from then on the registry says that it knows it.
        let _ = self.registry.register(Box::new(self.redis_up.clone()));
    }

    /// Counts spans: `ended`, `sent`, `failed`.
    pub fn count_spans(&self, outcome: &str, spans: usize) {
        self.spans.with_label_values(&[outcome]).inc_by(spans as u64);
    }

    /// Everything, in Prometheus' text format.
    pub fn render(&self) -> String {
        self.store.look();
        self.watched.look_at_workers();
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("text is written to memory");
        String::from_utf8(text).expect("names and labels are UTF-8")
    }
}

/// Makes metrics and registers them; names are constants, so both can only fail in a test.
pub(super) struct Maker(Registry);

const SOUND: &str = "metric names are constants, each used once";

impl Maker {
    fn process(&self) {
        let collector = prometheus::process_collector::ProcessCollector::for_self();
        self.0.register(Box::new(collector)).expect(SOUND);
    }

    fn registered<C: prometheus::core::Collector + Clone + 'static>(&self, collector: C) -> C {
        self.0.register(Box::new(collector.clone())).expect(SOUND);
        collector
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.registered(IntCounter::new(name, help).expect(SOUND))
    }

    fn by_topic(&self, name: &str, help: &str) -> IntCounterVec {
        self.counters(name, help, &["topic"])
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.registered(IntCounterVec::new(Opts::new(name, help), labels).expect(SOUND))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.registered(IntGauge::new(name, help).expect(SOUND))
    }

    pub(super) fn fraction(&self, name: &str, help: &str) -> Gauge {
        self.registered(Gauge::new(name, help).expect(SOUND))
    }

    fn process_and_build(&self) {
        self.process();
        let build = self.gauges("build_info", "1, with the version that runs.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.registered(IntGaugeVec::new(Opts::new(name, help), labels).expect(SOUND))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.registered(Histogram::with_opts(options).expect(SOUND))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        self.registered(HistogramVec::new(options, labels).expect(SOUND))
    }
}
