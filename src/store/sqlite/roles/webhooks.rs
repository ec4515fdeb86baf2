//! Webhooks, as callers make and read them.

use crate::domain::{Delivery, DeliveryId, Timestamp, UserId, WEBHOOKS_MAX, Webhook, WebhookId};
use crate::rules::{ChangeSet, Claim, NetChanges, RequestKey, RequestRecord};
use crate::store::rows::request_keys::claim;
use crate::store::rows::sql::json;
use crate::store::rows::webhooks::{
    DELETE_WEBHOOK, DeliveryRow, WebhookRow, create_webhook, deliveries_of, delivery_by_id,
    ping_webhook, redeliver, rotate_webhook, webhook_by_id, webhooks_of,
};
use crate::store::rows::{micros, read};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::batch::request_keys;
use crate::store::sqlite::batch::writes::Writes;
use crate::store::sqlite::columns::{delivery_columns, webhook_columns};
use crate::store::sqlite::connection::writer::{Tx, begin};
use crate::store::{StoreError, WebhookChange, Webhooks};
use async_trait::async_trait;
use std::collections::BTreeSet;

#[async_trait]
impl Webhooks for SqliteStore {
    async fn change_webhooks(
        &self,
        change: &WebhookChange,
        request: Option<&RequestKey>,
        now: Timestamp,
    ) -> Result<Claim<Option<i64>>, StoreError> {
        let mut writing = self.writer.take().await?;
        let mut tx = begin(&mut writing).await?;
        if let Some(request) = request {
            let rows = request_keys::load(&mut tx, &BTreeSet::from([request.name()])).await?;
            if let Some(claim) = claim(request, rows, now)?.unless_new() {
                return Ok(claim);
            }
        }
        let made = change_in(&mut tx, change, now).await?;
        if let Some((request, made)) = request.zip(made) {
            let record = RequestRecord { request: request.clone(), made, created_at: now };
            let record = NetChanges { requests: vec![record], ..NetChanges::default() };
            Writes::of(&record, &ChangeSet::default()).write(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(Claim::New(made))
    }

    async fn delete_webhook(&self, id: WebhookId) -> Result<bool, StoreError> {
        let mut writing = self.writer.take().await?;
        let delete = sqlx::query(DELETE_WEBHOOK).bind(id.0);
        Ok(delete.execute(&mut *writing).await?.rows_affected() > 0)
    }

    async fn webhook(&self, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        let one = sqlx::query(webhook_by_id!(webhook_columns!())).bind(id.0);
        let row = one.fetch_optional(&self.reader).await?;
        row.as_ref().map(read::<WebhookRow, Webhook, _>).transpose()
    }

    async fn webhooks_of(
        &self,
        owner: Option<UserId>,
        after: Option<WebhookId>,
        limit: usize,
    ) -> Result<Vec<Webhook>, StoreError> {
        let page = sqlx::query(webhooks_of!(webhook_columns!()))
            .bind(owner.map(|owner| owner.0))
            .bind(after.map_or(i64::MIN, |after| after.0))
            .bind(limit as i64);
        let rows = page.fetch_all(&self.reader).await?;
        Ok(self.unreadable.readable::<WebhookRow, _, _>(&rows))
    }

    async fn delivery(
        &self,
        webhook: WebhookId,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        let one = sqlx::query(delivery_by_id!(delivery_columns!())).bind(webhook.0).bind(id.0);
        let row = one.fetch_optional(&self.reader).await?;
        row.as_ref().map(read::<DeliveryRow, Delivery, _>).transpose()
    }

    async fn deliveries(
        &self,
        webhook: WebhookId,
        before: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let page = sqlx::query(deliveries_of!(delivery_columns!()))
            .bind(webhook.0)
            .bind(before.map_or(i64::MAX, |before| before.0))
            .bind(limit as i64);
        let rows = page.fetch_all(&self.reader).await?;
        Ok(self.unreadable.readable::<DeliveryRow, _, _>(&rows))
    }
}

async fn change_in(
    tx: &mut Tx<'_>,
    change: &WebhookChange,
    now: Timestamp,
) -> Result<Option<i64>, sqlx::Error> {
    let now = micros(now);
    let query = match change {
        WebhookChange::Create(new) => sqlx::query_scalar(create_webhook!("$5"))
            .bind(new.owner.0)
            .bind(new.url.as_str())
            .bind(json(&new.types))
            .bind(new.secret.expose())
            .bind(now)
            .bind(WEBHOOKS_MAX),
        WebhookChange::Rotate { webhook, secret, until } => {
            sqlx::query_scalar(rotate_webhook!("$3"))
                .bind(webhook.0)
                .bind(secret.expose())
                .bind(micros(*until))
        }
        WebhookChange::Ping(new) => sqlx::query_scalar(ping_webhook!("$5"))
            .bind(new.webhook.0)
            .bind(&*new.event_id)
            .bind(&*new.kind)
            .bind(&*new.payload)
            .bind(now),
        WebhookChange::Redeliver { webhook, delivery } => {
            sqlx::query_scalar(redeliver!("$3")).bind(webhook.0).bind(delivery.0).bind(now)
        }
    };
    query.fetch_optional(&mut **tx).await
}
