//! Rows of refunds.

use super::unreadable::Unreadable;
use super::{Cell, Columns, instant, row};
use crate::domain::{BookingId, Currency, Money, Refund, RefundId};
use crate::store::{RefundAsked, StoreError};
use std::collections::HashMap;

row! {
    struct RefundRow of "refunds" {
        id: String,
        payment_reference_id: String,
        booking_id: i64,
        amount: i64,
        reason: String,
        status: String,
        gateway_reference: Option<String>,
        attempts: i32,
        created_at: i64,
        updated_at: i64,
        version: i64,
        decimals: i32,
    }
}

impl TryFrom<RefundRow> for Refund {
    type Error = StoreError;

    fn try_from(row: RefundRow) -> Result<Self, StoreError> {
        let cell = Cell { table: RefundRow::TABLE, row: row.id.clone() };
        let decimals = cell.read("decimals", u8::try_from(row.decimals).ok())?;
        Ok(Self {
            id: cell.read("id", row.id.parse().ok())?,
            payment: cell.read("payment_reference_id", row.payment_reference_id.parse().ok())?,
            booking_id: BookingId(row.booking_id),
            amount: Money::from_stored(row.amount, decimals),
            reason: cell.read("reason", row.reason.parse().ok())?,
            status: cell.read("status", row.status.parse().ok())?,
            attempts: row.attempts,
            gateway_reference: row.gateway_reference.map(Into::into),
            created_at: cell.read("created_at", instant(row.created_at))?,
            updated_at: cell.read("updated_at", instant(row.updated_at))?,
            version: row.version,
        })
    }
}

/// A stored refund's id.
pub(in crate::store) fn refund_id(text: &str) -> Result<RefundId, StoreError> {
    let cell = Cell { table: "refunds", row: text.to_owned() };
    cell.read("id", text.parse().ok())
}

/// Id, payment, booking, amount, currency, status, whether the payment's dispute is open.
pub(in crate::store) type RefundAskedRow = (String, String, i64, i64, String, String, bool);

/// The refunds of rows. Unreadable rows are left out.
pub(in crate::store) fn refunds_asked(
    unreadable: &Unreadable,
    rows: Vec<RefundAskedRow>,
) -> HashMap<RefundId, RefundAsked> {
    rows.into_iter().filter_map(|row| unreadable.leave_out(refund_asked(row))).collect()
}

fn refund_asked(
    (text, payment, booking, amount, currency, status, is_disputed): RefundAskedRow,
) -> Result<(RefundId, RefundAsked), StoreError> {
    let cell = Cell { table: "refunds", row: text.clone() };
    // The payment's column.
    let currency: Currency = cell.read("currency", currency.parse().ok())?;
    let refund = RefundAsked {
        payment: cell.read("payment_reference_id", payment.parse().ok())?,
        booking_id: BookingId(booking),
        amount: Money::from_stored(amount, currency.decimals()),
        currency,
        status: cell.read("status", status.parse().ok())?,
        is_disputed,
    };
    Ok((cell.read("id", text.parse().ok())?, refund))
}
