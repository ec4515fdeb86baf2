//! The outbox and the invalidations.

use super::super::rows::Rows;
use super::SimStore;
use airline_booking::domain::Invalidation;
use airline_booking::store::{Lane, Outbox, OutboxEntry, StoreError};
use async_trait::async_trait;

#[async_trait]
impl Outbox for SimStore {
    async fn outbox(
        &self,
        lane: Lane,
        sent: &[i64],
        messages: usize,
    ) -> Result<Vec<OutboxEntry>, StoreError> {
        let sent = sent.to_vec();
        self.write(move |rows| rows.drain(lane, &sent, messages)).await
    }

    async fn invalidations(&self, limit: usize) -> Result<Vec<(i64, Invalidation)>, StoreError> {
        let oldest = |rows: &Rows| {
            rows.invalidations.iter().take(limit).map(|(id, all)| (*id, all.clone())).collect()
        };
        self.read(oldest).await
    }

    async fn forget_invalidations(&self, ids: &[i64], all: bool) -> Result<(), StoreError> {
        let ids = ids.to_vec();
        let forget = move |rows: &mut Rows| {
            rows.invalidations.retain(|id, _| !ids.contains(id));
            if all {
                rows.add_invalidation(Invalidation::All);
            }
        };
        self.write(forget).await
    }
}
