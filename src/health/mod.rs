//! Health: which of the service's dependencies answer, and how fast, and whether its workers get on.

use crate::bus::Bus;
use crate::cache::SearchCache;
use crate::store::Operations;
use crate::telemetry::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a dependency may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// How long an answer is good for: however many ask, a dependency is asked four times a second.
const GOOD_FOR: Duration = Duration::from_millis(250);

/// Asks the dependencies. Cheap to clone.
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

/// A dependency's last answer and when it came; one at a time asks for another.
type LastCheck = Mutex<Option<(Check, Instant)>>;

/// How one dependency is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It answered.
    Ok,
    /// It did not, within a second; of a worker: it has had work for too long and finished none.
    Down,
    /// This process does its work.
    Embedded,
}

/// One dependency's answer.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// How it is.
    pub condition: Condition,
    /// How long it took; of a worker: for how long it has had work and finished none.
    pub took: Duration,
}

/// What was found.
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
}

impl Health {
    /// Of the store, without which nothing can be answered, and of cache and bus, where they are
    /// others' processes; and of the workers that the metrics watch, each of which may have work for
    /// `stalled_after` and finish none.
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

    /// Asks all at once.
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
        Report { database, redis, kafka, workers: self.workers() }
    }

    fn workers(&self) -> Vec<(&'static str, Check)> {
        let check = |(name, took): (&'static str, Duration)| {
            let is_stalled = took >= self.0.stalled_after;
            let condition = if is_stalled { Condition::Down } else { Condition::Ok };
            (name, Check { condition, took })
        };
        self.0.metrics.stalls().into_iter().map(check).collect()
    }

    /// Asks the store alone.
    pub async fn database(&self) -> Check {
        check(&self.0.store_check, || self.0.store.ping()).await
    }
}

const EMBEDDED: Check = Check { condition: Condition::Embedded, took: Duration::ZERO };

/// The last answer if it is fresh, else a new one, which concurrent callers share.
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
    async fn however_many_ask_a_dependency_is_asked_once_in_a_while() {
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
