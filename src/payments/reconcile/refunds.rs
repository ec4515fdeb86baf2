//! Compares the refunds and the dispute of one payment. Pure.

use super::compare::{Found, Here};
use super::{Mending, UNDER_WAY};
use crate::domain::{
    DisputeStatus, Money, PaymentStatus, Refund, RefundReason, RefundStatus, Timestamp,
};
use crate::gateway::{Listed, ListedRefund};

impl Here<'_> {
    /// What differs from the refunds that the gateway made.
    pub(super) fn compare_refunds(&self, made: &[ListedRefund], now: Timestamp) -> Vec<Found> {
        let readable = |id| self.refunds.iter().any(|refund| refund.id == id);
        let unreadable = self.named.refunds.iter().filter(|id| !readable(**id));
        let unreadable =
            unreadable.map(|id| (format!("the refund {id} is unreadable here"), Mending::Person));
        let here = self.refunds.iter().filter_map(|refund| self.compare_refund(refund, made, now));
        let there = made.iter().filter_map(|made| self.unknown(made));
        let there = there.map(|what| (what, Mending::Person));
        unreadable.chain(here).chain(there).collect()
    }

    /// Tells a refund at the gateway that no row asks for.
    fn unknown(&self, made: &ListedRefund) -> Option<String> {
        match made.refund {
            Some(id) if self.named.refunds.contains(&id) => None,
            Some(id) => {
                Some(format!("the gateway made the refund {id} of {}, unknown here", made.amount))
            }
            // A reversal gives back what is left, without a refund's row.
            None if made.is_void && self.payment.status != PaymentStatus::Captured => None,
            None => {
                let ListedRefund { amount, name, .. } = made;
                Some(format!("the gateway gave back {amount} as {name}, which is not here"))
            }
        }
    }

    fn compare_refund(
        &self,
        refund: &Refund,
        made: &[ListedRefund],
        now: Timestamp,
    ) -> Option<Found> {
        let Refund { id, amount, status, .. } = refund;
        let made: Vec<_> = made.iter().filter(|made| made.refund == Some(*id)).collect();
        let is_late = refund.created_at + UNDER_WAY < now;
        let (what, can_ask) = match (&made[..], status) {
            _ if refund.reason == RefundReason::Dispute => {
                let what = "is a dispute's here, made at the gateway".to_owned();
                return (!made.is_empty()).then(|| (named(refund, &what), Mending::Person));
            }
            ([_, _, ..], _) => (format!("is made {} times at the gateway", made.len()), false),
            ([made], _) if made.amount != *amount => {
                (format!("is over {amount} here, over {} at the gateway", made.amount), false)
            }
            ([], RefundStatus::Done) => ("is done here, not at the gateway".to_owned(), false),
            ([], RefundStatus::Requested) if is_late && !self.is_disputed() => {
                ("is requested here, not made at the gateway".to_owned(), true)
            }
            ([made], RefundStatus::Requested) if is_late && !made.is_pending => {
                ("is requested here, made at the gateway".to_owned(), true)
            }
            ([_], RefundStatus::Failed) => ("failed here, made at the gateway".to_owned(), false),
            ([made], RefundStatus::Done) if made.is_pending => {
                ("is done here, pending at the gateway".to_owned(), false)
            }
            _ => return None,
        };
        let mending = if can_ask { Mending::Refund(*id) } else { Mending::Person };
        Some((named(refund, &what), mending))
    }

    /// Whether its refunds wait for the end of a dispute.
    fn is_disputed(&self) -> bool {
        self.payment.dispute == Some(DisputeStatus::Open)
    }

    /// What differs of a captured payment's dispute; of others it changes nothing.
    pub(super) fn compare_dispute(&self, there: &Listed) -> Option<Found> {
        if self.payment.status != PaymentStatus::Captured {
            return None;
        }
        if self.payment.dispute != there.dispute {
            let word =
                |dispute: Option<DisputeStatus>| dispute.map_or("none", DisputeStatus::as_str);
            let (here, there) = (word(self.payment.dispute), word(there.dispute));
            let what = format!("its dispute: {here} here, {there} at the gateway");
            return Some((what, Mending::Person));
        }
        let taken = self.refunds.iter().filter(|refund| refund.reason == RefundReason::Dispute);
        let none = Money::whole(0, self.payment.currency);
        let taken = taken.fold(none, |sum, refund| sum.plus(refund.amount).unwrap_or(sum));
        // What was refunded before, the bank gives back a second time.
        let lost = there.lost.min(there.unrefunded());
        (taken != lost).then(|| {
            let what = format!("its dispute took {taken} here, {lost} at the gateway");
            (what, Mending::Person)
        })
    }
}

fn named(refund: &Refund, what: &str) -> String {
    format!("the refund {} {what}", refund.id)
}
