//! Compares a gateway's list of payments with the rows, both ways.
//!
//! The list and the rows are not of one moment, so what differs is looked at once more.

mod compare;
mod refunds;

use crate::domain::{Money, PaymentReference, RefundId, Timestamp};
use crate::gateway::{GatewayError, Listed, ListedState, Listing};
use crate::rules::{State, Wanted};
use crate::store::{Commits, GatewayNames, NamedPayment, StoreError};
use chrono::TimeDelta;
use compare::Here;
use std::collections::{BTreeSet, HashMap};

/// Maximum rows that are read at once.
const PAGE: usize = 500;

/// How long a payment or refund may be ahead at the gateway: its answer may be on the way.
const UNDER_WAY: TimeDelta = TimeDelta::minutes(10);

/// Payments that were made at the gateway shortly before their rows were read.
const LEAD: TimeDelta = TimeDelta::hours(1);

/// A difference between the gateway and the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The payment.
    pub payment: PaymentReference,
    /// What differs.
    pub what: String,
    /// How it can be mended.
    pub mending: Mending,
}

/// How a difference can be mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mending {
    /// The service asks the gateway about the payment again: it is open, or its reversal is requested.
    Payment,
    /// The service asks the gateway for the refund again.
    Refund(RefundId),
    /// By a person: the service has ended the payment or refund, or nothing says which side is right.
    Person,
}

/// The outcome of a comparison.
#[derive(Debug, Default)]
pub struct Reconciled {
    /// Number of payments compared.
    pub payments: usize,
    /// What differs, by payment.
    pub differences: Vec<Difference>,
}

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The gateway does not answer.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
}

/// Payments in a gateway's list, by the gateway's ids.
type List = HashMap<String, Listed>;

/// What is compared, and when.
struct Comparison<'a> {
    rows: &'a dyn Commits,
    names: &'a dyn GatewayNames,
    gateway: &'a dyn Listing,
    now: Timestamp,
    done: Reconciled,
}

/// Compares the payments made since a moment.
pub async fn reconcile(
    (rows, names): (&dyn Commits, &dyn GatewayNames),
    gateway: &dyn Listing,
    (since, now): (Timestamp, Timestamp),
) -> Result<Reconciled, ReconcileError> {
    let listed = gateway.payments_since(since - LEAD).await?;
    let mut listed: List = listed.into_iter().map(|listed| (listed.id.clone(), listed)).collect();
    let mut comparison = Comparison { rows, names, gateway, now, done: Reconciled::default() };
    let mut after = None;
    loop {
        let page = names.named_since(gateway.name(), since, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.payment);
        comparison.compare(&page, &mut listed).await?;
    }
    comparison.compare_strays(listed).await?;
    let mut done = comparison.done;
    done.differences.sort_by_key(|difference| difference.payment);
    Ok(done)
}

impl Comparison<'_> {
    /// Compares a page of payments, and takes them from the list.
    async fn compare(
        &mut self,
        page: &[NamedPayment],
        listed: &mut List,
    ) -> Result<(), ReconcileError> {
        let state = self.state_of(page).await?;
        for named in page {
            self.done.payments += 1;
            let there = match named.id.as_ref().and_then(|id| listed.remove(id)) {
                Some(listed) => Some(listed),
                None => self.there(named).await?,
            };
            if !self.differences(named, &state, there.as_ref()).is_empty() {
                let differences = self.look_again(named.payment).await?;
                self.done.differences.extend(differences);
            }
        }
        Ok(())
    }

    /// Compares payments in the list that are older than their intents, or that no row names.
    async fn compare_strays(&mut self, mut listed: List) -> Result<(), ReconcileError> {
        // Payments of other systems have no reference.
        listed.retain(|_, stray| stray.reference.is_some());
        let payments: BTreeSet<_> = listed.values().filter_map(|stray| stray.reference).collect();
        for page in Vec::from_iter(payments).chunks(PAGE) {
            let mut older = self.names.named(page).await?;
            older.retain(|row| row.id.as_ref().is_some_and(|id| listed.contains_key(id)));
            self.compare(&older, &mut listed).await?;
        }
        for stray in listed.into_values() {
            self.add_unknown(&stray).await?;
        }
        Ok(())
    }

    /// Adds the difference that a payment makes which no row names.
    async fn add_unknown(&mut self, stray: &Listed) -> Result<(), StoreError> {
        let what = match (stray.kept(), stray.state) {
            (kept, _) if kept != Money::default() => {
                format!("the gateway keeps {kept} as {}, which is not here", stray.id)
            }
            (_, ListedState::Open) => {
                format!("{} is open at the gateway, and not here", stray.id)
            }
            _ => return Ok(()),
        };
        let Some(payment) = stray.reference else { return Ok(()) };
        let name = self.names.gateway_name(payment).await?;
        if name.is_none_or(|name| name.id != stray.id) {
            self.done.differences.push(Difference { payment, what, mending: Mending::Person });
        }
        Ok(())
    }

    /// What differs of a payment now.
    async fn look_again(
        &self,
        payment: PaymentReference,
    ) -> Result<Vec<Difference>, ReconcileError> {
        let named = self.names.named(&[payment]).await?;
        let state = self.state_of(&named).await?;
        let Some(named) = named.first() else { return Ok(Vec::new()) };
        let there = self.there(named).await?;
        Ok(self.differences(named, &state, there.as_ref()))
    }

    async fn state_of(&self, page: &[NamedPayment]) -> Result<State, StoreError> {
        let wanted = Wanted {
            payments: page.iter().map(|named| named.payment).collect(),
            refunds: page.iter().flat_map(|named| named.refunds.iter().copied()).collect(),
            ..Wanted::default()
        };
        self.rows.load(&wanted).await
    }

    /// A payment at the gateway, by the id that its row has.
    async fn there(&self, named: &NamedPayment) -> Result<Option<Listed>, GatewayError> {
        match &named.id {
            Some(id) => self.gateway.payment(id).await,
            None => Ok(None),
        }
    }

    fn differences(
        &self,
        named: &NamedPayment,
        state: &State,
        there: Option<&Listed>,
    ) -> Vec<Difference> {
        let payment = named.payment;
        let found = match Here::of(named, state) {
            Some(here) => here.compare(there, self.gateway.name(), self.now),
            None => vec![("its row or its order is unreadable here".to_owned(), Mending::Person)],
        };
        let difference = |(what, mending)| Difference { payment, what, mending };
        found.into_iter().map(difference).collect()
    }
}
