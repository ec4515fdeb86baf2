//! Status changes of a commit's bookings and payments, grouped so that each group is one update by key.
//!
//! Most commits have one group per table: held bookings that were paid for. A join with the set of changes
//! would leave the join order to the planner, which scans the table first if it was empty at the last
//! ANALYZE.

use super::{attempts, replacements};
use crate::domain::{Booking, BookingStatus, FailureReason, PaymentStatus, Timestamp};
use crate::rules::{BookingChange, NetChanges, PaymentChange};
use crate::store::rows::micros;
use crate::store::rows::sql::json;
use sqlx::PgConnection;
use std::collections::HashMap;

const UPDATE_BOOKINGS: &str = "
UPDATE bookings SET status = $3, failure_reason = $4, updated_at = instant($5), version = $7
 WHERE id = ANY($1) AND status = $2 AND version = $6";

const UPDATE_PAYMENTS: &str = "
UPDATE payments SET status = $3, updated_at = instant($4), version = $6
 WHERE reference = ANY($1) AND status = $2 AND version = $5";

/// A booking of which more than the status changes.
const REWRITE_BOOKING: &str = "
UPDATE bookings SET status = $4, failure_reason = $5, updated_at = instant($6), version = $7,
       seats_booked = $8, booking_price = major($9), booking_taxes = major($10),
       cancelled_passengers = $11, hold_expires_at = instant($12), extended = $13, fee = major($14),
       flight_id = $15, fare_rules = $16, sold_departure = instant($17), sold_at = instant($18),
       has_changes = $19
 WHERE id = $1 AND status = $2 AND version = $3";

/// The groups of one commit, the largest of each table first.
#[derive(Debug, Default)]
pub(super) struct StatusUpdates {
    pub(in crate::store) bookings: Vec<BookingUpdate>,
    pub(in crate::store) payments: Vec<PaymentUpdate>,
    /// Bookings of which more than the status changes.
    rewritten: Vec<BookingChange>,
    /// New bookings that hold seats for a change of flight.
    replacements: Vec<Booking>,
    /// Payments that are made or change in several steps.
    attempts: Vec<PaymentChange>,
}

/// Bookings with the same change.
#[derive(Debug, Default)]
pub(super) struct BookingUpdate {
    pub(in crate::store) ids: Vec<i64>,
    pub(in crate::store) was: Option<BookingStatus>,
    pub(in crate::store) was_version: i64,
    pub(in crate::store) version: i64,
    pub(in crate::store) status: Option<BookingStatus>,
    pub(in crate::store) reason: Option<FailureReason>,
    pub(in crate::store) at: Timestamp,
}

/// Payments with the same change.
#[derive(Debug, Default)]
pub(super) struct PaymentUpdate {
    pub(in crate::store) references: Vec<String>,
    pub(in crate::store) was: Option<PaymentStatus>,
    pub(in crate::store) was_version: i64,
    pub(in crate::store) version: i64,
    pub(in crate::store) status: Option<PaymentStatus>,
    pub(in crate::store) at: Timestamp,
}

