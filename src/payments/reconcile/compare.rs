//! Compares one payment with its counterpart at the gateway. Pure.

use super::{Mending, UNDER_WAY};
use crate::domain::{Money, Payment, PaymentStatus, Refund, Timestamp};
use crate::gateway::{Listed, ListedState};
use crate::rules::State;
use crate::store::NamedPayment;

/// What differs, and how it can be mended.
pub(super) type Found = (String, Mending);

/// A payment as the rows have it.
pub(super) struct Here<'a> {
    pub(super) named: &'a NamedPayment,
    pub(super) payment: &'a Payment,
    pub(super) refunds: Vec<&'a Refund>,
    /// When its order last changed. A repeated request does not move it, unlike the payment's own instant.
    changed_at: Timestamp,
}

/// What became of a payment at the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unconfirmed,
    Open,
    Ended,
    Keeps(Money),
    GivenBack,
}

impl Fate {
    fn of(there: &Listed) -> Self {
        match there.state {
            _ if there.kept() != Money::default() => Self::Keeps(there.kept()),
            ListedState::Unconfirmed => Self::Unconfirmed,
            ListedState::Open => Self::Open,
            ListedState::Captured if there.captured != Money::default() => Self::GivenBack,
            ListedState::Captured | ListedState::Ended => Self::Ended,
        }
    }

    fn in_words(self) -> String {
        match self {
            Self::Unconfirmed => "the gateway was never asked to charge it".to_owned(),
            Self::Open => "still open at the gateway".to_owned(),
            Self::Ended => "ended without money at the gateway".to_owned(),
            Self::Keeps(kept) => format!("the gateway keeps {kept}"),
            Self::GivenBack => "captured and given back at the gateway".to_owned(),
        }
    }
}

impl<'a> Here<'a> {
    /// `None` if the payment or its order is missing or unreadable.
    pub(super) fn of(named: &'a NamedPayment, state: &'a State) -> Option<Self> {
        let payment = state.payments.get(&named.payment)?;
        let bookings = state.paid_by.get(&payment.order)?;
        let changed = bookings.iter().filter_map(|id| Some(state.bookings.get(id)?.updated_at));
        Some(Self {
            named,
            payment,
            refunds: named.refunds.iter().filter_map(|id| state.refunds.get(id)).collect(),
            changed_at: changed.chain([payment.created_at]).max()?,
        })
    }

    /// What differs from the payment at the gateway of this name.
    pub(super) fn compare(
        &self,
        there: Option<&Listed>,
        gateway: &str,
        now: Timestamp,
    ) -> Vec<Found> {
        let status = self.payment.status.as_str();
        let person = |what| vec![(what, Mending::Person)];
        let Some(id) = &self.named.id else {
            return person(format!("{status} here, without the gateway's id of it"));
        };
        let Some(there) = there else {
            return person(format!("{status} here, unknown at the gateway as {id}"));
        };
        match there.reference {
            Some(reference) if reference == self.payment.reference => {}
            Some(_) => return person(format!("{id}, its id here, is of another payment")),
            None => return person(format!("{id}, its id here, has no reference at the gateway")),
        }
        if there.currency != self.payment.currency {
            let (here, there) = (self.payment.currency, there.currency);
            return person(format!("in {here} here, in {there} at the gateway"));
        }
        let parts = [self.compare_gateway(gateway), self.compare_amount(there)];
        let parts = parts.into_iter().flatten().map(|what| (what, Mending::Person));
        parts
            .chain(self.compare_status(there, now))
            .chain(self.compare_dispute(there))
            .chain(self.compare_refunds(&there.refunds, now))
            .collect()
    }

    fn compare_gateway(&self, gateway: &str) -> Option<String> {
        let here = self.named.gateway.as_deref();
        let names = here.unwrap_or("no gateway");
        (here != Some(gateway)).then(|| format!("its row names {names}, and {gateway} has it"))
    }

    fn compare_amount(&self, there: &Listed) -> Option<String> {
        let amount = self.payment.amount;
        let is_captured = self.payment.status == PaymentStatus::Captured;
        if is_captured && there.captured != Money::default() && there.captured != amount {
            return Some(format!("{amount} captured here, {} at the gateway", there.captured));
        }
        let differs = there.amount != amount;
        differs.then(|| format!("over {amount} here, over {} at the gateway", there.amount))
    }

    fn compare_status(&self, there: &Listed, now: Timestamp) -> Option<Found> {
        let status = self.payment.status;
        if status == PaymentStatus::Captured {
            let is_captured = there.captured != Money::default();
            let what = "captured here, not at the gateway".to_owned();
            return (!is_captured).then_some((what, Mending::Person));
        }
        let fate = Fate::of(there);
        let is_late = self.changed_at.max(there.created_at) + UNDER_WAY < now;
        let (agrees, mending) = match status {
            PaymentStatus::Requested => {
                (!is_late || matches!(fate, Fate::Open | Fate::Unconfirmed), Mending::Payment)
            }
            PaymentStatus::ReversalRequested => (!is_late, Mending::Payment),
            PaymentStatus::Declined => {
                (matches!(fate, Fate::Ended | Fate::Unconfirmed), Mending::Person)
            }
            PaymentStatus::Captured | PaymentStatus::Reversed => {
                let is_over = matches!(fate, Fate::Ended | Fate::Unconfirmed | Fate::GivenBack);
                (is_over, Mending::Person)
            }
        };
        (!agrees).then(|| (format!("{} here, {}", status.as_str(), fate.in_words()), mending))
    }
}
