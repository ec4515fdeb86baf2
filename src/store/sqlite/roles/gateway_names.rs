//! A gateway's own names for payments.

use crate::domain::PaymentReference;
use crate::store::rows::sql::{GATEWAY_NAME, NAME_AT_GATEWAY, NAME_OF_OPEN, named};
use crate::store::sqlite::SqliteStore;
use crate::store::{GatewayName, GatewayNames, StoreError};
use async_trait::async_trait;

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
}
