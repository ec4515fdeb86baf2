//! The keys of tokens: a shared secret, or a set of public keys (RFC 7517) from a file or a URL.
//!
//! A set is read again when it gets old, and when a token names a key that it lacks.

mod document;
mod fetch;

use super::Refused;
use crate::clock::Clock;
use crate::config::KeySource;
use crate::domain::Timestamp;
use anyhow::Context;
use chrono::TimeDelta;
use document::Key;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use tracing::{info, warn};

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
            KeySource::Url(url) => fetch::fetch(url).await?,
            KeySource::Secret(_) => Vec::new(),
        };
        let keys = document::keys_of(&document)?;
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
