//! Notes on payments.

use crate::domain::{NextAction, PaymentReference};
use crate::store::postgres::PostgresStore;
use crate::store::rows::sql::{NOTE_ACTION, NOTE_DECLINE, json};
use crate::store::{PaymentNotes, StoreError};
use async_trait::async_trait;

#[async_trait]
impl PaymentNotes for PostgresStore {
    async fn note_action(
        &self,
        payment: PaymentReference,
        action: &NextAction,
    ) -> Result<(), StoreError> {
        let note = sqlx::query(NOTE_ACTION).bind(payment.to_string()).bind(json(action));
        self.guard.bound(note.execute(&self.primary)).await.map(drop)
    }

    async fn note_decline(
        &self,
        payment: PaymentReference,
        reason: &str,
    ) -> Result<(), StoreError> {
        let note = sqlx::query(NOTE_DECLINE).bind(payment.to_string()).bind(reason);
        self.guard.bound(note.execute(&self.primary)).await.map(drop)
    }
}
