//! How often a client may ask: governor's token buckets by address, by network and by user.
//!
//! The narrowest bucket is asked first, because governor gives no refund: a request that a wider bucket
//! refuses has used a part of the narrower one. A refusal itself uses nothing.

use super::client_ip;
use super::fixed_table::FixedTable;
use super::step::Step;
use crate::config::{Config, Network, RateLimit as Limit};
use crate::domain::UserId;
use crate::http::wire::UserLimit;
use crate::http::wire::problem::{Code, Problem};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, QuantaClock};
use governor::middleware::StateInformationMiddleware;
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

/// Clients whose requests are counted, in 2.3 MB, and as many users.
const CLIENTS_MAX: usize = 131_072;

/// /48 networks whose requests are counted, in 0.3 MB.
const NETWORKS_MAX: usize = 16_384;

/// How much more a /48 of IPv6 may ask than one client: it has 65,536 of them.
const NETWORK_FACTOR: u32 = 10;

/// The limits of a port.
pub(super) struct RateLimits {
    clients: Bucket,
    networks: Bucket,
    users: Bucket,
    /// `RateLimit` of an admitted request, by what is left: made once, since each answer has it.
    left: Box<[HeaderValue]>,
    trusted_proxies: Vec<Network>,
}

impl RateLimits {
    /// `RATE_LIMIT_RPS` and `RATE_LIMIT_BURST`; `None` without a limit.
    pub(super) fn from_config(config: &Config) -> Option<Arc<Self>> {
        let limit = config.rate_limit?;
        let wide = Limit {
            per_second: limit.per_second.saturating_mul(NETWORK_FACTOR),
            burst: limit.burst.saturating_mul(NETWORK_FACTOR),
        };
        let users_max = if config.auth.is_some() { CLIENTS_MAX } else { 1 };
        let clients = Bucket::new("client", limit, CLIENTS_MAX, QuantaClock::default());
        Some(Arc::new(Self {
            left: (0..=limit.burst).map(|left| clients.left(left)).collect(),
            clients,
            networks: Bucket::new("network", wide, NETWORKS_MAX, QuantaClock::default()),
            users: Bucket::new("user", limit, users_max, QuantaClock::default()),
            trusted_proxies: config.trusted_proxies.clone(),
        }))
    }

    /// Counts a request; what its client may still ask at once.
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

/// Refuses requests beyond the limit, and says in each answer what is left.
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

/// A limit, and what each key has used of it.
struct Bucket<C: Clock = QuantaClock> {
    name: &'static str,
    limit: Limit,
    policy: HeaderValue,
    limiter: RateLimiter<u64, FixedTable, C, StateInformationMiddleware>,
}

impl<C: Clock> Bucket<C> {
    fn new(name: &'static str, limit: Limit, keys_max: usize, clock: C) -> Self {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(limit.per_second));
        let quota = quota.allow_burst(at_least_one(limit.burst));
        let window = limit.burst.div_ceil(limit.per_second);
        let policy = header(&format!("\"{name}\";q={};w={window}", limit.burst));
        let limiter = RateLimiter::new(quota, FixedTable::new(keys_max), clock);
        Self { name, limit, policy, limiter }
    }

    /// Counts a request of a key; what it may still ask at once.
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

    /// `RateLimit`: how many requests are left, and in how many seconds the budget is whole again.
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
        (Bucket::new("client", limit, CLIENTS_MAX, clock.clone()), clock)
    }

    fn limits(per_second: u32, burst: u32) -> Arc<RateLimits> {
        let (per_second, burst) = (per_second.to_string(), burst.to_string());
        let variables = [("RATE_LIMIT_RPS", &*per_second), ("RATE_LIMIT_BURST", &*burst)];
        let config = Config::of(&variables).expect("sound settings");
        RateLimits::from_config(&config).expect("a limit")
    }

    fn headers_of(refused: Problem) -> (String, String, String) {
        let response = refused.into_response();
        let text = |name: HeaderName| response.headers()[name].to_str().expect("text").to_owned();
        (text(RETRY_AFTER), text(POLICY), text(LEFT))
    }

    #[test]
    fn a_burst_is_admitted_and_then_the_rate() {
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
    fn a_refusal_says_which_limit_it_was_and_when_to_ask_again() {
        let (bucket, _) = bucket(2, 5);
        let refused = (0..6).find_map(|_| bucket.count(1).err()).expect("the sixth is refused");
        let (retry_after, policy, left) = headers_of(refused);
        assert_eq!((retry_after.as_str(), policy.as_str()), ("1", "\"client\";q=5;w=3"));
        assert_eq!(left, "\"client\";r=0;t=3");
        assert_eq!(bucket.left(5), header("\"client\";r=5;t=0"));
    }

    #[test]
    fn addresses_of_one_ipv6_64_are_one_client() {
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
    fn a_48_of_ipv6_may_ask_ten_times_what_one_client_may() {
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
    fn a_million_clients_take_no_more_room_than_one_and_none_is_refused_for_another() {
        let table = FixedTable::new(CLIENTS_MAX);
        assert!(table.bytes() < 2_500_000);
        let (bucket, _) = bucket(10, 20);
        assert!((0..1_000_000).all(|key| bucket.count(key).is_ok()));
    }
}
