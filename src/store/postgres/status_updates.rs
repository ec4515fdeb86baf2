//! How a commit's rows change their status: grouped, so that each group is one update by key.
//!
//! Most commits have one group a table: held bookings that were paid for. A join with the set of
//! changes would leave the order of the two to the planner, which takes the table first if it was
//! empty when it last looked.

use crate::domain::{BookingStatus, FailureReason, PaymentStatus, Timestamp};
use crate::rules::NetChanges;
use crate::store::rows::micros;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments, PgConnection};
use std::collections::HashMap;

/// The updates of one commit; the largest of each table first.
#[derive(Debug, Default)]
pub(super) struct StatusUpdates {
    pub(super) bookings: Vec<BookingUpdate>,
    pub(super) payments: Vec<PaymentUpdate>,
}

/// Bookings that go the same way.
#[derive(Debug, Default)]
pub(super) struct BookingUpdate {
    ids: Vec<i64>,
    was: Option<BookingStatus>,
    status: Option<BookingStatus>,
    reason: Option<FailureReason>,
    at: Timestamp,
}

/// Payments that go the same way.
#[derive(Debug, Default)]
pub(super) struct PaymentUpdate {
    references: Vec<String>,
    was: Option<PaymentStatus>,
    status: Option<PaymentStatus>,
    at: Timestamp,
}

/// What adding a statement's arguments comes to.
pub(super) type Added = Result<(), sqlx::error::BoxDynError>;

impl StatusUpdates {
    pub(super) fn of(folded: &NetChanges) -> Self {
        let mut bookings: HashMap<_, BookingUpdate> = HashMap::new();
        for change in folded.bookings.iter().filter(|change| change.was.is_some()) {
            let (was, after) = (change.was, &change.after);
            let way = (was, after.status, after.failure_reason, after.updated_at);
            let group = bookings.entry(way).or_insert_with(|| BookingUpdate {
                ids: Vec::new(),
                was,
                status: Some(after.status),
                reason: after.failure_reason,
                at: after.updated_at,
            });
            group.ids.push(after.id.0);
        }
        let mut payments: HashMap<_, PaymentUpdate> = HashMap::new();
        for change in folded.payments.iter().filter(|change| change.was.is_some()) {
            let (was, after) = (change.was, &change.after);
            let group =
                payments.entry((was, after.status, after.updated_at)).or_insert_with(|| {
                    let (status, at) = (Some(after.status), after.updated_at);
                    PaymentUpdate { references: Vec::new(), was, status, at }
                });
            group.references.push(after.reference.to_string());
        }
        let mut updates = Self {
            bookings: bookings.into_values().collect(),
            payments: payments.into_values().collect(),
        };
        updates.bookings.sort_by_key(|group| std::cmp::Reverse(group.ids.len()));
        updates.payments.sort_by_key(|group| std::cmp::Reverse(group.references.len()));
        updates
    }

    /// Whether there are more than the commit's one statement writes.
    pub(super) fn has_more(&self) -> bool {
        self.bookings.len() > 1 || self.payments.len() > 1
    }

    /// Writes those; fails with [`sqlx::Error::RowNotFound`] if a row had moved.
    pub(super) async fn write_more(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        for group in self.bookings.iter().skip(1) {
            let mut arguments = PgArguments::default();
            group.add_to(&mut arguments).map_err(sqlx::Error::Encode)?;
            let update = "UPDATE bookings SET status = $3, failure_reason = $4, \
                          updated_at = instant($5) WHERE id = ANY($1) AND status = $2";
            write(connection, update, arguments, group.ids.len()).await?;
        }
        for group in self.payments.iter().skip(1) {
            let mut arguments = PgArguments::default();
            group.add_to(&mut arguments).map_err(sqlx::Error::Encode)?;
            let update = "UPDATE payments SET status = $3, updated_at = instant($4) \
                          WHERE reference = ANY($1) AND status = $2";
            write(connection, update, arguments, group.references.len()).await?;
        }
        Ok(())
    }
}

async fn write(
    connection: &mut PgConnection,
    update: &'static str,
    arguments: PgArguments,
    rows: usize,
) -> sqlx::Result<()> {
    let done = sqlx::query_with(update, arguments).execute(connection).await?;
    if done.rows_affected() == rows as u64 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}

impl BookingUpdate {
    pub(super) fn add_to(&self, arguments: &mut PgArguments) -> Added {
        arguments.add(&self.ids)?;
        arguments.add(self.was.map(BookingStatus::as_str))?;
        arguments.add(self.status.map(BookingStatus::as_str))?;
        arguments.add(self.reason.map(FailureReason::as_str))?;
        arguments.add(micros(self.at))
    }
}

impl PaymentUpdate {
    pub(super) fn add_to(&self, arguments: &mut PgArguments) -> Added {
        arguments.add(&self.references)?;
        arguments.add(self.was.map(PaymentStatus::as_str))?;
        arguments.add(self.status.map(PaymentStatus::as_str))?;
        arguments.add(micros(self.at))
    }
}
