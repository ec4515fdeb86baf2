//! Disputes: a payer asks the bank, and not us, for the money of a captured payment.

use super::Decision;
use super::draft::Draft;
use super::ending::Ending;
use crate::domain::{
    AirlineEvent, Booking, BookingId, BookingStatus, DisputeChanged, DisputeStatus, Event, Money,
    Payment, PaymentReference, PaymentStatus, Refund, RefundId, RefundReason, RefundStatus,
    Timestamp,
};
use crate::rules::{Refusal, State};

/// Applies what became of a payment that its payer disputes.
#[derive(Debug, Clone)]
pub struct Dispute {
    /// The payment.
    pub reference: PaymentReference,
    /// The dispute's state at the gateway.
    pub status: DisputeStatus,
    /// The disputed amount.
    pub amount: Money,
    /// The payment's version from before the gateway was asked.
    pub seen: i64,
}

/// Notes the dispute. A lost one gave money back: it counts as a refund that is done, and what it covers is not
/// refunded as well.
pub(super) fn decide(
    state: &State,
    dispute: &Dispute,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let end = Ending::of_money(state, dispute.reference, now)?;
    // Its capture is not settled yet: the news must come again.
    if end.payment.is_open() {
        return Err(Refusal::PaymentInProgress(end.first().id));
    }
    let known = end.payment.dispute;
    let is_over = known == Some(DisputeStatus::Lost) || known == Some(dispute.status);
    if end.payment.status != PaymentStatus::Captured || is_over {
        return Ok(end.unchanged());
    }
    // What is known may be newer than what the gateway said.
    if end.payment.version != dispute.seen {
        return Err(Refusal::PaymentChanged(dispute.reference));
    }
    let mut draft = end.draft();
    let status = Some(dispute.status);
    let payment = Payment { dispute: status, ..end.payment_as(end.payment.status) };
    draft.publish(told(&end, dispute, payment.version));
    draft.change_payment(payment);
    if dispute.status == DisputeStatus::Lost {
        let refunds = refunds_of(state, dispute.reference);
        let done = refunds.iter().filter(|refund| refund.status == RefundStatus::Done);
        let left = done.fold(end.payment.amount, |left, refund| left.less(refund.amount));
        let taken = Money::whole(0, end.payment.currency);
        let lost = Lost { end: &end, booking: end.first().id, taken };
        lost.take(&mut draft, dispute.amount.min(left), &refunds)?;
    }
    Ok(draft.decision())
}

/// The event of the dispute, named after its payment and that payment's version: a dispute that was won may open again.
fn told(end: &Ending<'_>, dispute: &Dispute, version: i64) -> Event {
    let first = end.first();
    let changed = DisputeChanged {
        payment: dispute.reference,
        booking_id: first.id,
        order_id: first.order_id,
        flight_id: first.flight_id,
        amount: end.payment.amount,
        currency: end.payment.currency,
        status: dispute.status,
    };
    Event::Airline(AirlineEvent::DisputeChanged(changed), version, end.now)
}

/// The refunds of a payment, oldest first.
fn refunds_of(state: &State, payment: PaymentReference) -> Vec<&Refund> {
    let mut refunds: Vec<_> =
        state.refunds.values().filter(|refund| refund.payment == payment).collect();
    refunds.sort_by_key(|refund| (refund.created_at, refund.id));
    refunds
}

/// What a lost dispute took beside whole refunds.
struct Lost<'e, 'a> {
    end: &'e Ending<'a>,
    /// The booking that its refund is listed under.
    booking: BookingId,
    taken: Money,
}

impl Lost<'_, '_> {
    /// Takes the amount from what is owed first, and then from what the completed bookings paid.
    fn take(
        mut self,
        draft: &mut Draft<'_, '_>,
        amount: Money,
        refunds: &[&Refund],
    ) -> Result<(), Refusal> {
        let owed = refunds.iter().filter(|refund| refund.status != RefundStatus::Done);
        let mut left = amount;
        for refund in owed {
            if left == Money::default() || planted!(lost_dispute_is_refunded_as_well) {
                break;
            }
            left = left.less(self.take_refund(draft, refund, left));
        }
        self.take_bookings(draft, left)?;
        if self.taken > Money::default() {
            draft.add_refund(self.refund());
        }
        Ok(())
    }

    /// Covers a refund whole, which is done then, or makes it smaller. Returns what it covers.
    fn take_refund(&mut self, draft: &mut Draft<'_, '_>, refund: &Refund, left: Money) -> Money {
        let covered = refund.amount.min(left);
        let after = refund.next_version(self.end.now);
        if covered == refund.amount {
            let (status, reason) = (RefundStatus::Done, RefundReason::Dispute);
            draft.change_refund(refund, Refund { status, reason, ..after });
        } else {
            draft.change_refund(refund, Refund { amount: refund.amount.less(covered), ..after });
            (self.taken, self.booking) = (covered, refund.booking_id);
        }
        covered
    }

    /// Ends the completed bookings if all of their price is lost, else lowers their prices, from the last segment on;
    /// what is lost beyond that lowers fees.
    /// Each of them changes, so that no cancellation is decided on their earlier prices.
    fn take_bookings(&mut self, draft: &mut Draft<'_, '_>, lost: Money) -> Result<(), Refusal> {
        let completed = || {
            let all = self.end.bookings.iter().rev().copied();
            all.filter(|booking| booking.status == BookingStatus::Completed)
        };
        let currency = self.end.payment.currency;
        let paid = completed().fold(Money::whole(0, currency), |sum, booking| {
            sum.plus(booking.booking_price).unwrap_or(sum)
        });
        let (is_all, mut left) = (paid > Money::default() && lost >= paid, lost);
        for booking in completed() {
            if is_all {
                let after = self.end.booking_as(booking, BookingStatus::Cancelled, None);
                draft.add(booking, after, booking.seats_booked, 0)?;
                draft.end_change_of(booking)?;
                continue;
            }
            let part = booking.booking_price.min(left);
            left = left.less(part);
            let booking_price = booking.booking_price.less(part);
            let after = Booking {
                booking_price,
                booking_taxes: booking.booking_taxes.min(booking_price),
                ..self.end.booking_as(booking, booking.status, None)
            };
            draft.change_booking(booking, after);
        }
        self.taken = self.taken.plus(lost.min(paid)).unwrap_or(self.taken);
        self.take_fees(draft, lost.less(lost.min(paid)));
        Ok(())
    }

    /// Lowers the fees that were kept of cancelled seats.
    fn take_fees(&mut self, draft: &mut Draft<'_, '_>, mut left: Money) {
        for booking in self.end.bookings.iter().copied() {
            let part = booking.fee.min(left);
            if part > part.less(part) {
                left = left.less(part);
                draft.lower_fee(booking, part, self.end);
                self.taken = self.taken.plus(part).unwrap_or(self.taken);
            }
        }
    }

    /// The refund that the dispute made.
    fn refund(&self) -> Refund {
        let payment = self.end.payment.reference;
        Refund {
            id: RefundId::of_dispute(payment),
            payment,
            booking_id: self.booking,
            amount: self.taken,
            reason: RefundReason::Dispute,
            status: RefundStatus::Done,
            gateway_reference: None,
            attempts: 0,
            created_at: self.end.now,
            updated_at: self.end.now,
            version: 1,
        }
    }
}
