//! Webhooks: nobody makes any in a run.

use super::SimStore;
use airline_booking::domain::{
    BookingId, Delivery, DeliveryId, FlightId, NewDelivery, Timestamp, UserId, Webhook, WebhookId,
};
use airline_booking::rules::{Claim, RequestKey};
use airline_booking::store::{
    Attempt, Deliveries, EventRows, StoreError, WebhookChange, WebhookCounts, Webhooks,
};
use async_trait::async_trait;

#[async_trait]
impl Webhooks for SimStore {
    async fn change_webhooks(
        &self,
        _change: &WebhookChange,
        _request: Option<&RequestKey>,
        _now: Timestamp,
    ) -> Result<Claim<Option<i64>>, StoreError> {
        Ok(Claim::New(None))
    }

    async fn delete_webhook(&self, _id: WebhookId) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn webhook(&self, _id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        Ok(None)
    }

    async fn webhooks_of(
        &self,
        _owner: Option<UserId>,
        _after: Option<WebhookId>,
        _limit: usize,
    ) -> Result<Vec<Webhook>, StoreError> {
        Ok(Vec::new())
    }

    async fn delivery(
        &self,
        _webhook: WebhookId,
        _id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        Ok(None)
    }

    async fn deliveries(
        &self,
        _webhook: WebhookId,
        _before: Option<DeliveryId>,
        _limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Deliveries for SimStore {
    async fn active_webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        Ok(Vec::new())
    }

    async fn webhooks_named(&self, _ids: &[WebhookId]) -> Result<Vec<Webhook>, StoreError> {
        Ok(Vec::new())
    }

    async fn add_deliveries(
        &self,
        _new: &[NewDelivery],
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    async fn due_deliveries(
        &self,
        _now: Timestamp,
        _busy: &[WebhookId],
        _of_each: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        Ok(Vec::new())
    }

    async fn note_attempts(
        &self,
        _attempts: &[Attempt],
        _now: Timestamp,
        _disable_before: Timestamp,
    ) -> Result<Vec<WebhookId>, StoreError> {
        Ok(Vec::new())
    }

    async fn hasten_deliveries(
        &self,
        _webhook: WebhookId,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    async fn fail_deliveries(&self, _limit: usize) -> Result<usize, StoreError> {
        Ok(0)
    }

    async fn forget_deliveries(
        &self,
        _before: Timestamp,
        _limit: usize,
    ) -> Result<usize, StoreError> {
        Ok(0)
    }

    async fn count_webhooks(&self) -> Result<WebhookCounts, StoreError> {
        Ok(WebhookCounts::default())
    }

    async fn event_rows(
        &self,
        _flights: &[FlightId],
        _bookings: &[BookingId],
    ) -> Result<EventRows, StoreError> {
        Ok(EventRows::default())
    }
}
