//! How often one client may ask: a token bucket for each address, in a table of a fixed size.
//!
//! Counts by the generic cell rate algorithm (ITU-T I.371): of each client one number is kept, the
//! moment when its bucket will be full again. Who is not in the table has a full one, so a client
//! that is forgotten gets its burst anew, and none is ever refused for another's requests.

use crate::config::RateLimit;
use http::{HeaderName, HeaderValue};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The client's policy and what is left of it (draft-ietf-httpapi-ratelimit-headers-10).
pub(crate) const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub(crate) const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// Buckets in the table, and clients in one of them: 131,072 clients in 2.3 MB, for ever.
const BUCKETS: usize = 16_384;
const CLIENTS_IN_BUCKET: usize = 8;

/// Nanoseconds since the limiter's start, which last for 584 years.
type Nanos = u64;

/// The limit, and what each client has used of it.
pub(crate) struct Limiter {
    started: Instant,
    /// Time in which one request is earned.
    interval: Nanos,
    /// Time in which an empty bucket fills.
    span: Nanos,
    buckets: Box<[Mutex<[Client; CLIENTS_IN_BUCKET]>]>,
    /// Seeded at random, so that no one can choose whom to share a bucket with.
    hasher: RandomState,
    policy: HeaderValue,
    /// What is left, by number: made once, since each answer tells it.
    left: Box<[HeaderValue]>,
    limit: RateLimit,
}

/// One client: whose bucket is full at `full_at`.
#[derive(Clone, Copy, Default)]
struct Client {
    key: u64,
    full_at: Nanos,
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may; so many more at once.
    Admitted { left: u32 },
    /// It may not, until then.
    Refused { retry_after: Duration },
}

impl Limiter {
    /// A limiter of clients that have asked for nothing yet.
    pub(crate) fn new(limit: RateLimit) -> Self {
        let interval = 1_000_000_000 / u64::from(limit.per_second);
        let window = limit.burst.div_ceil(limit.per_second);
        let left = (0..=limit.burst).map(|left| {
            let full_in = (limit.burst - left).div_ceil(limit.per_second);
            header(&format!("\"client\";r={left};t={full_in}"))
        });
        Self {
            started: Instant::now(),
            interval,
            span: interval * u64::from(limit.burst),
            buckets: (0..BUCKETS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            policy: header(&format!("\"client\";q={};w={window}", limit.burst)),
            left: left.collect(),
            limit,
        }
    }

    /// Counts one request of a client, if it may make one.
    pub(crate) fn ask(&self, address: IpAddr, at: Instant) -> Verdict {
        let now = at.saturating_duration_since(self.started).as_nanos() as Nanos;
        let key = key(address);
        let hash = self.hasher.hash_one(key) as usize;
        let mut bucket = self.buckets[hash % BUCKETS].lock().expect("no holder of a bucket panics");
        let place = place_of(&bucket, key);
        let client = &mut bucket[place];
        let known = if client.key == key { client.full_at } else { 0 };
        let full_at = known.max(now) + self.interval;
        let used = full_at - now;
        if used > self.span {
            return Verdict::Refused { retry_after: Duration::from_nanos(used - self.span) };
        }
        *client = Client { key, full_at };
        Verdict::Admitted { left: ((self.span - used) / self.interval) as u32 }
    }

    /// The headers of an answer to a client that has so many requests left.
    pub(crate) fn headers(&self, left: u32) -> [(HeaderName, HeaderValue); 2] {
        [(POLICY, self.policy.clone()), (LEFT, self.left[left as usize].clone())]
    }

    /// The limit itself.
    pub(crate) fn limit(&self) -> RateLimit {
        self.limit
    }
}

/// Where the client is, or whom it replaces: the one whose bucket is full first, who loses least.
fn place_of(clients: &[Client; CLIENTS_IN_BUCKET], key: u64) -> usize {
    let known = clients.iter().position(|client| client.key == key);
    known.unwrap_or_else(|| {
        let fullest = (0..CLIENTS_IN_BUCKET).min_by_key(|place| clients[*place].full_at);
        fullest.expect("a bucket has places")
    })
}

/// A client in 64 bits: the network of an IPv6 address, since who has one address of a /64 has them
/// all; an IPv4 address below `0000:ffff::/32`, where there are no networks.
pub(crate) fn key(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => 0xffff_0000_0000 | u64::from(v4.to_bits()),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("letters, digits and quotes are a header's text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

    fn limiter(per_second: u32, burst: u32) -> Limiter {
        Limiter::new(RateLimit { per_second, burst })
    }

    fn admitted(limiter: &Limiter, address: IpAddr, at: Instant) -> bool {
        matches!(limiter.ask(address, at), Verdict::Admitted { .. })
    }

    #[test]
    fn a_burst_is_admitted_then_what_is_earned() {
        let limiter = limiter(10, 20);
        let start = limiter.started;
        let left: Vec<_> = (0..20).map(|_| limiter.ask(ADDRESS, start)).collect();
        assert_eq!(left[0], Verdict::Admitted { left: 19 });
        assert_eq!(left[19], Verdict::Admitted { left: 0 });
        let retry_after = Duration::from_millis(100);
        assert_eq!(limiter.ask(ADDRESS, start), Verdict::Refused { retry_after });

        let later = start + Duration::from_millis(250);
        let admissions = (0..5).filter(|_| admitted(&limiter, ADDRESS, later)).count();
        assert_eq!(admissions, 2);
        let much_later = start + Duration::from_secs(60);
        assert_eq!(limiter.ask(ADDRESS, much_later), Verdict::Admitted { left: 19 });
    }

    #[test]
    fn a_refusal_costs_nothing() {
        let limiter = limiter(1, 1);
        let start = limiter.started;
        assert!(admitted(&limiter, ADDRESS, start));
        for _ in 0..1_000 {
            assert!(!admitted(&limiter, ADDRESS, start + Duration::from_millis(999)));
        }
        assert!(admitted(&limiter, ADDRESS, start + Duration::from_secs(1)));
    }

    #[test]
    fn clients_are_told_apart_and_a_network_of_ipv6_is_one() {
        let limiter = limiter(1, 1);
        let start = limiter.started;
        let host =
            |network: u128, host: u128| IpAddr::V6(Ipv6Addr::from_bits(network << 64 | host));
        let network = 0x2001_0db8_0000_0001;
        assert!(admitted(&limiter, host(network, 1), start));
        assert!(!admitted(&limiter, host(network, 2), start));
        assert!(admitted(&limiter, host(network + 1, 1), start));
        assert!(admitted(&limiter, ADDRESS, start));
        let mapped = IpAddr::V6(Ipv4Addr::new(203, 0, 113, 9).to_ipv6_mapped());
        assert!(!admitted(&limiter, mapped, start));
    }

    #[test]
    fn headers_say_what_is_left_and_when_all_is_back() {
        let [(_, policy), (_, left)] = limiter(10, 20).headers(5);
        assert_eq!((policy, left), (header("\"client\";q=20;w=2"), header("\"client\";r=5;t=2")));
    }

    #[test]
    fn a_million_clients_take_no_more_room_than_one_and_none_is_refused_for_another() {
        let limiter = limiter(10, 20);
        let start = limiter.started;
        for bits in 0..1_000_000 {
            let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + bits));
            assert!(admitted(&limiter, address, start), "{address}");
        }
        assert!(size_of_val(&*limiter.buckets) < 2_500_000);
    }
}
