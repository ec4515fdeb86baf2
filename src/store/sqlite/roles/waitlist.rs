//! Waiting lists.

use crate::domain::{FlightId, WaitlistId};
use crate::store::rows::micros;
use crate::store::rows::waitlist::{COUNT_ENTRIES, entry_record, lines_to_serve, record};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::columns::entry_columns;
use crate::store::{EntryCounts, EntryRecord, LinesDue, StoreError, WaitingLists};
use async_trait::async_trait;

#[async_trait]
impl WaitingLists for SqliteStore {
    async fn entry(&self, id: WaitlistId) -> Result<Option<EntryRecord>, StoreError> {
        let entry = sqlx::query(entry_record!(entry_columns!("NULL"))).bind(id.0);
        let row = entry.fetch_optional(&self.reader).await?;
        row.as_ref().map(record).transpose()
    }

    async fn lines_to_serve(
        &self,
        due: LinesDue,
        after: Option<FlightId>,
        limit: usize,
    ) -> Result<Vec<FlightId>, StoreError> {
        let page = sqlx::query_scalar(lines_to_serve!("$1", "$2"))
            .bind(micros(due.now))
            .bind(micros(due.closing))
            .bind(after.map_or(i64::MIN, |flight| flight.0))
            .bind(limit as i64);
        let ids: Vec<i64> = page.fetch_all(&self.reader).await?;
        Ok(ids.into_iter().map(FlightId).collect())
    }

    async fn count_entries(&self) -> Result<EntryCounts, StoreError> {
        let (waiting, offered) = sqlx::query_as(COUNT_ENTRIES).fetch_one(&self.reader).await?;
        Ok(EntryCounts { waiting, offered })
    }
}
