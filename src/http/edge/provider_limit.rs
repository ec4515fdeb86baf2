//! The rate limit of the payment provider's webhooks: one bucket for all, apart from those of callers.

use crate::http::wire::EventLimit;
use crate::http::wire::problem::{Code, Problem};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::header::RETRY_AFTER;
use std::num::NonZeroU32;

/// Sustained events a second. A payment has a few; beyond the limit the provider sends them again later.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(1_000).expect("above zero");

/// Events at once.
const BURST: NonZeroU32 = NonZeroU32::new(5_000).expect("above zero");

/// Counts the provider's events.
pub(super) struct ProviderLimit(DefaultDirectRateLimiter);

impl Default for ProviderLimit {
    fn default() -> Self {
        Self(RateLimiter::direct(Quota::per_second(PER_SECOND).allow_burst(BURST)))
    }
}

impl EventLimit for ProviderLimit {
    fn count(&self) -> Result<(), Problem> {
        self.0.check().map_err(|refused| {
            let wait = refused.wait_time_from(DefaultClock::default().now()).as_secs() + 1;
            Problem::new(Code::RateLimited, "more than 1000 events a second")
                .refusing("the provider sends too many events")
                .bearing(RETRY_AFTER, wait.into())
        })
    }
}
