//! What the payment worker is asked.

use crate::domain::{Booking, Currency, Event, Payment, PaymentAction, PaymentRequest, Timestamp};

/// The message that asks the payment worker for an action.
pub fn request(
    booking: &Booking,
    payment: &Payment,
    action: PaymentAction,
    now: Timestamp,
) -> Event {
    let currency: Currency = payment.currency;
    Event::PaymentRequested(PaymentRequest {
        booking_id: booking.id,
        payment_reference_id: payment.reference,
        amount: payment.amount,
        currency,
        payment_method: payment.method.clone(),
        action,
        timestamp: now,
        hold_expires_at: (action == PaymentAction::Capture).then_some(booking.hold_expires_at),
    })
}
