//! Webhooks, as callers make and read them.

use crate::domain::{Delivery, DeliveryId, Timestamp, UserId, WEBHOOKS_MAX, Webhook, WebhookId};
use crate::rules::{Claim, RequestKey, RequestRecord};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::batch::request_keys;
use crate::store::postgres::columns::{delivery_columns, webhook_columns};
use crate::store::postgres::connection::transaction::begin;
use crate::store::rows::request_keys::claim;
use crate::store::rows::sql::json;
use crate::store::rows::webhooks::{
    DELETE_WEBHOOK, DeliveryRow, WebhookRow, create_webhook, deliveries_of, delivery_by_id,
    ping_webhook, redeliver, rotate_webhook, webhook_by_id, webhooks_of,
};
use crate::store::rows::{micros, read};
use crate::store::{StoreError, WebhookChange, Webhooks};
use async_trait::async_trait;
use sqlx::{PgConnection, PgPool};
use std::collections::BTreeSet;

#[async_trait]
impl Webhooks for PostgresStore {
    async fn change_webhooks(
        &self,
        change: &WebhookChange,
        request: Option<&RequestKey>,
        now: Timestamp,
    ) -> Result<Claim<Option<i64>>, StoreError> {
        self.guard.bound(change_once(&self.primary, change, request, now)).await
    }

    async fn delete_webhook(&self, id: WebhookId) -> Result<bool, StoreError> {
        let delete = sqlx::query(DELETE_WEBHOOK).bind(id.0);
        Ok(self.guard.bound(delete.execute(&self.primary)).await?.rows_affected() > 0)
    }

    async fn webhook(&self, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        let one = sqlx::query(webhook_by_id!(webhook_columns!())).bind(id.0);
        let row = self.guard.bound(one.fetch_optional(&self.primary)).await?;
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
        let rows = self.guard.bound(page.fetch_all(&self.primary)).await?;
        Ok(self.unreadable.readable::<WebhookRow, _, _>(&rows))
    }

    async fn delivery(
        &self,
        webhook: WebhookId,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        let one = sqlx::query(delivery_by_id!(delivery_columns!())).bind(webhook.0).bind(id.0);
        let row = self.guard.bound(one.fetch_optional(&self.primary)).await?;
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
        let rows = self.guard.bound(page.fetch_all(&self.primary)).await?;
        Ok(self.unreadable.readable::<DeliveryRow, _, _>(&rows))
    }
}

/// Makes a change once per key. A second request with the key that comes meanwhile finds the first.
async fn change_once(
    pool: &PgPool,
    change: &WebhookChange,
    request: Option<&RequestKey>,
    now: Timestamp,
) -> Result<Claim<Option<i64>>, StoreError> {
    loop {
        if let Some(request) = request {
            let rows = request_keys::load(pool, &BTreeSet::from([request.name()])).await?;
            if let Some(claim) = claim(request, rows, now)?.unless_new() {
                return Ok(claim);
            }
        }
        let mut tx = begin(pool).await?;
        let made = change_in(&mut tx, change, now).await?;
        let record = request.zip(made).map(|(request, made)| RequestRecord {
            request: request.clone(),
            made,
            created_at: now,
        });
        let record: Vec<_> = record.into_iter().collect();
        if request_keys::write(&mut tx, &record).await?.is_empty() {
            tx.commit().await?;
            return Ok(Claim::New(made));
        }
        tx.roll_back().await?;
    }
}

async fn change_in(
    tx: &mut PgConnection,
    change: &WebhookChange,
    now: Timestamp,
) -> Result<Option<i64>, sqlx::Error> {
    let now = micros(now);
    let query = match change {
        WebhookChange::Create(new) => sqlx::query_scalar(create_webhook!("instant($5)"))
            .bind(new.owner.0)
            .bind(new.url.as_str())
            .bind(json(&new.types))
            .bind(new.secret.expose())
            .bind(now)
            .bind(WEBHOOKS_MAX),
        WebhookChange::Rotate { webhook, secret, until } => {
            sqlx::query_scalar(rotate_webhook!("instant($3)"))
                .bind(webhook.0)
                .bind(secret.expose())
                .bind(micros(*until))
        }
        WebhookChange::Ping(new) => sqlx::query_scalar(ping_webhook!("instant($5)"))
            .bind(new.webhook.0)
            .bind(&*new.event_id)
            .bind(&*new.kind)
            .bind(&*new.payload)
            .bind(now),
        WebhookChange::Redeliver { webhook, delivery } => {
            sqlx::query_scalar(redeliver!("instant($3)")).bind(webhook.0).bind(delivery.0).bind(now)
        }
    };
    query.fetch_optional(tx).await
}
