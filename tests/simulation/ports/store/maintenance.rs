//! What the sweeper asks.

use super::super::rows::Rows;
use super::SimStore;
use airline_booking::domain::{
    Booking, BookingId, BookingStatus, FlightId, Payment, PaymentReference, RefundStatus, Timestamp,
};
use airline_booking::rules::OutboxEvent;
use airline_booking::store::{BACKLOG_MAX, Backlog, Maintenance, Page, Position, StoreError};
use async_trait::async_trait;

/// The rows after a position, and where the next page begins.
pub(super) fn page<T>(
    mut rows: Vec<(Position, T)>,
    after: Option<&Position>,
    limit: usize,
) -> Page<T> {
    rows.sort_by(|(one, _), (other, _)| one.cmp(other));
    rows.retain(|(position, _)| after.is_none_or(|after| position > after));
    rows.truncate(limit);
    if planted!(pages_lack_their_last_row) {
        rows.pop();
    }
    let next = rows.last().map(|(position, _)| position.clone()).filter(|_| rows.len() >= limit);
    Page { found: rows.into_iter().map(|(_, row)| row).collect(), next }
}

#[async_trait]
impl Maintenance for SimStore {
    async fn lapsed_holds(
        &self,
        now: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<PaymentReference>, StoreError> {
        let lapsed = |rows: &Rows| {
            let lapsed = rows.bookings.values().filter(|booking| {
                let is_first = booking.segment == 1;
                is_first
                    && booking.status == BookingStatus::Pending
                    && booking.hold_expires_at <= now
            });
            let row = |b: &Booking| {
                (Position::at(b.hold_expires_at, b.payment_reference), b.payment_reference)
            };
            page(lapsed.map(row).collect(), after, limit)
        };
        self.read(lapsed).await
    }

    async fn stranded_bookings(
        &self,
        after: Option<(FlightId, BookingId)>,
        limit: usize,
    ) -> Result<Vec<(FlightId, BookingId)>, StoreError> {
        let stranded = |rows: &Rows| {
            let is_live = |booking: &&Booking| {
                matches!(booking.status, BookingStatus::Pending | BookingStatus::Completed)
                    && !(planted!(paid_bookings_stay_stranded)
                        && booking.status == BookingStatus::Completed)
                    && rows.flights[&booking.flight_id].flight_status
                        == airline_booking::domain::FlightStatus::Cancelled
            };
            let live = rows.bookings.values().filter(is_live);
            let mut ids: Vec<_> = live.map(|booking| (booking.flight_id, booking.id)).collect();
            ids.sort_unstable();
            ids.retain(|ids| after.is_none_or(|after| *ids > after));
            ids.truncate(limit);
            ids
        };
        self.read(stranded).await
    }

    async fn unanswered_payments(
        &self,
        before: Timestamp,
        after: Option<&Position>,
        limit: usize,
    ) -> Result<Page<(Payment, Booking)>, StoreError> {
        let unanswered = |rows: &Rows| {
            let row = |(payment, booking): (&Payment, &Booking)| {
                let position = Position::at(payment.updated_at, payment.reference);
                (position, (payment.clone(), booking.without_passengers()))
            };
            page(rows.unanswered(before).into_iter().map(row).collect(), after, limit)
        };
        self.read(unanswered).await
    }

    async fn redrive(
        &self,
        requests: &[(Payment, OutboxEvent)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let requests = requests.to_vec();
        self.write(move |rows| rows.redrive(&requests, now)).await
    }

    async fn forget_keys(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let forget = move |rows: &mut Rows| {
            let had = rows.keys.len() + rows.requests.len();
            let old = rows.keys.iter().filter(|(_, record)| record.created_at < before);
            let old: Vec<_> = old.map(|(name, _)| name.clone()).take(limit).collect();
            rows.keys.retain(|name, _| !old.contains(name));
            let left = limit - old.len();
            let old = rows.requests.iter().filter(|(_, record)| record.created_at < before);
            let old: Vec<_> = old.map(|(name, _)| name.clone()).take(left).collect();
            rows.requests.retain(|name, _| !old.contains(name));
            had - rows.keys.len() - rows.requests.len()
        };
        self.write(forget).await
    }

    async fn backlog(&self, lapsed: Timestamp, asked: Timestamp) -> Result<Backlog, StoreError> {
        let count = |rows: &Rows| Backlog {
            outbox: rows
                .outbox
                .values()
                .map(|e| e.messages.len() as i64)
                .sum::<i64>()
                .min(BACKLOG_MAX),
            outbox_since: rows.outbox.values().next().map(|entry| entry.since),
            stuck_bookings: rows
                .bookings
                .values()
                .filter(|b| b.status == BookingStatus::Pending && b.hold_expires_at <= lapsed)
                .count() as i64,
            unanswered_payments: rows.unanswered(asked).len() as i64,
            unanswered_refunds: unanswered_refunds(rows, asked).count() as i64,
            failed_refunds: 0,
            unanswered_refunds_since: unanswered_refunds(rows, asked).min(),
        };
        self.read(count).await
    }

    async fn renew_statistics(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// When each refund that is unanswered since `asked` was first requested.
fn unanswered_refunds(rows: &Rows, asked: Timestamp) -> impl Iterator<Item = Timestamp> {
    let open = rows.refunds.values().filter(|refund| refund.status == RefundStatus::Requested);
    open.map(|refund| refund.created_at).filter(move |at| *at < asked)
}
