//! Redis hangs, crashes, loses its data or returns with an old copy: no stale answer and no long wait.

use crate::ports_cache::{cache, day, get, outdated, put};
use crate::support::redis::{Server, connect};
use crate::support::{TestApp, booking, config, eventually};
use airline_booking::app::{App, Ports};
use airline_booking::cache::redis::RedisCache;
use airline_booking::cache::{CacheAway, SearchCache};
use airline_booking::domain::{DayKey, FlightId, Invalidation, route_key};
use airline_booking::lock::FlightLocks;
use airline_booking::lock::redis::RedisLocks;
use airline_booking::search::{Search, SearchSettings};
use airline_booking::store::Store;
use airline_booking::telemetry::{Metrics, Tracing};
use axum::body::Body;
use futures::stream::{self, StreamExt};
use http::Request;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tower::ServiceExt;

/// Long enough for any call that does not wait until Redis comes back, also on a busy machine.
const PROMPT: Duration = Duration::from_secs(5);

/// A call that found Redis silent waited this long, the time limit of a call.
const SLOW: Duration = Duration::from_millis(50);

const PREFIX: &str = "search:";

/// A replica's cache, with its background work.
fn replica(server: &Server, background: &mut JoinSet<()>) -> Arc<RedisCache> {
    let cache = Arc::new(cache(server.redis(), PREFIX));
    let running = cache.clone();
    background.spawn(async move { running.run().await });
    cache
}

/// Keeps an answer until another replica fetches it: on a busy machine Redis may miss the time limit of a
/// call, and nothing is kept.
async fn share(one: &RedisCache, other: &RedisCache, key: &DayKey, answer: &'static str) {
    eventually(format!("a shared answer {answer}"), async || {
        put(one, key, answer).await;
        get(other, key).await.as_deref() == Some(answer.as_bytes())
    })
    .await;
}

/// Waits until two replicas lock each other out.
async fn lock_each_other_out(one: &RedisLocks, two: &RedisLocks, wanted: &[FlightId]) {
    eventually("locks that exclude each other", async || {
        let first = one.take(wanted).await;
        let second = two.take(wanted).await;
        let is_exclusive = first.flights == wanted && second.flights.is_empty();
        one.release(first).await;
        two.release(second).await;
        is_exclusive
    })
    .await;
}

