//! The booking engine's role: its parts are in [`load`], [`commit`] and [`numbers`](crate::store::postgres::batch::numbers).

use crate::domain::{BookingId, FlightId, PaymentReference};
use crate::rules::{ChangeSet, State, Wanted};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::batch::{commit, load};
use crate::store::postgres::sets::texts;
use crate::store::rows::reference;
use crate::store::{Commits, Committed, Located, StoreError};
use async_trait::async_trait;

#[async_trait]
impl Commits for PostgresStore {
    async fn load(&self, wanted: &Wanted) -> Result<State, StoreError> {
        self.guard.bound(load::load(&self.primary, &self.unreadable, wanted)).await
    }

    async fn commit(&self, changes: &ChangeSet) -> Result<Committed, StoreError> {
        self.guard.bound(commit::commit(&self.primary, changes)).await
    }

    async fn locate(
        &self,
        payments: &[PaymentReference],
        bookings: &[BookingId],
    ) -> Result<Located, StoreError> {
        self.guard.bound(self.find_flights(payments, bookings)).await
    }

    async fn draw_booking_id(&self) -> Result<BookingId, StoreError> {
        self.numbers.draw(&self.primary, &self.guard).await
    }

    async fn draw_booking_id_instead_of(&self, taken: BookingId) -> Result<BookingId, StoreError> {
        self.numbers.draw_instead_of(taken, &self.primary, &self.guard).await
    }
}

impl PostgresStore {
    async fn find_flights(
        &self,
        payments: &[PaymentReference],
        bookings: &[BookingId],
    ) -> Result<Located, StoreError> {
        let mut located = Located::default();
        if !payments.is_empty() {
            let rows: Vec<(String, i64)> = sqlx::query_as(
                "SELECT payment_reference_id, flight_id FROM bookings
                  WHERE payment_reference_id = ANY($1) AND flight_id IS NOT NULL
                  UNION ALL
                 SELECT p.reference, b.flight_id FROM payments AS p
                   JOIN bookings AS b ON b.payment_reference_id = p.order_reference
                  WHERE p.reference = ANY($1) AND p.order_reference IS NOT NULL
                    AND b.flight_id IS NOT NULL",
            )
            .bind(texts(payments))
            .fetch_all(&self.primary)
            .await?;
            for (payment, flight) in rows {
                located.add_payment(reference(&payment)?, FlightId(flight));
            }
        }
        if !bookings.is_empty() {
            let rows: Vec<(i64, i64)> = sqlx::query_as(
                "SELECT i.id, b.flight_id FROM bookings AS i
                   JOIN bookings AS b ON b.payment_reference_id = i.payment_reference_id
                  WHERE i.id = ANY($1)",
            )
            .bind(bookings.iter().map(|id| id.0).collect::<Vec<_>>())
            .fetch_all(&self.primary)
            .await?;
            for (booking, flight) in rows {
                located.add_booking(BookingId(booking), FlightId(flight));
            }
        }
        Ok(located)
    }
}
