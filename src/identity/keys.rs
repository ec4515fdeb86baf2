//! The keys that tokens are signed with: a shared secret, or a set of public keys (RFC 7517) that is
//! read again when a token names a key that is not in it.

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
use reqwest::Url;
use reqwest::redirect::Policy;
use serde::Deserialize;
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::Duration;
use tracing::{info, warn};

/// Keys of a set that are kept, and bytes of the document.
const KEYS_MAX: usize = 64;
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;

/// Characters of an RSA modulus in base64: 2,048 bits (RFC 7518, 3.3) to 8,192, which bounds the
/// work of one signature.
const MODULUS_CHARS: std::ops::RangeInclusive<usize> = 342..=1_366;

/// For reading the set from its URL.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
const REDIRECTS_MAX: usize = 2;

/// When a set is read again, so that it is new before it is old.
const NEW_FOR: TimeDelta = TimeDelta::minutes(5);

/// How long a set is believed: a key that was withdrawn is accepted no longer than that, unless its
/// issuer can't be asked.
const KEPT_FOR: TimeDelta = TimeDelta::minutes(10);

/// How long it is believed then: an outage of the issuer, and not a way to keep a withdrawn key.
const KEPT_WITHOUT_ISSUER_FOR: TimeDelta = TimeDelta::hours(1);

/// How often it is read again at most, however many tokens name keys that are not in it.
const READ_AGAIN_AFTER: TimeDelta = TimeDelta::seconds(30);

/// And how often where none was read yet.
const TRY_AGAIN_AFTER: TimeDelta = TimeDelta::seconds(1);

/// A key and the one algorithm that it is for.
pub(super) struct Key {
    id: Option<String>,
    pub algorithm: Algorithm,
    pub key: DecodingKey,
}

/// All keys, wherever they are.
pub(super) enum Keys {
    Secret(Arc<Key>),
    Set(Arc<KeySet>),
}

/// A set that is kept elsewhere.
pub(super) struct KeySet {
    source: KeySource,
    clock: Arc<dyn Clock>,
    read: RwLock<Option<Read>>,
    attempts: Mutex<Attempts>,
}

/// Attempts to read a set; one at a time.
#[derive(Default)]
struct Attempts {
    /// Ends when the running one has, for all who wait for it; says why it failed.
    running: Option<Attempt>,
    /// When the last one ended.
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

    /// Reads a set for the first time. A file must be there; a URL may answer later.
    pub(super) async fn prepare(&self, now: Timestamp) -> anyhow::Result<()> {
        let Self::Set(set) = self else { return Ok(()) };
        let read = set.read_again(now).await;
        set.attempts().ended = Some(set.clock.now());
        match (read, &set.source) {
            (Err(error), KeySource::Url(_)) => {
                warn!(error = format!("{error:#}"), "JWT_JWKS cannot be read; tokens wait for it");
                Ok(())
            }
            (result, _) => result.context("JWT_JWKS cannot be used"),
        }
    }

