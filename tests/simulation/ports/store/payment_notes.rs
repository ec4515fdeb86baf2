//! Notes on payments.

use super::super::rows::Rows;
use super::SimStore;
use airline_booking::domain::{NextAction, PaymentNotes as Notes, PaymentReference};
use airline_booking::store::{PaymentNotes, StoreError};
use async_trait::async_trait;

/// Changes the notes of an open payment.
fn note(rows: &mut Rows, payment: PaymentReference, change: impl FnOnce(&mut Notes)) {
    if let Some(row) = rows.payments.get_mut(&payment).filter(|row| row.is_open()) {
        let mut notes = row.notes.take().map(|notes| *notes).unwrap_or_default();
        change(&mut notes);
        row.notes = notes.boxed();
    }
}

#[async_trait]
impl PaymentNotes for SimStore {
    async fn note_action(
        &self,
        payment: PaymentReference,
        action: &NextAction,
    ) -> Result<(), StoreError> {
        let action = Some(action.clone());
        self.write(move |rows| note(rows, payment, |notes| notes.next_action = action)).await
    }

    async fn note_decline(
        &self,
        payment: PaymentReference,
        reason: &str,
    ) -> Result<(), StoreError> {
        let reason = Some(reason.into());
        self.write(move |rows| note(rows, payment, |notes| notes.decline_reason = reason)).await
    }
}
