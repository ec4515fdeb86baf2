//! The refunds of a batch.

use crate::domain::{PaymentReference, RefundId, RefundStatus};
use crate::rules::RefundChange;
use crate::store::postgres::columns::refund_columns;
use crate::store::postgres::sets::{column, texts};
use crate::store::rows::micros;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgExecutor};
use std::collections::BTreeSet;

const REFUNDS: &str = concat!(
    "SELECT ",
    refund_columns!(),
    " FROM refunds WHERE id = ANY($1) OR payment_reference_id = ANY($2)"
);

const INSERT: &str = "
INSERT INTO refunds (id, payment_reference_id, booking_id, amount, reason, status, attempts,
       created_at, updated_at, version)
SELECT id, payment, booking, major(amount), reason, status, 1, instant(at), instant(at), version
  FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::bigint[],
              $8::bigint[])
       AS c (id, payment, booking, amount, reason, status, at, version)
 ORDER BY id
    ON CONFLICT (id) DO NOTHING
RETURNING id";

const UPDATE: &str = "
UPDATE refunds AS r SET status = c.status, updated_at = instant(c.at), amount = major(c.amount), reason = c.reason,
       version = c.version
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[])
       AS c (id, was, status, at, amount, reason, version)
 WHERE r.id = c.id AND r.status = c.was
RETURNING r.id";

/// The refunds with these ids, and those of these payments.
pub(super) async fn load(
    executor: impl PgExecutor<'_>,
    ids: &BTreeSet<RefundId>,
    of: &BTreeSet<PaymentReference>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let refunds = sqlx::query(REFUNDS).bind(texts(ids)).bind(texts(of));
    refunds.fetch_all(executor).await
}

/// Writes the refunds. Returns the ids of those that another commit wrote or changed first.
pub(super) async fn write(
    connection: &mut PgConnection,
    refunds: &[RefundChange],
) -> Result<Vec<String>, sqlx::Error> {
    let (new, changed): (Vec<_>, Vec<_>) = refunds.iter().partition(|c| c.was.is_none());
    let mut written: Vec<String> = Vec::new();
    if !new.is_empty() {
        let insert = sqlx::query_scalar(INSERT)
            .bind(column(&new, |c| c.after.id.to_string()))
            .bind(column(&new, |c| c.after.payment.to_string()))
            .bind(column(&new, |c| c.after.booking_id.0))
            .bind(column(&new, |c| c.after.amount.stored()))
            .bind(column(&new, |c| c.after.reason.as_str()))
            .bind(column(&new, |c| c.after.status.as_str()))
            .bind(column(&new, |c| micros(c.after.created_at)))
            .bind(column(&new, |c| c.after.version));
        written.extend(insert.fetch_all(&mut *connection).await?);
    }
    if !changed.is_empty() {
        let update = sqlx::query_scalar(UPDATE)
            .bind(column(&changed, |c| c.after.id.to_string()))
            .bind(column(&changed, |c| c.was.map(RefundStatus::as_str)))
            .bind(column(&changed, |c| c.after.status.as_str()))
            .bind(column(&changed, |c| micros(c.after.updated_at)))
            .bind(column(&changed, |c| c.after.amount.stored()))
            .bind(column(&changed, |c| c.after.reason.as_str()))
            .bind(column(&changed, |c| c.after.version));
        written.extend(update.fetch_all(&mut *connection).await?);
    }
    let ids = refunds.iter().map(|change| change.after.id.to_string());
    Ok(ids.filter(|id| !written.contains(id)).collect())
}