async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    (work.await, began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_redis_slows_few_answers_and_serves_no_stale_one() {
    let server = Server::start().await;
    let mut background = JoinSet::new();
    // The first does no background work until the test starts it.
    let replicas = [Arc::new(cache(server.redis(), PREFIX)), replica(&server, &mut background)];
    share(&replicas[0], &replicas[1], &day(1), "older").await;

    server.hang().await;
    let (mut answers, mut slow) = (0, 0);
    let until = Instant::now() + Duration::from_millis(2_500);
    while Instant::now() < until {
        let (_, took) = timed(get(&*replicas[1], &day(1))).await;
        assert!(took < PROMPT, "{took:?}");
        answers += 1;
        slow += u32::from(took >= SLOW);
        // A reader that comes again and again, and leaves the processor to others in between.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Only the few that find Redis silent wait for it.
    assert!(slow * 10 < answers, "{slow} of {answers} answers were slow");
    let ((), took) = timed(async { replicas[0].invalidate(&[day(1)]) }).await;
    assert!(took < PROMPT, "a commit waits for nobody: {took:?}");

    server.go_on().await;
    // The invalidation has not arrived, and still no answer is stale.
    eventually("answers are shared again", async || {
        for replica in &replicas {
            assert_ne!(get(&**replica, &day(1)).await.as_deref(), Some(&b"older"[..]));
        }
        put(&*replicas[1], &day(2), "answer").await;
        get(&*replicas[1], &day(2)).await.is_some()
    })
    .await;
    assert_ne!(get(&*replicas[1], &day(1)).await.as_deref(), Some(&b"older"[..]));
    let running = replicas[0].clone();
    background.spawn(async move { running.run().await });
    share(&replicas[0], &replicas[1], &day(1), "newer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_from_an_old_snapshot_brings_no_answer_back() {
    let mut server = Server::start().await;
    let mut background = JoinSet::new();
    let replicas = [replica(&server, &mut background), replica(&server, &mut background)];
    share(&replicas[0], &replicas[1], &day(1), "older").await;
    server.command(&["SAVE"]).await;
    eventually("an invalidation that Redis took", async || {
        replicas[0].invalidate_everywhere(&outdated(&day(1))).await
    })
    .await;
    server.kill().await;
    server.start_again().await;
    let names = server.command(&["HGET", &format!("{PREFIX}{}", day(1)), "a"]).await;
    assert_eq!(names, redis::Value::BulkString(b"older".into()), "the server has its past");
    let newcomer = replica(&server, &mut background);
    let until = Instant::now() + Duration::from_millis(2_500);
    while Instant::now() < until {
        for replica in replicas.iter().chain([&newcomer]) {
            assert_eq!(get(&**replica, &day(1)).await, None);
        }
        // Between two looks, so that replicas look at the shared generation at many moments.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for replica in replicas.iter().chain([&newcomer]) {
        share(&replicas[1], replica, &day(1), "newer").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_redis_serves_no_stale_answer() {
    let server = Server::start().await;
    let mut background = JoinSet::new();
    let replicas = [replica(&server, &mut background), replica(&server, &mut background)];
    let slow_began = replicas[0].current(&day(1)).await;
    put(&*replicas[0], &day(1), "older").await;
    server.command(&["FLUSHALL"]).await;
    replicas[1].invalidate(&[day(1)]);
    replicas[0].keep(&day(1), slow_began, &"older".into()).await;
    for replica in &replicas {
        let is_new = async || replica.current(&day(1)).await != slow_began;
        eventually("a new generation", is_new).await;
        assert_eq!(get(&**replica, &day(1)).await, None);
    }
    // The replicas read the shared generation at different moments.
    share(&replicas[0], &replicas[1], &day(1), "newer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_starts_without_redis_and_finds_it_later() {
    let mut server = Server::start().await;
    server.kill().await;
    let redis = server.redis();
    let cache = cache(redis.clone(), PREFIX);
    let before = cache.current(&day(1)).await;
    cache.keep(&day(1), before, &"nowhere".into()).await;
    assert_eq!(cache.fetch(&day(1), before).await, None);
    assert!(redis.is_away() && redis.ping().await.is_err());
    assert_eq!(cache.invalidate_everywhere(&Invalidation::All).await, Err(CacheAway));
    assert_eq!(cache.invalidate_everywhere(&outdated(&day(1))).await, Err(CacheAway));
    // Without Redis an answer is good for a moment only.
    eventually("a new generation", async || cache.current(&day(1)).await != before).await;

    server.start_again().await;
    eventually("Redis is found", async || redis.ping().await.is_ok() && !redis.is_away()).await;
    share(&cache, &cache, &day(1), "answer").await;
    eventually("an invalidation that Redis took", async || {
        cache.invalidate_everywhere(&Invalidation::All).await
    })
    .await;
    assert_eq!(get(&cache, &day(1)).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_connection_to_redis_is_reopened_at_once() {
    let server = Server::start().await;
    let redis = server.patient();
    redis.ping().await.expect("it answers");
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    eventually("it answers again", async || redis.ping().await.is_ok()).await;
    assert_eq!(redis.returns(), 0, "it was never away");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_a_lock_is_granted_at_once() {
    let mut server = Server::start().await;
    let [one, two] = [(); 2].map(|()| RedisLocks::new(server.redis(), "flight_lock:"));
    let wanted = [FlightId(1), FlightId(2)];
    lock_each_other_out(&one, &two, &wanted).await;
    let taken = one.take(&wanted).await;
    server.hang().await;
    for _ in 0..5 {
        let (taken, took) = timed(two.take(&wanted)).await;
        assert_eq!(taken.flights, wanted);
        assert!(took < PROMPT, "{took:?}");
        two.release(taken).await;
    }
    server.go_on().await;
    server.kill().await;
    let (again, took) = timed(two.take(&wanted)).await;
    assert_eq!(again.flights, wanted);
    assert!(took < PROMPT, "{took:?}");
    one.release(taken).await;
    server.start_again().await;
    // Whatever was left half-done, they lock each other out again, at the latest after the lease.
    lock_each_other_out(&one, &two, &wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_redis_has_the_same_bytes_and_etag() {
    let server = Server::start().await;
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    let metrics = Metrics::new();
    let search = || {
        let cache =
            RedisCache::new(server.patient(), PREFIX, Duration::from_secs(60), metrics.clone());
        let store: Arc<dyn Store> = app.store.clone();
        let config = config();
        Search::new(
            store,
            Arc::new(cache),
            app.clock.clone(),
            SearchSettings {
                zone: config.schedule_timezone,
                ttl: config.cache_ttl,
                entries_max: config.max_cache_entries,
                closes_before: None,
            },
            metrics.clone(),
            Tracing::default(),
        )
    };
    let date = "2025-01-20".parse().expect("a date");
    let day =
        |source: &str, destination: &str| DayKey { route: route_key(source, destination), date };
    let loaded = search().answer(day("Delhi", "Mumbai")).await.expect("an answer");
    let shared = search().answer(day(" DELHI ", "mumbai")).await.expect("an answer");
    assert_eq!((&loaded.body, &loaded.etag), (&shared.body, &shared.etag));
    assert_eq!(loaded.flights, shared.flights);
    assert_eq!(shared.flights[0].id, FlightId(flight));
    let counted = metrics.render();
    for line in [
        "cache_requests_total{layer=\"process\",result=\"miss\"} 2",
        "cache_requests_total{layer=\"redis\",result=\"miss\"} 1",
        "cache_requests_total{layer=\"redis\",result=\"hit\"} 1",
    ] {
        assert!(counted.contains(line), "{line} in {counted}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_hangs_bookings_succeed_and_searches_are_correct() {
    let server = Server::start().await;
    let app = TestApp::with_parts(
        |_| {},
        |parts| {
            parts.cache = Arc::new(cache(connect(&[&server.url()], false), PREFIX));
            parts.locks = Arc::new(RedisLocks::new(server.redis(), "flight_lock:"));
        },
    )
    .await;
    let flight = app.add_flight(100).await;
    let path = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20";
    for round in 1..=30 {
        match round {
            8 => server.hang().await,
            22 => server.go_on().await,
            _ => {}
        }
        let held = app.post("/api/v1/bookings", &booking(flight, 1)).await;
        held.booking_id();
        let found = app.get(path).await;
        let flight = &found.json["flights"][0];
        let (held, available) = (&flight["held_seats"], &flight["available_seats"]);
        let sold = 100 - available.as_i64().expect("a count") + held.as_i64().expect("a count");
        assert!(sold >= round, "{sold} seats are gone, {round} were sold: {found:?}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_sell_one_flight_concurrently() {
    let server = Server::start().await;
    let replace = |parts: &mut Ports| {
        parts.cache = Arc::new(cache(server.redis(), PREFIX));
        parts.locks = Arc::new(RedisLocks::new(server.redis(), "flight_lock:"));
        parts.metrics = Metrics::new();
    };
    let mut shared = None;
    let app = TestApp::with_parts(
        |_| {},
        |parts| {
            replace(parts);
            shared = Some(parts.clone());
        },
    )
    .await;
    let mut parts = shared.expect("the first replica's parts");
    replace(&mut parts);
    let second = App::assemble(config(), parts);
    let routers = [app.app.router(), second.router()];
    let flight = app.add_flight(600).await;
    let sell = |router: axum::Router| async move {
        let sales = (0..300).map(|_| {
            let body = booking(flight, 1).to_string();
            let request = Request::post("/api/v1/bookings")
                .header("host", "localhost")
                .header("content-type", "application/json")
                .body(Body::from(body))
                .expect("a request");
            router.clone().oneshot(request)
        });
        // Several rounds of callers, so that each replica asks for the flight again and again.
        let answers: Vec<_> = stream::iter(sales).buffer_unordered(20).collect().await;
        assert!(answers.iter().all(|answer| answer.as_ref().expect("infallible").status() == 201));
        Instant::now()
    };
    let began = Instant::now();
    let ended = futures::future::join_all(routers.map(sell)).await;
    let (first, last) = (ended.iter().min().expect("two"), ended.iter().max().expect("two"));
    let apart = *last - *first;
    assert!(apart * 2 < *last - began, "one replica waited for the other: {apart:?}");
    assert_eq!(app.flight(flight).await["held_seats"].as_i64().map(|held| held <= 600), Some(true));
    second.stop().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalidation_that_redis_cannot_take_waits_alone() {
    let mut server = Server::start().await;
    server.kill().await;
    let replace = |parts: &mut Ports| parts.cache = Arc::new(cache(server.redis(), PREFIX));
    let app = TestApp::with_parts(|_| {}, replace).await;
    // More than the relay keeps one by one.
    let mut ids = Vec::new();
    for _ in 0..600 {
        ids.push(app.add_flight(9).await);
    }
    let sold = app.book(ids[0], 1).await.booking_id();
    let is_paid = async || app.booking(sold).await["status"] == "completed";
    eventually("payments go through without Redis", is_paid).await;
    let only_invalidations_wait = async || {
        let waiting = app.store.invalidations(10_000).await.expect("ends of answers");
        app.all_is_sent().await && !waiting.is_empty() && waiting.len() < 600
    };
    eventually("only invalidations wait", only_invalidations_wait).await;
    server.start_again().await;
    app.finish().await;
}
