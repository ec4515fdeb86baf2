//! The database's clock, which all replicas follow.

use super::PostgresStore;
use crate::clock::Sample;
use crate::store::StoreError;
use std::time::Instant;

/// How often the clock is read to follow it once.
const SAMPLES: usize = 4;

impl PostgresStore {
    /// Reads the database's clock several times and follows the fastest answer.
    pub async fn set_clock(&self) -> Result<(), StoreError> {
        let mut samples = Vec::with_capacity(SAMPLES);
        for _ in 0..SAMPLES {
            samples.push(self.sample_clock().await?);
        }
        self.clock.follow(&samples);
        Ok(())
    }

    async fn sample_clock(&self) -> Result<Sample, StoreError> {
        let theirs = sqlx::query_scalar("SELECT micros(clock_timestamp() AT TIME ZONE 'UTC')");
        let mut asked = Instant::now();
        let answer = async {
            let mut connection = self.primary.acquire().await?;
            // The wait for a connection must not count as the answer's delay.
            asked = Instant::now();
            theirs.fetch_one(&mut *connection).await.map_err(StoreError::from)
        };
        let time = self.guard.bound(answer).await?;
        Ok(Sample { asked, answered: Instant::now(), time })
    }
}
