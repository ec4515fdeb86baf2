//! Events that name rows and say little of them: their content, read from the rows that they name.

use super::{Fact, Named, Subject};
use crate::domain::{
    Booking, BookingId, BookingStatus, ChangeEnded, DisputeChanged, EntryChanged, EntryStatus,
    Order, OrderEnded, OrderRecord, PaymentReference, PaymentStatus, RefundChanged, RefundId,
    RefundStatus, WaitlistId,
};
use crate::store::{Store, StoreError};
use serde_json::value::to_raw_value;

/// The event's content; `None` if the rows contradict it, or it is of another kind.
pub(super) async fn read(store: &dyn Store, named: &Named) -> Result<Option<Fact>, StoreError> {
    match named.subject {
        Subject::Flight(_) | Subject::Booking(_) => Ok(None),
        Subject::Entry(id) => of_entry(store, named, id).await,
        Subject::Change { booking, replacement } => of_change(store, booking, replacement).await,
        Subject::Order(id) => {
            let record = store.order(id).await?;
            Ok(record.and_then(|record| of_order(named, id, &record.order)))
        }
        Subject::Refund(id, booking) => {
            let record = store.order(booking).await?;
            Ok(record.and_then(|record| of_refund(named, id, &record)))
        }
        Subject::Dispute(payment, booking) => {
            let record = store.order(booking).await?;
            Ok(record.and_then(|record| of_dispute(named, payment, &record)))
        }
    }
}

fn of_order(named: &Named, id: BookingId, order: &Order) -> Option<Fact> {
    let (first, payment) = (order.first(), &order.payment);
    let was_paid = payment.status == PaymentStatus::Captured;
    let is_true = match (named.kind, order.status()) {
        ("itinerary.completed", BookingStatus::Completed)
        | ("itinerary.failed", BookingStatus::Failed)
        | ("itinerary.cancelled", BookingStatus::Cancelled) => true,
        ("itinerary.completed", BookingStatus::Cancelled) => was_paid,
        _ => false,
    };
    let ended = OrderEnded {
        order_id: id,
        flight_id: first.flight_id,
        status: order.status(),
        segments: first.segments,
        total_price: order.total_price(),
        currency: payment.currency,
        payment: payment.reference,
    };
    let is_true = is_true && order.id() == id && first.segments > 1;
    let at = order.bookings.iter().map(|booking| booking.updated_at).max()?;
    is_true.then(|| Fact::new(ended.flight_id, Some(id), at, to_raw_value(&ended)))
}

fn of_refund(named: &Named, id: RefundId, record: &OrderRecord) -> Option<Fact> {
    let refund = record.refunds.iter().find(|refund| refund.id == id)?;
    let booking = record.order.bookings.iter().find(|booking| booking.id == refund.booking_id)?;
    let is_last = named.is_version(refund.version);
    let is_so = match (named.kind, refund.status) {
        ("refund.requested", RefundStatus::Requested)
        | ("refund.done", RefundStatus::Done)
        | ("refund.failed", RefundStatus::Failed) => true,
        _ => !is_last,
    };
    let changed = RefundChanged {
        refund_id: id,
        booking_id: booking.id,
        order_id: booking.order_id,
        flight_id: booking.flight_id,
        payment: refund.payment,
        amount: refund.amount,
        currency: record.order.payment.currency,
        reason: refund.reason,
        status: refund.status,
    };
    let is_true = is_so && named.has_been(refund.version);
    let data = to_raw_value(&changed);
    is_true.then(|| Fact::new(booking.flight_id, Some(booking.id), refund.updated_at, data))
}

fn of_dispute(named: &Named, payment: PaymentReference, record: &OrderRecord) -> Option<Fact> {
    let mut payments = record.earlier.iter().chain([&record.order.payment]);
    let payment = payments.find(|its| its.reference == payment)?;
    let (status, first) = (payment.dispute?, record.order.first());
    let is_last = named.is_version(payment.version);
    let changed = DisputeChanged {
        payment: payment.reference,
        booking_id: first.id,
        order_id: first.order_id,
        flight_id: first.flight_id,
        amount: payment.amount,
        currency: payment.currency,
        status,
    };
    let kind = crate::domain::AirlineEvent::DisputeChanged(changed.clone()).kind();
    let is_true = named.has_been(payment.version) && (kind == named.kind || !is_last);
    let data = to_raw_value(&changed);
    is_true.then(|| Fact::new(first.flight_id, Some(first.id), payment.updated_at, data))
}

async fn of_change(
    store: &dyn Store,
    id: BookingId,
    replacement: BookingId,
) -> Result<Option<Fact>, StoreError> {
    let rows = store.event_rows(&[], &[id, replacement]).await?;
    let found = |id| rows.bookings.iter().find(|booking| booking.id == id);
    let (Some(booking), Some(held)) = (found(id), found(replacement)) else { return Ok(None) };
    if held.replaces != Some(id) || held.status != BookingStatus::Failed {
        return Ok(None);
    }
    let reference = held.payment_reference;
    let asked = store.payments_asked(&[reference]).await?;
    let Some(payment) = asked.get(&reference) else { return Ok(None) };
    let ended = ChangeEnded {
        booking_id: id,
        order_id: booking.order_id,
        flight_id: booking.flight_id,
        to_flight_id: held.flight_id,
        reason: held.failure_reason,
        amount: payment.amount,
        currency: payment.currency,
        replacement,
    };
    let data = to_raw_value(&ended);
    Ok(Some(Fact::new(ended.flight_id, Some(id), held.updated_at, data)))
}

async fn of_entry(
    store: &dyn Store,
    named: &Named,
    id: WaitlistId,
) -> Result<Option<Fact>, StoreError> {
    let Some(record) = store.entry(id).await? else { return Ok(None) };
    let rows = store.event_rows(&[], &[id.booking()]).await?;
    let booking: Option<&Booking> = rows.bookings.first();
    let entry = &record.entry;
    let pending = booking.filter(|booking| booking.status == BookingStatus::Pending);
    let changed = EntryChanged {
        waitlist_id: id,
        flight_id: entry.flight_id,
        seats: entry.seats,
        mode: entry.mode,
        status: entry.status,
        reason: entry.reason,
        booking_id: booking.map(|booking| booking.id),
        pay_by: pending.map(|booking| booking.hold_expires_at),
    };
    let is_true = match named.kind {
        "waitlist.joined" => true,
        "waitlist.offered" => booking.is_some() && entry.status != EntryStatus::Waiting,
        kind => kind.strip_prefix("waitlist.") == Some(entry.status.as_str()),
    };
    let at = if named.kind == "waitlist.joined" { entry.created_at } else { entry.updated_at };
    let data = to_raw_value(&changed);
    Ok(is_true.then(|| Fact::new(entry.flight_id, changed.booking_id, at, data)))
}
