//! `AUTH` and `JWT_*`: how callers prove who they are.

use crate::config::environment::Environment;
use crate::config::services::{host_of, is_this_machine};
use crate::config::{Secret, secrets, values};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Minimum length of `JWT_SECRET`: HS256 needs a key as long as its digest (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// The largest `JWT_LEEWAY`.
const LEEWAY_MAX: Duration = Duration::from_mins(5);

/// How callers prove who they are: by a token (RFC 7519) that one of these keys has signed.
#[derive(Debug, Clone)]
pub struct JwtSettings {
    /// `JWT_SECRET` or `JWT_JWKS`.
    pub keys: KeySource,
    /// `JWT_ISSUER`: the required issuer; `None`: any holder of the key.
    pub issuer: Option<String>,
    /// `JWT_AUDIENCE`: the required audience; `None`: any.
    pub audience: Option<String>,
    /// `JWT_LEEWAY`: the accepted difference between clocks.
    pub leeway: Duration,
    /// `JWT_TYPE`: the required `typ`, in lower case and without `application/`; `None`: the types of
    /// access tokens.
    pub token_type: Option<String>,
    /// `JWT_MAX_LIFETIME`: the longest time from a token's issue (`iat`), or from now, to its end; `None`:
    /// no limit.
    pub lifetime_max: Option<Duration>,
}

/// The source of the keys that tokens are signed with.
#[derive(Clone)]
pub enum KeySource {
    /// `JWT_SECRET`, shared with the issuer: HS256.
    Secret(Secret),
    /// `JWT_JWKS`, a file of public keys: `RS256`, `ES256`, `EdDSA`.
    File(PathBuf),
    /// `JWT_JWKS`, an http or https URL of public keys.
    Url(String),
}

impl KeySource {
    /// Whether the keys come over a network without TLS, where an attacker can replace them.
    pub fn can_be_forged(&self) -> bool {
        let Self::Url(url) = self else { return false };
        url.starts_with("http://") && !is_this_machine(host_of(url))
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(_) => f.write_str("JWT_SECRET"),
            Self::File(file) => write!(f, "the keys in {}", file.display()),
            Self::Url(_) => f.write_str("the keys at JWT_JWKS"),
        }
    }
}

impl fmt::Debug for KeySource {
    /// Like [`fmt::Display`], because a URL may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The value of `AUTH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Auth {
    Off,
    Jwt,
}

impl Environment<'_> {
    /// `None` with `AUTH=off`: callers need no token.
    ///
    /// A key without `AUTH=jwt` is a problem: it would protect nothing, and look as if it did.
    pub(in crate::config) fn auth(&mut self) -> Option<JwtSettings> {
        let auth = self.read("AUTH", auth);
        let secret = self.read("JWT_SECRET", values::optional(secret));
        let jwks = self.read("JWT_JWKS", values::optional(jwks));
        let issuer = self.value("JWT_ISSUER");
        let audience = self.value("JWT_AUDIENCE");
        let leeway = self.read("JWT_LEEWAY", leeway);
        let token_type = self.read("JWT_TYPE", values::optional(token_type));
        let lifetime_max =
            self.read("JWT_MAX_LIFETIME", values::unless_never(values::positive_duration));
        let keys = match (auth, secret, jwks) {
            (Auth::Off, None, None) => return None,
            (Auth::Off, ..) => {
                self.problem("AUTH must be jwt if JWT_SECRET or JWT_JWKS is set");
                return None;
            }
            (Auth::Jwt, Some(secret), None) => KeySource::Secret(secret),
            (Auth::Jwt, None, Some(jwks)) => jwks,
            // The key may be set and invalid, which is a problem of its own.
            (Auth::Jwt, None, None) if !self.problems.is_empty() => return None,
            (Auth::Jwt, ..) => {
                self.problem("AUTH=jwt needs either JWT_SECRET or JWT_JWKS");
                return None;
            }
        };
        Some(JwtSettings { keys, issuer, audience, leeway, token_type, lifetime_max })
    }
}

fn auth(text: &str) -> Result<Auth, String> {
    match text {
        "off" => Ok(Auth::Off),
        "jwt" => Ok(Auth::Jwt),
        _ => Err("must be off or jwt".into()),
    }
}

fn secret(text: &str) -> Result<Secret, String> {
    if text.len() < SECRET_BYTES_MIN {
        return Err(format!(
            "must have at least {SECRET_BYTES_MIN} random bytes (openssl rand -hex 32)"
        ));
    }
    if !secrets::is_random(text) {
        return Err("is easy to guess: it must be random (openssl rand -hex 32)".into());
    }
    Ok(text.into())
}

/// Clocks differ by seconds. A longer leeway would only extend tokens beyond what the issuer wants.
fn leeway(text: &str) -> Result<Duration, String> {
    let leeway = values::duration(text)?;
    if leeway > LEEWAY_MAX { Err("must not be longer than 5m".into()) } else { Ok(leeway) }
}

