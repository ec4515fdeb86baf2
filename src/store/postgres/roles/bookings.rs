//! Bookings and payments, as callers and the payment worker read them.

use crate::domain::{
    Booking, BookingId, BookingStatus, FlightId, OrderRecord, PaymentReference, RefundId, UserId,
};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::columns::{
    booking_columns, departure_column, payment_columns, refund_columns,
};
use crate::store::postgres::connection::transaction::{Transaction, begin};
use crate::store::postgres::sets::texts;
use crate::store::rows::lists::{ListRows, readable_list};
use crate::store::rows::orders::order_record;
use crate::store::rows::refunds::{self, RefundAskedRow};
use crate::store::rows::sql::{
    self, booking_by_id, bookings_of_flight, bookings_of_order, bookings_of_user,
    payments_of_order, refunds_of_order,
};
use crate::store::rows::{self, BookingRow, FailureRow, PaymentAskedRow, adopted, read};
use crate::store::{Bookings, PaymentAsked, RefundAsked, StoreError};
use async_trait::async_trait;
use sqlx::{PgPool, Row as _};
use std::collections::HashMap;

/// Adopted payments have no `hold_expires_at`; their booking has.
const PAYMENTS_ASKED: &str = "
SELECT reference, minor(amount) AS amount, currency, method, status, waits_for, return_url,
       CASE WHEN isfinite(hold_end) THEN micros(hold_end) END AS hold_expires_at
  FROM (SELECT *, coalesce(hold_expires_at, (SELECT b.hold_expires_at FROM bookings AS b
                              WHERE b.payment_reference_id = reference AND b.segment = 1)) AS hold_end
          FROM payments WHERE reference = ANY($1)) AS asked";

const REFUNDS_ASKED: &str = "
SELECT r.id, r.payment_reference_id, r.booking_id, minor(r.amount), p.currency, r.status,
       coalesce(p.dispute = 'open', false)
  FROM refunds AS r JOIN payments AS p ON p.reference = r.payment_reference_id
 WHERE r.id = ANY($1)";

pub(in crate::store::postgres) const BOOKINGS_OF_USER: &str = bookings_of_user!(booking_columns!());

pub(in crate::store::postgres) const BOOKINGS_OF_FLIGHT: &str =
    bookings_of_flight!(booking_columns!());

#[async_trait]
impl Bookings for PostgresStore {
    async fn booking(&self, id: BookingId) -> Result<Option<Booking>, StoreError> {
        let booking = sqlx::query(booking_by_id!(booking_columns!())).bind(id.0);
        let row = self.guard.bound(booking.fetch_optional(&self.primary)).await?;
        row.as_ref().map(read::<BookingRow, Booking, _>).transpose()
    }

    async fn order(&self, of: BookingId) -> Result<Option<OrderRecord>, StoreError> {
        self.guard.bound(order(&self.primary, of)).await
    }

    async fn bookings_of_user(
        &self,
        user: UserId,
        status: Option<BookingStatus>,
        before: Option<BookingId>,
        limit: usize,
    ) -> Result<Vec<Booking>, StoreError> {
        let from = before.map_or(i64::MAX, |id| id.0);
        let read = |before| self.bookings(BOOKINGS_OF_USER, user.0, before, status, limit);
        self.guard.bound(readable_list(from, limit, read)).await
    }

    async fn bookings_of_flight(
        &self,
        flight: FlightId,
        status: Option<BookingStatus>,
        after: Option<BookingId>,
        limit: usize,
    ) -> Result<Vec<Booking>, StoreError> {
        let from = after.map_or(i64::MIN, |id| id.0);
        let read = |after| self.bookings(BOOKINGS_OF_FLIGHT, flight.0, after, status, limit);
        self.guard.bound(readable_list(from, limit, read)).await
    }

    async fn payments_asked(
        &self,
        payments: &[PaymentReference],
    ) -> Result<HashMap<PaymentReference, PaymentAsked>, StoreError> {
        let asked = sqlx::query_as(PAYMENTS_ASKED).bind(texts(payments));
        let rows: Vec<PaymentAskedRow> = self.guard.bound(asked.fetch_all(&self.primary)).await?;
        Ok(rows::payments_asked(&self.unreadable, rows))
    }

    async fn refunds_asked(
        &self,
        refunds: &[RefundId],
    ) -> Result<HashMap<RefundId, RefundAsked>, StoreError> {
        let asked = sqlx::query_as(REFUNDS_ASKED).bind(texts(refunds));
        let rows: Vec<RefundAskedRow> = self.guard.bound(asked.fetch_all(&self.primary)).await?;
        Ok(refunds::refunds_asked(&self.unreadable, rows))
    }

    async fn adopted_bookings(
        &self,
        after: BookingId,
        limit: usize,
    ) -> Result<(Vec<BookingId>, Option<BookingId>), StoreError> {
        let page = sqlx::query_as(sql::FAILURES).bind(after.0).bind(limit as i64);
        let rows: Vec<FailureRow> = self.guard.bound(page.fetch_all(&self.primary)).await?;
        Ok(adopted(&rows, limit))
    }
}

impl PostgresStore {
    /// The rows of a list of bookings beyond a number.
    async fn bookings(
        &self,
        statement: &'static str,
        of: i64,
        beyond: i64,
        status: Option<BookingStatus>,
        limit: usize,
    ) -> Result<ListRows<Booking, i64>, StoreError> {
        let rows = sqlx::query(statement)
            .bind(of)
            .bind(beyond)
            .bind(status.map(BookingStatus::as_str))
            .bind(limit as i64)
            .fetch_all(&self.primary)
            .await?;
        Ok(ListRows {
            readable: self.unreadable.readable::<BookingRow, _, _>(&rows),
            rows: rows.len(),
            last: rows.last().map(|row| row.try_get(0)).transpose()?,
        })
    }
}

/// The order of a booking, in one snapshot.
async fn order(pool: &PgPool, of: BookingId) -> Result<Option<OrderRecord>, StoreError> {
    let mut tx = begin_snapshot(pool).await?;
    let order = read_order(&mut tx, of).await?;
    tx.roll_back().await?;
    Ok(order)
}

/// Begins a transaction whose statements all see one moment.
pub(super) async fn begin_snapshot(pool: &PgPool) -> Result<Transaction, StoreError> {
    let mut tx = begin(pool).await?;
    sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut *tx)
        .await?;
    Ok(tx)
}

/// The order of a booking, in a snapshot.
pub(super) async fn read_order(
    tx: &mut Transaction,
    of: BookingId,
) -> Result<Option<OrderRecord>, StoreError> {
    let bookings =
        sqlx::query(bookings_of_order!(concat!(booking_columns!(), ", ", departure_column!())));
    let bookings = bookings.bind(of.0).fetch_all(&mut **tx).await?;
    let payments = sqlx::query(payments_of_order!(payment_columns!())).bind(of.0);
    let payments = payments.fetch_all(&mut **tx).await?;
    let refunds = sqlx::query(refunds_of_order!(refund_columns!())).bind(of.0);
    let refunds = refunds.fetch_all(&mut **tx).await?;
    order_record(&bookings, &payments, &refunds)
}
