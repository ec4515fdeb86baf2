//! Hosts and parameters of URLs.

use std::net::IpAddr;

/// Longest name of a parameter that an error repeats, in characters.
const NAME_CHARS_MAX: usize = 40;

/// Whether a host in a URL or a list is this machine: a loopback address, `localhost`, or the path of a
/// socket. An empty host is a client's default, which is this machine too.
pub(in crate::config) fn is_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    name.is_empty()
        || name.starts_with('/')
        || name.starts_with("%2f")
        || name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// The host of `scheme://user:password@host:port/…`. Of several hosts, the first that is another machine.
pub(in crate::config) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let hosts = || place.split(',').map(without_port);
    hosts().find(|host| !is_this_machine(host)).or_else(|| hosts().next()).unwrap_or_default()
}

/// `host` of `host:port` and `[address]:port`.
pub(super) fn without_port(place: &str) -> &str {
    let place = place.trim();
    match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => place,
    }
}

fn parameters(url: &str) -> form_urlencoded::Parse<'_> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.split('#').next().unwrap_or_default().as_bytes())
}

/// The last value of a parameter, under any of its names.
pub(super) fn parameter(url: &str, names: &[&str]) -> Option<String> {
    parameters(url)
        .filter(|(name, _)| names.contains(&name.as_ref()))
        .map(|(_, value)| value.into_owned())
        .last()
}

/// Reports a parameter that the driver does not know and would ignore: a misspelt `sslmode` would leave
/// connections without TLS.
///
/// The report contains no value, and no name that may be part of a password with a `?` in it.
pub(super) fn unknown_parameter(url: &str, is_known: impl Fn(&str) -> bool) -> Option<String> {
    let (name, _) = parameters(url).find(|(name, _)| !is_known(name))?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-.[]".contains(c);
    let is_name = name.len() <= NAME_CHARS_MAX && name.chars().all(is_word);
    let (before, query) = url.split_once('?')?;
    // With an `@` before it and none after it, the `?` is not part of a password.
    let is_query = before.contains('@') && !query.contains('@');
    let name = if is_name && is_query { format!(": {name}") } else { String::new() };
    Some(format!("has an unknown parameter{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_and_socket_paths_are_this_machine() {
        for host in ["localhost", "LOCALHOST.", "127.9.0.1", "[::1]", "::ffff:127.0.0.1", "/run"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["localhost.example", "10.0.0.1", "[2001:db8::1]", "0.0.0.0", "db"] {
            assert!(!is_this_machine(host), "{host}");
        }
        for (url, host) in [
            ("redis://:p@h@cache:6379/0", "cache"),
            ("postgres://u:p@[2001:db8::1]:5432/d?a=b@c", "[2001:db8::1]"),
            ("postgres://localhost,db:5432/d", "db"),
            ("postgres:///d", ""),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }
}
