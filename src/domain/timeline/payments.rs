//! What the rows of payments tell.

use super::{TimelineEvent, TimelineKind};
use crate::domain::{OrderRecord, Payment, PaymentKind, PaymentMethod, PaymentStatus, Timestamp};

/// The requests of an order's payments, and their outcomes.
///
/// A payment that waited for its method keeps no time of its request, and a capture's is overwritten by a dispute or
/// a reversal. The gateways knew no payment that an earlier service took.
pub(super) fn events(record: &OrderRecord) -> Vec<TimelineEvent> {
    let all = record.earlier.iter().chain([&record.order.payment]);
    all.filter(|payment| !payment.method.is_adopted()).flat_map(of_payment).collect()
}

fn of_payment(payment: &Payment) -> impl Iterator<Item = TimelineEvent> + use<> {
    let requested = (payment.kind == PaymentKind::Now)
        .then_some((payment.created_at, TimelineKind::PaymentRequested));
    let was_asked = payment.method.as_str() != PaymentMethod::UNCHOSEN;
    let outcome = match payment.status {
        PaymentStatus::Captured => {
            captured_at(payment).map(|at| (at, TimelineKind::PaymentCaptured))
        }
        PaymentStatus::Declined => Some((payment.updated_at, TimelineKind::PaymentDeclined)),
        PaymentStatus::Reversed if was_asked => {
            Some((payment.updated_at, TimelineKind::PaymentReversed))
        }
        PaymentStatus::Reversed | PaymentStatus::Requested | PaymentStatus::ReversalRequested => {
            None
        }
    };
    let (attempt, amount) = (Some(payment.attempt), Some(payment.amount));
    let event = move |(at, kind)| TimelineEvent { attempt, amount, ..TimelineEvent::new(at, kind) };
    requested.into_iter().chain(outcome).map(event)
}

/// When a payment was captured; `None` if it was not, or a dispute has overwritten the time, or an earlier service
/// took it.
pub(super) fn captured_at(payment: &Payment) -> Option<Timestamp> {
    let is_told = payment.status == PaymentStatus::Captured
        && payment.dispute.is_none()
        && !payment.method.is_adopted();
    is_told.then_some(payment.updated_at)
}
