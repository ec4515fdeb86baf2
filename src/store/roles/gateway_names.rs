//! A gateway's own names for payments.

use crate::domain::{Currency, PaymentReference, RefundId, Timestamp};
use crate::store::StoreError;
use async_trait::async_trait;

/// A payment as its gateway names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayName {
    /// The gateway's id of the payment.
    pub id: String,
    /// The payment's currency.
    pub currency: Currency,
}

/// A payment that a gateway has named, and its refunds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPayment {
    /// The payment.
    pub payment: PaymentReference,
    /// The gateway's id of it.
    pub id: String,
    /// Its refunds.
    pub refunds: Vec<RefundId>,
}

/// Writes and reads a gateway's names for payments, for a gateway that keeps its own ids.
#[async_trait]
pub trait GatewayNames: Send + Sync + 'static {
    /// Writes the id durably if the payment is open and has none. Returns the id that it has now, or `None` if it is
    /// not open: nothing may take money for it.
    async fn name_at_gateway(
        &self,
        payment: PaymentReference,
        gateway: &'static str,
        id: &str,
    ) -> Result<Option<String>, StoreError>;

    /// The name of a payment; `None` if no gateway has named it.
    async fn gateway_name(
        &self,
        payment: PaymentReference,
    ) -> Result<Option<GatewayName>, StoreError>;

    /// The payments that a gateway has named and that were made since a moment, by their references from after
    /// `after`.
    async fn named_since(
        &self,
        gateway: &'static str,
        since: Timestamp,
        after: Option<PaymentReference>,
        limit: usize,
    ) -> Result<Vec<NamedPayment>, StoreError>;
}
