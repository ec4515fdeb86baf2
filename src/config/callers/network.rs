//! `TRUSTED_PROXIES`: networks of addresses.

use ipnet::IpNet;
use std::net::IpAddr;
use std::str::FromStr;

/// Addresses with a common prefix, such as `10.0.0.0/8`, or a single address, such as `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Whether the network contains an address. An IPv4 address and its IPv6 form (`::ffff:127.0.0.1`, RFC
    /// 4291, 2.5.5.2) are the same address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let canonical = address.to_canonical();
        self.0.contains(&canonical)
            || matches!(canonical, IpAddr::V4(v4) if self.0.contains(&IpAddr::V6(v4.to_ipv6_mapped())))
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let address = || text.parse().map(|address: IpAddr| IpNet::from(address));
        text.parse().or_else(|_| address()).map(Self).map_err(|_| ())
    }
}

/// A comma-separated list of networks.
pub(in crate::config) fn networks(text: &str) -> Result<Vec<Network>, String> {
    let rule = || "must be a comma-separated list of networks such as 10.0.0.0/8 or ::1".to_owned();
    let listed = text.split(',').map(str::trim).filter(|network| !network.is_empty());
    listed.map(|network| network.parse().map_err(|()| rule())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_the_addresses_with_its_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.1"),
            ("10.1.2.3/8", "10.255.1.2", "11.0.0.1"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:1::5", "2001:db9::1"),
            ("127.0.0.1", "::ffff:127.0.0.1", "::1"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "11.0.0.1"),
            ("::ffff:127.0.0.1", "127.0.0.1", "::1"),
            ("::/0", "10.0.0.1", ""),
        ] {
            let network: Network = network.parse().expect(network);
            assert!(network.contains(inside.parse().expect(inside)), "{inside}");
            if let Ok(outside) = outside.parse() {
                assert!(!network.contains(outside), "{outside}");
            }
        }
        for text in ["10.0.0.0/33", "10.0.0", "::/129", "10.0.0.0/", "host", "10.0.0.0/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
