//! A gateway's own names for payments.

use crate::domain::{PaymentReference, Timestamp};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::sets::texts;
use crate::store::rows::micros;
use crate::store::rows::sql::{
    GATEWAY_NAME, IS_IN_SIMULATED_BOOKS, NAME_AT_GATEWAY, NAME_OF_OPEN, named, named_from_rows,
    named_payments, should_be_known,
};
use crate::store::{GatewayName, GatewayNames, NamedPayment, StoreError};
use async_trait::async_trait;

const NAMED_SINCE: &str = named_payments!(concat!(
    should_be_known!(),
    " AND p.created_at >= instant($2) AND p.reference > $3 ORDER BY p.reference LIMIT $4"
));

const NAMED: &str = named_payments!("p.reference = ANY($1)");

#[async_trait]
impl GatewayNames for PostgresStore {
    async fn name_at_gateway(
        &self,
        payment: PaymentReference,
        gateway: &'static str,
        id: &str,
    ) -> Result<Option<String>, StoreError> {
        let payment = payment.to_string();
        let name = sqlx::query(NAME_AT_GATEWAY).bind(&payment).bind(gateway).bind(id);
        self.guard.bound(name.execute(&self.primary)).await?;
        let holds = sqlx::query_scalar(NAME_OF_OPEN).bind(&payment);
        self.guard.bound(holds.fetch_optional(&self.primary)).await
    }

    async fn gateway_name(
        &self,
        payment: PaymentReference,
    ) -> Result<Option<GatewayName>, StoreError> {
        let payment = payment.to_string();
        let name = sqlx::query_as(GATEWAY_NAME).bind(&payment);
        let row = self.guard.bound(name.fetch_optional(&self.primary)).await?;
        row.map(|row| named(payment, row)).transpose()
    }

    async fn is_in_simulated_books(&self, payment: PaymentReference) -> Result<bool, StoreError> {
        let look = sqlx::query_scalar(IS_IN_SIMULATED_BOOKS).bind(payment.to_string());
        self.guard.bound(look.fetch_one(&self.primary)).await
    }

    async fn named(&self, payments: &[PaymentReference]) -> Result<Vec<NamedPayment>, StoreError> {
        let named = sqlx::query_as(NAMED).bind(texts(payments));
        named_from_rows(self.guard.bound(named.fetch_all(&self.primary)).await?)
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
        named_from_rows(self.guard.bound(page.fetch_all(&self.primary)).await?)
    }
}
