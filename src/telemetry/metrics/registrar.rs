//! Makes metrics and registers them.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

/// From half a millisecond to ten seconds.
pub(super) const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Registration fails only for a malformed or repeated name. Names are constants, so a test finds out.
pub(super) const SOUND: &str = "metric names are constants, each used once";

/// A registry under construction.
pub(super) struct Registrar(pub(super) Registry);

impl Registrar {
    /// A registry with the metrics of the process and its build.
    pub(super) fn new() -> Self {
        let registrar = Self(Registry::new());
        let collector = prometheus::process_collector::ProcessCollector::for_self();
        registrar.0.register(Box::new(collector)).expect(SOUND);
        let build = registrar.gauges("build_info", "1, with the running version.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registrar
    }

    fn registered<C: prometheus::core::Collector + Clone + 'static>(&self, collector: C) -> C {
        self.0.register(Box::new(collector.clone())).expect(SOUND);
        collector
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.registered(IntCounter::new(name, help).expect(SOUND))
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.registered(IntCounterVec::new(Opts::new(name, help), labels).expect(SOUND))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.registered(IntGauge::new(name, help).expect(SOUND))
    }

    pub(super) fn float_gauge(&self, name: &str, help: &str) -> Gauge {
        self.registered(Gauge::new(name, help).expect(SOUND))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.registered(IntGaugeVec::new(Opts::new(name, help), labels).expect(SOUND))
    }

    pub(super) fn float_gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.registered(GaugeVec::new(Opts::new(name, help), labels).expect(SOUND))
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.registered(Histogram::with_opts(options).expect(SOUND))
    }

    pub(super) fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        self.registered(HistogramVec::new(options, labels).expect(SOUND))
    }
}