/// A media type without `application/` (RFC 7515, 4.1.9), such as `at+jwt`.
fn token_type(text: &str) -> Result<String, String> {
    let is_type = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b));
    let rule = || "must be a type such as at+jwt, without application/".to_owned();
    is_type.then(|| text.to_ascii_lowercase()).ok_or_else(rule)
}

fn jwks(text: &str) -> Result<KeySource, String> {
    Ok(match text.split_once("://") {
        Some(("http" | "https", host)) if !host.is_empty() => KeySource::Url(text.to_owned()),
        Some(_) => return Err("must be a file, or an http or https URL".into()),
        None => KeySource::File(text.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn config(variables: &[(&str, &str)]) -> Result<Config, String> {
        Config::of(variables).map_err(|error| error.to_string())
    }

    #[test]
    fn tokens_need_exactly_one_valid_key_and_a_key_needs_auth_jwt() {
        let long = "7c9f0a3b5e1d48268fb2c4d6e0913a57";
        let known = "a-string-secret-at-least-256-bits-long";
        assert!(config(&[("AUTH", "jwt"), ("JWT_SECRET", long)]).is_ok());
        assert!(config(&[("AUTH", "jwt"), ("JWT_JWKS", "keys.json")]).is_ok());
        assert!(config(&[("AUTH", "jwt"), ("JWT_JWKS", "https://id.example/keys")]).is_ok());
        for unsound in [
            &[("AUTH", "jwt")][..],
            &[("AUTH", "basic")],
            &[("JWT_SECRET", long)],
            &[("AUTH", "jwt"), ("JWT_SECRET", "short-and-known")],
            &[("AUTH", "jwt"), ("JWT_SECRET", known)],
            &[("AUTH", "jwt"), ("JWT_SECRET", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")],
            &[("AUTH", "jwt"), ("JWT_SECRET", long), ("JWT_JWKS", "keys.json")],
            &[("AUTH", "jwt"), ("JWT_JWKS", "ftp://user:short-and-known@id.example/keys")],
            &[("AUTH", "jwt"), ("JWT_SECRET", long), ("JWT_LEEWAY", "301s")],
            &[("AUTH", "jwt"), ("JWT_SECRET", long), ("JWT_MAX_LIFETIME", "0s")],
            &[("AUTH", "jwt"), ("JWT_SECRET", long), ("JWT_TYPE", "application/at+jwt")],
        ] {
            let told = config(unsound).expect_err("unsound");
            let secrets = [long, known, "short-and-known", "xxx"];
            assert!(secrets.iter().all(|secret| !told.contains(secret)), "{told}");
            assert_eq!(told.lines().count(), 2, "{told}");
        }
    }

    #[test]
    fn auth_must_be_set_if_other_machines_reach_the_port() {
        let serve = |variables: &[(&str, &str)]| {
            let set = |name: &str| variables.iter().find(|(n, _)| *n == name);
            let config = Config::for_serving(|name| set(name).map(|(_, v)| (*v).to_owned()));
            config.map_err(|error| error.to_string())
        };
        let long = "7c9f0a3b5e1d48268fb2c4d6e0913a57";
        for host in ["0.0.0.0", "::", "192.0.2.1", "::ffff:192.0.2.1"] {
            for unchosen in [&[("SERVER_HOST", host)][..], &[("SERVER_HOST", host), ("AUTH", " ")]]
            {
                let told = serve(unchosen).expect_err(host);
                for word in ["AUTH must be set", "SERVER_HOST", host, "jwt", "off"] {
                    assert!(told.contains(word), "{told}");
                }
                // Other commands have no callers.
                assert!(config(unchosen).is_ok());
            }
            assert!(serve(&[("SERVER_HOST", host), ("AUTH", "off")]).is_ok());
            let jwt = [("SERVER_HOST", host), ("AUTH", "jwt"), ("JWT_SECRET", long)];
            assert!(serve(&jwt).is_ok());
        }
        for host in ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1", "localhost"] {
            assert!(serve(&[("SERVER_HOST", host)]).is_ok(), "{host}");
        }
        assert!(serve(&[]).is_ok());
    }

    #[test]
    fn keys_over_plain_http_from_another_machine_can_be_forged() {
        for (url, expected) in [
            ("http://id.example/keys", true),
            ("http://user:password@10.0.0.1:8080/keys", true),
            ("http://localhost.evil.example/keys", true),
            ("http://localhost:8080/keys", false),
            ("http://127.0.0.1/keys", false),
            ("http://[::1]:8080/keys", false),
            ("https://id.example/keys", false),
        ] {
            assert_eq!(KeySource::Url(url.into()).can_be_forged(), expected, "{url}");
        }
        assert!(!KeySource::File("keys.json".into()).can_be_forged());
    }

    #[test]
    fn debug_output_does_not_contain_the_password_of_a_key_set_url() {
        let url = ("JWT_JWKS", "https://user:hush@id.example/keys");
        let shown = format!("{:?}", config(&[("AUTH", "jwt"), url]).expect("sound"));
        assert!(!shown.contains("hush") && shown.contains("JWT_JWKS"), "{shown}");
    }
}
