//! The limit of finds that find nothing: guesses of a booking's reference or of a passenger's name.
//!
//! Each find takes a miss of its client's budget and of all clients' before it is answered, so that many at a time
//! exceed neither, and gives both back unless its answer is 404. One whose caller leaves before the answer counts.

use super::client_ip;
use super::fixed_table::FixedTable;
use super::step::Step;
use crate::config::Network;
use crate::http::wire::problem::{Code, Problem};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, QuantaClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};
use http::StatusCode;
use http::header::RETRY_AFTER;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// Misses of a client in a minute: so many at once, then one after the other.
const CLIENT_MISSES: NonZeroU32 = NonZeroU32::new(5).expect("above zero");

/// Misses of all clients of this process in a minute. While a million of the 2^30 references are in use, a guesser with
/// any number of addresses meets one in ten minutes, and must have named its passenger in the same guess.
const ALL_MISSES: NonZeroU32 = NonZeroU32::new(100).expect("above zero");

/// Maximum clients counted at a time: 80 KB, and far more than can miss while one's budget becomes whole.
const CLIENTS_MAX: usize = 4_096;

/// The key of all clients together.
const ALL: u64 = 0;

/// The misses of a port.
pub(super) struct Misses<C: Clock = QuantaClock> {
    clients: Budget<C>,
    all: Budget<C>,
    trusted_proxies: Vec<Network>,
}

impl Misses {
    /// Whole budgets. `trusted_proxies` may name a client's address.
    pub(super) fn new(trusted_proxies: Vec<Network>) -> Self {
        Self::timed_by(QuantaClock::default(), trusted_proxies)
    }
}

impl<C: Clock + Clone> Misses<C> {
    fn timed_by(clock: C, trusted_proxies: Vec<Network>) -> Self {
        let clients = Budget::new(CLIENT_MISSES, CLIENTS_MAX, clock.clone());
        Self { clients, all: Budget::new(ALL_MISSES, 1, clock), trusted_proxies }
    }

    /// Takes a miss of a client. Returns its key.
    fn take(&self, client: IpAddr) -> Result<u64, Problem> {
        let key = client_ip::key(client);
        self.clients.take(key).map_err(|wait| {
            refusal(format!("more than {CLIENT_MISSES} finds a minute without a result"), wait)
        })?;
        self.all.take(ALL).map_err(|wait| {
            self.clients.give_back(key);
            refusal("too many finds of all clients without a result".to_owned(), wait)
        })?;
        Ok(key)
    }

    /// Gives a client's miss back: it was none.
    fn give_back(&self, key: u64) {
        self.clients.give_back(key);
        self.all.give_back(ALL);
    }
}

fn refusal(detail: String, wait: Duration) -> Problem {
    // Whole seconds, rounded up: an earlier request would be refused again.
    let seconds = (wait.as_millis().div_ceil(1_000) as u64).max(1);
    Problem::new(Code::RateLimited, detail)
        .refusing("its finds have no result too often")
        .bearing(RETRY_AFTER, seconds.into())
}

/// Misses a minute for each key.
struct Budget<C: Clock> {
    limiter: RateLimiter<u64, FixedTable, C, NoOpMiddleware<C::Instant>>,
    /// The limiter's state.
    table: FixedTable,
    /// The time in which a miss is regained.
    regain: Nanos,
}

impl<C: Clock> Budget<C> {
    fn new(a_minute: NonZeroU32, keys_max: usize, clock: C) -> Self {
        let quota = Quota::per_minute(a_minute);
        let table = FixedTable::new(keys_max, None);
        let regain = quota.replenish_interval().into();
        Self { limiter: RateLimiter::new(quota, table.clone(), clock), table, regain }
    }

    /// Takes a miss, or returns the time until there is one.
    fn take(&self, key: u64) -> Result<(), Duration> {
        let now = self.limiter.clock().now();
        self.limiter.check_key(&key).map_err(|refused| refused.wait_time_from(now))
    }

    fn give_back(&self, key: u64) {
        self.table.give_back(key, self.regain);
    }
}

/// Refuses finds of clients that have missed too often.
#[derive(Clone)]
pub(super) struct MissLimit(pub(super) Arc<Misses>);

impl Step for MissLimit {
    /// The misses, and the client's key.
    type Kept = (Arc<Misses>, u64);

    fn enter(&self, request: &mut Request) -> ControlFlow<Response, Self::Kept> {
        let Self(misses) = self;
        match misses.take(client_ip::address(request, &misses.trusted_proxies)) {
            Ok(key) => ControlFlow::Continue((misses.clone(), key)),
            Err(problem) => ControlFlow::Break(problem.into_response()),
        }
    }

    fn leave((misses, key): Self::Kept, response: &mut Response) {
        if response.status() != StatusCode::NOT_FOUND {
            misses.give_back(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;
    use std::net::Ipv4Addr;

    fn misses() -> (Misses<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Misses::timed_by(clock.clone(), Vec::new()), clock)
    }

    fn client(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    fn retry_after(refused: Problem) -> String {
        let response = refused.into_response();
        assert_eq!(response.status(), 429);
        response.headers()[RETRY_AFTER].to_str().expect("text").to_owned()
    }

    #[test]
    fn a_client_misses_five_times_a_minute() {
        let (misses, clock) = misses();
        assert!((0..5).all(|_| misses.take(client(1)).is_ok()));
        assert_eq!(retry_after(misses.take(client(1)).expect_err("the sixth")), "12");
        assert!(misses.take(client(2)).is_ok());
        clock.advance(Duration::from_secs(12));
        assert!(misses.take(client(1)).is_ok());
        assert!(misses.take(client(1)).is_err());
        clock.advance(Duration::from_secs(60));
        assert_eq!((0..9).filter(|_| misses.take(client(1)).is_ok()).count(), 5);
    }

    #[test]
    fn what_was_no_miss_counts_for_nothing() {
        let (misses, _) = misses();
        for _ in 0..1_000 {
            let key = misses.take(client(1)).expect("admitted");
            misses.give_back(key);
        }
        assert_eq!((0..9).filter(|_| misses.take(client(1)).is_ok()).count(), 5);
        assert_eq!((0..200).filter(|n| misses.take(client(2 + n)).is_ok()).count(), 95);
    }

    #[test]
    fn all_clients_together_miss_a_hundred_times_a_minute() {
        let (misses, clock) = misses();
        assert!((0..100).all(|number| misses.take(client(number)).is_ok()));
        assert_eq!(retry_after(misses.take(client(100)).expect_err("too many")), "1");
        clock.advance(Duration::from_millis(3_000));
        // The refusal took nothing of the client's own budget.
        assert_eq!((0..9).filter(|_| misses.take(client(100)).is_ok()).count(), 5);
    }
}
