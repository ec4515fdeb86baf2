//! Which requests of `payment-requests` are open, by the rows of their payments and refunds.

use super::worker::PaymentWorker;
use crate::bus::{BusError, Interrupted, received};
use crate::domain::{
    BookingId, Money, PaymentAction, PaymentReference, PaymentRequest, PaymentStatus, RefundId,
    RefundStatus, WaitsFor,
};
use crate::messages::{Message, Topic, parse_payment_request};
use crate::store::{PaymentAsked, RefundAsked};
use crate::telemetry::Span;
use std::collections::HashMap;

/// An open request, and its span.
pub(super) struct Asked {
    pub(super) reference: PaymentReference,
    /// The booking that the message names, or the refund's. Settlement refuses an event whose payment is for
    /// another.
    pub(super) booking: BookingId,
    pub(super) call: Wanted,
    pub(super) span: Span,
}

/// The call that a request asks for. Amounts and methods come from rows, never from messages.
pub(super) enum Wanted {
    Open(PaymentAsked),
    /// The outcome of a payment whose payer had to act.
    Status(PaymentAsked),
    /// With the payment's amount.
    Void(Money),
    Refund(RefundId, Money),
}

impl Wanted {
    /// The amount that the event tells.
    pub(super) fn amount(&self) -> Money {
        match self {
            Self::Open(payment) | Self::Status(payment) => payment.amount,
            Self::Void(amount) | Self::Refund(_, amount) => *amount,
        }
    }

    /// The payment that it takes money for, or may: such a call waits no longer than its hold.
    pub(super) fn payment(&self) -> Option<&PaymentAsked> {
        match self {
            Self::Open(payment) | Self::Status(payment) => Some(payment),
            Self::Void(_) | Self::Refund(..) => None,
        }
    }

    /// The refund, if the call is one.
    pub(super) fn refund(&self) -> Option<RefundId> {
        match self {
            Self::Refund(id, _) => Some(*id),
            Self::Open(_) | Self::Status(_) | Self::Void(_) => None,
        }
    }
}

/// The rows that a batch of requests names.
struct Rows {
    payments: HashMap<PaymentReference, PaymentAsked>,
    refunds: HashMap<RefundId, RefundAsked>,
}

impl PaymentWorker {
    /// The requests that are still open by their rows; others were answered before. Of a message only the
    /// reference or the refund's id is used, and a message that differs from the row becomes a dead letter.
    pub(super) async fn open(&self, messages: Vec<Message>) -> Result<Vec<Asked>, Interrupted> {
        let mut read: Vec<(PaymentRequest, Message, Span)> = Vec::with_capacity(messages.len());
        for message in messages {
            let span = received(&self.tracing, &*self.bus, Topic::PaymentRequests, &message);
            match parse_payment_request(&message) {
                Ok(request) => read.push((request, message, span)),
                Err(malformed) => self.dead_letter(message, &span, &malformed.to_string()).await?,
            }
        }
        let rows = self.rows(&read).await?;
        let mut open = Vec::with_capacity(read.len());
        for (request, message, span) in read {
            match opened(&request, &rows) {
                Ok(Some((booking, call))) => {
                    let reference = request.payment_reference_id;
                    open.push(Asked { reference, booking, call, span });
                }
                Ok(None) => {}
                Err(reason) => self.dead_letter(message, &span, reason).await?,
            }
        }
        Ok(open)
    }

    /// One read for the payments, and one for the refunds if a request is for one.
    async fn rows(&self, read: &[(PaymentRequest, Message, Span)]) -> Result<Rows, Interrupted> {
        let refunds: Vec<_> = read.iter().filter_map(|(request, ..)| request.refund_id).collect();
        let payments = read.iter().filter(|(request, ..)| request.refund_id.is_none());
        let payments: Vec<_> = payments.map(|(r, ..)| r.payment_reference_id).collect();
        let payments = self.store.payments_asked(&payments).await?;
        let refunds = match &*refunds {
            [] => HashMap::new(),
            refunds => self.store.refunds_asked(refunds).await?,
        };
        Ok(Rows { payments, refunds })
    }

    async fn dead_letter(
        &self,
        message: Message,
        span: &Span,
        reason: &str,
    ) -> Result<(), BusError> {
        span.fail("dead_letter");
        self.bus.dead_letter(Topic::PaymentRequests, message, reason).await?;
        self.metrics.count_dead_lettered(Topic::PaymentRequests);
        Ok(())
    }
}

/// The booking and the call of a request; `None` if it is answered. The error is why the message is put aside.
fn opened(
    request: &PaymentRequest,
    rows: &Rows,
) -> Result<Option<(BookingId, Wanted)>, &'static str> {
    if let Some(id) = request.refund_id {
        let refund = rows.refunds.get(&id).ok_or("there is no refund of this id")?;
        none_differs(&differences_of_refund(request, refund))?;
        // Else a lost dispute would give the money back a second time.
        let waits = refund.is_disputed && !planted!(disputed_refund_does_not_wait);
        let is_open = refund.status == RefundStatus::Requested && !waits;
        return Ok(is_open.then_some((refund.booking_id, Wanted::Refund(id, refund.amount))));
    }
    let reference = request.payment_reference_id;
    let payment = rows.payments.get(&reference).ok_or("there is no payment of this reference")?;
    none_differs(&differences_of_payment(request, payment))?;
    let call = match (request.action, payment.status) {
        (PaymentAction::Capture, PaymentStatus::Requested) => match payment.waits_for {
            WaitsFor::Gateway => Wanted::Open(payment.clone()),
            WaitsFor::Payer => Wanted::Status(payment.clone()),
            WaitsFor::Method => return Ok(None),
        },
        (PaymentAction::Reverse, PaymentStatus::ReversalRequested) => Wanted::Void(payment.amount),
        _ => return Ok(None),
    };
    Ok(Some((request.booking_id, call)))
}

/// What a message and a row may differ in: the reason, and whether they do.
type Difference = (&'static str, bool);

fn differences_of_payment(request: &PaymentRequest, payment: &PaymentAsked) -> [Difference; 3] {
    [
        ("the payment is over another amount", request.amount != payment.amount),
        ("the payment is in another currency", request.currency != payment.currency),
        ("the payment has another method", request.payment_method != payment.method),
    ]
}

fn differences_of_refund(request: &PaymentRequest, refund: &RefundAsked) -> [Difference; 3] {
    [
        ("the refund is of another payment", request.payment_reference_id != refund.payment),
        ("the refund is over another amount", request.amount != refund.amount),
        ("the refund is in another currency", request.currency != refund.currency),
    ]
}

/// Fails with the first difference.
fn none_differs(differences: &[Difference]) -> Result<(), &'static str> {
    match differences.iter().find(|(_, differs)| *differs) {
        Some((reason, _)) => Err(reason),
        None => Ok(()),
    }
}
