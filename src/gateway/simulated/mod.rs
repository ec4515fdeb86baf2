//! A simulated payment gateway for trials and tests. It keeps its own ledger, as an external one does.
//!
//! The method's token decides: `pm_card_3ds` and `pm_upi` are captured once their payer has approved them on the
//! gateway's page, `pm_card_visa` is captured, `pm_card_declined` declined, `pm_card_timeout`
//! captured but answered only on a repeat, and `pm_card_error` fails without effect. Other tokens are
//! declined.

mod books;
mod challenges;
mod postgres;
mod sqlite;

use super::sandbox::{Challenge, Verdict};
use super::{Gateway, GatewayError, Opened, Opening, Repaid};
use crate::clock::Clock;
use crate::domain::{Money, PaymentReference, RefundId, Timestamp};
use crate::store::StoreError;
use async_trait::async_trait;
use books::{Entry, Refunded};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

pub use postgres::PostgresLedger;
pub use sqlite::SqliteLedger;

/// The gateway's ledger.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Decides calls in their order and writes their entries durably before it answers. Refuses calls for payments
    /// that another gateway has taken up.
    async fn write(&self, calls: &[Call], now: Timestamp) -> Result<Vec<Answer>, StoreError>;

    /// Notes a payment that its payer must approve, unless it is noted or another gateway's.
    async fn add_challenge(&self, opening: &Opening, now: Timestamp) -> Result<(), StoreError>;

    /// A payment that its payer must approve.
    async fn challenge(&self, payment: PaymentReference) -> Result<Option<Challenge>, StoreError>;

    /// Notes what the payer says, unless they have said something before. Returns the payment as it is then.
    async fn act(
        &self,
        payment: PaymentReference,
        verdict: Verdict,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError>;
}

/// An entry from its row's columns.
fn entry_from_row(
    (text, amount, method, state): (String, Option<i64>, Option<String>, String),
) -> Result<(PaymentReference, Entry), StoreError> {
    let corrupt =
        |column| StoreError::Corrupt { table: "gateway_ledger", column, row: text.clone() };
    let reference = text.parse().map_err(|_| corrupt("reference"))?;
    let state = state.parse().map_err(|_| corrupt("state"))?;
    Ok((reference, Entry { amount, method, state }))
}

/// A refund from its row's columns.
fn refund_from_row(
    (text, payment, amount): (String, String, i64),
) -> Result<(RefundId, Refunded), StoreError> {
    let corrupt =
        |column| StoreError::Corrupt { table: "gateway_refunds", column, row: text.clone() };
    let id = text.parse().map_err(|_| corrupt("id"))?;
    let reference = payment.parse().map_err(|_| corrupt("reference"))?;
    Ok((id, Refunded { reference, amount }))
}

/// Payments of other gateways from their rows' columns: reference and gateway.
fn foreign_from_rows(
    rows: Vec<(String, String)>,
) -> Result<HashMap<PaymentReference, String>, StoreError> {
    let read = |(text, gateway): (String, String)| {
        let reference = text.parse().map_err(|_| StoreError::Corrupt {
            table: "payments",
            column: "reference",
            row: text.clone(),
        })?;
        Ok((reference, gateway))
    };
    rows.into_iter().map(read).collect()
}

/// A call to the gateway.
#[derive(Debug, Clone)]
pub enum Call {
    /// Charge an amount.
    Open(Opening),
    /// Void a payment, or give back what is left of it.
    Void(PaymentReference),
    /// Go on with a payment whose payer has acted.
    Challenged(Challenge),
    /// Give back a part of a payment.
    Refund(Refund),
}

/// A refund to make.
#[derive(Debug, Clone)]
pub struct Refund {
    /// The idempotency key of the call.
    pub id: RefundId,
    /// The payment.
    pub reference: PaymentReference,
    /// The amount to give back.
    pub amount: Money,
}

/// The ids of the refunds among calls.
fn refunds_of(calls: &[Call]) -> Vec<RefundId> {
    let id = |call: &Call| match call {
        Call::Refund(refund) => Some(refund.id),
        Call::Open(_) | Call::Void(_) | Call::Challenged(_) => None,
    };
    calls.iter().filter_map(id).collect()
}

impl Call {
    fn reference(&self) -> PaymentReference {
        match self {
            Self::Open(opening) => opening.reference,
            Self::Void(reference) => *reference,
            Self::Challenged(challenge) => challenge.reference,
            Self::Refund(refund) => refund.reference,
        }
    }
}

/// The gateway's answer to a call. After a refund, the payment is still captured.
pub type Answer = Result<Opened, GatewayError>;

/// A call that waits for the write of its entry.
struct PendingCall {
    call: Call,
    reply: oneshot::Sender<Answer>,
}

/// The gateway. Calls that arrive during a write share the next one.
pub struct SimulatedGateway {
    ledger: Box<dyn Ledger>,
    latency: Duration,
    clock: Arc<dyn Clock>,
    pending: Mutex<Vec<PendingCall>>,
    write_lock: tokio::sync::Mutex<()>,
}

impl SimulatedGateway {
    /// A gateway with this ledger, which takes `latency` per answer.
    pub fn new(ledger: impl Ledger, latency: Duration, clock: Arc<dyn Clock>) -> Self {
        let ledger = Box::new(ledger);
        let (pending, write_lock) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { ledger, latency, clock, pending, write_lock }
    }

    async fn ask(&self, call: Call) -> Answer {
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        let (reply, answer) = oneshot::channel();
        self.pending.lock().push(PendingCall { call, reply });
        // Lets calls that began together share a write.
        tokio::task::yield_now().await;
        let writing = self.write_lock.lock().await;
        // The holder of the lock writes all pending calls; an earlier holder may have written this one.
        let pending = std::mem::take(&mut *self.pending.lock());
        if !pending.is_empty() {
            self.write(pending).await;
        }
        drop(writing);
        answer
            .await
            .unwrap_or_else(|_| Err(GatewayError::Unanswered("the call was dropped".into())))
    }

    async fn write(&self, pending: Vec<PendingCall>) {
        let (calls, replies): (Vec<_>, Vec<_>) =
            pending.into_iter().map(|pending| (pending.call, pending.reply)).unzip();
        let answers = match self.ledger.write(&calls, self.clock.now()).await {
            Ok(answers) => answers,
            Err(error) => {
                let failed =
                    || Err(GatewayError::Unanswered(format!("its ledger is unavailable: {error}")));
                calls.iter().map(|_| failed()).collect()
            }
        };
        for (reply, answer) in replies.into_iter().zip(answers) {
            // Fails if the caller has left; it repeats the call.
            let _ = reply.send(answer);
        }
    }
}

#[async_trait]
impl Gateway for SimulatedGateway {
    async fn open(&self, opening: &Opening) -> Result<Opened, GatewayError> {
        if Self::is_challenged(&opening.method) {
            return self.open_challenge(opening).await;
        }
        self.ask(Call::Open(opening.clone())).await
    }

    async fn status(&self, reference: PaymentReference) -> Result<Opened, GatewayError> {
        self.settle_challenge(reference).await
    }

    async fn void(&self, reference: PaymentReference) -> Result<(), GatewayError> {
        self.ask(Call::Void(reference)).await.map(drop)
    }

    async fn refund(
        &self,
        id: RefundId,
        reference: PaymentReference,
        amount: Money,
    ) -> Result<Repaid, GatewayError> {
        self.ask(Call::Refund(Refund { id, reference, amount })).await.map(|_| Repaid::Done)
    }
}
