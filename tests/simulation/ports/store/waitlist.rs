//! Waiting lists.

use super::super::rows::Rows;
use super::SimStore;
use airline_booking::domain::{FlightId, WaitlistId};
use airline_booking::store::{EntryCounts, EntryRecord, LinesDue, StoreError, WaitingLists};
use async_trait::async_trait;

#[async_trait]
impl WaitingLists for SimStore {
    async fn entry(&self, id: WaitlistId) -> Result<Option<EntryRecord>, StoreError> {
        self.read(|rows| rows.entry_record(id)).await
    }

    async fn lines_to_serve(
        &self,
        due: LinesDue,
        after: Option<FlightId>,
        limit: usize,
    ) -> Result<Vec<FlightId>, StoreError> {
        let page = |rows: &Rows| {
            let mut page = rows.lines_to_serve(due);
            page.retain(|flight| after.is_none_or(|after| *flight > after));
            page.truncate(limit);
            page
        };
        self.read(page).await
    }

    async fn count_entries(&self) -> Result<EntryCounts, StoreError> {
        self.read(Rows::count_entries).await
    }
}
