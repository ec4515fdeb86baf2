//! Rate limits: governor's token buckets by address, by network and by user.
//!
//! The narrowest bucket is checked first, because governor gives no refund: a request that a wider bucket
//! refuses has already used a token of the narrower one. A bucket that refuses a request uses no token.
//!
//! Replicas with Redis share the limits ([`RateLimits::share`]); no request waits for that. Without Redis
//! each replica counts alone.

use super::client_ip;
use super::fixed_table::{FixedTable, Taken};
use super::step::Step;
use crate::config::{Config, Network, RateLimit as Limit};
use crate::domain::UserId;
use crate::http::wire::UserLimit;
use crate::http::wire::problem::{Code, Problem};
use crate::limits::{Limit as Rate, SharedLimits, Spent};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, QuantaClock, Reference};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// The policy and what is left of it (draft-ietf-httpapi-ratelimit-headers-10).
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// Maximum clients counted at a time, and maximum users: 2.5 MB each.
const CLIENTS_MAX: usize = 131_072;

/// Maximum /48 networks counted at a time: 0.3 MB.
const NETWORKS_MAX: usize = 16_384;

/// Limit of a /48 of IPv6, in limits of one client; the network has room for 65,536 of them.
const NETWORK_FACTOR: u32 = 10;

/// How often replicas exchange the numbers of admitted requests.
const SHARE_EVERY: Duration = Duration::from_millis(250);

/// The part of its burst that a key must spend at one replica before it is shared.
const SHARED_PART: u32 = 8;

/// The limits of a port.
pub(super) struct RateLimits {
    clients: Bucket,
    networks: Bucket,
    users: Bucket,
    /// The `RateLimit` header of an admitted request, by requests left. Made once, because each response has it.
    left: Box<[HeaderValue]>,
    trusted_proxies: Vec<Network>,
    /// `None` if the limits are not shared with other processes.
    shared: Option<Arc<dyn SharedLimits>>,
}

impl RateLimits {
    /// `RATE_LIMIT_RPS` and `RATE_LIMIT_BURST`; `None` without a limit.
    pub(super) fn from_config(
        config: &Config,
        shared: Option<Arc<dyn SharedLimits>>,
    ) -> Option<Arc<Self>> {
        let limit = config.rate_limit?;
        let wide = Limit {
            per_second: limit.per_second.saturating_mul(NETWORK_FACTOR),
            burst: limit.burst.saturating_mul(NETWORK_FACTOR),
        };
        let users_max = if config.auth.is_some() { CLIENTS_MAX } else { 1 };
        let bucket = |name, limit, keys_max| {
            Bucket::new(name, limit, keys_max, QuantaClock::default(), shared.is_some())
        };
        let clients = bucket("client", limit, CLIENTS_MAX);
        Some(Arc::new(Self {
            left: (0..=limit.burst).map(|left| clients.left(left)).collect(),
            clients,
            networks: bucket("network", wide, NETWORKS_MAX),
            users: bucket("user", limit, users_max),
            trusted_proxies: config.trusted_proxies.clone(),
            shared,
        }))
    }

    /// Exchanges the numbers of admitted requests with the other replicas every [`SHARE_EVERY`]. Never returns if the
    /// limits are shared; returns at once otherwise.
    ///
    /// With N replicas a client may get `burst` requests from each at once, and more than the rate from one
    /// replica until the next exchange: in t seconds at most N × (burst + 2 × `SHARE_EVERY` × rate) +
    /// t × rate. The excess is paid back: all of it delays the moment when the budget is whole.
    pub(super) async fn share(&self) {
        let Some(shared) = &self.shared else { return };
        loop {
            tokio::time::sleep(SHARE_EVERY).await;
            for bucket in [&self.clients, &self.networks, &self.users] {
                bucket.exchange(&**shared).await;
            }
        }
    }

    /// Counts a request. Returns how many more its client may send at once.
    fn count(&self, client: IpAddr) -> Result<u32, Problem> {
        let left = self.clients.count(client_ip::key(client))?;
        if let Some(network) = client_ip::network_key(client) {
            self.networks.count(network)?;
        }
        Ok(left)
    }
}

