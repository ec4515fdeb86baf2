//! Settings of what faces the callers: who they are, how much they may ask for, from where.

use super::{Config, Environment, Secret, links, secrets, values};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Bytes of `JWT_SECRET` at least: as many as HS256's digest has (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// `JWT_LEEWAY` at most.
const LEEWAY_MAX: Duration = Duration::from_mins(5);

/// Parties whose seats on one flight a user may hold unpaid, where `MAX_PENDING_PER_USER` is empty.
const PARTIES_PENDING: i32 = 2;

/// Clients that it takes at least to hold all connections, where `MAX_CONNECTIONS_PER_CLIENT` is empty.
const CLIENTS_MIN: usize = 4;

/// `MAX_PENDING_PER_USER` at most.
const PENDING_MAX: i32 = 1_000_000;

/// Requests that one client may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// `RATE_LIMIT_RPS`: a second, in the long run.
    pub per_second: u32,
    /// `RATE_LIMIT_BURST`: at once.
    pub burst: u32,
}

/// Connections that one client may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientConnections {
    /// At once.
    pub max: usize,
    /// Whether clients on this machine are counted: only where the setting is set, since a proxy that
    /// nobody named may be among them.
    pub counts_this_machine: bool,
}

/// How callers say who they are: a token (RFC 7519) that one of these keys has signed.
#[derive(Debug, Clone)]
pub struct JwtSettings {
    /// `JWT_SECRET` or `JWT_JWKS`.
    pub keys: KeySource,
    /// `JWT_ISSUER`: who must have issued it; `None`: anyone who has the key.
    pub issuer: Option<String>,
    /// `JWT_AUDIENCE`: whom it must be meant for; `None`: anyone.
    pub audience: Option<String>,
    /// `JWT_LEEWAY`: how far clocks may differ.
    pub leeway: Duration,
    /// `JWT_TYPE`: the `typ` that it must have, without `application/` and in small letters; `None`: that
    /// of any access token.
    pub token_type: Option<String>,
    /// `JWT_MAX_LIFETIME`: from its issue (`iat`), or from now, to its end; `None`: any.
    pub lifetime_max: Option<Duration>,
}

/// Where the keys are that tokens are signed with.
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
    /// Whether the keys come unencrypted over a network, where an attacker can replace them.
    pub fn can_be_forged(&self) -> bool {
        let Self::Url(url) = self else { return false };
        url.starts_with("http://") && !links::is_this_machine(links::host_of(url))
    }
}

/// Addresses that begin alike: `10.0.0.0/8`, `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    bits: u128,
    prefix: u32,
}

impl Network {
    /// Whether the address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let differing = bits_of(address) ^ self.bits;
        differing.leading_zeros() >= self.prefix
    }
}

/// The address as IPv6 has it; IPv4 is mapped into it (RFC 4291, 2.5.5.2).
fn bits_of(address: IpAddr) -> u128 {
    let mapped = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    Ipv6Addr::to_bits(mapped)
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let (width, before) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let prefix: u32 = prefix.map_or(Ok(width), str::parse).map_err(|_| ())?;
        if prefix > width {
            return Err(());
        }
        Ok(Self { bits: bits_of(address), prefix: prefix + before })
    }
}

/// What `CORS_ORIGINS` allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CorsOrigins {
    /// No page of another origin.
    #[default]
    None,
    /// Pages of any origin.
    Any,
    /// Pages of these, as browsers write them: `https://shop.example`.
    Listed(Vec<String>),
}

/// Whether callers need a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Auth {
    Off,
    Jwt,
}

impl<F: Fn(&str) -> Option<String>> Environment<F> {
    /// `RATE_LIMIT_RPS` and `RATE_LIMIT_BURST`; `None` for no limit.
    pub(super) fn rate_limit(&mut self) -> Option<RateLimit> {
        let per_second = self.read("RATE_LIMIT_RPS", values::whole(0..=1_000_000));
        let burst = self.read("RATE_LIMIT_BURST", values::whole(1..=10_000));
        (per_second > 0).then_some(RateLimit { per_second, burst })
    }

