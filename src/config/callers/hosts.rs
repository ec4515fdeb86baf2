//! `ALLOWED_HOSTS`: the names by which callers may reach the service.

use crate::config::Config;
use crate::config::environment::Environment;

const NAME: &str = "ALLOWED_HOSTS";

/// Names that a request's `Host` may have besides `localhost` and IP addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHosts {
    /// In lower case, without ports.
    pub names: Vec<String>,
    /// Whether the setting is set; otherwise the names are the default.
    pub is_set: bool,
}

impl Config {
    /// The names that a request's `Host` may have; `None`: any name.
    ///
    /// The check stops DNS rebinding: an attacker's page whose name resolves to this machine has the
    /// service's origin in a browser. It applies with `AUTH=off` on a loopback address, and if
    /// `ALLOWED_HOSTS` is set. Elsewhere the page lacks a token or cannot reach the port.
    pub fn checked_hosts(&self) -> Option<&[String]> {
        let is_open = self.auth.is_none() && self.is_on_loopback();
        (is_open || self.allowed_hosts.is_set).then_some(&self.allowed_hosts.names)
    }
}

impl Environment<'_> {
    pub(in crate::config) fn allowed_hosts(&mut self) -> AllowedHosts {
        let is_set = self.value(NAME).is_some();
        AllowedHosts { names: self.read(NAME, names), is_set }
    }
}

/// A comma-separated list of names.
fn names(text: &str) -> Result<Vec<String>, String> {
    let listed = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let listed = listed.map(|name| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase());
    let listed: Vec<_> = listed.collect();
    let is_name = |name: &String| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    if listed.iter().all(is_name) {
        return Ok(listed);
    }
    Err("must be a comma-separated list of names such as shop.example, without scheme and port"
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_checked_with_auth_off_on_a_loopback_address_and_if_set() {
        let checked = |variables: &[(&str, &str)]| {
            Config::of(variables).expect("sound").checked_hosts().map(<[_]>::to_vec)
        };
        let jwt = [("AUTH", "jwt"), ("JWT_JWKS", "keys.json")];
        let open = [("AUTH", "off"), ("SERVER_HOST", "0.0.0.0")];
        let listed = (NAME, "Shop.example., db-1_a");
        let names = Some(vec!["shop.example".to_owned(), "db-1_a".to_owned()]);
        assert_eq!(checked(&[]), Some(vec!["host.docker.internal".to_owned()]));
        assert_eq!(checked(&jwt), None);
        assert_eq!(checked(&open), None);
        assert_eq!(checked(&[listed]), names);
        assert_eq!(checked(&[&jwt[..], &[listed]].concat()), names);
        assert_eq!(checked(&[&open[..], &[listed]].concat()), names);
        for wrong in ["*", "http://shop.example", "shop.example:80", "a b", "[::1]", "."] {
            let error = Config::of(&[(NAME, wrong)]).expect_err(wrong).to_string();
            assert!(error.contains("ALLOWED_HOSTS must be a comma-separated list"), "{error}");
        }
    }
}
