//! Detects stalled workers. Stalls are computed when metrics or health are read, so workers pay nothing.

use super::Metrics;
use super::registrar::Registrar;
use crate::messages::Topic;
use parking_lot::Mutex;
use prometheus::IntGaugeVec;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a worker has begun and when it last finished something. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Mutex<Steps>>);

#[derive(Debug)]
struct Steps {
    /// When the last piece of work was finished, or else when watching started.
    last: Instant,
    open: usize,
    /// Start of the current stretch in which at least one piece of work is open.
    open_since: Option<Instant>,
}

/// A piece of work in progress. It ends when dropped, finished or not.
#[derive(Debug)]
pub struct Open(Progress);

impl Default for Progress {
    fn default() -> Self {
        let steps = Steps { last: Instant::now(), open: 0, open_since: None };
        Self(Arc::new(Mutex::new(steps)))
    }
}

impl Progress {
    /// A piece of work is finished.
    pub fn step(&self) {
        self.0.lock().last = Instant::now();
    }

    /// Starts a piece of work.
    pub fn begin(&self) -> Open {
        let mut steps = self.0.lock();
        steps.open += 1;
        steps.open_since.get_or_insert_with(Instant::now);
        Open(self.clone())
    }

    /// How long there has been work without any being finished. `waiting_since` is when the oldest
    /// work that has not been started arrived.
    pub fn stalled_for(&self, waiting_since: Option<Instant>, now: Instant) -> Duration {
        let steps = self.0.lock();
        let since = [steps.open_since, waiting_since].into_iter().flatten().min();
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since.max(steps.last)))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut steps = self.0.0.lock();
        steps.open -= 1;
        if steps.open == 0 {
            steps.open_since = None;
        }
    }
}

type Stall = Box<dyn Fn(Instant) -> Duration + Send + Sync>;

/// The workers of this process, and since when messages have been waiting for each group.
pub(super) struct Stalls {
    gauge: IntGaugeVec,
    workers: Mutex<Vec<(&'static str, Stall)>>,
    lagging: Mutex<HashMap<(Topic, String), Instant>>,
}

impl Stalls {
    pub(super) fn register(registrar: &Registrar) -> Self {
        let gauge = registrar.gauges(
            "worker_stalled_seconds",
            "Seconds for which a worker has had work without finishing any.",
            &["worker"],
        );
        Self { gauge, workers: Mutex::default(), lagging: Mutex::default() }
    }

    /// Sets whether messages of a group wait in this process's partitions.
    pub(super) fn set_lagging(&self, topic: Topic, group: &str, is_behind: bool) {
        let mut lagging = self.lagging.lock();
        let key = (topic, group.to_owned());
        if is_behind {
            lagging.entry(key).or_insert_with(Instant::now);
        } else {
            lagging.remove(&key);
        }
    }

    pub(super) fn refresh(&self) {
        for (worker, stalled) in self.all() {
            self.gauge.with_label_values(&[worker]).set(stalled.as_secs() as i64);
        }
    }

    fn all(&self) -> Vec<(&'static str, Duration)> {
        let workers = self.workers.lock();
        let now = Instant::now();
        workers.iter().map(|(name, stall)| (*name, stall(now))).collect()
    }
}

impl Metrics {
    /// Watches a worker of this process. `stall` returns how long it has had work without finishing any.
    pub fn watch_worker(
        &self,
        name: &'static str,
        stall: impl Fn(Instant) -> Duration + Send + Sync + 'static,
    ) {
        let mut workers = self.stalls.workers.lock();
        workers.push((name, Box::new(stall)));
    }

    /// The workers of this process, each with how long it has had work without finishing any.
    pub fn stalls(&self) -> Vec<(&'static str, Duration)> {
        self.stalls.all()
    }

    /// Since when messages of a group have been waiting in this process's partitions without a break.
    pub fn lagging_since(&self, topic: Topic, group: &str) -> Option<Instant> {
        let lagging = self.stalls.lagging.lock();
        lagging.get(&(topic, group.to_owned())).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_stalls_while_it_has_work_and_finishes_none() {
        let (progress, began) = (Progress::default(), Instant::now());
        let later = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert_eq!(progress.stalled_for(None, later(60)), Duration::ZERO, "at rest");
        let stalled = progress.stalled_for(Some(began), later(60));
        assert!(stalled >= Duration::from_secs(59), "{stalled:?}");
        let now = later(60);
        assert_eq!(progress.stalled_for(Some(now), now), Duration::ZERO, "new work");

        let first = progress.begin();
        let second = progress.begin();
        drop(first);
        let stalled = progress.stalled_for(None, later(60));
        assert!(stalled >= Duration::from_secs(59), "the second is still open: {stalled:?}");
        progress.step();
        assert!(progress.stalled_for(None, Instant::now()) < Duration::from_secs(59));
        drop(second);
        assert_eq!(progress.stalled_for(None, later(60)), Duration::ZERO, "nothing is open");
    }

    #[test]
    fn a_group_lags_from_its_first_waiting_message_until_it_has_caught_up() {
        let metrics = Metrics::new();
        let since = || metrics.lagging_since(Topic::PaymentEvents, "g");
        assert_eq!(since(), None);
        metrics.set_consumer_lag(Topic::PaymentEvents, "g", 3);
        let first = since();
        assert!(first.is_some());
        metrics.set_consumer_lag(Topic::PaymentEvents, "g", 9);
        assert_eq!(since(), first);
        metrics.set_consumer_lag(Topic::PaymentEvents, "g", 0);
        assert_eq!(since(), None);
        metrics.set_consumer_lag(Topic::PaymentEvents, "g", 1);
        metrics.forget_consumer_lag(Topic::PaymentEvents, "g");
        assert_eq!(since(), None);
    }
}
