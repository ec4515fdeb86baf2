//! Requests to the payment worker.

use crate::domain::{
    Booking, BookingId, Event, Payment, PaymentAction, PaymentRequest, Refund, Timestamp,
};

/// The event that asks the payment worker to capture or reverse a payment. `first` is the first booking of
/// its order, whose id is the message's key.
pub fn request(first: &Booking, payment: &Payment, action: PaymentAction, now: Timestamp) -> Event {
    Event::PaymentRequested(PaymentRequest {
        booking_id: first.order_id,
        payment_reference_id: payment.reference,
        refund_id: None,
        amount: payment.amount,
        currency: payment.currency,
        payment_method: payment.method.clone(),
        action,
        timestamp: now,
        hold_expires_at: (action == PaymentAction::Capture).then_some(first.hold_expires_at),
    })
}

/// The event that asks the payment worker to refund a part of a captured payment.
pub fn refund_request(
    order_id: BookingId,
    payment: &Payment,
    refund: &Refund,
    now: Timestamp,
) -> Event {
    Event::PaymentRequested(PaymentRequest {
        booking_id: order_id,
        payment_reference_id: payment.reference,
        amount: refund.amount,
        currency: payment.currency,
        payment_method: payment.method.clone(),
        action: PaymentAction::Refund,
        refund_id: Some(refund.id),
        timestamp: now,
        hold_expires_at: None,
    })
}
