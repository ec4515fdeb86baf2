//! The cache port's promises, on each adapter: no answer is older than an invalidation that its reader
//! knows of.

use crate::simulated::cache::{CacheServer, SimCache};
use crate::simulated::process::Process;
use crate::support::redis::{cluster, prefix, single};
use crate::support::within;
use airline_booking::cache::SearchCache;
use airline_booking::cache::memory::MemoryCache;
use airline_booking::cache::redis::RedisCache;
use airline_booking::domain::{DayKey, Invalidation};
use airline_booking::redis::Redis;
use airline_booking::telemetry::Metrics;
use bytes::Bytes;
use futures::future::join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long another replica may take to notice an invalidation: a flush, a check, and a busy machine.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);

/// Longer than the 100 ms for which a process uses a generation without asking the others again.
const ASKS_AGAIN_AFTER: Duration = Duration::from_millis(110);

/// Replicas of one service; a single one where there is no other.
struct Replicas {
    caches: Vec<Arc<dyn SearchCache>>,
    is_shared: bool,
    /// Whether they have a way to tell each other what they end.
    is_told: bool,
    _background: tokio::task::JoinSet<()>,
}

impl Replicas {
    fn of(caches: Vec<Arc<dyn SearchCache>>, is_shared: bool, is_told: bool) -> Self {
        let mut background = tokio::task::JoinSet::new();
        for cache in caches.clone() {
            background.spawn(async move { cache.run().await });
        }
        Self { caches, is_shared, is_told, _background: background }
    }

    fn in_memory() -> Self {
        Self::of(vec![Arc::new(MemoryCache::default())], false, true)
    }

    fn each_in_its_memory() -> Self {
        let cache = || -> Arc<dyn SearchCache> { Arc::new(MemoryCache::among_replicas()) };
        Self::of(vec![cache(), cache()], false, false)
    }

    fn in_redis(connect: impl Fn() -> Redis) -> Self {
        let prefix = prefix("search");
        let cache = || -> Arc<dyn SearchCache> { Arc::new(cache(connect(), &prefix)) };
        Self::of(vec![cache(), cache()], true, true)
    }

    fn simulated() -> Self {
        let server = CacheServer::default();
        let cache = |name| -> Arc<dyn SearchCache> {
            Arc::new(SimCache::new(&server, &Process::sound(name)))
        };
        Self::of(vec![cache("one"), cache("two")], true, true)
    }

    fn first(&self) -> &dyn SearchCache {
        &*self.caches[0]
    }

    /// The other replica, or the same where there is only one.
    fn last(&self) -> &dyn SearchCache {
        &**self.caches.last().expect("at least one")
    }
}

pub fn cache(redis: Redis, prefix: &str) -> RedisCache {
    RedisCache::new(redis, prefix, Duration::from_secs(3_600), Metrics::new())
}

pub fn day(number: u32) -> DayKey {
    let date = chrono::NaiveDate::from_ymd_opt(2025, 1, 1 + number % 28).expect("a date");
    DayKey { route: "são paulo#new%23york".into(), date }
}

pub fn outdated(key: &DayKey) -> Invalidation {
    Invalidation::Days(vec![(key.route.clone(), key.date)])
}

pub async fn put(cache: &dyn SearchCache, key: &DayKey, answer: &'static str) {
    let generation = cache.current(key).await;
    cache.keep(key, generation, &Bytes::from_static(answer.as_bytes())).await;
}

pub async fn get(cache: &dyn SearchCache, key: &DayKey) -> Option<Bytes> {
    let generation = cache.current(key).await;
    cache.fetch(key, generation).await
}

async fn a_generation_is_valid_until_it_is_invalidated(replicas: Replicas) {
    let cache = replicas.first();
    let (ended, other) = (day(1), day(2));
    let before = [cache.current(&ended).await, cache.current(&other).await];
    tokio::time::sleep(2 * ASKS_AGAIN_AFTER).await;
    let stands = [cache.current(&ended).await, cache.current(&other).await] == before;
    assert_eq!(stands, replicas.is_told, "without a word from others for 100 ms at most");
    let before = [cache.current(&ended).await, cache.current(&other).await];
    cache.invalidate(std::slice::from_ref(&ended));
    assert_ne!(cache.current(&ended).await, before[0]);
}

async fn an_answer_kept_by_one_replica_is_fetched_by_the_other(replicas: Replicas) {
    let key = day(1);
    assert_eq!(get(replicas.last(), &key).await, None);
    put(replicas.first(), &key, "answer").await;
    let expected = replicas.is_shared.then(|| Bytes::from_static(b"answer"));
    assert_eq!(get(replicas.last(), &key).await, expected);
    assert_eq!(get(replicas.first(), &day(2)).await, None);
}

async fn after_an_invalidation_its_process_fetches_nothing_older(replicas: Replicas) {
    for round in 0..50 {
        let key = day(round);
        put(replicas.first(), &key, "older").await;
        let before = replicas.first().current(&key).await;
        replicas.first().invalidate(std::slice::from_ref(&key));
        assert_ne!(replicas.first().current(&key).await, before);
        assert_eq!(get(replicas.first(), &key).await, None);
    }
}

async fn an_invalidation_reaches_the_other_replica(replicas: Replicas) {
    let key = day(1);
    put(replicas.first(), &key, "older").await;
    let before = replicas.last().current(&key).await;
    replicas.first().invalidate(std::slice::from_ref(&key));
    within(NOTICED_WITHIN, "a new generation at the other replica", async || {
        replicas.last().current(&key).await != before
    })
    .await;
    assert_eq!(get(replicas.last(), &key).await, None);
}

