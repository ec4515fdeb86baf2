//! The key of booking references.

use crate::domain::ReferenceKey;
use crate::store::roles::reference_keys::{KEEP, KEPT, key};
use crate::store::sqlite::SqliteStore;
use crate::store::{ReferenceKeys, StoreError};
use async_trait::async_trait;

#[async_trait]
impl ReferenceKeys for SqliteStore {
    async fn reference_key(
        &self,
        ReferenceKey(drawn): ReferenceKey,
    ) -> Result<ReferenceKey, StoreError> {
        let kept = sqlx::query_scalar(KEPT).fetch_optional(&self.reader).await?;
        if let Some(kept) = kept {
            return key(kept);
        }
        let mut writing = self.writer.take().await?;
        sqlx::query(KEEP).bind(&drawn[..]).execute(&mut *writing).await?;
        key(sqlx::query_scalar(KEPT).fetch_one(&mut *writing).await?)
    }
}
