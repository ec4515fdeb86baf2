//! Who calls, and what the caller may do: JSON Web Tokens (RFC 7519) of an external issuer.
//!
//! The service has no table of users: a token's `sub` is the user's number, and its scopes are the
//! permissions of staff. The key decides the algorithm, never the token alone (RFC 8725, 3.1).

mod keys;
mod signatures;
mod tickets;

use crate::clock::Clock;
use crate::config::JwtSettings;
use crate::domain::{Timestamp, UserId};
use jsonwebtoken::{Validation, decode, decode_header};
use keys::Keys;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::sync::Arc;
use std::time::Duration;

pub use tickets::{TICKET_TTL, Ticket, Tickets};

/// Maximum length of a token, in bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// A permission of staff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Create and change flights.
    FlightsWrite,
    /// Read, place and cancel bookings of any user.
    BookingsAdmin,
    /// Make webhooks, and so get events of all bookings and flights.
    WebhooksWrite,
}

impl Scope {
    /// The word in a token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FlightsWrite => "flights:write",
            Self::BookingsAdmin => "bookings:admin",
            Self::WebhooksWrite => "webhooks:write",
        }
    }
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Any caller, with `AUTH=off`: may do everything.
    Anyone,
    /// A caller without a token, where none is needed: may do nothing that needs one.
    Anonymous,
    /// The holder of a token.
    Known {
        /// The user in `sub`.
        user: UserId,
        /// Whether it has [`Scope::FlightsWrite`].
        flights_write: bool,
        /// Whether it has [`Scope::BookingsAdmin`].
        bookings_admin: bool,
        /// Whether it has [`Scope::WebhooksWrite`].
        webhooks_write: bool,
    },
}

impl Caller {
    /// Whether the caller may do what needs this scope: it has the scope, or `AUTH=off`.
    pub fn may(&self, scope: Scope) -> bool {
        match (self, scope) {
            (Self::Anyone, _) => true,
            (Self::Anonymous, _) => false,
            (Self::Known { flights_write, .. }, Scope::FlightsWrite) => *flights_write,
            (Self::Known { bookings_admin, .. }, Scope::BookingsAdmin) => *bookings_admin,
            (Self::Known { webhooks_write, .. }, Scope::WebhooksWrite) => *webhooks_write,
        }
    }

    /// Whether the caller has a token with this scope; never with `AUTH=off`.
    ///
    /// For exemptions that only staff have. [`Self::may`] is the check of a permission: this one would
    /// refuse every caller with `AUTH=off`.
    pub fn has_staff_token(&self, scope: Scope) -> bool {
        *self != Self::Anyone && self.may(scope)
    }

