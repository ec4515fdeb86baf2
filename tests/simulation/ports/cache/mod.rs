//! The simulated cache: as the one in Redis, shared answers under generations that any replica may end.

mod own;
mod server;

use super::chance::Fault;
use super::process::Process;
use airline_booking::cache::{CacheAway, Generation, SearchCache};
use airline_booking::domain::{DayKey, Invalidation};
use async_trait::async_trait;
use bytes::Bytes;
use own::{Heard, Own};
use parking_lot::Mutex;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

pub use server::CacheServer;

/// How long a generation is used without asking again.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// The pause between two flushes of invalidations.
const FLUSH_EVERY: Duration = Duration::from_millis(50);

/// Longest time of one call.
const LATENCY: Duration = Duration::from_millis(2);

/// A replica's connection to the shared cache.
pub struct SimCache {
    server: CacheServer,
    process: Process,
    own: Mutex<Own>,
    began: Instant,
    told: Notify,
}

impl SimCache {
    /// The connection of one process.
    pub fn new(server: &CacheServer, process: &Process) -> Self {
        let (server, process) = (server.clone(), process.clone());
        Self { server, process, own: Mutex::default(), began: Instant::now(), told: Notify::new() }
    }

    /// Waits for the shared cache. After an outage all generations end: others may have invalidated answers in
    /// the meantime and not been able to say so.
    async fn answers(&self) -> Result<(), CacheAway> {
        self.process.pause(LATENCY).await;
        let is_away = self.process.strikes(Fault::CacheAway);
        let was_away = std::mem::replace(&mut self.own.lock().was_away, is_away);
        if is_away {
            return Err(CacheAway);
        }
        if was_away {
            self.server.end_all();
        }
        Ok(())
    }

    async fn ask(&self, key: &DayKey) -> Heard {
        let asked_at = Instant::now();
        let answers = self.answers().await.is_ok();
        let token = if answers {
            self.server.current(key)
        } else {
            // A token for 100 ms, as answers live without the shared cache.
            (self.began.elapsed().as_millis() / CHECK_EVERY.as_millis()) as u64
        };
        let heard = Heard { token, is_shared: answers, asked_at };
        self.own.lock().heard.insert(key.clone(), heard);
        heard
    }

    fn is_usable(&self, key: &DayKey, generation: Generation) -> bool {
        generation.is_shared() && !self.own.lock().owes(key)
    }

    /// Tells the shared cache of what this process has ended.
    async fn flush(&self) {
        let owed = self.own.lock().owed();
        if owed.is_empty() || self.answers().await.is_err() {
            return;
        }
        self.server.end(owed.keys());
        self.own.lock().paid(&owed);
        self.process.step(|| format!("tells the cache of {} days", owed.len()));
    }
}

#[async_trait]
impl SearchCache for SimCache {
    async fn current(&self, key: &DayKey) -> Generation {
        self.process.alive().await;
        // Read first, so that a later invalidation makes this generation an old one.
        let (ends, heard) = {
            let own = self.own.lock();
            (own.ends(key), own.heard.get(key).copied())
        };
        let heard = match heard.filter(|heard| heard.asked_at.elapsed() < CHECK_EVERY) {
            Some(heard) => heard,
            None => self.ask(key).await,
        };
        Generation::new(heard.token, heard.is_shared, ends)
    }

    async fn fetch(&self, key: &DayKey, generation: Generation) -> Option<Bytes> {
        self.process.alive().await;
        let is_usable = self.is_usable(key, generation);
        // Takes time in any case: a reader that asks again and again must not stop simulated time.
        let answers = self.answers().await.is_ok();
        if is_usable && answers { self.server.fetch(key, generation.token()) } else { None }
    }

    async fn keep(&self, key: &DayKey, generation: Generation, answer: &Bytes) {
        self.process.alive().await;
        if self.is_usable(key, generation) && self.answers().await.is_ok() {
            self.server.keep(key, generation.token(), answer);
        }
    }

    fn invalidate(&self, keys: &[DayKey]) {
        if keys.is_empty() || self.process.is_dead() {
            return;
        }
        let mut own = self.own.lock();
        own.owe(keys);
        own.end(keys);
        self.told.notify_one();
    }

    fn needs_outbox(&self) -> bool {
        true
    }

    async fn invalidate_everywhere(&self, outdated: &Invalidation) -> Result<(), CacheAway> {
        self.process.alive().await;
        self.process.step(|| format!("invalidates {outdated:?}"));
        match outdated {
            Invalidation::All => {
                self.own.lock().end_all();
                self.answers().await?;
                self.server.end_all();
                self.own.lock().heard.clear();
            }
            Invalidation::Days(days) => {
                let key =
                    |(route, date): &(String, _)| DayKey { route: route.clone(), date: *date };
                let keys: Vec<_> = days.iter().map(key).collect();
                self.own.lock().end(&keys);
                self.answers().await?;
                self.server.end(&keys);
            }
        }
        Ok(())
    }

    async fn run(&self) {
        loop {
            self.told.notified().await;
            while !self.own.lock().owed().is_empty() {
                self.flush().await;
                sleep(FLUSH_EVERY).await;
            }
        }
    }

    async fn ping(&self) -> Result<(), CacheAway> {
        self.answers().await
    }
}
