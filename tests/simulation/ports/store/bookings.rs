//! Bookings and the payments that were asked for.

use super::super::rows::Rows;
use super::SimStore;
use airline_booking::domain::{
    Booking, BookingId, BookingStatus, DisputeStatus, FlightId, OrderRecord, PaymentReference,
    RefundId, UserId,
};
use airline_booking::store::{Bookings, PaymentAsked, RefundAsked, StoreError};
use async_trait::async_trait;
use std::collections::HashMap;

#[async_trait]
impl Bookings for SimStore {
    async fn booking(&self, id: BookingId) -> Result<Option<Booking>, StoreError> {
        if planted!(reads_lag_behind) && self.chance().below(4) == 0 {
            return self
                .read(|rows| rows.earlier.get(&id).or(rows.bookings.get(&id)).cloned())
                .await;
        }
        self.read(|rows| rows.bookings.get(&id).cloned()).await
    }

    async fn order(&self, of: BookingId) -> Result<Option<OrderRecord>, StoreError> {
        let order = |rows: &Rows| {
            let booking = rows.bookings.get(&of).filter(|booking| booking.replaces.is_none())?;
            rows.record(&booking.payment_reference)
        };
        self.read(order).await
    }

    async fn bookings_of_user(
        &self,
        user: UserId,
        status: Option<BookingStatus>,
        before: Option<BookingId>,
        limit: usize,
    ) -> Result<Vec<Booking>, StoreError> {
        let is_listed = |booking: &&Booking| {
            booking.user_id == user
                && booking.replaces.is_none()
                && status.is_none_or(|status| booking.status == status)
                && before.is_none_or(|before| booking.id < before)
        };
        let list = |rows: &Rows| {
            rows.bookings.values().rev().filter(is_listed).take(limit).cloned().collect()
        };
        self.read(list).await
    }

    async fn bookings_of_flight(
        &self,
        flight: FlightId,
        status: Option<BookingStatus>,
        after: Option<BookingId>,
        limit: usize,
    ) -> Result<Vec<Booking>, StoreError> {
        let is_listed = |booking: &&Booking| {
            booking.flight_id == flight
                && booking.replaces.is_none()
                && status.is_none_or(|status| booking.status == status)
                && after.is_none_or(|after| booking.id > after)
        };
        let list =
            |rows: &Rows| rows.bookings.values().filter(is_listed).take(limit).cloned().collect();
        self.read(list).await
    }

    async fn payments_asked(
        &self,
        payments: &[PaymentReference],
    ) -> Result<HashMap<PaymentReference, PaymentAsked>, StoreError> {
        let asked = |rows: &Rows| {
            let asked = |reference: &PaymentReference| {
                let payment = rows.payments.get(reference)?;
                let booking = *rows.order(reference).first()?;
                let asked = PaymentAsked {
                    amount: payment.amount,
                    currency: payment.currency,
                    method: payment.method.clone(),
                    status: payment.status,
                    waits_for: payment.waits_for,
                    return_url: payment.return_url().cloned(),
                    hold_expires_at: booking.hold_expires_at,
                };
                Some((*reference, asked))
            };
            payments.iter().filter_map(asked).collect()
        };
        self.read(asked).await
    }

    async fn refunds_asked(
        &self,
        refunds: &[RefundId],
    ) -> Result<HashMap<RefundId, RefundAsked>, StoreError> {
        let asked = |rows: &Rows| {
            let asked = |id: &RefundId| {
                let refund = rows.refunds.get(id)?;
                let payment = rows.payments.get(&refund.payment)?;
                let asked = RefundAsked {
                    payment: refund.payment,
                    booking_id: refund.booking_id,
                    amount: refund.amount,
                    currency: payment.currency,
                    status: refund.status,
                    is_disputed: payment.dispute == Some(DisputeStatus::Open),
                };
                Some((*id, asked))
            };
            refunds.iter().filter_map(asked).collect()
        };
        self.read(asked).await
    }

    async fn adopted_bookings(
        &self,
        _after: BookingId,
        _limit: usize,
    ) -> Result<(Vec<BookingId>, Option<BookingId>), StoreError> {
        Ok((Vec::new(), None))
    }
}
