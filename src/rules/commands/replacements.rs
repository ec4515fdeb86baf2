//! What changes of flight add to an order: the booking that holds seats for one that waits for its payment, and the
//! payments of differences.

use super::ending::Ending;
use crate::domain::{
    Booking, BookingStatus, Money, Payment, PaymentKind, PaymentReference, PaymentStatus, Timestamp,
};
use crate::rules::{Refusal, State};
use smallvec::SmallVec;

impl<'a> Ending<'a> {
    /// The order whose money a payment is, with that payment. A difference belongs to the order of the changed booking.
    pub(super) fn of_money(
        state: &'a State,
        reference: PaymentReference,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let end = Self::of_payment(state, reference, now)?;
        match end.first().replaces {
            Some(changed) => {
                let order = Self::of_booking(state, changed, now)?;
                Ok(Self { payment: end.payment, ..order })
            }
            None => Ok(end),
        }
    }

    /// The booking that holds seats for a change of the order, if one waits for its payment.
    pub(super) fn pending_change(&self) -> Option<&'a Booking> {
        self.bookings.iter().find_map(|booking| self.pending_change_of(booking))
    }

    /// The same of one of its bookings.
    pub(super) fn pending_change_of(&self, booking: &Booking) -> Option<&'a Booking> {
        self.replacements_of(booking).find(|it| it.status == BookingStatus::Pending)
    }

    fn replacements_of(&self, booking: &Booking) -> impl Iterator<Item = &'a Booking> {
        let state = self.state;
        let ids = state.replaced_by.get(&booking.id).into_iter().flatten();
        ids.filter_map(|id| state.bookings.get(id))
    }

    /// The captured payments of the order: those of differences, the newest first, and then the one that paid for it.
    pub(super) fn captured(&self) -> SmallVec<[&'a Payment; 1]> {
        let state = self.state;
        let replacements = self.bookings.iter().flat_map(|booking| self.replacements_of(booking));
        let differences = replacements.filter_map(|it| state.payments.get(&it.payment_reference));
        let mut captured: SmallVec<[&Payment; 1]> =
            differences.filter(|it| it.kind == PaymentKind::Difference).collect();
        captured.sort_by_key(|it| std::cmp::Reverse((it.created_at, it.reference)));
        captured.extend(state.last_attempt(self.first().payment_reference));
        captured.retain(|it| it.status == PaymentStatus::Captured);
        captured
    }

    /// What is left of a payment after its refunds, whatever their state. The refunds of orders with changes are loaded.
    pub(super) fn left_of(&self, payment: &Payment) -> Money {
        let refunds = self.state.refunds.values().filter(|it| it.payment == payment.reference);
        refunds.fold(payment.amount, |left, refund| left.less(refund.amount))
    }

    /// The payments from which refunds of the order come.
    pub(super) fn sources(&self) -> Sources<'a> {
        let captured = self.captured();
        let is_alone = captured.len() < 2;
        let left = |payment: &Payment| {
            if is_alone { payment.amount } else { self.left_of(payment) }
        };
        Sources(captured.into_iter().map(|payment| (payment, left(payment))).collect())
    }
}

/// The payments from which refunds come, each with what it has left: a difference gives back before the payment of the
/// order, so that no refund is above what its payment has left.
pub(super) struct Sources<'a>(SmallVec<[(&'a Payment, Money); 1]>);

impl<'a> Sources<'a> {
    /// Whether there are several.
    pub(super) fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// Takes an amount: the parts of it, by payment. The last payment gives the rest.
    pub(super) fn take(&mut self, amount: Money) -> SmallVec<[(&'a Payment, Money); 1]> {
        let mut parts = SmallVec::new();
        let (mut rest, last) = (amount, self.0.len().saturating_sub(1));
        for (at, (payment, left)) in self.0.iter_mut().enumerate() {
            let part = if at == last { rest } else { rest.min(*left) };
            if part > part.less(part) {
                parts.push((*payment, part));
                (*left, rest) = (left.less(part), rest.less(part));
            }
        }
        parts
    }
}
