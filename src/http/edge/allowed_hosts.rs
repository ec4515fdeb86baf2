//! Whether a request calls the service by a name that is its own (`ALLOWED_HOSTS`).
//!
//! A browser sends the name of the page's origin. The owner of a name can let it point to this machine
//! (DNS rebinding), but not give it the name `localhost` or an address.

use crate::config::Config;
use crate::http::wire::problem::{Code, Problem};
use axum::extract::Request;
use http::header::HOST;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Names that are the service's own.
pub(crate) struct AllowedHosts(Vec<String>);

impl AllowedHosts {
    /// As the settings want it; `None`: any name is.
    pub(crate) fn by(config: &Config) -> Option<Self> {
        config.checked_hosts().map(|names| Self(names.to_vec()))
    }

    /// The problem with the names of a request, if there is one: of each `Host`, and of a target that has
    /// a host of its own (`GET http://… HTTP/1.1`). Without any there is no browser.
    pub(crate) fn fault(&self, request: &Request) -> Option<Problem> {
        let of_target = request.uri().authority().is_none_or(|at| self.know(at.as_str()));
        let mut hosts = request.headers().get_all(HOST).iter();
        if of_target && hosts.all(|host| host.to_str().is_ok_and(|host| self.know(host))) {
            return None;
        }
        let detail = "the Host is no name of this service; ALLOWED_HOSTS lists those that are, besides \
                      localhost and addresses";
        Some(Problem::new(Code::MisdirectedRequest, detail).refusing("its Host is no allowed name"))
    }

    fn know(&self, host: &str) -> bool {
        if let Some((address, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            return address.parse::<Ipv6Addr>().is_ok();
        }
        let name = host.split_once(':').map_or(host, |(name, _)| name);
        let name = name.strip_suffix('.').unwrap_or(name);
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        is("localhost") || name.parse::<Ipv4Addr>().is_ok() || self.0.iter().any(|known| is(known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn addresses_localhost_and_listed_names_are_known_with_and_without_a_port() {
        let hosts = AllowedHosts(vec!["shop.example".into()]);
        for host in [
            "localhost",
            "LocalHost:8080",
            "localhost.:8080",
            "127.0.0.1:8080",
            "192.0.2.7",
            "[::1]:8080",
            "[2001:db8::7]",
            "Shop.Example:443",
            "shop.example.",
        ] {
            assert!(hosts.know(host), "{host}");
        }
        for host in [
            "",
            "evil.test",
            "evil.test:8080",
            "localhost.evil.test",
            "evil-localhost",
            "127.0.0.1.evil.test",
            "127.0.0.1@evil.test",
            "[evil.test]",
            "[::1",
            "a.shop.example",
            "shop.example.evil.test",
        ] {
            assert!(!hosts.know(host), "{host}");
        }
    }

    #[test]
    fn every_name_of_a_request_must_be_known() {
        let hosts = AllowedHosts(Vec::new());
        let is_refused = |target: &str, named: &[&str]| {
            let mut request = Request::get(target);
            for host in named {
                request = request.header(HOST, *host);
            }
            hosts.fault(&request.body(Body::empty()).expect("a request")).is_some()
        };
        assert!(!is_refused("/", &["localhost"]));
        assert!(!is_refused("/", &[]));
        assert!(is_refused("/", &["evil.test"]));
        assert!(is_refused("/", &["localhost", "evil.test"]));
        assert!(is_refused("http://evil.test/", &["localhost"]));
        assert!(!is_refused("http://localhost:8080/", &["localhost:8080"]));
    }
}
