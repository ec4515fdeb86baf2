//! Rate limits that two replicas share through Redis, and count alone while Redis is away.

use crate::support::redis::{Server, cluster, prefix, single};
use crate::support::{TestApp, config, eventually, name_host};
use airline_booking::app::{App, Ports};
use airline_booking::config::RateLimit;
use airline_booking::limits::redis::RedisLimits;
use airline_booking::limits::{Limit, SharedLimits, Spent};
use airline_booking::redis::Redis;
use airline_booking::telemetry::Metrics;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use futures::future::LocalBoxFuture;
use http::{Request, StatusCode};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower::ServiceExt;

const CLIENT: [u8; 4] = [203, 0, 113, 9];

/// A burst that takes an hour to regain: no machine is slow enough for that.
const HOUR: usize = 3_600;

/// A replica that has admitted so many requests of such a burst tells the other.
const EXCHANGED: usize = HOUR / 8;

/// Two replicas of one service, each with a connection to Redis.
struct Replicas {
    /// Owns the store.
    app: TestApp,
    apps: [App; 2],
    routers: [Router; 2],
}

impl Replicas {
    async fn start(per_second: u32, burst: u32, connect: impl Fn() -> Redis) -> Self {
        let mut parts = None;
        let app = TestApp::with_parts(|_| {}, |ports| parts = Some(ports.clone())).await;
        let ports = parts.expect("the ports of the service");
        let prefix = prefix("limits");
        let replica = || {
            let mut config = config();
            config.rate_limit = Some(RateLimit { per_second, burst });
            let ports = Ports { metrics: Metrics::new(), ..ports.clone() };
            let limits = RedisLimits::new(connect(), &prefix);
            App::assemble(config, ports).with_limits(Arc::new(limits))
        };
        let apps = [replica(), replica()];
        let routers = [apps[0].router(), apps[1].router()];
        Self { app, apps, routers }
    }

    /// Whether a replica admits a request of a client.
    async fn admits(&self, replica: usize, client: [u8; 4]) -> bool {
        let peer = ConnectInfo(SocketAddr::from((client, 4711)));
        let mut request =
            Request::get("/nowhere").extension(peer).body(Body::empty()).expect("a request");
        name_host(&mut request);
        let answer = self.routers[replica].clone().oneshot(request).await.expect("infallible");
        match answer.status() {
            StatusCode::NOT_FOUND => true,
            StatusCode::TOO_MANY_REQUESTS => false,
            status => panic!("{status}"),
        }
    }

    /// How many of so many requests a replica admits.
    async fn admitted(&self, replica: usize, requests: usize) -> usize {
        let mut admitted = 0;
        for _ in 0..requests {
            admitted += usize::from(self.admits(replica, CLIENT).await);
        }
        admitted
    }

    /// Asks the second replica until it refuses, and fails if it has admitted a whole burst of its own.
    async fn second_refuses_early(&self) {
        let mut sum = 0;
        eventually("the second replica refuses", async || {
            let admitted = self.admitted(1, EXCHANGED).await;
            sum += admitted;
            tokio::time::sleep(Duration::from_millis(100)).await;
            if admitted == 0 { Ok(()) } else { Err(admitted) }
        })
        .await;
        assert!(sum < HOUR * 3 / 4, "{sum}");
    }

