//! Use cases of webhooks: make, read, delete, ping, deliver again, rotate.

use crate::clock::Clock;
use crate::domain::{
    Delivery, DeliveryId, NewDelivery, NewWebhook, PING, SigningSecret, Timestamp, UserId, Webhook,
    WebhookId, WebhookUrl,
};
use crate::ids::{ping_id, webhook_secret};
use crate::rules::{Claim, RequestKey};
use crate::store::{StoreError, WebhookChange, Webhooks};
use chrono::TimeDelta;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Notify;

/// How long the secret before a rotation signs beside the new one.
const OLD_SECRET_FOR: TimeDelta = TimeDelta::hours(24);

/// Why a use case failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such webhook.
    #[error("there is no webhook {0}")]
    NoWebhook(WebhookId),
    /// The webhook has no such delivery, or it was deleted with its age.
    #[error("there is no delivery {0}")]
    NoDelivery(DeliveryId),
    /// The owner has the maximum.
    #[error("the owner has {0} webhooks already; delete one first")]
    TooMany(i64),
    /// Another request used the idempotency key.
    #[error("the Idempotency-Key was used for another request")]
    KeyReused,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// Use cases of webhooks. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    /// Keeps webhooks.
    pub store: Arc<dyn Webhooks>,
    /// Dates them.
    pub clock: Arc<dyn Clock>,
    /// Whether their addresses may be private (`WEBHOOK_ALLOW_PRIVATE`).
    pub is_private_allowed: bool,
    /// Notified when something is to be sent.
    pub due: Arc<Notify>,
}

/// A webhook that this request, or an earlier one with the same key, made or gave a new secret.
#[derive(Debug)]
pub struct CreatedWebhook {
    /// The webhook as it is now.
    pub webhook: Webhook,
    /// Whether an earlier request did it. A repeat does not show the secret.
    pub replayed: bool,
}

/// A delivery that will be sent.
#[derive(Debug)]
pub struct Told {
    /// The delivery.
    pub delivery: Delivery,
    /// Whether an earlier request with the same key asked for it.
    pub replayed: bool,
}

impl Registry {
    /// Makes a webhook with a fresh secret.
    pub async fn create(
        &self,
        owner: UserId,
        url: WebhookUrl,
        types: Arc<[Arc<str>]>,
        request: Option<&RequestKey>,
    ) -> Result<CreatedWebhook, Error> {
        let new = NewWebhook { owner, url, types, secret: fresh_secret() };
        let (made, replayed) = self.change(WebhookChange::Create(new), request).await?;
        let id = made.ok_or(Error::TooMany(crate::domain::WEBHOOKS_MAX))?;
        Ok(CreatedWebhook { webhook: self.webhook(WebhookId(id)).await?, replayed })
    }

    /// One webhook.
    pub async fn webhook(&self, id: WebhookId) -> Result<Webhook, Error> {
        self.store.webhook(id).await?.ok_or(Error::NoWebhook(id))
    }

    /// Webhooks of an owner, or of all, by id: up to `limit` after an id.
    pub async fn list(
        &self,
        owner: Option<UserId>,
        after: Option<WebhookId>,
        limit: usize,
    ) -> Result<Vec<Webhook>, Error> {
        Ok(self.store.webhooks_of(owner, after, limit).await?)
    }

    /// Deletes a webhook. What is on its way to it may still arrive.
    pub async fn delete(&self, id: WebhookId) -> Result<(), Error> {
        self.store.delete_webhook(id).await?.then_some(()).ok_or(Error::NoWebhook(id))
    }

    /// Gives a webhook a new secret. The present one signs as well for a day.
    pub async fn rotate(
        &self,
        webhook: WebhookId,
        request: Option<&RequestKey>,
    ) -> Result<CreatedWebhook, Error> {
        let until = self.clock.now() + OLD_SECRET_FOR;
        let rotate = WebhookChange::Rotate { webhook, secret: fresh_secret(), until };
        let (made, replayed) = self.change(rotate, request).await?;
        made.ok_or(Error::NoWebhook(webhook))?;
        Ok(CreatedWebhook { webhook: self.webhook(webhook).await?, replayed })
    }

    /// A webhook's deliveries, newest first: up to `limit` before an id.
    pub async fn deliveries(
        &self,
        webhook: WebhookId,
        before: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<Delivery>, Error> {
        Ok(self.store.deliveries(webhook, before, limit).await?)
    }

    /// Sends an event without content, also to a disabled webhook, which a success makes active again.
    pub async fn ping(
        &self,
        webhook: WebhookId,
        request: Option<&RequestKey>,
    ) -> Result<Told, Error> {
        let now = self.clock.now();
        let event_id = format!("{PING}/{}", ping_id());
        let ping = NewDelivery {
            webhook,
            event_id: event_id.into(),
            kind: PING.into(),
            flight: None,
            payload: payload(PING, now, &json!({ "webhook_id": webhook })).into(),
        };
        let (made, replayed) = self.change(WebhookChange::Ping(ping), request).await?;
        let id = made.ok_or(Error::NoWebhook(webhook))?;
        self.told(webhook, DeliveryId(id), replayed).await
    }

    /// Sends a delivery once more.
    pub async fn redeliver(
        &self,
        webhook: WebhookId,
        delivery: DeliveryId,
        request: Option<&RequestKey>,
    ) -> Result<Told, Error> {
        let again = WebhookChange::Redeliver { webhook, delivery };
        let (made, replayed) = self.change(again, request).await?;
        made.ok_or(Error::NoDelivery(delivery))?;
        self.told(webhook, delivery, replayed).await
    }

    async fn told(
        &self,
        webhook: WebhookId,
        id: DeliveryId,
        replayed: bool,
    ) -> Result<Told, Error> {
        self.due.notify_one();
        let delivery = self.store.delivery(webhook, id).await?;
        Ok(Told { delivery: delivery.ok_or(Error::NoDelivery(id))?, replayed })
    }

    /// Makes a change. Returns the id of what was made or changed, and whether an earlier request did it.
    async fn change(
        &self,
        change: WebhookChange,
        request: Option<&RequestKey>,
    ) -> Result<(Option<i64>, bool), Error> {
        match self.store.change_webhooks(&change, request, self.clock.now()).await? {
            Claim::New(made) => Ok((made, false)),
            Claim::Made(id) => Ok((Some(id), true)),
            Claim::Reused => Err(Error::KeyReused),
        }
    }
}

fn fresh_secret() -> SigningSecret {
    SigningSecret::of(&webhook_secret())
}

/// The body of an event, as Standard Webhooks shapes it.
pub(super) fn payload(kind: &str, at: Timestamp, data: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Payload<'a, D> {
        #[serde(rename = "type")]
        kind: &'a str,
        timestamp: String,
        data: &'a D,
    }
    let timestamp = at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    let payload = Payload { kind, timestamp, data };
    serde_json::to_string(&payload).expect("plain data is always JSON")
}
