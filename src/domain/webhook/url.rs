//! The address of a webhook.

use super::is_public;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use url::{Host, Url};

/// Maximum length of an address.
const CHARS_MAX: usize = 2_000;

/// Where a webhook's events go, in the form of the WHATWG's standard: lower case, punycode, without default port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl(Arc<str>);

/// Why a text is no address of a webhook. Continues "/url".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoWebhookUrl {
    /// It is no URL with a host, or too long.
    #[error("must be a URL such as https://example.com/hooks, of at most 2,000 characters")]
    Malformed,
    /// Another scheme.
    #[error("must begin with https:")]
    Scheme,
    /// It has a user name, a password or a fragment.
    #[error("must have no user name, password or fragment")]
    Parts,
    /// Its host is this machine, or an address outside the public internet.
    #[error("must not lead to this machine or a private network")]
    Private,
}

impl WebhookUrl {
    /// Reads an address. With `is_private_allowed` (`WEBHOOK_ALLOW_PRIVATE`) it may be `http:` too, and lead to any
    /// address. Names are checked when they are resolved, at each connection.
    pub fn read(text: &str, is_private_allowed: bool) -> Result<Self, NoWebhookUrl> {
        // The parser drops line breaks and tabs, wherever they are.
        let is_plain = text.len() <= CHARS_MAX && !text.chars().any(char::is_control);
        let url = Url::parse(text).ok().filter(|_| is_plain).ok_or(NoWebhookUrl::Malformed)?;
        match url.scheme() {
            "https" => {}
            "http" if is_private_allowed => {}
            _ => return Err(NoWebhookUrl::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(NoWebhookUrl::Parts);
        }
        let is_reachable = match url.host().ok_or(NoWebhookUrl::Malformed)? {
            Host::Ipv4(address) => is_public(IpAddr::V4(address)),
            Host::Ipv6(address) => is_public(IpAddr::V6(address)),
            Host::Domain(name) => {
                let name = name.trim_end_matches('.');
                name != "localhost" && !name.ends_with(".localhost")
            }
        };
        if !is_reachable && !is_private_allowed {
            return Err(NoWebhookUrl::Private);
        }
        Ok(Self(url.as_str().into()))
    }

    /// An address that was read before.
    pub fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Result<String, NoWebhookUrl> {
        WebhookUrl::read(text, false).map(|url| url.to_string())
    }

    #[test]
    fn an_address_is_https_with_a_public_host_and_nothing_to_hide() {
        for (text, url) in [
            ("https://Example.com", "https://example.com/"),
            ("https://example.com:443/a?b=c", "https://example.com/a?b=c"),
            ("https://bücher.example:8443/", "https://xn--bcher-kva.example:8443/"),
            ("https://1.1.1.1/", "https://1.1.1.1/"),
            ("https://[2606:4700::1]/", "https://[2606:4700::1]/"),
        ] {
            assert_eq!(told(text).as_deref(), Ok(url), "{text}");
        }
        for text in ["http://example.com", "ftp://example.com", "file:///etc/passwd"] {
            assert_eq!(told(text), Err(NoWebhookUrl::Scheme), "{text}");
        }
        for text in ["https://a@example.com", "https://:b@example.com", "https://example.com/#a"] {
            assert_eq!(told(text), Err(NoWebhookUrl::Parts), "{text}");
        }
        let long = format!("https://example.com/{}", "a".repeat(CHARS_MAX));
        for text in
            ["", "example.com", "https://", "https://exa mple.com", "https://a.com/\n", &long]
        {
            assert_eq!(told(text), Err(NoWebhookUrl::Malformed), "{text}");
        }
    }

    #[test]
    fn a_private_address_is_refused_in_every_notation() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "１２７.0.0.1",
            "10.0.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "[::1]",
            "[::ffff:10.0.0.1]",
            "[::ffff:1.1.1.1]",
            "[fd00::1]",
            "[fe80::1]",
            "224.0.0.1",
            "localhost",
            "LOCALHOST.",
            "a.localhost",
        ] {
            let text = format!("https://{host}/");
            assert_eq!(told(&text), Err(NoWebhookUrl::Private), "{host}");
            assert!(WebhookUrl::read(&text, true).is_ok(), "{host}");
        }
        assert!(WebhookUrl::read("http://127.0.0.1:9000/hook", true).is_ok());
    }
}
