//! Requests to the payment worker.

use crate::domain::{Booking, Event, Payment, PaymentAction, PaymentRequest, Timestamp};

/// The event that asks the payment worker to capture or reverse a payment.
pub fn request(
    booking: &Booking,
    payment: &Payment,
    action: PaymentAction,
    now: Timestamp,
) -> Event {
    Event::PaymentRequested(PaymentRequest {
        booking_id: booking.id,
        payment_reference_id: payment.reference,
        refund_id: None,
        amount: payment.amount,
        currency: payment.currency,
        payment_method: payment.method.clone(),
        action,
        timestamp: now,
        hold_expires_at: (action == PaymentAction::Capture).then_some(booking.hold_expires_at),
    })
}
