//! Health: which dependencies answer, how fast, and whether the workers make progress.

use crate::bus::Bus;
use crate::cache::SearchCache;
use crate::store::Operations;
use crate::telemetry::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Time limit of a dependency's answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// How long an answer is reused: a dependency is asked at most four times a second, whatever the number of probes.
const GOOD_FOR: Duration = Duration::from_millis(250);

/// Checks the dependencies. Cheap to clone.
#[derive(Clone)]
pub struct Health(Arc<Dependencies>);

struct Dependencies {
    store: Arc<dyn Operations>,
    cache: Option<Arc<dyn SearchCache>>,
    bus: Option<Arc<dyn Bus>>,
    store_check: LastCheck,
    cache_check: LastCheck,
    bus_check: LastCheck,
    metrics: Metrics,
    stalled_after: Duration,
}

/// A dependency's last check, and when it was made. Locked during a check, so that one runs at a time.
type LastCheck = Mutex<Option<(Check, Instant)>>;

/// The condition of a dependency or worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It answered; of a worker: it makes progress.
    Ok,
    /// It did not answer within a second; of a worker: it has had work for too long and finished none.
    Down,
    /// It is part of this process.
    Embedded,
}

/// The result of one check.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// The condition.
    pub condition: Condition,
    /// How long the answer took; of a worker: how long it has had work and finished none.
    pub took: Duration,
}

/// The results of all checks.
#[derive(Debug, Clone)]
pub struct Report {
    /// The store.
    pub database: Check,
    /// The shared cache.
    pub redis: Check,
    /// The topics.
    pub kafka: Check,
    /// The workers of this process, by name.
    pub workers: Vec<(&'static str, Check)>,
    /// The parties that this process calls, by name, and whether calls go out.
    pub circuits: Vec<(&'static str, bool)>,
}

impl Health {
    /// Checks of the store, of cache and bus where they are separate processes, and of the workers that the
    /// metrics watch. A worker is down if it has work for `stalled_after` and finishes none.
    pub fn of(
        store: Arc<dyn Operations>,
        cache: Option<Arc<dyn SearchCache>>,
        bus: Option<Arc<dyn Bus>>,
        metrics: Metrics,
        stalled_after: Duration,
    ) -> Self {
        Self(Arc::new(Dependencies {
            store,
            cache,
            bus,
            store_check: LastCheck::default(),
            cache_check: LastCheck::default(),
            bus_check: LastCheck::default(),
            metrics,
            stalled_after,
        }))
    }

    /// Checks all at once.
    pub async fn report(&self) -> Report {
        let Dependencies { cache, bus, cache_check, bus_check, .. } = &*self.0;
        let redis = async {
            match cache {
                Some(cache) => check(cache_check, || cache.ping()).await,
                None => EMBEDDED,
            }
        };
        let kafka = async {
            match bus {
                Some(bus) => check(bus_check, || bus.ping()).await,
                None => EMBEDDED,
            }
        };
        let (database, redis, kafka) = tokio::join!(self.database(), redis, kafka);
        let (workers, circuits) = (self.workers(), self.0.metrics.circuits());
        Report { database, redis, kafka, workers, circuits }
    }

    fn workers(&self) -> Vec<(&'static str, Check)> {
        let check = |(name, took): (&'static str, Duration)| {
            let is_stalled = took >= self.0.stalled_after;
            let condition = if is_stalled { Condition::Down } else { Condition::Ok };
            (name, Check { condition, took })
        };
        self.0.metrics.stalls().into_iter().map(check).collect()
    }

    /// Checks the store alone.
    pub async fn database(&self) -> Check {
        check(&self.0.store_check, || self.0.store.ping()).await
    }
}

const EMBEDDED: Check = Check { condition: Condition::Embedded, took: Duration::ZERO };

/// The last check if it is fresh, otherwise a new one, which concurrent callers share.
async fn check<E, F>(last: &LastCheck, ask: impl FnOnce() -> F) -> Check
where
    F: Future<Output = Result<(), E>>,
{
    let mut last = last.lock().await;
    if let Some((check, at)) = *last
        && at.elapsed() < GOOD_FOR
    {
        return check;
    }
    let asked_at = Instant::now();
    let answer = tokio::time::timeout(ANSWER_WITHIN, ask()).await;
    let condition = if matches!(answer, Ok(Ok(()))) { Condition::Ok } else { Condition::Down };
    let check = Check { condition, took: asked_at.elapsed() };
    *last = Some((check, Instant::now()));
    check
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(start_paused = true)]
    async fn many_concurrent_checks_ask_a_dependency_once() {
        let (last, asked) = (LastCheck::default(), AtomicUsize::new(0));
        let ask = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok::<_, ()>(())
        };
        let answers = futures::future::join_all((0..100).map(|_| check(&last, ask))).await;
        assert!(answers.iter().all(|check| check.condition == Condition::Ok));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        tokio::time::advance(GOOD_FOR / 2).await;
        check(&last, ask).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        tokio::time::advance(GOOD_FOR / 2).await;
        check(&last, ask).await;
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
