//! Waiting lists.

use crate::domain::{FlightId, WaitlistId};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::columns::entry_columns;
use crate::store::rows::micros;
use crate::store::rows::waitlist::{COUNT_ENTRIES, entry_record, lines_to_serve, record};
use crate::store::{EntryCounts, EntryRecord, LinesDue, StoreError, WaitingLists};
use async_trait::async_trait;

pub(in crate::store::postgres) const LINES_TO_SERVE: &str =
    lines_to_serve!("instant($1)", "instant($2)");

#[async_trait]
impl WaitingLists for PostgresStore {
    async fn entry(&self, id: WaitlistId) -> Result<Option<EntryRecord>, StoreError> {
        let entry = sqlx::query(entry_record!(entry_columns!("NULL"))).bind(id.0);
        let row = self.guard.bound(entry.fetch_optional(&self.primary)).await?;
        row.as_ref().map(record).transpose()
    }

    async fn lines_to_serve(
        &self,
        due: LinesDue,
        after: Option<FlightId>,
        limit: usize,
    ) -> Result<Vec<FlightId>, StoreError> {
        let page = sqlx::query_scalar(LINES_TO_SERVE)
            .bind(micros(due.now))
            .bind(micros(due.closing))
            .bind(after.map_or(i64::MIN, |flight| flight.0))
            .bind(limit as i64);
        let ids: Vec<i64> = self.guard.bound(page.fetch_all(&self.primary)).await?;
        Ok(ids.into_iter().map(FlightId).collect())
    }

    async fn count_entries(&self) -> Result<EntryCounts, StoreError> {
        let counts = sqlx::query_as(COUNT_ENTRIES);
        let (waiting, offered) = self.guard.bound(counts.fetch_one(&self.primary)).await?;
        Ok(EntryCounts { waiting, offered })
    }
}
