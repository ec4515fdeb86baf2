//! The rows of an order.

use super::refunds::RefundRow;
use super::{BookingRow, PaymentRow, read};
use crate::domain::{Booking, Order, OrderRecord, Payment, Refund};
use crate::store::StoreError;

/// The order of these bookings, their payment and its refunds; `None` without bookings or a payment.
pub(in crate::store) fn order_record<'r, D>(
    bookings: &'r [D],
    payment: Option<&'r D>,
    refunds: &'r [D],
) -> Result<Option<OrderRecord>, StoreError>
where
    D: sqlx::Row,
    BookingRow: sqlx::FromRow<'r, D>,
    PaymentRow: sqlx::FromRow<'r, D>,
    RefundRow: sqlx::FromRow<'r, D>,
    usize: sqlx::ColumnIndex<D>,
    i64: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
    String: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
{
    let Some(payment) = payment else { return Ok(None) };
    let bookings = bookings.iter().map(read::<BookingRow, Booking, D>).collect::<Result<_, _>>()?;
    let order = Order::of(bookings, read::<PaymentRow, Payment, D>(payment)?);
    let Some(order) = order else { return Ok(None) };
    let refunds = refunds.iter().map(read::<RefundRow, Refund, D>).collect::<Result<_, _>>()?;
    Ok(Some(OrderRecord { order, refunds }))
}
