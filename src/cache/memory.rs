//! The cache of a single process: there is nobody to share with, and nobody else to tell.

use super::ends::Ends;
use super::{CacheAway, Generation, SearchCache};
use crate::domain::{DayKey, Outdated};
use async_trait::async_trait;
use bytes::Bytes;

/// Generations of one process.
#[derive(Debug, Default)]
pub struct MemoryCache {
    ends: Ends,
}

#[async_trait]
impl SearchCache for MemoryCache {
    async fn current(&self, key: &DayKey) -> Generation {
        Generation { token: 0, is_shared: false, ends: self.ends.of(key) }
    }

    async fn fetch(&self, _key: &DayKey, _generation: Generation) -> Option<Bytes> {
        None
    }

    async fn keep(&self, _key: &DayKey, _generation: Generation, _answer: &Bytes) {}

    fn end(&self, keys: &[DayKey]) {
        for key in keys {
            self.ends.add(key);
        }
    }

    async fn end_everywhere(&self, outdated: &Outdated) -> Result<(), CacheAway> {
        match outdated {
            Outdated::All => self.ends.add_all(),
            Outdated::Days(days) => self.end(&super::keys_of(days)),
        }
        Ok(())
    }

    async fn run(&self) {
        std::future::pending::<()>().await;
    }
}
