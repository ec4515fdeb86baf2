//! What may happen once: a name that was used is noted for a while, in Redis where replicas share it.

use super::redis::is_new;
use crate::redis::Redis;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Maximum names of a process. Beyond it further ones count as used.
const NAMES_MAX: usize = 65_536;

/// Notes which names were used.
#[derive(Default)]
pub struct Once {
    /// Those that this process has noted, and until when.
    own: Mutex<HashMap<String, Instant>>,
    /// Where replicas share them, and how their keys begin.
    shared: Option<(Redis, String)>,
}

impl Once {
    /// Names that replicas share, under keys that begin with `prefix`.
    pub fn shared(redis: Redis, prefix: &str) -> Self {
        Self { own: Mutex::default(), shared: Some((redis, prefix.to_owned())) }
    }

    /// Uses a name. Returns whether this is its first use in `time`. While Redis is away, another replica's use goes
    /// unnoticed.
    pub async fn is_first(&self, name: &str, time: Duration) -> bool {
        if !self.is_first_here(name, time) {
            return false;
        }
        let Some((redis, prefix)) = &self.shared else { return true };
        is_new(redis, format!("{prefix}{name}"), time).await
    }

    fn is_first_here(&self, name: &str, time: Duration) -> bool {
        let (mut own, now) = (self.own.lock(), Instant::now());
        if own.len() >= NAMES_MAX {
            own.retain(|_, until| *until > now);
        }
        let is_known = own.get(name).is_some_and(|until| *until > now);
        if is_known || own.len() >= NAMES_MAX {
            return false;
        }
        own.insert(name.to_owned(), now + time);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_used_once_in_its_time() {
        let (once, time) = (Once::default(), Duration::from_millis(50));
        assert!(once.is_first("one", time).await && once.is_first("two", time).await);
        assert!(!once.is_first("one", time).await);
        tokio::time::sleep(time).await;
        assert!(once.is_first("one", time).await);
    }
}