async fn the_relays_invalidation_reaches_every_replica(replicas: Replicas) {
    for what in [outdated(&day(1)), Invalidation::All] {
        put(replicas.first(), &day(1), "older").await;
        let before =
            join_all(replicas.caches.iter().map(|cache| async { cache.current(&day(1)).await }));
        let before = before.await;
        replicas.last().invalidate_everywhere(&what).await.expect("the cache answers");
        assert_eq!(get(replicas.last(), &day(1)).await, None, "{what:?}");
        tokio::time::sleep(ASKS_AGAIN_AFTER).await;
        for (cache, before) in replicas.caches.iter().zip(before) {
            assert_ne!(cache.current(&day(1)).await, before, "{what:?}");
            assert_eq!(get(&**cache, &day(1)).await, None, "{what:?}");
        }
    }
}

async fn a_fill_that_began_before_an_invalidation_replaces_nothing(replicas: Replicas) {
    let key = day(1);
    let (slow, fast) = (replicas.first(), replicas.last());
    let slow_began = slow.current(&key).await;
    fast.invalidate_everywhere(&outdated(&key)).await.expect("the cache answers");
    put(fast, &key, "newer").await;
    slow.keep(&key, slow_began, &Bytes::from_static(b"older")).await;
    for cache in &replicas.caches {
        tokio::time::sleep(ASKS_AGAIN_AFTER).await;
        let expected = replicas.is_shared.then(|| Bytes::from_static(b"newer"));
        assert_eq!(get(&**cache, &key).await, expected);
    }
    // The other way round: the slow one is done first, into a generation that is still empty.
    fast.invalidate_everywhere(&outdated(&key)).await.expect("the cache answers");
    tokio::time::sleep(ASKS_AGAIN_AFTER).await;
    fast.current(&key).await;
    slow.keep(&key, slow_began, &Bytes::from_static(b"older")).await;
    assert_eq!(get(fast, &key).await, None);
}

/// The truth is a number that only grows. Writers add to it and end the answer; readers load it
/// slowly and share it. No reader gets less than its own process had written before the read.
async fn no_process_reads_an_answer_older_than_its_own_write(replicas: Replicas) {
    let key = day(1);
    let truth = AtomicU64::new(0);
    let until = Instant::now() + Duration::from_millis(2_500);
    let hits = AtomicU64::new(0);
    let replica = |cache: &Arc<dyn SearchCache>, number: u64| {
        let (cache, key, truth, hits) = (cache.clone(), &key, &truth, &hits);
        async move {
            let ended = AtomicU64::new(0);
            let writer = async {
                while Instant::now() < until {
                    let written = truth.fetch_add(1, Ordering::SeqCst) + 1;
                    cache.invalidate(std::slice::from_ref(key));
                    ended.fetch_max(written, Ordering::SeqCst);
                    // Bursts, and pauses long enough for answers to be shared in between.
                    let pause = if written % 7 == 0 { 330 + 110 * number } else { 3 };
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            };
            let reader = |pause: u64| {
                let (cache, ended) = (&cache, &ended);
                async move {
                    while Instant::now() < until {
                        let least = ended.load(Ordering::SeqCst);
                        let generation = cache.current(key).await;
                        let read = if let Some(answer) = cache.fetch(key, generation).await {
                            hits.fetch_add(1, Ordering::Relaxed);
                            std::str::from_utf8(&answer).expect("UTF-8").parse().expect("a number")
                        } else {
                            let loaded = truth.load(Ordering::SeqCst);
                            tokio::time::sleep(Duration::from_millis(pause)).await;
                            cache.keep(key, generation, &loaded.to_string().into()).await;
                            loaded
                        };
                        assert!(read >= least, "{read} was read after {least} was written");
                        tokio::task::yield_now().await;
                    }
                }
            };
            let readers = join_all([0, 1, 3, 10, 60].map(reader));
            futures::join!(writer, readers);
        }
    };
    let numbered = replicas.caches.iter().zip(0..);
    join_all(numbered.map(|(cache, number)| replica(cache, number))).await;
    // At rest, everyone comes to the same last answer.
    let last = truth.load(Ordering::SeqCst);
    tokio::time::sleep(4 * ASKS_AGAIN_AFTER).await;
    for cache in &replicas.caches {
        if let Some(answer) = get(&**cache, &key).await {
            assert_eq!(answer, last.to_string());
        }
    }
    assert!(!replicas.is_shared || hits.load(Ordering::Relaxed) > 0, "nothing was ever shared");
}

/// Every body on every implementation.
macro_rules! on_each_cache {
    ($($body:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $body() {
                super::$body(super::Replicas::in_memory()).await;
            })+
        }
        mod memory_among_replicas {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $body() {
                super::$body(super::Replicas::each_in_its_memory()).await;
            })+
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $body() {
                super::$body(super::Replicas::in_redis(super::single)).await;
            })+
        }
        mod redis_cluster {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $body() {
                super::$body(super::Replicas::in_redis(super::cluster)).await;
            })+
        }
        mod in_simulation {
            $(#[tokio::test(start_paused = true)]
            async fn $body() {
                super::$body(super::Replicas::simulated()).await;
            })+
        }
    };
}

on_each_cache!(
    a_generation_is_valid_until_it_is_invalidated,
    an_answer_kept_by_one_replica_is_fetched_by_the_other,
    after_an_invalidation_its_process_fetches_nothing_older,
    an_invalidation_reaches_the_other_replica,
    the_relays_invalidation_reaches_every_replica,
    a_fill_that_began_before_an_invalidation_replaces_nothing,
    no_process_reads_an_answer_older_than_its_own_write,
);