    /// Reads a set again before it is old.
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
        let kept = self.read().filter(|read| now < read.at + KEPT_WITHOUT_ISSUER_FOR);
        let is_old = kept.as_ref().is_none_or(|read| now >= read.at + KEPT_FOR);
        let known = kept.and_then(|read| read.find(algorithm, id));
        let attempt = match &known {
            Some(_) if !is_old => None,
            // An issuer that does not answer delays no one whose key is known: it is asked by one at
            // a time, and seldom.
            Some(_) => self.begin(now),
            None => self.begin_or_join(now),
        };
        let failed = match attempt {
            Some(attempt) => attempt.await,
            None => None,
        };
        match self.read() {
            Some(read) if now < read.at + KEPT_WITHOUT_ISSUER_FOR => {
                read.find(algorithm, id).ok_or(Refused::Token("its key is not known"))
            }
            _ => Err(Refused::NoKeys(failed.as_deref().unwrap_or("not yet").to_owned())),
        }
    }

    /// Reads the set again when it is due, unless someone is at it.
    async fn keep_new(self: &Arc<Self>, now: Timestamp) {
        if self.read().is_none_or(|read| now >= read.at + NEW_FOR)
            && let Some(attempt) = self.begin(now)
        {
            attempt.await;
        }
    }

    fn read(&self) -> Option<Read> {
        self.read.read().expect("no holder of the keys panics").clone()
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().expect("no holder of the attempts panics")
    }

    /// The running attempt, or a new one if it is due. Those who wait share it, so that none waits
    /// longer than for one answer.
    fn begin_or_join(self: &Arc<Self>, now: Timestamp) -> Option<Attempt> {
        let running = self.attempts().running.clone();
        running.filter(|attempt| attempt.peek().is_none()).or_else(|| self.begin(now))
    }

    /// A new attempt to read the set, unless one is running or has ended just now.
    ///
    /// A task of its own: a caller that goes away must not take an attempt with it, or callers that
    /// always do could keep the set from ever being read.
    fn begin(self: &Arc<Self>, now: Timestamp) -> Option<Attempt> {
        let pause = if self.read().is_some() { READ_AGAIN_AFTER } else { TRY_AGAIN_AFTER };
        let mut attempts = self.attempts();
        let is_running = attempts.running.as_ref().is_some_and(|running| running.peek().is_none());
        if is_running || attempts.ended.is_some_and(|ended| now < ended + pause) {
            return None;
        }
        let set = self.clone();
        let reading = tokio::spawn(async move {
            let failed = set.read_again(now).await.err().map(|error| format!("{error:#}"));
            if let Some(error) = &failed {
                warn!(error, "the keys that tokens are signed with could not be read again");
            }
            let mut attempts = set.attempts();
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
            // Small, on a disk, and seldom: not worth a thread.
            KeySource::File(file) => {
                std::fs::read(file).with_context(|| file.display().to_string())?
            }
            KeySource::Url(url) => fetch(url).await?,
            KeySource::Secret(_) => Vec::new(),
        };
        let keys = keys_of(&document)?;
        info!(keys = keys.len(), "read the keys that tokens are signed with");
        let read = Read { keys: keys.into(), at: now };
        *self.read.write().expect("no holder of the keys panics") = Some(read);
        Ok(())
    }
}

impl Read {
    /// The key of this name for this algorithm; the only one for it where no name is given.
    fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Option<Arc<Key>> {
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| key.algorithm == algorithm && (id.is_none() || key.id.as_deref() == id));
        let first = fitting.next()?;
        (id.is_some() || fitting.next().is_none()).then(|| first.clone())
    }
}

/// Follows two redirects at most, and none that leaves TLS or the issuer's host: they would have keys of
/// somebody else.
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
    // The URL may hold a password: errors are told without it.
    let answer = client.get(url).send().await.map_err(reqwest::Error::without_url)?;
    let mut answer = answer.error_for_status().map_err(reqwest::Error::without_url)?;
    let mut document = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
        document.extend_from_slice(&chunk);
        ensure!(document.len() <= DOCUMENT_BYTES_MAX, "it is too long");
    }
    Ok(document)
}

/// The keys of a set that we can use; an error if there are none.
fn keys_of(document: &[u8]) -> anyhow::Result<Vec<Arc<Key>>> {
    #[derive(Deserialize)]
    struct Document {
        keys: Vec<Value>,
    }
    ensure!(document.len() <= DOCUMENT_BYTES_MAX, "it is too long");
    let Document { keys } = serde_json::from_slice(document).context("it is no JWK set")?;
    // Keys of kinds that we do not know are for others (RFC 7517, 5).
    let keys = keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    let keys: Vec<_> = keys.filter_map(|jwk| usable(&jwk)).take(KEYS_MAX).map(Arc::new).collect();
    ensure!(!keys.is_empty(), "it has no key for RS256, ES256 or EdDSA");
    Ok(keys)
}

/// A key with the algorithm of its kind, if it is for signatures by that algorithm.
fn usable(jwk: &Jwk) -> Option<Key> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) if MODULUS_CHARS.contains(&key.n.len()) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        // A secret has no place in a document of public keys.
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