    /// Whether the caller may act for this user: it is that user, or staff.
    pub fn may_act_for(&self, owner: UserId) -> bool {
        match self {
            Self::Known { user, .. } if *user == owner => true,
            _ => self.may(Scope::BookingsAdmin),
        }
    }
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The token is not accepted. The reason repeats nothing of the token.
    #[error("{0}")]
    Token(&'static str),
    /// The keys to check it with are not available at the moment.
    #[error("the keys that tokens are signed with cannot be read: {0}")]
    NoKeys(String),
}

/// Checks tokens.
pub struct Tokens {
    keys: Keys,
    issuer: Option<String>,
    audience: Option<String>,
    leeway: Duration,
    token_type: Option<String>,
    lifetime_max: Option<Duration>,
    clock: Arc<dyn Clock>,
}

/// The claims that are checked; others are ignored.
#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
    nbf: Option<f64>,
    iat: Option<f64>,
    iss: Option<String>,
    #[serde(default)]
    aud: Words,
    sub: Option<Subject>,
    /// Words in one string (RFC 8693, 4.2). Some issuers send a list.
    #[serde(default)]
    scope: Words,
    /// The scopes, under the name that some issuers use.
    #[serde(default)]
    scp: Words,
    /// Only ID tokens have it (`OpenID` Connect Core, 3.1.3.6).
    at_hash: Option<IgnoredAny>,
    /// Only ID tokens have it (`OpenID` Connect Core, 3.3.2.11).
    c_hash: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Subject {
    Text(String),
    Number(i64),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

impl Default for Words {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Words {
    fn all(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(words) => words,
        }
    }

    /// Whether one of the strings is the word, or has it between spaces.
    fn have(&self, word: &str) -> bool {
        self.all().iter().any(|text| text.split(' ').any(|one| one == word))
    }
}

impl Tokens {
    /// Does not read the keys: [`Self::prepare`] does.
    pub fn new(settings: &JwtSettings, clock: Arc<dyn Clock>) -> Self {
        signatures::provide();
        Self {
            keys: Keys::of(&settings.keys, clock.clone()),
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            leeway: settings.leeway,
            token_type: settings.token_type.clone(),
            lifetime_max: settings.lifetime_max,
            clock,
        }
    }

    /// Reads the keys at the start, so that the first caller does not wait and a wrong setting is an error.
    pub async fn prepare(&self) -> anyhow::Result<()> {
        self.keys.prepare(self.clock.now()).await
    }

    /// Reads the keys again when they are due, so that callers do not wait for the issuer.
    pub async fn keep_keys(&self) {
        self.keys.keep_new(self.clock.now()).await;
    }

    /// The holder of this token. May ask the issuer for keys, which takes up to a few seconds.
    pub async fn caller(&self, token: &str) -> Result<Caller, Refused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refused::Token("it is too long"));
        }
        let header = decode_header(token)
            .map_err(|_| Refused::Token("it is not a JWT, or its algorithm is never accepted"))?;
        if header.crit.is_some() {
            return Err(Refused::Token("it has critical headers"));
        }
        if !self.is_access_token(header.typ.as_deref()) {
            return Err(Refused::Token("its type is not that of an access token"));
        }
        let now = self.clock.now();
        let key = self.keys.find(header.alg, header.kid.as_deref(), now).await?;
        let mut signature_only = Validation::new(key.algorithm);
        // `check` does the claims, by the service's own clock.
        signature_only.required_spec_claims.clear();
        signature_only.validate_exp = false;
        signature_only.validate_aud = false;
        let token = decode::<Claims>(token, &key.key, &signature_only)
            .map_err(|_| Refused::Token("its signature or its claims are invalid"))?;
        self.check(&token.claims, now).map_err(Refused::Token)
    }

    /// Whether a header's `typ` is that of an access token. ID tokens and logout tokens of the same issuer
    /// are signed with the same key (RFC 8725, 3.11).
    fn is_access_token(&self, typ: Option<&str>) -> bool {
        let bare = |typ: &str| {
            let typ = typ.to_ascii_lowercase();
            typ.strip_prefix("application/").unwrap_or(&typ).to_owned()
        };
        match (&self.token_type, typ.map(bare)) {
            (Some(wanted), typ) => typ.as_ref() == Some(wanted),
            (None, None) => true,
            (None, Some(typ)) => typ == "jwt" || typ == "at+jwt",
        }
    }

    fn check(&self, claims: &Claims, now: Timestamp) -> Result<Caller, &'static str> {
        let (now, leeway) = (now.timestamp_millis() as f64 / 1_000.0, self.leeway.as_secs_f64());
        let expires = claims.exp.ok_or("it never expires")?;
        if now >= expires + leeway {
            return Err("it has expired");
        }
        if claims.nbf.is_some_and(|begins| now < begins - leeway) {
            return Err("it is not valid yet");
        }
        if claims.iat.is_some_and(|issued| now < issued - leeway) {
            return Err("it was issued in the future");
        }
        let lifetime = expires - claims.iat.unwrap_or(now).min(now);
        if self.lifetime_max.is_some_and(|most| lifetime > most.as_secs_f64() + leeway) {
            return Err("it is valid for longer than JWT_MAX_LIFETIME");
        }
        if claims.at_hash.is_some() || claims.c_hash.is_some() {
            return Err("it is an ID token");
        }
        if self.issuer.as_ref().is_some_and(|issuer| claims.iss.as_ref() != Some(issuer)) {
            return Err("it is from another issuer");
        }
        if self.audience.as_ref().is_some_and(|audience| !claims.aud.all().contains(audience)) {
            return Err("it is for another audience");
        }
        let user = match &claims.sub {
            Some(Subject::Number(number)) => Some(*number),
            // Only the canonical form: "+7" and "007" are different users to a service that compares strings.
            Some(Subject::Text(text)) => {
                text.parse().ok().filter(|number: &i64| number.to_string() == *text)
            }
            None => None,
        };
        let user = user.filter(|user| *user > 0).ok_or("its subject is not a user's number")?;
        let has =
            |scope: Scope| claims.scope.have(scope.as_str()) || claims.scp.have(scope.as_str());
        Ok(Caller::Known {
            user: UserId(user),
            flights_write: has(Scope::FlightsWrite),
            bookings_admin: has(Scope::BookingsAdmin),
            webhooks_write: has(Scope::WebhooksWrite),
        })
    }
}
