//! The keys of tokens: a shared secret, or a set of public keys (RFC 7517) from a file or a URL.
//!
//! A set is read again when it gets old, and when a token names a key that it lacks.

use super::Refused;
use crate::clock::Clock;
use crate::config::KeySource;
use crate::domain::Timestamp;
use anyhow::{Context, ensure};
use chrono::TimeDelta;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::{Mutex, RwLock};
use reqwest::Url;
use reqwest::redirect::Policy;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// Maximum keys that are used of a set.
const KEYS_MAX: usize = 64;

/// Maximum length of a set's document, in bytes.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;

/// Length of an RSA modulus in base64: 2,048 bits (RFC 7518, 3.3) to 8,192, which bounds the time to check
/// a signature.
const MODULUS_CHARS: std::ops::RangeInclusive<usize> = 342..=1_366;

/// How long a request to the set's URL may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);

/// Maximum redirects that are followed from the set's URL.
const REDIRECTS_MAX: usize = 2;

/// Age at which a set is read again in the background, well before [`OLD_AFTER`].
const REFRESH_AFTER: TimeDelta = TimeDelta::minutes(5);

/// Age at which a set must be read again before it is used: the longest time that a withdrawn key is
/// accepted, unless the issuer does not answer.
const OLD_AFTER: TimeDelta = TimeDelta::minutes(10);

/// Age at which a set is no longer used while the issuer does not answer. Bridges an outage, and bounds how
/// long a withdrawn key is accepted.
const EXPIRED_AFTER: TimeDelta = TimeDelta::hours(1);

/// Minimum time between two attempts to read the set again, however many tokens name keys that it lacks.
const RETRY_AFTER: TimeDelta = TimeDelta::seconds(30);

/// The same while no set was read yet.
const FIRST_RETRY_AFTER: TimeDelta = TimeDelta::seconds(1);

/// A key, and the only algorithm that it is used with.
pub(super) struct Key {
    id: Option<String>,
    pub algorithm: Algorithm,
    pub key: DecodingKey,
}

/// The source of keys.
pub(super) enum Keys {
    Secret(Arc<Key>),
    Set(Arc<KeySet>),
}

/// A set of public keys that is kept elsewhere.
pub(super) struct KeySet {
    source: KeySource,
    clock: Arc<dyn Clock>,
    read: RwLock<Option<Read>>,
    attempts: Mutex<Attempts>,
}

/// Attempts to read a set, one at a time.
#[derive(Default)]
struct Attempts {
    /// The running attempt, shared by all callers that wait for it. Resolves to the error, if it fails.
    running: Option<Attempt>,
    /// When the last attempt ended.
    ended: Option<Timestamp>,
}

type Attempt = Shared<BoxFuture<'static, Option<Arc<str>>>>;

/// A set as it was read.
#[derive(Clone)]
struct Read {
    keys: Arc<[Arc<Key>]>,
    at: Timestamp,
}

impl Keys {
    pub(super) fn of(source: &KeySource, clock: Arc<dyn Clock>) -> Self {
        match source {
            KeySource::Secret(secret) => Self::Secret(Arc::new(Key {
                id: None,
                algorithm: Algorithm::HS256,
                key: DecodingKey::from_secret(secret.expose().as_bytes()),
            })),
            KeySource::File(_) | KeySource::Url(_) => Self::Set(Arc::new(KeySet {
                source: source.clone(),
                clock,
                read: RwLock::default(),
                attempts: Mutex::default(),
            })),
        }
    }

    /// Reads a set for the first time. A file must exist; a URL may answer later.
    pub(super) async fn prepare(&self, now: Timestamp) -> anyhow::Result<()> {
        let Self::Set(set) = self else { return Ok(()) };
        let read = set.read_again(now).await;
        set.attempts.lock().ended = Some(set.clock.now());
        match (read, &set.source) {
            (Err(error), KeySource::Url(_)) => {
                warn!(
                    error = format!("{error:#}"),
                    "JWT_JWKS cannot be read yet, so no token is accepted"
                );
                Ok(())
            }
            (result, _) => result.context("JWT_JWKS cannot be used"),
        }
    }