impl StatusUpdates {
    pub(in crate::store) fn of(folded: &NetChanges) -> Self {
        let mut bookings: HashMap<_, BookingUpdate> = HashMap::new();
        let (mut rewritten, mut replacements) = (Vec::new(), Vec::new());
        for change in &folded.bookings {
            let after = &change.after;
            let Some(was) = change.was else {
                replacements.extend(after.replaces.map(|_| after.clone()));
                continue;
            };
            if after.is_rewritten {
                rewritten.push(change.clone());
                continue;
            }
            let way = (was, after.status, after.failure_reason, after.updated_at, after.version);
            let group = bookings.entry(way).or_insert_with(|| BookingUpdate {
                ids: Vec::new(),
                was: Some(was.status),
                was_version: was.version,
                version: after.version,
                status: Some(after.status),
                reason: after.failure_reason,
                at: after.updated_at,
            });
            group.ids.push(after.id.0);
        }
        let mut payments: HashMap<_, PaymentUpdate> = HashMap::new();
        let mut attempts = Vec::new();
        for change in &folded.payments {
            if change.after.has_several_steps() {
                attempts.push(change.clone());
                continue;
            }
            let (Some(was), after) = (change.was, &change.after) else { continue };
            let way = (was, after.status, after.updated_at, after.version);
            let group = payments.entry(way).or_insert_with(|| PaymentUpdate {
                references: Vec::new(),
                was: Some(was.status),
                was_version: was.version,
                version: after.version,
                status: Some(after.status),
                at: after.updated_at,
            });
            group.references.push(after.reference.to_string());
        }
        let mut updates = Self {
            bookings: bookings.into_values().collect(),
            payments: payments.into_values().collect(),
            rewritten,
            replacements,
            attempts,
        };
        updates.bookings.sort_by_key(|group| std::cmp::Reverse(group.ids.len()));
        updates.payments.sort_by_key(|group| std::cmp::Reverse(group.references.len()));
        updates
    }

    /// Whether there are more groups than the commit's one statement writes.
    pub(super) fn has_more(&self) -> bool {
        self.bookings.len() > 1
            || self.payments.len() > 1
            || !self.rewritten.is_empty()
            || !self.replacements.is_empty()
            || !self.attempts.is_empty()
    }

    /// Writes the further groups. Fails with [`sqlx::Error::RowNotFound`] if a row has changed.
    pub(super) async fn write_more(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        for group in self.bookings.iter().skip(1) {
            let update = sqlx::query(UPDATE_BOOKINGS)
                .bind(&group.ids)
                .bind(group.was.map(BookingStatus::as_str))
                .bind(group.status.map(BookingStatus::as_str))
                .bind(group.reason.map(FailureReason::as_str))
                .bind(micros(group.at))
                .bind(group.was_version)
                .bind(group.version);
            check(group.ids.len(), update.execute(&mut *connection).await?.rows_affected())?;
        }
        for group in self.payments.iter().skip(1) {
            let update = sqlx::query(UPDATE_PAYMENTS)
                .bind(&group.references)
                .bind(group.was.map(PaymentStatus::as_str))
                .bind(group.status.map(PaymentStatus::as_str))
                .bind(micros(group.at))
                .bind(group.was_version)
                .bind(group.version);
            check(group.references.len(), update.execute(&mut *connection).await?.rows_affected())?;
        }
        for change in &self.rewritten {
            let Some(was) = change.was else { continue };
            let after = &change.after;
            let update = sqlx::query(REWRITE_BOOKING)
                .bind(after.id.0)
                .bind(was.status.as_str())
                .bind(was.version)
                .bind(after.status.as_str())
                .bind(after.failure_reason.map(FailureReason::as_str))
                .bind(micros(after.updated_at))
                .bind(after.version)
                .bind(after.seats_booked)
                .bind(after.booking_price.stored())
                .bind(after.booking_taxes.stored())
                .bind((!after.cancelled.is_empty()).then(|| json(&after.cancelled.as_slice())))
                .bind(micros(after.hold_expires_at))
                .bind(after.extended)
                .bind(after.fee.stored())
                .bind(after.flight_id.0)
                .bind(after.fare_rules.stored())
                .bind(after.sold_departure.map(micros))
                .bind(after.sold_at.map(micros))
                .bind(after.has_changes);
            check(1, update.execute(&mut *connection).await?.rows_affected())?;
        }
        for booking in &self.replacements {
            replacements::insert(connection, booking).await?;
        }
        // After the bookings, whose holds they copy.
        attempts::write(connection, &self.attempts).await
    }
}

/// Fails unless every row was written.
pub(super) fn check(rows: usize, written: u64) -> sqlx::Result<()> {
    if written == rows as u64 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}
