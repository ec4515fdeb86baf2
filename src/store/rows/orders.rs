//! The rows of an order.

use super::refunds::RefundRow;
use super::{BookingRow, PaymentRow, instant, read};
use crate::domain::{Booking, Order, OrderRecord, Payment, PaymentKind, PendingChange, Refund};
use crate::store::StoreError;
use smallvec::SmallVec;

/// The order of these bookings, its payments by attempt and their refunds; `None` without bookings or a payment.
pub(in crate::store) fn order_record<'r, D>(
    bookings: &'r [D],
    payments: &'r [D],
    refunds: &'r [D],
) -> Result<Option<OrderRecord>, StoreError>
where
    D: sqlx::Row,
    BookingRow: sqlx::FromRow<'r, D>,
    PaymentRow: sqlx::FromRow<'r, D>,
    RefundRow: sqlx::FromRow<'r, D>,
    usize: sqlx::ColumnIndex<D>,
    &'static str: sqlx::ColumnIndex<D>,
    i64: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
    String: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
{
    let bookings = bookings.iter().map(booking);
    let mut bookings = bookings.collect::<Result<SmallVec<[Booking; 1]>, _>>()?;
    let payments = payments.iter().map(read::<PaymentRow, Payment, D>);
    let mut payments = payments.collect::<Result<SmallVec<[Payment; 1]>, _>>()?;
    let change = change_of(&bookings, &payments);
    bookings.retain(|booking| booking.replaces.is_none());
    payments.retain(|payment| payment.kind != PaymentKind::Difference);
    let Some(last) = payments.pop() else { return Ok(None) };
    let Some(order) = Order::of(bookings, last) else { return Ok(None) };
    let refunds = refunds.iter().map(read::<RefundRow, Refund, D>).collect::<Result<_, _>>()?;
    Ok(Some(OrderRecord { order, earlier: payments, refunds, change }))
}

/// The change of flight that waits for its payment.
fn change_of(bookings: &[Booking], payments: &[Payment]) -> Option<PendingChange> {
    let replacement = bookings.iter().find(|booking| booking.replaces.is_some())?;
    let payment = payments.iter().find(|it| it.reference == replacement.payment_reference)?;
    Some(PendingChange { replacement: replacement.clone(), payment: payment.clone() })
}

/// A booking, with the departure that it was sold with if that has changed.
fn booking<'r, D>(row: &'r D) -> Result<Booking, StoreError>
where
    D: sqlx::Row,
    BookingRow: sqlx::FromRow<'r, D>,
    usize: sqlx::ColumnIndex<D>,
    &'static str: sqlx::ColumnIndex<D>,
    i64: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
    String: sqlx::Decode<'r, D::Database> + sqlx::Type<D::Database>,
{
    let booking = read::<BookingRow, Booking, D>(row)?;
    let departs_at: Option<i64> = row.try_get("departs_at")?;
    let was = departs_at.and_then(instant).and_then(|at| booking.departure_before(at));
    Ok(Booking { was, ..booking })
}
