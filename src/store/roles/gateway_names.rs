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

/// A payment, what its row says of its gateway, and its refunds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPayment {
    /// The payment.
    pub payment: PaymentReference,
    /// The gateway that has taken it up; `None`: the simulated one, or none yet.
    pub gateway: Option<String>,
    /// The gateway's id of it.
    pub id: Option<String>,
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

    /// Whether the simulated gateway's books have the payment as captured: no other gateway can return it.
    async fn is_in_simulated_books(&self, payment: PaymentReference) -> Result<bool, StoreError>;

    /// Payments by their references; unknown ones are left out.
    async fn named(&self, payments: &[PaymentReference]) -> Result<Vec<NamedPayment>, StoreError>;

    /// The payments made since a moment that a gateway should know, by their references from after `after`: those
    /// that name it or have a gateway's id, and captured ones that name none and that the simulated gateway did not
    /// take.
    async fn named_since(
        &self,
        gateway: &'static str,
        since: Timestamp,
        after: Option<PaymentReference>,
        limit: usize,
    ) -> Result<Vec<NamedPayment>, StoreError>;
}