    /// Reads a set again if it is due.
    pub(super) async fn keep_new(&self, now: Timestamp) {
        if let Self::Set(set) = self {
            set.keep_new(now).await;
        }
    }

    /// The key that a token's header names.
    pub(super) async fn find(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<Key>, Refused> {
        match self {
            Self::Secret(key) if key.algorithm == algorithm => Ok(key.clone()),
            Self::Secret(_) => Err(Refused::Token("its algorithm is not HS256")),
            Self::Set(set) => set.find(algorithm, id, now).await,
        }
    }
}

impl KeySet {
    async fn find(
        self: &Arc<Self>,
        algorithm: Algorithm,
        id: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<Key>, Refused> {
        let kept = self.read().filter(|read| now < read.at + EXPIRED_AFTER);
        let is_old = kept.as_ref().is_none_or(|read| now >= read.at + OLD_AFTER);
        let known = kept.and_then(|read| read.find(algorithm, id));
        let attempt = match &known {
            Some(_) if !is_old => None,
            // The set is old: one caller at a time waits for the issuer, and seldom. The others use the
            // known key, so an issuer that does not answer does not delay them.
            Some(_) => self.begin(now),
            None => self.begin_or_join(now),
        };
        let failed = match attempt {
            Some(attempt) => attempt.await,
            None => None,
        };
        match self.read() {
            Some(read) if now < read.at + EXPIRED_AFTER => {
                read.find(algorithm, id).ok_or(Refused::Token("its key is not known"))
            }
            _ => Err(Refused::NoKeys(failed.as_deref().unwrap_or("not yet").to_owned())),
        }
    }

    /// Reads the set again if it is due and no attempt is running.
    async fn keep_new(self: &Arc<Self>, now: Timestamp) {
        if self.read().is_none_or(|read| now >= read.at + REFRESH_AFTER)
            && let Some(attempt) = self.begin(now)
        {
            attempt.await;
        }
    }

    fn read(&self) -> Option<Read> {
        self.read.read().clone()
    }

    /// The running attempt, or a new one if one is due. Callers share it, so none waits for more than one
    /// response.
    fn begin_or_join(self: &Arc<Self>, now: Timestamp) -> Option<Attempt> {
        let running = self.attempts.lock().running.clone();
        running.filter(|attempt| attempt.peek().is_none()).or_else(|| self.begin(now))
    }

    /// A new attempt to read the set, unless one is running or has just ended.
    ///
    /// It is a task of its own: if callers that disconnect ended the attempt, the set might never be read.
    fn begin(self: &Arc<Self>, now: Timestamp) -> Option<Attempt> {
        let pause = if self.read().is_some() { RETRY_AFTER } else { FIRST_RETRY_AFTER };
        let mut attempts = self.attempts.lock();
        let is_running = attempts.running.as_ref().is_some_and(|running| running.peek().is_none());
        if is_running || attempts.ended.is_some_and(|ended| now < ended + pause) {
            return None;
        }
        let set = self.clone();
        let reading = tokio::spawn(async move {
            let failed = set.read_again(now).await.err().map(|error| format!("{error:#}"));
            if let Some(error) = &failed {
                warn!(error, "reading the keys of tokens failed");
            }
            let mut attempts = set.attempts.lock();
            attempts.running = None;
            attempts.ended = Some(set.clock.now());
            failed.map(Arc::from)
        });
        let attempt =
            async { reading.await.unwrap_or_else(|error| Some(error.to_string().into())) };
        let attempt = attempt.boxed().shared();
        attempts.running = Some(attempt.clone());
        Some(attempt)
    }

    async fn read_again(&self, now: Timestamp) -> anyhow::Result<()> {
        let document = match &self.source {
            // A small local file, read seldom: not worth a blocking thread.
            KeySource::File(file) => {
                std::fs::read(file).with_context(|| file.display().to_string())?
            }
            KeySource::Url(url) => fetch(url).await?,
            KeySource::Secret(_) => Vec::new(),
        };
        let keys = keys_of(&document)?;
        info!(keys = keys.len(), "read the keys of tokens");
        let read = Read { keys: keys.into(), at: now };
        *self.read.write() = Some(read);
        Ok(())
    }
}

impl Read {
    /// The key with this id and algorithm; without an id, the only key of the algorithm.
    fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Option<Arc<Key>> {
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| key.algorithm == algorithm && (id.is_none() || key.id.as_deref() == id));
        let first = fitting.next()?;
        (id.is_some() || fitting.next().is_none()).then(|| first.clone())
    }
}

/// Follows up to [`REDIRECTS_MAX`] redirects, and none from https to http or to another host, where the
/// keys could be someone else's.
fn redirects() -> Policy {
    Policy::custom(|attempt| {
        let from = attempt.previous().last();
        match from {
            Some(from) if leaves_issuer(from, attempt.url()) => {
                attempt.error("a redirect from https to http, or to another host")
            }
            _ if attempt.previous().len() > REDIRECTS_MAX => attempt.error("too many redirects"),
            _ => attempt.follow(),
        }
    })
}

fn leaves_issuer(from: &Url, to: &Url) -> bool {
    from.host() != to.host() || (from.scheme() == "https" && to.scheme() != "https")
}

async fn fetch(url: &str) -> anyhow::Result<Vec<u8>> {
    crate::tls::provide();
    let client = reqwest::Client::builder().timeout(FETCH_TIMEOUT).redirect(redirects()).build()?;
    // The URL may contain a password, so errors are reported without it.
    let answer = client.get(url).send().await.map_err(reqwest::Error::without_url)?;
    let mut answer = answer.error_for_status().map_err(reqwest::Error::without_url)?;
    let mut document = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
        document.extend_from_slice(&chunk);
        ensure!(document.len() <= DOCUMENT_BYTES_MAX, "it is longer than 256 KiB");
    }
    Ok(document)
}

