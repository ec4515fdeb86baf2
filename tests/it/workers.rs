//! A worker that panics is not gone without: the process stops in order, and says so.

use crate::support::deployment::Opened;
use crate::support::process::http_client;
use crate::support::{TestDatabase, config};
use airline_booking::app::{App, Parts};
use airline_booking::bus::memory::MemoryBus;
use airline_booking::cache::memory::MemoryCache;
use airline_booking::cache::{CacheAway, Generation, SearchCache};
use airline_booking::clock::SystemClock;
use airline_booking::domain::{DayKey, Outdated};
use airline_booking::lock::memory::MemoryLocks;
use airline_booking::telemetry::{Metrics, Tracing};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;

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

    fn end(&self, keys: &[DayKey]) {
        self.cache.end(keys);
    }

    fn is_told(&self) -> bool {
        self.cache.is_told()
    }

    async fn end_everywhere(&self, outdated: &Outdated) -> Result<(), CacheAway> {
        self.cache.end_everywhere(outdated).await
    }

    async fn run(&self) {
        self.told.notified().await;
        panic!("as it was told to");
    }

    async fn ping(&self) -> Result<(), CacheAway> {
        self.cache.ping().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_panics_ends_the_process_in_order_and_with_an_error() {
    let database = TestDatabase::create().await;
    let mut config = config();
    config.database = database.setting();
    let clock = Arc::new(SystemClock);
    let Opened { store, gateway, .. } = database.open(Duration::ZERO, clock.clone()).await;
    let cache = Arc::new(Panics::default());
    let parts = Parts {
        store,
        gateway: Arc::new(gateway),
        bus: Arc::new(MemoryBus::default()),
        locks: Arc::new(MemoryLocks::default()),
        cache: cache.clone(),
        clock,
        metrics: Metrics::new(),
        tracing: Tracing::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let probe = format!("http://{}/readyz", listener.local_addr().expect("an address"));
    let app = App::assemble(config, parts);
    let serving = app.serve(listener, std::future::pending());
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
