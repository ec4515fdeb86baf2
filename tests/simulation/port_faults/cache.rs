//! Faults of the shared cache.

use super::super::ports::cache::{CacheServer, SimCache};
use super::super::ports::chance::{Chance, Fault};
use super::super::ports::process::Process;
use super::{always, hangs, process};
use airline_booking::cache::SearchCache;
use airline_booking::domain::{DayKey, Invalidation};
use airline_booking::tasks::Switch;
use bytes::Bytes;
use std::time::Duration;
use tokio::time::sleep;

fn day() -> DayKey {
    DayKey { route: "a#b".into(), date: chrono::NaiveDate::default() }
}

fn outdated() -> Invalidation {
    Invalidation::Days(vec![(day().route, day().date)])
}

async fn put(cache: &SimCache, answer: &'static str) {
    let generation = cache.current(&day()).await;
    cache.keep(&day(), generation, &Bytes::from_static(answer.as_bytes())).await;
}

async fn get(cache: &SimCache) -> Option<Bytes> {
    let generation = cache.current(&day()).await;
    cache.fetch(&day(), generation).await
}

#[tokio::test(start_paused = true)]
async fn without_the_shared_cache_answers_live_for_100_ms_and_invalidations_fail() {
    let (server, chance) = (CacheServer::default(), always(Fault::CacheAway));
    let (away, sound) = (
        SimCache::new(&server, &process("one", &chance)),
        SimCache::new(&server, &Process::sound("two")),
    );
    put(&sound, "older").await;
    let before = away.current(&day()).await;
    assert_eq!((before.is_shared(), get(&away).await), (false, None));
    away.invalidate_everywhere(&outdated()).await.expect_err("away");
    away.invalidate_everywhere(&Invalidation::All).await.expect_err("away");
    away.ping().await.expect_err("away");
    sleep(Duration::from_millis(100)).await;
    assert_ne!(away.current(&day()).await, before);
    assert_eq!(get(&sound).await.as_deref(), Some(&b"older"[..]), "nobody could say so");

    // After the outage others may have invalidated what they could not say.
    chance.calm();
    away.ping().await.expect("it answers");
    sleep(Duration::from_millis(100)).await;
    assert_eq!(get(&sound).await, None);
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_that_was_not_sent_is_sent_after_the_outage() {
    let (server, chance) = (CacheServer::default(), always(Fault::CacheAway));
    let (away, sound) = (
        SimCache::new(&server, &process("one", &chance)),
        SimCache::new(&server, &Process::sound("two")),
    );
    put(&sound, "older").await;
    away.invalidate(&[day()]);
    let sending = async {
        sleep(Duration::from_secs(1)).await;
        assert!(get(&sound).await.is_some());
        chance.calm();
        sleep(Duration::from_millis(300)).await;
        assert_eq!(get(&sound).await, None);
    };
    tokio::select! {
        biased;
        () = away.run() => {}
        () = sending => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_process_invalidates_nothing() {
    let (server, chance, switch) =
        (CacheServer::default(), Chance::without_faults(), Switch::default());
    let killed = SimCache::new(&server, &Process::new("killed", &chance, &switch));
    let sound = SimCache::new(&server, &Process::sound("two"));
    put(&sound, "older").await;
    switch.kill();
    killed.invalidate(&[day()]);
    assert!(hangs(killed.run()).await && hangs(killed.current(&day())).await);
    assert!(hangs(killed.invalidate_everywhere(&Invalidation::All)).await);
    assert!(get(&sound).await.is_some());
}
