//! Requests by route: each route's handles are resolved once.

use super::registrar::Registrar;
use parking_lot::RwLock;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Routes {
    requests: IntCounterVec,
    seconds: HistogramVec,
    known: RwLock<HashMap<&'static str, HashMap<String, Arc<Route>>>>,
}

/// One method of one route.
pub struct Route {
    method: &'static str,
    path: String,
    requests: IntCounterVec,
    by_status: RwLock<HashMap<u16, IntCounter>>,
    seconds: Histogram,
}

impl Routes {
    pub(super) fn register(registrar: &Registrar) -> Self {
        let requests = registrar.counters(
            "http_requests_total",
            "HTTP requests by method, route, status text (code) and status.",
            &["method", "path", "code", "status"],
        );
        let seconds = registrar.histograms(
            "http_request_duration_seconds",
            "Seconds from a request's head to its answer.",
            &["method", "path"],
        );
        Self { requests, seconds, known: RwLock::default() }
    }

    pub(super) fn route(&self, method: &'static str, path: &str) -> Arc<Route> {
        let known = {
            let routes = self.known.read();
            routes.get(method).and_then(|paths| paths.get(path)).cloned()
        };
        known.unwrap_or_else(|| self.add(method, path))
    }

    fn add(&self, method: &'static str, path: &str) -> Arc<Route> {
        let route = Route {
            method,
            path: path.to_owned(),
            requests: self.requests.clone(),
            by_status: RwLock::default(),
            seconds: self.seconds.with_label_values(&[method, path]),
        };
        let mut routes = self.known.write();
        let paths = routes.entry(method).or_default();
        paths.entry(path.to_owned()).or_insert_with(|| Arc::new(route)).clone()
    }
}

impl Route {
    /// Counts one answered request.
    pub fn observe(&self, status: http::StatusCode, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        let known = {
            let counters = self.by_status.read();
            counters.get(&status.as_u16()).map(IntCounter::inc)
        };
        if known.is_none() {
            self.observe_new(status);
        }
    }

    fn observe_new(&self, status: http::StatusCode) {
        let code = status.canonical_reason().unwrap_or("Unknown");
        let labels = [self.method, &*self.path, code, status.as_str()];
        let counter = self.requests.with_label_values(&labels);
        counter.inc();
        let mut counters = self.by_status.write();
        counters.insert(status.as_u16(), counter);
    }
}
