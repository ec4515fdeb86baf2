//! A gateway's own names for payments.

use crate::domain::{PaymentReference, Timestamp};
use crate::store::rows::micros;
use crate::store::rows::sql::{GATEWAY_NAME, NAME_AT_GATEWAY, NAME_OF_OPEN, named, named_payments};
use crate::store::sqlite::SqliteStore;
use crate::store::{GatewayName, GatewayNames, NamedPayment, StoreError};
use async_trait::async_trait;

const NAMED_SINCE: &str = "
SELECT p.reference, p.gateway_reference, r.id
  FROM (SELECT reference, gateway_reference FROM payments
         WHERE gateway = $1 AND gateway_reference IS NOT NULL AND created_at >= $2 AND reference > $3
         ORDER BY reference LIMIT $4) AS p
  LEFT JOIN refunds AS r ON r.payment_reference_id = p.reference
 ORDER BY p.reference, r.id";

#[async_trait]
impl GatewayNames for SqliteStore {
    async fn name_at_gateway(
        &self,
        payment: PaymentReference,
        gateway: &'static str,
        id: &str,
    ) -> Result<Option<String>, StoreError> {
        let payment = payment.to_string();
        let mut writing = self.writer.take().await?;
        let name = sqlx::query(NAME_AT_GATEWAY).bind(&payment).bind(gateway).bind(id);
        name.execute(&mut *writing).await?;
        let holds = sqlx::query_scalar(NAME_OF_OPEN).bind(&payment);
        Ok(holds.fetch_optional(&mut *writing).await?)
    }

    async fn gateway_name(
        &self,
        payment: PaymentReference,
    ) -> Result<Option<GatewayName>, StoreError> {
        let payment = payment.to_string();
        let name = sqlx::query_as(GATEWAY_NAME).bind(&payment);
        let row = name.fetch_optional(&self.reader).await?;
        row.map(|row| named(payment, row)).transpose()
    }

    async fn named_since(
        &self,
        gateway: &'static str,
        since: Timestamp,
        after: Option<PaymentReference>,
        limit: usize,
    ) -> Result<Vec<NamedPayment>, StoreError> {
        let page = sqlx::query_as(NAMED_SINCE)
            .bind(gateway)
            .bind(micros(since))
            .bind(after.map(|after| after.to_string()).unwrap_or_default())
            .bind(limit as i64);
        named_payments(page.fetch_all(&self.reader).await?)
    }
}