impl UserLimit for RateLimits {
    fn count(&self, user: UserId) -> Result<(), Problem> {
        self.users.count(user.0 as u64).map(|_| ())
    }
}

/// Refuses requests beyond the limit, and adds to each response how many requests are left.
#[derive(Clone)]
pub(super) struct RateLimit(pub(super) Arc<RateLimits>);

impl Step for RateLimit {
    /// `RateLimit-Policy` and `RateLimit`.
    type Kept = (HeaderValue, HeaderValue);

    fn enter(&self, request: &mut Request) -> ControlFlow<Response, Self::Kept> {
        let limits = &*self.0;
        match limits.count(client_ip::address(request, &limits.trusted_proxies)) {
            Ok(left) => {
                let left = limits.left[left as usize].clone();
                ControlFlow::Continue((limits.clients.policy.clone(), left))
            }
            Err(problem) => ControlFlow::Break(problem.into_response()),
        }
    }

    /// A refusal by the user's limit has its own headers.
    fn leave((policy, left): Self::Kept, response: &mut Response) {
        response.headers_mut().entry(POLICY).or_insert(policy);
        response.headers_mut().entry(LEFT).or_insert(left);
    }
}

impl Taken {
    /// What a key has spent, with the time from now until its budget is whole.
    fn since(self, now: Nanos) -> Spent {
        let whole_in = self.whole_at.as_u64().saturating_sub(now.as_u64());
        let Self { key, requests, .. } = self;
        Spent { key, requests, whole_in: Duration::from_nanos(whole_in) }
    }
}

/// A limit, and what each key has used of it.
struct Bucket<C: Clock = QuantaClock> {
    name: &'static str,
    limit: Limit,
    policy: HeaderValue,
    limiter: RateLimiter<u64, FixedTable, C, StateInformationMiddleware>,
    /// The limiter's state.
    table: FixedTable,
    /// The moment from which the limiter counts nanoseconds.
    start: C::Instant,
}

impl<C: Clock> Bucket<C> {
    fn new(name: &'static str, limit: Limit, keys_max: usize, clock: C, is_shared: bool) -> Self {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(limit.per_second));
        let quota = quota.allow_burst(at_least_one(limit.burst));
        let window = limit.burst.div_ceil(limit.per_second);
        let policy = header(&format!("\"{name}\";q={};w={window}", limit.burst));
        let from = limit.burst.div_ceil(SHARED_PART).try_into().unwrap_or(u16::MAX);
        let table = FixedTable::new(keys_max, is_shared.then_some(from));
        let start = clock.now();
        let limiter = RateLimiter::new(quota, table.clone(), clock);
        Self { name, limit, policy, limiter, table, start }
    }

    /// Sends what this replica has admitted since the last exchange, and delays each budget by what the others have
    /// admitted. Without an answer this replica counts alone.
    async fn exchange(&self, shared: &dyn SharedLimits) {
        let now = self.now();
        let spent: Vec<_> = self.table.take().iter().map(|taken| taken.since(now)).collect();
        if spent.is_empty() {
            return;
        }
        let regain = Duration::from_secs(1) / self.limit.per_second;
        let rate = Rate { name: self.name, regain, burst: self.limit.burst };
        let Some(waits) = shared.exchange(&rate, &spent).await else { return };
        let now = self.now();
        for (spent, whole_in) in spent.iter().zip(waits) {
            self.table.delay(spent.key, now + whole_in);
        }
    }

    /// The time as the limiter counts it.
    fn now(&self) -> Nanos {
        self.limiter.clock().now().duration_since(self.start)
    }

    /// Counts a request of a key. Returns how many more it may send at once.
    fn count(&self, key: u64) -> Result<u32, Problem> {
        match self.limiter.check_key(&key) {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            Err(refused) => Err(self.refusal(refused.wait_time_from(self.limiter.clock().now()))),
        }
    }

