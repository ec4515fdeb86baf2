//! The role for webhooks as callers make and read them.

use crate::domain::{
    Delivery, DeliveryId, NewDelivery, NewWebhook, SigningSecret, Timestamp, UserId, Webhook,
    WebhookId,
};
use crate::rules::{Claim, RequestKey};
use crate::store::StoreError;
use async_trait::async_trait;

/// Keeps webhooks, and shows the deliveries to them.
#[async_trait]
pub trait Webhooks: Send + Sync + 'static {
    /// Makes a change; with a key, once. Returns the id of what was made or changed: the webhook's, or the delivery's
    /// of a ping and a repetition. [`Claim::New`] of `None`: there is no such webhook or delivery, or its owner has
    /// [`WEBHOOKS_MAX`](crate::domain::WEBHOOKS_MAX); nothing was written.
    async fn change_webhooks(
        &self,
        change: &WebhookChange,
        request: Option<&RequestKey>,
        now: Timestamp,
    ) -> Result<Claim<Option<i64>>, StoreError>;

    /// Deletes a webhook: it is shown no more, gets nothing more, and its secrets are gone. Its deliveries follow with
    /// [`forget_deliveries`](super::deliveries::Deliveries::forget_deliveries). Returns whether there was one.
    async fn delete_webhook(&self, id: WebhookId) -> Result<bool, StoreError>;

    /// One webhook.
    async fn webhook(&self, id: WebhookId) -> Result<Option<Webhook>, StoreError>;

    /// Webhooks of an owner, or of all, by id: at most `limit` after an id.
    async fn webhooks_of(
        &self,
        owner: Option<UserId>,
        after: Option<WebhookId>,
        limit: usize,
    ) -> Result<Vec<Webhook>, StoreError>;

    /// One delivery of a webhook.
    async fn delivery(
        &self,
        webhook: WebhookId,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError>;

    /// A webhook's deliveries, newest first: at most `limit` before an id.
    async fn deliveries(
        &self,
        webhook: WebhookId,
        before: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError>;
}

/// A change that a caller asks for.
#[derive(Debug, Clone)]
pub enum WebhookChange {
    /// Makes a webhook.
    Create(NewWebhook),
    /// Replaces a webhook's secret.
    Rotate {
        /// The webhook.
        webhook: WebhookId,
        /// The new secret.
        secret: SigningSecret,
        /// Until when the present one signs as well.
        until: Timestamp,
    },
    /// Sends an event to one webhook, also to a disabled one.
    Ping(NewDelivery),
    /// Sends a delivery once more, whatever became of it. It waits for no other of its flight.
    Redeliver {
        /// The webhook.
        webhook: WebhookId,
        /// Its delivery.
        delivery: DeliveryId,
    },
}
