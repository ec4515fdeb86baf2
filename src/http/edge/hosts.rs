//! The name by which a request calls the service (`ALLOWED_HOSTS`), and the headers that say where a
//! request ends.
//!
//! Prevents DNS rebinding: an attacker can point a name of its own to this machine, and a browser then sends that
//! name as `Host`. It never sends `localhost` or an address for such a page.

use super::framing;
use super::step::Step;
use crate::config::Config;
use crate::http::wire::host;
use crate::http::wire::problem::{Code, Problem};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::Uri;
use http::uri::Authority;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Refuses requests whose `Host` or `Transfer-Encoding` is malformed, and those that name another host.
#[derive(Clone)]
pub(super) struct CheckHost {
    /// The service's names; `None`: any.
    pub(super) allowed: Option<Arc<AllowedHosts>>,
}

impl Step for CheckHost {
    type Kept = ();

    fn enter(&self, request: &mut Request) -> ControlFlow<Response, ()> {
        match self.check(request) {
            Ok(()) => ControlFlow::Continue(()),
            Err(problem) => ControlFlow::Break(problem.into_response()),
        }
    }

    fn leave((): (), _: &mut Response) {}
}

impl CheckHost {
    fn check(&self, request: &Request) -> Result<(), Problem> {
        let host = host::checked(request)?;
        framing::check(request)?;
        self.allowed.as_ref().map_or(Ok(()), |allowed| allowed.check(request.uri(), host))
    }
}

/// The service's names besides `localhost` and addresses.
pub(super) struct AllowedHosts(Vec<String>);

impl AllowedHosts {
    /// The names in the settings; `None` if any name is allowed.
    pub(super) fn from_config(config: &Config) -> Option<Arc<Self>> {
        config.checked_hosts().map(|names| Arc::new(Self(names.to_vec())))
    }

    /// Checks the names of a request: its `Host`, and the host of a target in absolute form
    /// (`GET http://… HTTP/1.1`). Browsers always send one.
    fn check(&self, target: &Uri, host: Option<&str>) -> Result<(), Problem> {
        let is_known = |name: Option<&str>| name.is_none_or(|name| self.know(name));
        if is_known(target.authority().map(Authority::as_str)) && is_known(host) {
            return Ok(());
        }
        let detail = "the Host is no name of this service; ALLOWED_HOSTS lists those that are, besides \
                      localhost and addresses";
        Err(Problem::new(Code::MisdirectedRequest, detail).refusing("its Host is no allowed name"))
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
    use http::Version;
    use http::header::HOST;

    #[test]
    fn addresses_localhost_and_listed_names_are_allowed_with_and_without_a_port() {
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
    fn the_host_header_and_the_target_must_both_have_an_allowed_name() {
        let hosts = CheckHost { allowed: Some(Arc::new(AllowedHosts(Vec::new()))) };
        let is_refused = |target: &str, named: &[&str]| {
            let mut request = Request::get(target).version(Version::HTTP_10);
            for host in named {
                request = request.header(HOST, *host);
            }
            hosts.check(&request.body(Body::empty()).expect("a request")).is_err()
        };
        assert!(!is_refused("/", &["localhost"]));
        assert!(!is_refused("/", &[]));
        assert!(is_refused("/", &["evil.test"]));
        assert!(is_refused("/", &["localhost", "evil.test"]));
        assert!(is_refused("http://evil.test/", &["localhost"]));
        assert!(!is_refused("http://localhost:8080/", &["localhost:8080"]));
    }
}
