//! Flight locks in Redis: one key a flight, taken by `SET NX PX` with a random token.
//!
//! A lock lapses after its lease, so that a crash does not keep it for ever; a longer batch renews it. For
//! fairness a replica that does not get a flight leaves its name in a second key, and the holder's release
//! hands the lock over to that name. Otherwise a busy replica would take its own lock again before another
//! one asks.

use super::{FlightLocks, Taken};
use crate::domain::FlightId;
use crate::redis::{Ask, Redis, Reply, Script, digest_of};
use async_trait::async_trait;
use redis::Value;
use std::convert::Infallible;
use std::time::Duration;

/// How long a lock outlives its holder.
const LEASE: Duration = Duration::from_secs(5);

/// How long a waiting replica's name is kept, and a lock reserved for it, until it asks again.
const HANDOVER_TTL: Duration = Duration::from_millis(50);

/// Takes a lock that is free or handed over to the caller; otherwise leaves the caller's name.
/// Arguments: token, lease in ms, name, reservation in ms.
static ASK_AGAIN: Script = Script::new(ASK_AGAIN_TEXT, || digest_of(ASK_AGAIN_TEXT));
const ASK_AGAIN_TEXT: &str = r"
local holder = redis.call('GET', KEYS[1])
if not holder or holder == 'for:' .. ARGV[3] then
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    if redis.call('GET', KEYS[2]) == ARGV[3] then redis.call('DEL', KEYS[2]) end
    return 1
end
local waits = redis.call('GET', KEYS[2])
if not waits or waits == ARGV[3] then redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4]) end
return 0";

/// Releases a lock that holds the token: hands it to the waiting replica, or frees it.
/// Arguments: token, name, reservation in ms.
static RELEASE: Script = Script::new(RELEASE_TEXT, || digest_of(RELEASE_TEXT));
const RELEASE_TEXT: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local waits = redis.call('GET', KEYS[2])
if waits and waits ~= ARGV[2] then
    redis.call('SET', KEYS[1], 'for:' .. waits, 'PX', ARGV[3])
    redis.call('DEL', KEYS[2])
else
    redis.call('DEL', KEYS[1])
end
return 1";

/// Renews a lock that holds the token. Arguments: token, lease in ms.
static RENEW: Script = Script::new(RENEW_TEXT, || digest_of(RENEW_TEXT));
const RENEW_TEXT: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])";

/// Flight locks in Redis, for one replica.
pub struct RedisLocks {
    redis: Redis,
    prefix: String,
    /// This replica's name among waiting ones.
    name: String,
    lease: Duration,
}

impl RedisLocks {
    /// Locks whose keys begin with `prefix`. Each value counts as a replica.
    pub fn new(redis: Redis, prefix: &str) -> Self {
        Self::with_lease(redis, prefix, LEASE)
    }

    /// The same, with another lease.
    pub fn with_lease(redis: Redis, prefix: &str, lease: Duration) -> Self {
        Self { redis, prefix: prefix.to_owned(), name: random_name(), lease }
    }

    /// Key of a lock. The braces keep both keys of a flight in one slot of a Cluster.
    fn lock(&self, flight: FlightId) -> String {
        format!("{}{{{flight}}}", self.prefix)
    }

    fn queue(&self, flight: FlightId) -> String {
        format!("{}{{{flight}}}:waits", self.prefix)
    }

    fn on_both(&self, script: &'static Script, flight: FlightId) -> Ask {
        Ask::script(script, vec![self.lock(flight), self.queue(flight)])
    }

    /// Asks for the locks. A lock without an answer counts as taken.
    async fn ask_for(&self, flights: &[FlightId], token: &str) -> Vec<bool> {
        let lease = self.lease.as_millis();
        let set = |flight: &FlightId| {
            let ask = Ask::command("SET", self.lock(*flight)).with(token);
            ask.with("NX").with("PX").with(lease)
        };
        let asks: Vec<_> = flights.iter().map(set).collect();
        let replies = self.redis.ask_all(&asks).await;
        replies.iter().map(|reply| !matches!(reply, Ok(Value::Nil))).collect()
    }

    async fn ask_again(&self, flights: &[FlightId], token: &str) -> Vec<bool> {
        let ask = |flight: &FlightId| {
            let ask = self.on_both(&ASK_AGAIN, *flight).with(token).with(self.lease.as_millis());
            ask.with(&self.name).with(HANDOVER_TTL.as_millis())
        };
        let asks: Vec<_> = flights.iter().map(ask).collect();
        let replies = self.redis.ask_all(&asks).await;
        let is_taken = |reply: &Reply| !matches!(reply, Ok(Value::Int(0)));
        replies.iter().map(is_taken).collect()
    }
}

#[async_trait]
impl FlightLocks for RedisLocks {
    async fn take(&self, flights: &[FlightId]) -> Taken {
        let token = random_name();
        let free = self.ask_for(flights, &token).await;
        let pick = |flights: &[FlightId], free: &[bool], wanted: bool| -> Vec<FlightId> {
            let both = flights.iter().zip(free);
            both.filter(|(_, free)| **free == wanted).map(|(flight, _)| *flight).collect()
        };
        let mut taken = pick(flights, &free, true);
        let busy = pick(flights, &free, false);
        if !busy.is_empty() {
            let handed_over = self.ask_again(&busy, &token).await;
            taken.extend(pick(&busy, &handed_over, true));
        }
        Taken { flights: taken, token: Some(token) }
    }

    async fn keep(&self, taken: &Taken) -> Infallible {
        let Some(token) = &taken.token else { return std::future::pending().await };
        loop {
            tokio::time::sleep(self.lease / 3).await;
            let renew = |flight: &FlightId| {
                let ask = Ask::script(&RENEW, vec![self.lock(*flight)]);
                ask.with(token).with(self.lease.as_millis())
            };
            let asks: Vec<_> = taken.flights.iter().map(renew).collect();
            // Without a renewal the lock lapses. Another replica may then decide on the same flight, and versions protect the seats.
            self.redis.ask_all(&asks).await;
        }
    }

    async fn release(&self, taken: Taken) {
        let Some(token) = &taken.token else { return };
        let release = |flight: &FlightId| {
            let ask = self.on_both(&RELEASE, *flight).with(token);
            ask.with(&self.name).with(HANDOVER_TTL.as_millis())
        };
        let asks: Vec<_> = taken.flights.iter().map(release).collect();
        // Without a release the lock lapses.
        self.redis.ask_all(&asks).await;
    }
}

fn random_name() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