    /// `MAX_PENDING_PER_USER`; `None` for no limit. Where nobody says who it is, a user's number is
    /// anyone's to write, and a limit has to be asked for.
    pub(super) fn pending_max(&mut self, config: &Config) -> Option<i32> {
        let set =
            self.read("MAX_PENDING_PER_USER", values::optional(values::whole(0..=PENDING_MAX)));
        let most = set.unwrap_or(match config.auth {
            Some(_) => PARTIES_PENDING * config.max_party_size,
            None => 0,
        });
        (most > 0).then_some(most)
    }

    /// `MAX_CONNECTIONS_PER_CLIENT`; `None` for no limit.
    pub(super) fn connections_per_client(&mut self, max: usize) -> Option<ClientConnections> {
        let counts = values::optional(values::whole(0..=super::COUNT_MAX as usize));
        match self.read("MAX_CONNECTIONS_PER_CLIENT", counts) {
            Some(0) => None,
            Some(max) => Some(ClientConnections { max, counts_this_machine: true }),
            None => Some(ClientConnections {
                max: (max / CLIENTS_MIN).max(1),
                counts_this_machine: false,
            }),
        }
    }

    /// `AUTH` and its parts; `None` where callers need no token.
    ///
    /// A key without `AUTH=jwt` stops the start: who has set one believes that it guards something.
    pub(super) fn auth(&mut self) -> Option<JwtSettings> {
        let auth = self.read("AUTH", auth);
        let secret = self.read("JWT_SECRET", values::optional(secret));
        let jwks = self.read("JWT_JWKS", values::optional(jwks));
        let issuer = self.read("JWT_ISSUER", values::optional(|text| Ok(text.to_owned())));
        let audience = self.read("JWT_AUDIENCE", values::optional(|text| Ok(text.to_owned())));
        let leeway = self.read("JWT_LEEWAY", leeway);
        let token_type = self.read("JWT_TYPE", values::optional(token_type));
        let lifetime_max =
            self.read("JWT_MAX_LIFETIME", values::unless_never(values::positive_duration));
        let keys = match (auth, secret, jwks) {
            (Auth::Off, None, None) => return None,
            (Auth::Off, ..) => {
                self.problems.push("AUTH must be jwt where JWT_SECRET or JWT_JWKS is set".into());
                return None;
            }
            (Auth::Jwt, Some(secret), None) => KeySource::Secret(secret),
            (Auth::Jwt, None, Some(jwks)) => jwks,
            // A secret that is set and unsound has been told already.
            (Auth::Jwt, None, None) if !self.problems.is_empty() => return None,
            (Auth::Jwt, ..) => {
                self.problems.push("AUTH is jwt: set either JWT_SECRET or JWT_JWKS".into());
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
        return Err(format!("must have at least {SECRET_BYTES_MIN} bytes, drawn at random"));
    }
    if !secrets::is_random(text) {
        return Err("is easy to guess: it must be drawn at random (openssl rand -hex 32)".into());
    }
    Ok(text.into())
}

/// Clocks differ by seconds; more would only make tokens live longer than their issuer wants.
fn leeway(text: &str) -> Result<Duration, String> {
    let leeway = values::duration(text)?;
    if leeway > LEEWAY_MAX { Err("must be at most 5m".into()) } else { Ok(leeway) }
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

/// A comma list of networks.
pub(super) fn networks(text: &str) -> Result<Vec<Network>, String> {
    let rule = || "must be a comma list of networks such as 10.0.0.0/8 or ::1".to_owned();
    let listed = text.split(',').map(str::trim).filter(|network| !network.is_empty());
    listed.map(|network| network.parse().map_err(|()| rule())).collect()
}

/// A comma list of origins, or `*`.
pub(super) fn cors_origins(text: &str) -> Result<CorsOrigins, String> {
    if text == "*" {
        return Ok(CorsOrigins::Any);
    }
    let listed = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
    let listed: Vec<_> = listed.map(str::to_owned).collect();
    if listed.is_empty() {
        return Ok(CorsOrigins::None);
    }
    if !listed.iter().all(|origin| is_origin(origin)) {
        return Err("must be * or a comma list of origins such as https://shop.example".into());
    }
    Ok(CorsOrigins::Listed(listed))
}

/// Whether a browser could send it: scheme, host and perhaps a port, nothing after (RFC 6454, 7).
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let is_host = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._:[]".contains(c);
    matches!(scheme, "http" | "https") && !host.is_empty() && host.chars().all(is_host)
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
    /// As [`fmt::Display`] has it: a URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Result<Config, String> {
        Config::of(variables).map_err(|error| error.to_string())
    }

    #[test]
    fn two_parties_may_be_pending_where_callers_are_known_and_any_number_where_they_are_not() {
        let limit =
            |variables: &[(&str, &str)]| config(variables).expect("sound").max_pending_per_user;
        let known = [("AUTH", "jwt"), ("JWT_JWKS", "keys.json")];
        assert_eq!(limit(&[]), None);
        assert_eq!(limit(&known), Some(18));
        assert_eq!(limit(&[&known[..], &[("MAX_PARTY_SIZE", "4")]].concat()), Some(8));
        assert_eq!(limit(&[&known[..], &[("MAX_PENDING_PER_USER", "0")]].concat()), None);
        assert_eq!(limit(&[("MAX_PENDING_PER_USER", "5")]), Some(5));
        for wrong in ["-1", "many"] {
            assert!(config(&[("MAX_PENDING_PER_USER", wrong)]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_as_it_does() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.1"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:1::5", "2001:db9::1"),
            ("127.0.0.1", "::ffff:127.0.0.1", "::1"),
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

    #[test]
    fn a_token_needs_one_sound_key_and_a_key_needs_tokens() {
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
    fn auth_must_be_chosen_where_other_machines_reach_the_port() {
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
                // Other commands answer nobody.
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
    fn without_tokens_not_every_page_may_call() {
        let any = ("CORS_ORIGINS", "*");
        for open in [&[any][..], &[any, ("AUTH", "off")]] {
            let told = config(open).expect_err("open to all pages");
            assert!(told.contains("CORS_ORIGINS must not be * with AUTH=off"), "{told}");
        }
        let tokens = [any, ("AUTH", "jwt"), ("JWT_JWKS", "keys.json")];
        assert_eq!(config(&tokens).expect("sound").cors_origins, CorsOrigins::Any);
        assert!(config(&[("CORS_ORIGINS", "https://shop.example")]).is_ok());
    }

    #[test]
    fn keys_in_the_clear_can_be_forged_but_on_this_machine() {
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
    fn origins_are_as_browsers_write_them() {
        assert_eq!(cors_origins(""), Ok(CorsOrigins::None));
        assert_eq!(cors_origins("*"), Ok(CorsOrigins::Any));
        let listed = cors_origins("https://a.example, http://localhost:3000").expect("sound");
        let CorsOrigins::Listed(listed) = listed else { panic!("{listed:?}") };
        assert_eq!(listed, ["https://a.example", "http://localhost:3000"]);
        for text in ["a.example", "https://a.example/", "https://A.example", "null", "https://*"] {
            assert!(cors_origins(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_requests_a_second_means_no_limit() {
        assert_eq!(config(&[("RATE_LIMIT_RPS", "0")]).expect("sound").rate_limit, None);
        let usual = RateLimit { per_second: 10, burst: 20 };
        assert_eq!(config(&[]).expect("sound").rate_limit, Some(usual));
        assert!(config(&[("RATE_LIMIT_BURST", "0")]).is_err());
    }
}