    fn refusal(&self, wait: Duration) -> Problem {
        let detail = format!(
            "more than {} requests a second (RATE_LIMIT_RPS) beyond {} at once (RATE_LIMIT_BURST) by \
             one {}",
            self.limit.per_second, self.limit.burst, self.name
        );
        // Whole seconds, rounded up: an earlier request would be refused again.
        let seconds = (wait.as_millis().div_ceil(1_000) as u64).max(1);
        Problem::new(Code::RateLimited, detail)
            .refusing("it asks too often")
            .bearing(RETRY_AFTER, seconds.into())
            .bearing(POLICY, self.policy.clone())
            .bearing(LEFT, self.left(0))
    }

    /// The `RateLimit` header: requests left, and seconds until the budget is whole again.
    fn left(&self, left: u32) -> HeaderValue {
        let whole_in = (self.limit.burst - left).div_ceil(self.limit.per_second);
        header(&format!("\"{}\";r={left};t={whole_in}", self.name))
    }
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("letters, digits and quotes are a header's text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

    fn bucket(per_second: u32, burst: u32) -> (Bucket<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let limit = Limit { per_second, burst };
        (Bucket::new("client", limit, CLIENTS_MAX, clock.clone(), true), clock)
    }

    fn limits(per_second: u32, burst: u32) -> Arc<RateLimits> {
        let (per_second, burst) = (per_second.to_string(), burst.to_string());
        let variables = [("RATE_LIMIT_RPS", &*per_second), ("RATE_LIMIT_BURST", &*burst)];
        let config = Config::of(&variables).expect("sound settings");
        RateLimits::from_config(&config, None).expect("a limit")
    }

    fn headers_of(refused: Problem) -> (String, String, String) {
        let response = refused.into_response();
        let text = |name: HeaderName| response.headers()[name].to_str().expect("text").to_owned();
        (text(RETRY_AFTER), text(POLICY), text(LEFT))
    }

    #[test]
    fn a_burst_is_admitted_at_once_and_later_requests_at_the_rate() {
        let (bucket, clock) = bucket(10, 20);
        let left: Vec<_> = (0..20).map(|_| bucket.count(1).expect("admitted")).collect();
        assert_eq!(left, (0..20).rev().collect::<Vec<_>>());
        assert!(bucket.count(1).is_err());
        clock.advance(Duration::from_millis(250));
        assert_eq!((0..5).filter(|_| bucket.count(1).is_ok()).count(), 2);
        clock.advance(Duration::from_secs(60));
        assert_eq!(bucket.count(1).expect("admitted"), 19);
    }

    #[test]
    fn a_refusal_costs_nothing() {
        let (bucket, clock) = bucket(1, 1);
        assert!(bucket.count(1).is_ok());
        clock.advance(Duration::from_millis(999));
        assert!((0..1_000).all(|_| bucket.count(1).is_err()));
        clock.advance(Duration::from_millis(1));
        assert!(bucket.count(1).is_ok());
    }

    #[test]
    fn a_refusal_names_the_limit_and_the_time_to_retry() {
        let (bucket, _) = bucket(2, 5);
        let refused = (0..6).find_map(|_| bucket.count(1).err()).expect("the sixth is refused");
        let (retry_after, policy, left) = headers_of(refused);
        assert_eq!((retry_after.as_str(), policy.as_str()), ("1", "\"client\";q=5;w=3"));
        assert_eq!(left, "\"client\";r=0;t=3");
        assert_eq!(bucket.left(5), header("\"client\";r=5;t=0"));
    }

    /// Replicas in one process, whose sum is exact and immediate.
    #[derive(Default)]
    struct Sum(parking_lot::Mutex<Duration>);

    #[async_trait::async_trait]
    impl SharedLimits for Sum {
        async fn exchange(&self, rate: &Rate, spent: &[Spent]) -> Option<Vec<Duration>> {
            let mut whole_in = self.0.lock();
            let [Spent { key: 1, requests, whole_in: own }] = spent else { return None };
            *whole_in = (*whole_in + rate.regain * u32::from(*requests)).max(*own);
            Some(vec![*whole_in])
        }
    }

    #[tokio::test]
    async fn requests_at_other_replicas_count_and_an_excess_is_paid_back() {
        let ((one, clock), (other, later)) = (bucket(10, 20), bucket(10, 20));
        let sum = Sum::default();
        let admitted = |bucket: &Bucket<_>| (0..30).filter(|_| bucket.count(1).is_ok()).count();
        assert_eq!((admitted(&one), admitted(&other)), (20, 20));
        for bucket in [&one, &other] {
            bucket.exchange(&sum).await;
        }
        // 40 requests take four seconds to regain; a burst may be ahead of them.
        for clock in [&clock, &later] {
            clock.advance(Duration::from_secs(2));
        }
        assert_eq!((admitted(&one), admitted(&other)), (20, 0));
    }

    #[tokio::test]
    async fn a_replica_without_answers_from_redis_counts_alone() {
        struct Away;
        #[async_trait::async_trait]
        impl SharedLimits for Away {
            async fn exchange(&self, _: &Rate, _: &[Spent]) -> Option<Vec<Duration>> {
                None
            }
        }
        let (bucket, clock) = bucket(10, 20);
        assert_eq!((0..30).filter(|_| bucket.count(1).is_ok()).count(), 20);
        bucket.exchange(&Away).await;
        clock.advance(Duration::from_secs(1));
        assert_eq!((0..30).filter(|_| bucket.count(1).is_ok()).count(), 10);
    }

    #[test]
    fn addresses_of_one_ipv6_network_of_64_bits_are_one_client() {
        let limits = limits(1, 1);
        let host =
            |network: u128, host: u128| IpAddr::V6(Ipv6Addr::from_bits(network << 64 | host));
        let network = 0x2001_0db8_0000_0001;
        assert!(limits.count(host(network, 1)).is_ok());
        assert!(limits.count(host(network, 2)).is_err());
        assert!(limits.count(host(network + 1, 1)).is_ok());
        assert!(limits.count(ADDRESS).is_ok());
        let mapped = IpAddr::V6(Ipv4Addr::new(203, 0, 113, 9).to_ipv6_mapped());
        assert!(limits.count(mapped).is_err());
        // As empty slots of the table are.
        assert!(limits.count(Ipv6Addr::UNSPECIFIED.into()).is_ok());
        assert!(limits.count(Ipv6Addr::UNSPECIFIED.into()).is_err());
    }

    #[test]
    fn an_ipv6_network_of_48_bits_has_ten_times_the_limit_of_one_client() {
        let limits = limits(1, 2);
        let client = |site: u128, subnet: u128| {
            IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8_0000 + site) << 80 | subnet << 64))
        };
        let admitted = (0..100).filter(|subnet| limits.count(client(1, *subnet)).is_ok()).count();
        assert_eq!(admitted, 20);
        let (_, policy, _) = headers_of(limits.count(client(1, 200)).expect_err("refused"));
        assert_eq!(policy, "\"network\";q=20;w=2");
        assert!(limits.count(client(2, 1)).is_ok());
    }

    #[test]
    fn each_user_has_a_limit_of_its_own() {
        let limits = limits(1, 1);
        let count = |user| UserLimit::count(&*limits, UserId(user));
        assert!(count(7).is_ok() && count(8).is_ok());
        let (_, policy, left) = headers_of(count(8).expect_err("refused"));
        assert_eq!((policy.as_str(), left.as_str()), ("\"user\";q=1;w=1", "\"user\";r=0;t=1"));
    }

    #[test]
    fn a_million_clients_use_the_memory_of_one_and_each_has_its_own_budget() {
        let table = FixedTable::new(CLIENTS_MAX, Some(1));
        assert!(table.bytes() < 2_500_000);
        let (bucket, _) = bucket(10, 20);
        assert!((0..1_000_000).all(|key| bucket.count(key).is_ok()));
    }
}
