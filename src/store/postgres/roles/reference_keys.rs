//! The key of booking references.

use crate::domain::ReferenceKey;
use crate::store::postgres::PostgresStore;
use crate::store::roles::reference_keys::{KEEP, KEPT, key};
use crate::store::{ReferenceKeys, StoreError};
use async_trait::async_trait;
use sqlx::PgPool;

#[async_trait]
impl ReferenceKeys for PostgresStore {
    async fn reference_key(
        &self,
        ReferenceKey(drawn): ReferenceKey,
    ) -> Result<ReferenceKey, StoreError> {
        if let Some(kept) = self.guard.bound(kept(&self.primary)).await? {
            return key(kept);
        }
        let keep = sqlx::query(KEEP).bind(&drawn[..]);
        self.guard.bound(keep.execute(&self.primary)).await?;
        key(self.guard.bound(kept(&self.primary)).await?.unwrap_or_default())
    }
}

async fn kept(pool: &PgPool) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar(KEPT).fetch_optional(pool).await
}
