//! Rows of payments.

use super::unreadable::Unreadable;
use super::{Cell, Columns, instant, row};
use crate::domain::{
    Currency, Money, Payment, PaymentMethod, PaymentNotes, PaymentReference, WaitsFor,
};
use crate::store::{PaymentAsked, StoreError};
use std::collections::HashMap;

row! {
    struct PaymentRow of "payments" {
        reference: String,
        amount: i64,
        currency: String,
        order_reference: String,
        attempt: i32,
        kind: String,
        method: String,
        status: String,
        waits_for: Option<String>,
        dispute: Option<String>,
        return_url: Option<String>,
        next_action: Option<String>,
        decline_reason: Option<String>,
        created_at: i64,
        updated_at: i64,
        traceparent: Option<String>,
        version: i64,
    }
}

impl TryFrom<PaymentRow> for Payment {
    type Error = StoreError;

    fn try_from(row: PaymentRow) -> Result<Self, StoreError> {
        let cell = Cell { table: PaymentRow::TABLE, row: row.reference.clone() };
        let currency: Currency = cell.read("currency", row.currency.parse().ok())?;
        let next_action =
            row.next_action.map(|json| cell.read("next_action", serde_json::from_str(&json).ok()));
        Ok(Self {
            reference: cell.read("reference", row.reference.parse().ok())?,
            order: cell.read("order_reference", row.order_reference.parse().ok())?,
            attempt: row.attempt,
            kind: cell.read("kind", row.kind.parse().ok())?,
            amount: Money::from_stored(row.amount, currency.decimals()),
            currency,
            method: cell.read("method", PaymentMethod::new(&row.method))?,
            status: cell.read("status", row.status.parse().ok())?,
            waits_for: waits_for(&cell, row.waits_for)?,
            dispute: row.dispute.map(|word| cell.read("dispute", word.parse().ok())).transpose()?,
            notes: PaymentNotes {
                return_url: row.return_url.map(Into::into),
                next_action: next_action.transpose()?,
                decline_reason: row.decline_reason.map(Into::into),
            }
            .boxed(),
            created_at: cell.read("created_at", instant(row.created_at))?,
            updated_at: cell.read("updated_at", instant(row.updated_at))?,
            traceparent: row.traceparent.map(Into::into),
            version: row.version,
        })
    }
}

/// What a payment waits for, of its stored word.
fn waits_for(cell: &Cell, stored: Option<String>) -> Result<WaitsFor, StoreError> {
    let read = |word: String| cell.read("waits_for", word.parse().ok());
    Ok(stored.map(read).transpose()?.unwrap_or_default())
}

/// A stored payment reference.
pub(in crate::store) fn reference(text: &str) -> Result<PaymentReference, StoreError> {
    let cell = Cell { table: "payments", row: text.to_owned() };
    cell.read("reference", text.parse().ok())
}

row! {
    struct PaymentAskedRow of "payments" {
        reference: String,
        amount: i64,
        currency: String,
        method: String,
        status: String,
        waits_for: Option<String>,
        return_url: Option<String>,
        hold_expires_at: Option<i64>,
    }
}

/// The payments of rows. Unreadable rows are left out.
pub(in crate::store) fn payments_asked(
    unreadable: &Unreadable,
    rows: Vec<PaymentAskedRow>,
) -> HashMap<PaymentReference, PaymentAsked> {
    rows.into_iter().filter_map(|row| unreadable.leave_out(payment_asked(row))).collect()
}

fn payment_asked(row: PaymentAskedRow) -> Result<(PaymentReference, PaymentAsked), StoreError> {
    let cell = Cell { table: PaymentAskedRow::TABLE, row: row.reference.clone() };
    let currency: Currency = cell.read("currency", row.currency.parse().ok())?;
    let payment = PaymentAsked {
        amount: Money::from_stored(row.amount, currency.decimals()),
        currency,
        method: cell.read("method", PaymentMethod::new(&row.method))?,
        status: cell.read("status", row.status.parse().ok())?,
        waits_for: waits_for(&cell, row.waits_for)?,
        return_url: row.return_url.map(Into::into),
        hold_expires_at: cell.read("hold_expires_at", row.hold_expires_at.and_then(instant))?,
    };
    Ok((reference(&row.reference)?, payment))
}
