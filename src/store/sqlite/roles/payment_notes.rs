//! Notes on payments.

use crate::domain::{NextAction, PaymentReference};
use crate::store::rows::sql::{NOTE_ACTION, NOTE_DECLINE, json};
use crate::store::sqlite::SqliteStore;
use crate::store::{PaymentNotes, StoreError};
use async_trait::async_trait;

#[async_trait]
impl PaymentNotes for SqliteStore {
    async fn note_action(
        &self,
        payment: PaymentReference,
        action: &NextAction,
    ) -> Result<(), StoreError> {
        let mut writing = self.writer.take().await?;
        let note = sqlx::query(NOTE_ACTION).bind(payment.to_string()).bind(json(action));
        note.execute(&mut *writing).await?;
        Ok(())
    }

    async fn note_decline(
        &self,
        payment: PaymentReference,
        reason: &str,
    ) -> Result<(), StoreError> {
        let mut writing = self.writer.take().await?;
        let note = sqlx::query(NOTE_DECLINE).bind(payment.to_string()).bind(reason);
        note.execute(&mut *writing).await?;
        Ok(())
    }
}
