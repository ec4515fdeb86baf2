//! Who calls, and what they may do: JSON Web Tokens (RFC 7519) that someone else has issued.
//!
//! Knows no HTTP and no users: a token's `sub` is the user's number, its scopes are what staff may
//! do. The algorithm is the key's, never the token's word alone (RFC 8725, 3.1).

mod keys;
mod signatures;

use crate::clock::Clock;
use crate::config::JwtSettings;
use crate::domain::{Timestamp, UserId};
use jsonwebtoken::{Validation, decode, decode_header};
use keys::Keys;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a token at most.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// What staff may do beyond what users may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Create and change flights.
    FlightsWrite,
    /// See, make and cancel the bookings of others.
    BookingsAdmin,
}

impl Scope {
    /// The word in a token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FlightsWrite => "flights:write",
            Self::BookingsAdmin => "bookings:admin",
        }
    }
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// There are no identities (`AUTH=off`): may do all.
    Anyone,
    /// The holder of a token.
    Known {
        /// Who it is.
        user: UserId,
        /// Has [`Scope::FlightsWrite`].
        flights_write: bool,
        /// Has [`Scope::BookingsAdmin`].
        bookings_admin: bool,
    },
}

impl Caller {
    /// Whether the caller has a scope.
    pub fn may(&self, scope: Scope) -> bool {
        match (self, scope) {
            (Self::Anyone, _) => true,
            (Self::Known { flights_write, .. }, Scope::FlightsWrite) => *flights_write,
            (Self::Known { bookings_admin, .. }, Scope::BookingsAdmin) => *bookings_admin,
        }
    }

    /// Whether a token says that the caller is staff with this scope. Without identities nobody is.
    pub fn is_staff(&self, scope: Scope) -> bool {
        *self != Self::Anyone && self.may(scope)
    }

    /// Whether a user's bookings are the caller's own, or of no concern because it is staff.
    pub fn may_act_for(&self, owner: UserId) -> bool {
        match self {
            Self::Known { user, .. } if *user == owner => true,
            _ => self.may(Scope::BookingsAdmin),
        }
    }
}

/// Why a token tells us nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no token that we accept; in words that repeat nothing of it.
    #[error("{0}")]
    Token(&'static str),
    /// The keys to check it with cannot be had just now.
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

/// What a token says, of which the rest is ignored.
#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
    nbf: Option<f64>,
    iat: Option<f64>,
    iss: Option<String>,
    #[serde(default)]
    aud: Words,
    sub: Option<Subject>,
    /// As RFC 8693 has it: words in one text. Some issuers send a list.
    #[serde(default)]
    scope: Words,
    /// What others call it.
    #[serde(default)]
    scp: Words,
    /// What ID tokens alone have (`OpenID` Connect Core, 3.1.3.6 and 3.3.2.11).
    at_hash: Option<IgnoredAny>,
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

    /// Whether the word is among them, alone or between spaces.
    fn have(&self, word: &str) -> bool {
        self.all().iter().any(|text| text.split(' ').any(|one| one == word))
    }
}

impl Tokens {
    /// Checks tokens as the settings want it; the keys are read when they are first needed.
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

    /// Reads the keys now, so that the first caller need not wait and a wrong setting is told.
    pub async fn prepare(&self) -> anyhow::Result<()> {
        self.keys.prepare(self.clock.now()).await
    }

    /// Reads the keys again when they are due, so that no caller waits for their issuer.
    pub async fn keep_keys(&self) {
        self.keys.keep_new(self.clock.now()).await;
    }

    /// The holder of this token. May ask the issuer for keys, which takes a few seconds at most.
    pub async fn caller(&self, token: &str) -> Result<Caller, Refused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refused::Token("it is too long"));
        }
        let header = decode_header(token).map_err(|_| {
            Refused::Token("it is no JWT, or of an algorithm that is never accepted")
        })?;
        if header.crit.is_some() {
            return Err(Refused::Token("it has critical headers"));
        }
        if !self.is_access_token(header.typ.as_deref()) {
            return Err(Refused::Token("its type is not one of an access token"));
        }
        let now = self.clock.now();
        let key = self.keys.find(header.alg, header.kid.as_deref(), now).await?;
        let mut signed_alone = Validation::new(key.algorithm);
        // What it claims is checked below, by our clock.
        signed_alone.required_spec_claims.clear();
        signed_alone.validate_exp = false;
        signed_alone.validate_aud = false;
        let token = decode::<Claims>(token, &key.key, &signed_alone)
            .map_err(|_| Refused::Token("its signature or its claims are not sound"))?;
        self.check(&token.claims, now).map_err(Refused::Token)
    }

    /// Whether a header's `typ` is that of a token for a service: an ID token or a logout token of the same
    /// issuer is signed with the same key (RFC 8725, 3.11).
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
            return Err("it was issued later than now");
        }
        let lifetime = expires - claims.iat.unwrap_or(now).min(now);
        if self.lifetime_max.is_some_and(|most| lifetime > most.as_secs_f64() + leeway) {
            return Err("it is valid for longer than JWT_MAX_LIFETIME");
        }
        if claims.at_hash.is_some() || claims.c_hash.is_some() {
            return Err("it is an ID token");
        }
        if self.issuer.as_ref().is_some_and(|issuer| claims.iss.as_ref() != Some(issuer)) {
            return Err("it is of another issuer");
        }
        if self.audience.as_ref().is_some_and(|audience| !claims.aud.all().contains(audience)) {
            return Err("it is meant for another audience");
        }
        let user = match &claims.sub {
            Some(Subject::Number(number)) => Some(*number),
            // In one way only: "+7" and "007" may be other users to those who compare texts.
            Some(Subject::Text(text)) => {
                text.parse().ok().filter(|number: &i64| number.to_string() == *text)
            }
            None => None,
        };
        let user = user.filter(|user| *user > 0).ok_or("its subject is no user's number")?;
        let has =
            |scope: Scope| claims.scope.have(scope.as_str()) || claims.scp.have(scope.as_str());
        Ok(Caller::Known {
            user: UserId(user),
            flights_write: has(Scope::FlightsWrite),
            bookings_admin: has(Scope::BookingsAdmin),
        })
    }
}
