//! The client's address: the connection's, or the one that a trusted proxy names.

use crate::config::Network;
use axum::extract::{ConnectInfo, Request};
use http::{HeaderMap, header};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Maximum hops read, from the right: a chain of proxies is far shorter.
const HOPS_MAX: usize = 32;

/// The client's address.
///
/// Only a connection from one of the `trusted` networks may name another address. The client is then the
/// right-most address outside these networks; the client itself may have written the addresses to its left. If the two
/// headers differ, the proxy sets one and passes the other on, so neither is trusted and the proxy itself
/// counts as the client.
pub(crate) fn address(request: &Request, trusted: &[Network]) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    // Only tests send requests without a connection.
    let peer = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |ConnectInfo(peer)| peer.ip());
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if trusted.is_empty() || !is_trusted(peer) {
        return peer;
    }
    let named = |hops: Vec<&str>| {
        let is_named = !hops.is_empty();
        is_named.then(|| right_most(&hops, peer, is_trusted))
    };
    let headers = request.headers();
    match (named(forwarded_for(headers)), named(forwarded(headers))) {
        (Some(one), Some(other)) if one != other => peer,
        (Some(client), _) | (None, Some(client)) => client,
        (None, None) => peer,
    }
}

/// The right-most hop that is not trusted. If a hop can't be read, the trusted hop before it.
fn right_most(hops: &[&str], peer: IpAddr, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer;
    for hop in hops.iter().rev().take(HOPS_MAX) {
        let Some(address) = ip(hop) else { return client };
        client = address;
        if !is_trusted(address) {
            return client;
        }
    }
    client
}

/// The addresses of all `X-Forwarded-For` lines, in order.
fn forwarded_for(headers: &HeaderMap) -> Vec<&str> {
    let lines = headers.get_all("x-forwarded-for").iter();
    lines.flat_map(|line| line.to_str().unwrap_or("?").split(',')).collect()
}

/// The `for` of each hop of `Forwarded` (RFC 7239); a hop without one is unknown.
fn forwarded(headers: &HeaderMap) -> Vec<&str> {
    let lines = headers.get_all(header::FORWARDED).iter();
    let hops = lines.flat_map(|line| line.to_str().unwrap_or("?").split(','));
    hops.map(|hop| {
        let pairs = hop.rsplit(';').filter_map(|pair| pair.trim().split_once('='));
        let mut named =
            pairs.filter(|(name, _)| name.eq_ignore_ascii_case("for")).map(|(_, node)| node);
        named.next().unwrap_or("unknown")
    })
    .collect()
}

/// An address as a proxy writes it: in quotes, in brackets, with a port.
fn ip(node: &str) -> Option<IpAddr> {
    let node = node.trim().trim_matches('"');
    let bracketed = node.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(ip, _)| ip);
    let address = bracketed.unwrap_or(node).parse().ok();
    address.or_else(|| node.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

/// A client as a key of 64 bits. Addresses of one /64 of IPv6 are one client, since a host owns a whole
/// /64; an IPv4 address is below `0000:ffff::/32`, where no network is.
pub(crate) fn key(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => 0xffff_0000_0000 | u64::from(v4.to_bits()),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}

/// The /48 of an IPv6 address: what one site gets.
pub(crate) fn network_key(address: IpAddr) -> Option<u64> {
    match address.to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => Some((v6.to_bits() >> 80) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&str, &str)]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect(network));
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(axum::body::Body::empty()).expect("a request");
        let peer = SocketAddr::new(peer.parse().expect(peer), 4711);
        request.extensions_mut().insert(ConnectInfo(peer));
        address(&request, &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_may_name_the_client() {
        let forged = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")];
        assert_eq!(client("203.0.113.9", &forged), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &forged), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn the_right_most_hop_that_is_not_trusted_is_the_client() {
        for (line, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("198.51.100.7, 192.0.2.1", "192.0.2.1"),
            ("198.51.100.7, 192.0.2.1, 10.0.0.2,10.0.0.3", "192.0.2.1"),
            ("10.0.0.2", "10.0.0.2"),
            ("198.51.100.7, nonsense", "10.0.0.1"),
            ("198.51.100.7, nonsense, 10.0.0.2", "10.0.0.2"),
            ("", "10.0.0.1"),
            ("192.0.2.1:51234", "192.0.2.1"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]:443", "2001:db8::7"),
        ] {
            assert_eq!(client("10.0.0.1", &[("x-forwarded-for", line)]), expected, "{line}");
        }
        let lines = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "192.0.2.2")];
        assert_eq!(client("fd00::1", &lines), "192.0.2.2");
    }

    #[test]
    fn the_forwarded_header_is_read_as_rfc_7239_says() {
        for (line, expected) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("for=198.51.100.7, For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=192.0.2.43, for=unknown", "10.0.0.1"),
            ("for=192.0.2.43, for=_hidden", "10.0.0.1"),
            ("for=192.0.2.43, proto=https", "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", &[("forwarded", line)]), expected, "{line}");
        }
    }

    #[test]
    fn two_headers_that_differ_are_both_ignored() {
        let differing = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=198.51.100.7")];
        assert_eq!(client("10.0.0.1", &differing), "10.0.0.1");
    }
}
