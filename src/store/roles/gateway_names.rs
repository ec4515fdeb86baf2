//! A gateway's own names for payments.

use crate::domain::{Currency, PaymentReference};
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
}
