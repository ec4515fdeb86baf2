//! Payments of several steps: those of orders that are paid later, those whose payer had to act, and disputed ones.
//! Few are, so each is a statement of its own.

use super::status_updates::check;
use crate::domain::{DisputeStatus, Payment, PaymentStatus};
use crate::rules::{PaymentChange, Seen};
use crate::store::rows::micros;
use sqlx::PgConnection;

const INSERT: &str = "
INSERT INTO payments (reference, amount, currency, order_reference, attempt, kind, method, status,
       waits_for, created_at, updated_at, hold_expires_at, traceparent)
VALUES ($1, major($2), $3, $4, $5, $6, $7, $8, $9, instant($10), instant($11),
       (SELECT hold_expires_at FROM bookings WHERE payment_reference_id = $12 AND segment = 1), $13)";

const UPDATE: &str = "
UPDATE payments SET status = $4, updated_at = instant($5), version = $6, method = $7, waits_for = $8,
       return_url = $9, traceparent = $11, dispute = $12, hold_expires_at =
       (SELECT hold_expires_at FROM bookings WHERE payment_reference_id = $10 AND segment = 1)
 WHERE reference = $1 AND status = $2 AND version = $3";

/// Writes the payments. Fails with [`sqlx::Error::RowNotFound`] if one has changed.
pub(super) async fn write(
    connection: &mut PgConnection,
    payments: &[PaymentChange],
) -> sqlx::Result<()> {
    for PaymentChange { was, after } in payments {
        match was {
            None => insert(connection, after).await?,
            Some(was) => update(connection, *was, after).await?,
        }
    }
    Ok(())
}

async fn insert(connection: &mut PgConnection, payment: &Payment) -> sqlx::Result<()> {
    sqlx::query(INSERT)
        .bind(payment.reference.to_string())
        .bind(payment.amount.stored())
        .bind(payment.currency.to_string())
        .bind((payment.attempt > 1).then(|| payment.order.to_string()))
        .bind(payment.attempt as i16)
        .bind(payment.kind.as_str())
        .bind(payment.method.as_str())
        .bind(payment.status.as_str())
        .bind(payment.waits_for.stored())
        .bind(micros(payment.created_at))
        .bind(micros(payment.updated_at))
        .bind(payment.order.to_string())
        .bind(payment.traceparent.as_deref())
        .execute(connection)
        .await?;
    Ok(())
}

async fn update(
    connection: &mut PgConnection,
    was: Seen<PaymentStatus>,
    after: &Payment,
) -> sqlx::Result<()> {
    let update = sqlx::query(UPDATE)
        .bind(after.reference.to_string())
        .bind(was.status.as_str())
        .bind(was.version)
        .bind(after.status.as_str())
        .bind(micros(after.updated_at))
        .bind(after.version)
        .bind(after.method.as_str())
        .bind(after.waits_for.stored())
        .bind(after.return_url().map(|url| &**url))
        .bind(after.order.to_string())
        .bind(after.traceparent.as_deref())
        .bind(after.dispute.map(DisputeStatus::as_str));
    check(1, update.execute(connection).await?.rows_affected())
}