    fn stop(self) -> LocalBoxFuture<'static, ()> {
        Box::pin(async {
            for app in self.apps {
                app.stop().await;
            }
            self.app.finish().await;
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_together_admit_about_the_limit() {
    const RATE: f64 = 20.0;
    const BURST: f64 = 10.0;
    let replicas = Replicas::start(20, 10, single).await;
    let began = Instant::now();
    let mut admitted = 0.0;
    while began.elapsed() < Duration::from_secs(4) {
        for replica in [0, 1] {
            admitted += f64::from(u8::from(replicas.admits(replica, CLIENT).await));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    // Alone, each would admit its burst and the rate. Together they may be late to hear of each other by
    // twice a quarter of a second, and more on a busy machine.
    let alone = 2.0 * (BURST + RATE * seconds);
    let together = BURST + RATE * seconds;
    assert!(admitted < 0.5 * (alone + together), "{admitted} in {seconds} s");
    assert!(admitted > 0.6 * together, "{admitted} in {seconds} s");
    replicas.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_at_one_replica_is_spent_at_the_other_too() {
    let replicas = Replicas::start(1, 3_600, single).await;
    assert_eq!(replicas.admitted(0, HOUR).await, HOUR);
    replicas.second_refuses_early().await;
    replicas.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_each_replica_counts_alone_and_no_request_waits() {
    let mut server = Server::start().await;
    let replicas = Replicas::start(1, 1_000, || server.redis()).await;
    server.hang().await;
    let began = Instant::now();
    for replica in [0, 1] {
        let admitted = replicas.admitted(replica, 2_000).await;
        assert!((1_000..1_500).contains(&admitted), "{admitted}");
    }
    server.kill().await;
    assert_eq!(replicas.admitted(0, 1).await + replicas.admitted(1, 1).await, 0);
    // 4,000 requests that each waited for the 50 ms of a call would take minutes.
    assert!(began.elapsed() < Duration::from_secs(100), "{:?}", began.elapsed());
    replicas.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_of_redis_replicas_share_again() {
    let mut server = Server::start().await;
    let redis = server.redis();
    let replicas = Replicas::start(1, 3_600, || redis.clone()).await;
    server.kill().await;
    assert_eq!(replicas.admitted(0, HOUR / 2).await, HOUR / 2);
    // Long enough for an exchange, which fails.
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.start_again().await;
    eventually("Redis is back", async || redis.ping().await).await;
    // What was spent during the outage is told with what is spent after it.
    assert_eq!(replicas.admitted(0, HOUR / 2).await, HOUR / 2);
    replicas.second_refuses_early().await;
    replicas.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_that_ask_once_leave_no_keys_and_hide_no_busy_client() {
    let server = Server::start().await;
    let replicas = Replicas::start(1, 3_600, || server.redis()).await;
    let many = async {
        for number in 0..20_000_u32 {
            let [_, b, c, d] = number.to_be_bytes();
            assert!(replicas.admits(0, [198, b, c, d]).await);
        }
    };
    let (admitted, ()) = tokio::join!(replicas.admitted(0, HOUR), many);
    assert_eq!(admitted, HOUR);
    replicas.second_refuses_early().await;
    let redis::Value::Int(keys) = server.command(&["DBSIZE"]).await else { panic!("a number") };
    // The busy client, and what connecting tries.
    assert!(keys <= 2, "{keys} keys");
    replicas.stop().await;
}

/// What Redis adds up, on each kind of server.
async fn spending_adds_up(redis: Redis) {
    let limits = RedisLimits::new(redis, &prefix("sum"));
    let limit = Limit { name: "client", regain: Duration::from_secs(10), burst: 100 };
    let spent =
        |key, requests, seconds| Spent { key, requests, whole_in: Duration::from_secs(seconds) };
    let seconds = async |spent: &[Spent]| {
        let waits = limits.exchange(&limit, spent).await.expect("it answers");
        waits.iter().map(|wait| wait.as_secs_f64().round()).collect::<Vec<_>>()
    };
    let near = |found: &[f64], expected: &[f64]| {
        // A key loses a second each second.
        let is_near =
            |(found, expected): (&f64, &f64)| (expected - 8.0..=*expected).contains(found);
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(is_near), "{found:?} for {expected:?}");
    };
    near(&seconds(&[spent(1, 3, 30), spent(2, 1, 10)]).await, &[30.0, 10.0]);
    near(&seconds(&[spent(1, 2, 20)]).await, &[50.0]);
    // This replica knows of more than the sum: it was Redis that forgot.
    near(&seconds(&[spent(1, 1, 500)]).await, &[500.0]);
    // A budget is spent sixteen bursts ahead at most.
    near(&seconds(&[spent(1, 60_000, 10)]).await, &[16_000.0]);
    let many: Vec<_> = (10..1_010).map(|key| spent(key, 1, 10)).collect();
    assert_eq!(seconds(&many).await.len(), 1_000);
}

#[tokio::test]
async fn what_replicas_spend_adds_up_in_a_single_redis() {
    spending_adds_up(single()).await;
}

#[tokio::test]
async fn what_replicas_spend_adds_up_in_a_cluster() {
    spending_adds_up(cluster()).await;
}
