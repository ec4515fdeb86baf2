//! The booking engine's role: its parts are in [`load`] and [`commit`].

use crate::domain::{BookingId, FlightId, PaymentReference};
use crate::rules::{ChangeSet, State, Wanted};
use crate::store::rows::reference;
use crate::store::rows::sql::json;
use crate::store::sqlite::batch::{commit, load};
use crate::store::sqlite::{SqliteStore, highest_booking};
use crate::store::{Commits, Committed, Located, StoreError};
use async_trait::async_trait;
use std::sync::atomic::Ordering;
use tracing::warn;

#[async_trait]
impl Commits for SqliteStore {
    async fn load(&self, wanted: &Wanted) -> Result<State, StoreError> {
        load::load(&self.reader, &self.unreadable, wanted).await
    }

    async fn commit(&self, changes: &ChangeSet) -> Result<Committed, StoreError> {
        let committed = commit::commit(&self.writer, changes).await;
        self.writer.note(&committed);
        committed
    }

    async fn locate(
        &self,
        payments: &[PaymentReference],
        bookings: &[BookingId],
    ) -> Result<Located, StoreError> {
        let mut located = Located::default();
        if !payments.is_empty() {
            let rows: Vec<(String, i64)> = sqlx::query_as(
                "SELECT payment_reference_id, flight_id FROM bookings
                  WHERE payment_reference_id IN (SELECT value FROM json_each($1))
                  UNION ALL
                 SELECT p.reference, b.flight_id FROM payments AS p
                   JOIN bookings AS b ON b.payment_reference_id = p.order_reference
                  WHERE p.reference IN (SELECT value FROM json_each($1))
                    AND p.order_reference IS NOT NULL",
            )
            .bind(json(&payments))
            .fetch_all(&self.reader)
            .await?;
            for (payment, flight) in rows {
                located.add_payment(reference(&payment)?, FlightId(flight));
            }
        }
        if !bookings.is_empty() {
            let rows: Vec<(i64, i64)> = sqlx::query_as(
                "SELECT i.id, b.flight_id FROM bookings AS i
                   JOIN bookings AS b ON b.payment_reference_id = i.payment_reference_id
                  WHERE i.id IN (SELECT value FROM json_each($1))",
            )
            .bind(json(&bookings))
            .fetch_all(&self.reader)
            .await?;
            for (booking, flight) in rows {
                located.add_booking(BookingId(booking), FlightId(flight));
            }
        }
        Ok(located)
    }

    async fn draw_booking_id(&self) -> Result<BookingId, StoreError> {
        Ok(BookingId(self.last_booking_id.fetch_add(1, Ordering::Relaxed) + 1))
    }

    async fn draw_booking_id_instead_of(&self, taken: BookingId) -> Result<BookingId, StoreError> {
        let highest = highest_booking(&self.reader).await?;
        if self.last_booking_id.fetch_max(highest, Ordering::Relaxed) < highest {
            warn!(
                taken = taken.0,
                highest, "a booking's drawn number is taken; higher ones are drawn"
            );
        }
        self.draw_booking_id().await
    }
}
