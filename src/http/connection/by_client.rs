//! Bounds the connections of each client.

use crate::config::{Config, Network};
use crate::http::edge::client_ip;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The connections of each client, counted.
///
/// A proxy of `TRUSTED_PROXIES` carries the connections of many clients, so it is not counted.
#[derive(Debug)]
pub struct ConnectionsByClient {
    /// Maximum connections of one client; `None`: no limit, and nothing is counted.
    max: Option<usize>,
    /// Whether clients on this machine are counted.
    counts_this_machine: bool,
    proxies: Vec<Network>,
    /// Number of connections by the client's key. A client without a connection has no entry.
    held: Mutex<HashMap<u64, usize>>,
}

impl ConnectionsByClient {
    /// The bound in the settings.
    pub fn from_config(config: &Config) -> Arc<Self> {
        let limit = config.connections_per_client;
        Arc::new(Self {
            max: limit.map(|limit| limit.max),
            counts_this_machine: limit.is_some_and(|limit| limit.counts_this_machine),
            proxies: config.trusted_proxies.clone(),
            held: Mutex::default(),
        })
    }

    /// No limit.
    pub fn unlimited() -> Arc<Self> {
        let held = Mutex::default();
        Arc::new(Self { max: None, counts_this_machine: false, proxies: Vec::new(), held })
    }

    /// A permit for one more connection of a client; `None` if the client has its maximum.
    pub(super) fn acquire(self: &Arc<Self>, client: IpAddr) -> Option<ClientPermit> {
        let is_proxy = || self.proxies.iter().any(|proxies| proxies.contains(client));
        let is_exempt = !self.counts_this_machine && client.to_canonical().is_loopback();
        let Some(max) = self.max.filter(|_| !is_exempt && !is_proxy()) else {
            return Some(ClientPermit(None));
        };
        let key = client_ip::key(client);
        let mut held = self.held.lock();
        let count = held.entry(key).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(ClientPermit(Some((self.clone(), key))))
    }
}

/// One connection of a client, counted until the permit is dropped; empty for a client that is not counted.
#[derive(Debug)]
pub(super) struct ClientPermit(Option<(Arc<ConnectionsByClient>, u64)>);

impl Drop for ClientPermit {
    fn drop(&mut self) {
        let Some((connections, key)) = &self.0 else { return };
        let mut held = connections.held.lock();
        let left = held.get(key).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            held.remove(key);
        } else {
            held.insert(*key, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(variables: &[(&str, &str)]) -> Arc<ConnectionsByClient> {
        ConnectionsByClient::from_config(&Config::of(variables).expect("sound"))
    }

    /// Returns the permits that a client gets when it asks for a hundred.
    fn permits(connections: &Arc<ConnectionsByClient>, client: &str) -> Vec<ClientPermit> {
        let client: IpAddr = client.parse().expect("an address");
        (0..100).filter_map(|_| connections.acquire(client)).collect()
    }

    #[test]
    fn a_client_has_a_quarter_of_the_connections_and_may_open_new_ones_when_it_closes_some() {
        let connections = by(&[("MAX_CONNECTIONS", "40")]);
        let mut held = permits(&connections, "203.0.113.9");
        assert_eq!(held.len(), 10);
        assert_eq!(permits(&connections, "::ffff:203.0.113.9").len(), 0, "the same client");
        assert_eq!(permits(&connections, "203.0.113.10").len(), 10);
        held.truncate(7);
        assert_eq!(permits(&connections, "203.0.113.9").len(), 3);
        drop(held);
        assert!(connections.held.lock().is_empty(), "clients without connections are forgotten");
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client() {
        let connections = by(&[("MAX_CONNECTIONS_PER_CLIENT", "3")]);
        let _held = permits(&connections, "2001:db8::1");
        assert_eq!(permits(&connections, "2001:db8::2").len(), 0);
        assert_eq!(permits(&connections, "2001:db8:0:1::2").len(), 3);
    }

    #[test]
    fn trusted_proxies_are_not_counted_nor_this_machine_by_default() {
        let proxies = ("TRUSTED_PROXIES", "10.0.0.0/8");
        let usual = by(&[("MAX_CONNECTIONS", "40"), proxies]);
        for (client, expected) in
            [("10.1.2.3", 100), ("127.0.0.1", 100), ("::1", 100), ("11.0.0.1", 10)]
        {
            assert_eq!(permits(&usual, client).len(), expected, "{client}");
        }
        let set = by(&[("MAX_CONNECTIONS_PER_CLIENT", "5"), proxies]);
        for (client, expected) in [("10.1.2.3", 100), ("127.0.0.1", 5), ("11.0.0.1", 5)] {
            assert_eq!(permits(&set, client).len(), expected, "{client}");
        }
        assert_eq!(permits(&by(&[("MAX_CONNECTIONS_PER_CLIENT", "0")]), "11.0.0.1").len(), 100);
    }
}
