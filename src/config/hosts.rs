//! `ALLOWED_HOSTS`: the names by which callers may reach the service.

use super::{Config, Environment};

const NAME: &str = "ALLOWED_HOSTS";

/// Names that a request's `Host` may have, besides `localhost` and IP addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHosts {
    /// In small letters, without a port.
    pub names: Vec<String>,
    /// Whether the setting was set, and is no default.
    pub is_set: bool,
}

impl Config {
    /// The names that a request's `Host` may have; `None`: any.
    ///
    /// A page whose author lets a name point to this machine (DNS rebinding) is the service's own page to
    /// a browser. A token would keep it out, and no browser of others reaches a loopback address, so
    /// names are looked at where there is neither, and where they are set.
    pub fn checked_hosts(&self) -> Option<&[String]> {
        let is_open = self.auth.is_none() && self.is_on_loopback();
        (is_open || self.allowed_hosts.is_set).then_some(&self.allowed_hosts.names)
    }
}

impl<F: Fn(&str) -> Option<String>> Environment<F> {
    pub(super) fn allowed_hosts(&mut self) -> AllowedHosts {
        let is_set = self.value(NAME).is_some();
        AllowedHosts { names: self.read(NAME, names), is_set }
    }
}

/// A comma list of names.
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
    Err("must be a comma list of names such as shop.example, without scheme and port".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_looked_at_where_nothing_else_keeps_pages_out() {
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
            assert!(error.contains("ALLOWED_HOSTS must be a comma list of names"), "{error}");
        }
    }
}
