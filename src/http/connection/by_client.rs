//! How many connections each client has.

use crate::config::{Config, Network};
use crate::http::edge::client_ip;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

/// The connections of each client, counted.
///
/// A proxy that `TRUSTED_PROXIES` names brings the connections of many, and is no client.
#[derive(Debug)]
pub struct ConnectionsByClient {
    /// Of one client at most; `None`: any number, and nobody is counted.
    max: Option<usize>,
    /// Whether clients on this machine are counted.
    counts_this_machine: bool,
    proxies: Vec<Network>,
    /// By the client's key; no client without a connection is in it.
    held: Mutex<HashMap<u64, usize>>,
}

impl ConnectionsByClient {
    /// As the settings want it.
    pub fn by(config: &Config) -> Arc<Self> {
        let limit = config.connections_per_client;
        Arc::new(Self {
            max: limit.map(|limit| limit.max),
            counts_this_machine: limit.is_some_and(|limit| limit.counts_this_machine),
            proxies: config.trusted_proxies.clone(),
            held: Mutex::default(),
        })
    }

    /// Any number of every client.
    pub fn unlimited() -> Arc<Self> {
        let held = Mutex::default();
        Arc::new(Self { max: None, counts_this_machine: false, proxies: Vec::new(), held })
    }

    /// A place for one connection more of a client; `None` where it has as many as it may.
    pub(super) fn take(self: &Arc<Self>, client: IpAddr) -> Option<ClientPlace> {
        let is_proxy = || self.proxies.iter().any(|proxies| proxies.contains(client));
        let is_exempt = !self.counts_this_machine && client.to_canonical().is_loopback();
        let Some(max) = self.max.filter(|_| !is_exempt && !is_proxy()) else {
            return Some(ClientPlace(None));
        };
        let key = client_ip::key(client);
        let mut held = self.held.lock().expect("no holder of the counts panics");
        let count = held.entry(key).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(ClientPlace(Some((self.clone(), key))))
    }
}

/// A client's place for one connection, until it is dropped; of one that is not counted, nothing.
#[derive(Debug)]
pub(super) struct ClientPlace(Option<(Arc<ConnectionsByClient>, u64)>);

impl Drop for ClientPlace {
    fn drop(&mut self) {
        let Some((connections, key)) = &self.0 else { return };
        let mut held = connections.held.lock().expect("no holder of the counts panics");
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
        ConnectionsByClient::by(&Config::of(variables).expect("sound"))
    }

    /// The places that a client gets of a hundred.
    fn places(connections: &Arc<ConnectionsByClient>, client: &str) -> Vec<ClientPlace> {
        let client: IpAddr = client.parse().expect("an address");
        (0..100).filter_map(|_| connections.take(client)).collect()
    }

    #[test]
    fn a_client_has_its_part_of_the_connections_and_gets_back_what_it_gives_up() {
        let connections = by(&[("MAX_CONNECTIONS", "40")]);
        let mut held = places(&connections, "203.0.113.9");
        assert_eq!(held.len(), 10);
        assert_eq!(places(&connections, "::ffff:203.0.113.9").len(), 0, "the same client");
        assert_eq!(places(&connections, "203.0.113.10").len(), 10);
        held.truncate(7);
        assert_eq!(places(&connections, "203.0.113.9").len(), 3);
        drop(held);
        assert!(connections.held.lock().expect("whole").is_empty(), "nobody is remembered");
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let connections = by(&[("MAX_CONNECTIONS_PER_CLIENT", "3")]);
        let _held = places(&connections, "2001:db8::1");
        assert_eq!(places(&connections, "2001:db8::2").len(), 0);
        assert_eq!(places(&connections, "2001:db8:0:1::2").len(), 3);
    }

    #[test]
    fn trusted_proxies_and_unless_it_is_set_this_machine_are_not_counted() {
        let proxies = ("TRUSTED_PROXIES", "10.0.0.0/8");
        let usual = by(&[("MAX_CONNECTIONS", "40"), proxies]);
        for (client, expected) in
            [("10.1.2.3", 100), ("127.0.0.1", 100), ("::1", 100), ("11.0.0.1", 10)]
        {
            assert_eq!(places(&usual, client).len(), expected, "{client}");
        }
        let set = by(&[("MAX_CONNECTIONS_PER_CLIENT", "5"), proxies]);
        for (client, expected) in [("10.1.2.3", 100), ("127.0.0.1", 5), ("11.0.0.1", 5)] {
            assert_eq!(places(&set, client).len(), expected, "{client}");
        }
        assert_eq!(places(&by(&[("MAX_CONNECTIONS_PER_CLIENT", "0")]), "11.0.0.1").len(), 100);
    }
}