/// The usable keys of a set; an error if there are none.
fn keys_of(document: &[u8]) -> anyhow::Result<Vec<Arc<Key>>> {
    #[derive(Deserialize)]
    struct Document {
        keys: Vec<Value>,
    }
    ensure!(document.len() <= DOCUMENT_BYTES_MAX, "it is longer than 256 KiB");
    let Document { keys } = serde_json::from_slice(document).context("it is not a JWK set")?;
    // Keys of unknown types must be ignored (RFC 7517, 5).
    let keys = keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    let keys: Vec<_> = keys.filter_map(|jwk| usable(&jwk)).take(KEYS_MAX).map(Arc::new).collect();
    ensure!(!keys.is_empty(), "it has no usable key for RS256, ES256 or EdDSA");
    Ok(keys)
}

/// The key with the algorithm of its type; `None` if it is not for signatures of that algorithm.
fn usable(jwk: &Jwk) -> Option<Key> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) if MODULUS_CHARS.contains(&key.n.len()) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        // A set of public keys must not contain secrets.
        _ => return None,
    };
    let common = &jwk.common;
    let is_for_signatures = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
    let named = common.key_algorithm.map(|named| named.to_string());
    let is_for_this = named.is_none_or(|named| named == format!("{algorithm:?}"));
    if !is_for_signatures || !is_for_this {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(Key { id: common.key_id.clone(), algorithm, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leaves_neither_tls_nor_the_issuer() {
        let url = |text: &str| text.parse().expect(text);
        let (plain, secure) = (url("http://id.example/keys"), url("https://id.example/keys"));
        let (other, inner) = (url("https://evil.example/keys"), url("http://169.254.169.254/keys"));
        for (from, to) in [(&secure, &plain), (&secure, &other), (&plain, &inner), (&plain, &other)]
        {
            assert!(leaves_issuer(from, to), "{from} {to}");
        }
        for (from, to) in [(&secure, &secure), (&plain, &secure), (&plain, &plain)] {
            assert!(!leaves_issuer(from, to), "{from} {to}");
        }
    }
}
