//! Limits of one client and of one user.

use crate::config::environment::Environment;
use crate::config::{COUNT_MAX, Config, values};

/// Parties whose seats on one flight a user may hold unpaid, if `MAX_PENDING_PER_USER` is empty.
const PARTIES_PENDING: i32 = 2;

/// Clients needed to occupy all connections, if `MAX_CONNECTIONS_PER_CLIENT` is empty.
const CLIENTS_MIN: usize = 4;

/// The largest `MAX_PENDING_PER_USER`.
const PENDING_MAX: i32 = 1_000_000;

/// How many requests one client may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// `RATE_LIMIT_RPS`: requests per second, sustained.
    pub per_second: u32,
    /// `RATE_LIMIT_BURST`: requests at once.
    pub burst: u32,
}

/// How many connections one client may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientConnections {
    /// Maximum at the same time.
    pub max: usize,
    /// Whether clients on this machine are limited too. Only if the setting is set, because such a client
    /// may be a proxy that `TRUSTED_PROXIES` does not name.
    pub counts_this_machine: bool,
}

impl Environment<'_> {
    /// `RATE_LIMIT_RPS` and `RATE_LIMIT_BURST`; `None`: no limit.
    pub(in crate::config) fn rate_limit(&mut self) -> Option<RateLimit> {
        let per_second = self.read("RATE_LIMIT_RPS", values::whole(0..=1_000_000));
        let burst = self.read("RATE_LIMIT_BURST", values::whole(1..=10_000));
        (per_second > 0).then_some(RateLimit { per_second, burst })
    }

    /// `MAX_PENDING_PER_USER`; `None`: no limit. Without tokens a caller can write any user's number, so
    /// there is no limit by default.
    pub(in crate::config) fn pending_max(&mut self, config: &Config) -> Option<i32> {
        let set =
            self.read("MAX_PENDING_PER_USER", values::optional(values::whole(0..=PENDING_MAX)));
        let max = set.unwrap_or(match config.auth {
            Some(_) => PARTIES_PENDING * config.max_party_size,
            None => 0,
        });
        (max > 0).then_some(max)
    }

    /// `MAX_CONNECTIONS_PER_CLIENT`; `None`: no limit. `max` is `MAX_CONNECTIONS`.
    pub(in crate::config) fn connections_per_client(
        &mut self,
        max: usize,
    ) -> Option<ClientConnections> {
        let counts = values::optional(values::whole(0..=COUNT_MAX as usize));
        match self.read("MAX_CONNECTIONS_PER_CLIENT", counts) {
            Some(0) => None,
            Some(max) => Some(ClientConnections { max, counts_this_machine: true }),
            None => Some(ClientConnections {
                max: (max / CLIENTS_MIN).max(1),
                counts_this_machine: false,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Result<Config, String> {
        Config::of(variables).map_err(|error| error.to_string())
    }

    #[test]
    fn unpaid_seats_are_limited_to_two_parties_if_callers_have_tokens() {
        let limit =
            |variables: &[(&str, &str)]| config(variables).expect("sound").max_pending_per_user;
        let known = [("AUTH", "jwt"), ("JWT_JWKS", "keys.json")];
        assert_eq!(limit(&[]), None);
        assert_eq!(limit(&known), Some(18));
        assert_eq!(limit(&[&known[..], &[("MAX_PARTY_SIZE", "4")]].concat()), Some(8));
        assert_eq!(limit(&[&known[..], &[("MAX_PENDING_PER_USER", "0")]].concat()), None);
        assert_eq!(limit(&[("MAX_PENDING_PER_USER", "5")]), Some(5));
        for wrong in ["-1", "many"] {
            assert!(config(&[("MAX_PENDING_PER_USER", wrong)]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn zero_requests_per_second_means_no_limit() {
        assert_eq!(config(&[("RATE_LIMIT_RPS", "0")]).expect("sound").rate_limit, None);
        let usual = RateLimit { per_second: 10, burst: 20 };
        assert_eq!(config(&[]).expect("sound").rate_limit, Some(usual));
        assert!(config(&[("RATE_LIMIT_BURST", "0")]).is_err());
    }
}
