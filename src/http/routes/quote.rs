//! The JSON of a cancellation's quote.

use crate::domain::{BookingId, Currency, Money};
use crate::rules::{Cancel, CancellationQuote, CancelledBy, OrderPart};
use serde::Serialize;

/// What a cancellation would give back now: price = refund + fee, and the taxes are part of the refund.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CancellationQuote)]
pub(crate) struct QuoteBody {
    /// What comes back. Send it as `expected_refund` of the cancellation.
    refund: Money,
    /// What the airline keeps.
    fee: Money,
    /// The taxes in the refund, which always come back.
    taxes: Money,
    /// The price of what would be cancelled.
    price: Money,
    #[schema(value_type = String, example = "INR")]
    currency: Currency,
    /// What decides: a row of fare rules, such as `standard/2`, or `standard/none`; `airline`, `moved`, `no-show`,
    /// `unpaid`, or `cancelled` if nothing is left to cancel.
    #[schema(example = "free/1")]
    rule: String,
}

impl From<CancellationQuote> for QuoteBody {
    fn from(quote: CancellationQuote) -> Self {
        let CancellationQuote { refund, fee, taxes, price, currency, rule } = quote;
        Self { refund, fee, taxes, price, currency, rule }
    }
}

/// The cancellation to quote.
pub(super) fn quoted(booking_id: BookingId, part: OrderPart, by: CancelledBy) -> Cancel {
    Cancel { booking_id, part, by, expected_refund: None, request: None }
}
