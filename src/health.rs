//! Health: which of the service's dependencies answer, and how fast.

use crate::bus::Bus;
use crate::cache::SearchCache;
use crate::store::Store;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a dependency may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Asks the dependencies. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    /// Without it nothing can be answered.
    pub store: Arc<dyn Store>,
    /// The cache, where replicas share one.
    pub cache: Option<Arc<dyn SearchCache>>,
    /// The bus, where topics are elsewhere.
    pub bus: Option<Arc<dyn Bus>>,
}

/// How one dependency is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It answered.
    Ok,
    /// It did not, within a second.
    Down,
    /// This process does its work.
    Embedded,
}

/// One dependency's answer.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// How it is.
    pub condition: Condition,
    /// How long it took.
    pub took: Duration,
}

/// What was found.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// The store.
    pub database: Check,
    /// The shared cache.
    pub redis: Check,
    /// The topics.
    pub kafka: Check,
}

impl Health {
    /// Asks all at once.
    pub async fn report(&self) -> Report {
        let redis = async {
            match &self.cache {
                Some(cache) => check(cache.ping()).await,
                None => EMBEDDED,
            }
        };
        let kafka = async {
            match &self.bus {
                Some(bus) => check(bus.ping()).await,
                None => EMBEDDED,
            }
        };
        let (database, redis, kafka) = tokio::join!(self.database(), redis, kafka);
        Report { database, redis, kafka }
    }

    /// Asks the store alone.
    pub async fn database(&self) -> Check {
        check(self.store.ping()).await
    }
}

const EMBEDDED: Check = Check { condition: Condition::Embedded, took: Duration::ZERO };

async fn check<E>(answer: impl Future<Output = Result<(), E>>) -> Check {
    let asked_at = Instant::now();
    let answer = tokio::time::timeout(ANSWER_WITHIN, answer).await;
    let condition = if matches!(answer, Ok(Ok(()))) { Condition::Ok } else { Condition::Down };
    Check { condition, took: asked_at.elapsed() }
}
