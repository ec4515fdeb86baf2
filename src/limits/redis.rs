//! Shared rate limits in Redis: one key for each client, network or user that asks often. Its value is the
//! moment when the budget is whole again (GCRA's theoretical arrival time), by the clock of Redis, and it
//! expires then. And keys that are there once.

use super::{Limit, SharedLimits, Spent};
use crate::redis::{Ask, Redis, Reply, Script, digest_of};
use async_trait::async_trait;
use redis::Value;
use std::time::Duration;

/// Maximum keys of one call: it keeps Redis from other work for a fraction of a millisecond.
const KEYS_MAX: usize = 128;

/// How far ahead a budget can be spent, in bursts: what sixteen replicas admit before they know of each
/// other. It also bounds what a jump of the clock of Redis can do.
const BURSTS_MAX: u32 = 16;

/// Adds requests to each key and returns in how many µs its budget is whole again.
///
/// The sum of what replicas admitted, or this replica's own count if that is more: it is the exact one while
/// no other replica spends, also after pauses.
///
/// Arguments: µs to regain a request, maximum µs ahead; then for each key its requests, and in how many µs
/// its budget is whole by the replica's count.
static SPEND: Script = Script::new(SPEND_TEXT, || digest_of(SPEND_TEXT));
const SPEND_TEXT: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local ahead = {}
for at, key in ipairs(KEYS) do
    local sum = tonumber(redis.call('GET', key) or 0) + ARGV[2 * at + 1] * ARGV[1]
    local whole = math.min(math.max(sum, now + ARGV[2 * at + 2]), now + ARGV[2])
    ahead[at] = math.ceil(whole - now)
    local lives = math.max(1, math.ceil(ahead[at] / 1000))
    redis.call('SET', key, string.format('%.0f', whole), 'PX', lives)
end
return ahead";

/// Whether a key was not there; then it is, for this time. While Redis is away it counts as new.
pub(super) async fn is_new(redis: &Redis, key: String, time: Duration) -> bool {
    let ask = Ask::command("SET", key).with("1").with("NX").with("PX").with(time.as_millis());
    !matches!(redis.ask(ask).await, Ok(Value::Nil))
}

/// Rate limits that replicas share in Redis.
pub struct RedisLimits {
    redis: Redis,
    prefix: String,
}

impl RedisLimits {
    /// Limits whose keys begin with `prefix`, the same in each replica.
    pub fn new(redis: Redis, prefix: &str) -> Self {
        Self { redis, prefix: prefix.to_owned() }
    }

    /// A key. The braces keep all keys in one slot of a Cluster, since one call has many.
    fn key(&self, limit: &Limit, key: u64) -> String {
        format!("{{{}}}{}:{key:x}", self.prefix, limit.name)
    }

    fn ask(&self, limit: &Limit, spent: &[Spent]) -> Ask {
        let keys = spent.iter().map(|spent| self.key(limit, spent.key)).collect();
        let regain = limit.regain.as_secs_f64() * 1e6;
        let most = regain * f64::from(limit.burst) * f64::from(BURSTS_MAX);
        let ask = Ask::script(&SPEND, keys).with(regain).with(most);
        spent
            .iter()
            .fold(ask, |ask, spent| ask.with(spent.requests).with(spent.whole_in.as_micros()))
    }
}

#[async_trait]
impl SharedLimits for RedisLimits {
    async fn exchange(&self, limit: &Limit, spent: &[Spent]) -> Option<Vec<Duration>> {
        let asks: Vec<_> = spent.chunks(KEYS_MAX).map(|spent| self.ask(limit, spent)).collect();
        let replies = self.redis.ask_all(&asks).await;
        let ahead: Vec<_> = replies.into_iter().map(waits).collect::<Option<_>>()?;
        Some(ahead.concat())
    }
}

/// The µs of a reply.
fn waits(reply: Reply) -> Option<Vec<Duration>> {
    let Ok(Value::Array(waits)) = reply else { return None };
    let wait = |wait| match wait {
        Value::Int(micros) => u64::try_from(micros).ok().map(Duration::from_micros),
        _ => None,
    };
    waits.into_iter().map(wait).collect()
}
