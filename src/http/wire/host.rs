//! The `Host` of a request, of which there must be one (RFC 9112, 3.2). Only HTTP/1.0 may leave it out.

use crate::http::wire::problem::{Code, Problem};
use axum::extract::Request;
use http::header::HOST;
use http::{HeaderMap, Version};
use std::net::Ipv6Addr;

/// The `Host` of a request, or the problem with it. A `Host` that passes has only letters, digits and
/// `.-_~:[]`, so pages and shell commands can contain it without escaping.
pub(crate) fn checked(request: &Request) -> Result<Option<&str>, Problem> {
    let detail = match (one(request.headers()), request.version()) {
        (Ok(Some(host)), _) if is_sound(host) => return Ok(Some(host)),
        (Ok(None), Version::HTTP_09 | Version::HTTP_10) => return Ok(None),
        (Ok(Some(_)), _) => "Host must be a name or an address, with an optional port",
        (Ok(None), _) => "the request has no Host",
        (Err(MoreThanOne), _) => "the request has more than one Host",
    };
    Err(Problem::new(Code::MalformedRequest, detail).refusing("its Host is missing or malformed"))
}

/// The `Host` of a request that has passed [`checked`].
pub(crate) fn of(headers: &HeaderMap) -> Option<&str> {
    headers.get(HOST)?.to_str().ok()
}

/// The header in which a proxy that ends TLS sends the scheme of the request.
const FORWARDED_SCHEME: &str = "x-forwarded-proto";

/// The origin under which the caller of a request that has passed [`checked`] reached the service.
pub(crate) fn origin(headers: &HeaderMap) -> String {
    let is_tls = headers.get(FORWARDED_SCHEME).is_some_and(|scheme| scheme == "https");
    let scheme = if is_tls { "https" } else { "http" };
    format!("{scheme}://{}", of(headers).unwrap_or("localhost"))
}

struct MoreThanOne;

/// The only `Host`. One that is not ASCII is read as empty, which is refused as well.
fn one(headers: &HeaderMap) -> Result<Option<&str>, MoreThanOne> {
    let mut hosts = headers.get_all(HOST).iter();
    let first = hosts.next().map(|host| host.to_str().unwrap_or_default());
    if hosts.next().is_some() { Err(MoreThanOne) } else { Ok(first) }
}

/// Whether it is a name or an address (IPv6 in brackets), with an optional port.
fn is_sound(host: &str) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (is_name, port) = match bracketed {
        Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
        None => {
            let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
            (!name.is_empty() && name.bytes().all(is_of_a_name), port)
        }
    };
    is_name && is_port(port)
}

/// Whether it is a character of DNS and local names.
fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_~".contains(&byte)
}

/// Whether it is empty, or a colon and a port, which may be empty (RFC 3986, 3.2.3).
fn is_port(text: &str) -> bool {
    let Some(digits) = text.strip_prefix(':') else { return text.is_empty() };
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.is_empty() || (is_number && digits.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn names_and_addresses_are_accepted_with_and_without_a_port() {
        for host in [
            "localhost",
            "localhost:8080",
            "shop.example",
            "Shop.Example.:443",
            "shop.example:",
            "my_service:80",
            "10.0.0.7:8080",
            "[::1]",
            "[2001:db8::7]:8080",
            "xn--bcher-kva.example",
        ] {
            assert!(is_sound(host), "{host}");
        }
        for host in [
            "",
            ":8080",
            "a b",
            "a,b",
            "a/b",
            "user@host",
            "host:port",
            "host:65536",
            "host:+80",
            "host:80:80",
            "::1",
            "[::1",
            "[::1]x",
            "[host]:80",
            "<script>",
            "$(id)",
            "a'b",
            "a%00b",
        ] {
            assert!(!is_sound(host), "{host}");
        }
    }

    #[test]
    fn only_http_1_0_may_leave_out_the_host() {
        let fault_of = |version, hosts: &[&str]| {
            let mut request = Request::builder().version(version);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            checked(&request.body(Body::empty()).expect("a request")).is_err()
        };
        assert!(!fault_of(Version::HTTP_10, &[]));
        assert!(fault_of(Version::HTTP_11, &[]));
        assert!(!fault_of(Version::HTTP_11, &["localhost"]));
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert!(fault_of(version, &["localhost", "localhost"]));
            assert!(fault_of(version, &["a b"]));
        }
    }
}
