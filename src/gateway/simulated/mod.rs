//! A simulated payment gateway for trials and tests. It keeps its own ledger, as an external one does.
//!
//! The method's token decides: `pm_card_visa` is captured, `pm_card_declined` declined, `pm_card_timeout`
//! captured but answered only on a repeat, and `pm_card_error` fails without effect. Other tokens are
//! declined.

mod postgres;
mod sqlite;

use super::{Capture, Captured, Gateway, GatewayError};
use crate::clock::Clock;
use crate::domain::{PaymentReference, Timestamp};
use crate::store::StoreError;
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use strum::{EnumString, IntoStaticStr};
use tokio::sync::oneshot;

pub use postgres::PostgresLedger;
pub use sqlite::SqliteLedger;

/// An entry of the gateway's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// Counted as in [`Money::stored`](crate::domain::Money::stored); `None` if a reversal came before any
    /// capture.
    amount: Option<i64>,
    method: Option<String>,
    state: EntryState,
}

/// Entries with their references.
type Entries = Vec<(PaymentReference, Entry)>;

/// The state of a payment at the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum EntryState {
    Captured,
    Declined,
    Voided,
    Refunded,
}

/// The gateway's ledger.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Decides calls in their order and writes their entries durably before it answers.
    async fn write(&self, calls: &[Call], now: Timestamp) -> Result<Vec<Answer>, StoreError>;
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

/// A call to the gateway.
#[derive(Debug, Clone)]
pub enum Call {
    /// Charge an amount.
    Capture(Capture),
    /// Void or refund a payment.
    Reverse(PaymentReference),
}

impl Call {
    fn reference(&self) -> PaymentReference {
        match self {
            Self::Capture(capture) => capture.reference,
            Self::Reverse(reference) => *reference,
        }
    }
}

/// The gateway's answer to a call.
pub type Answer = Result<Captured, GatewayError>;

/// The gateway's rules: given an entry and a call, the new entry, if it changes, and the answer.
fn judge(entry: Option<&Entry>, call: &Call) -> (Option<Entry>, Answer) {
    match (call, entry) {
        (Call::Capture(capture), None) => first_capture(capture),
        (Call::Capture(capture), Some(entry)) => (None, repeated_capture(capture, entry)),
        (Call::Reverse(_), None) => {
            let voided = Entry { amount: None, method: None, state: EntryState::Voided };
            (Some(voided), Ok(Captured::Reversed))
        }
        (Call::Reverse(_), Some(entry)) => {
            let refund = entry.state == EntryState::Captured;
            let refunded = Entry { state: EntryState::Refunded, ..entry.clone() };
            (refund.then_some(refunded), Ok(Captured::Reversed))
        }
    }
}

fn first_capture(capture: &Capture) -> (Option<Entry>, Answer) {
    let entry = |state| {
        let method = Some(capture.method.as_str().to_owned());
        Some(Entry { amount: Some(capture.amount.stored()), method, state })
    };
    match capture.method.as_str() {
        "pm_card_visa" => (entry(EntryState::Captured), Ok(Captured::Captured)),
        "pm_card_timeout" => (entry(EntryState::Captured), Err(GatewayError("timed out".into()))),
        "pm_card_error" => (None, Err(GatewayError("out of order".into()))),
        _ => (entry(EntryState::Declined), Ok(Captured::Declined)),
    }
}

fn repeated_capture(capture: &Capture, entry: &Entry) -> Answer {
    if entry.amount.is_some_and(|amount| amount != capture.amount.stored()) {
        return Err(GatewayError("the reference was used for another amount".into()));
    }
    Ok(match entry.state {
        EntryState::Captured => Captured::Captured,
        EntryState::Declined => Captured::Declined,
        EntryState::Voided | EntryState::Refunded => Captured::Reversed,
    })
}

/// The entries and answers of calls with new references, as nearly all are. One statement inserts them all, or
/// none if a reference exists. `None` if a call leaves no entry or a reference repeats.
fn first_calls(calls: &[Call]) -> Option<(Entries, Vec<Answer>)> {
    let references: HashSet<_> = calls.iter().map(Call::reference).collect();
    if references.len() < calls.len() {
        return None;
    }
    let first = |call: &Call| {
        let (entry, answer) = judge(None, call);
        Some(((call.reference(), entry?), answer))
    };
    calls.iter().map(first).collect()
}

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
        answer.await.unwrap_or_else(|_| Err(GatewayError("the call was dropped".into())))
    }

    async fn write(&self, pending: Vec<PendingCall>) {
        let (calls, replies): (Vec<_>, Vec<_>) =
            pending.into_iter().map(|pending| (pending.call, pending.reply)).unzip();
        let answers = match self.ledger.write(&calls, self.clock.now()).await {
            Ok(answers) => answers,
            Err(error) => {
                let failed = || Err(GatewayError(format!("its ledger is unavailable: {error}")));
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
    async fn capture(&self, capture: &Capture) -> Result<Captured, GatewayError> {
        self.ask(Call::Capture(capture.clone())).await
    }

    async fn reverse(&self, reference: PaymentReference) -> Result<(), GatewayError> {
        self.ask(Call::Reverse(reference)).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Money, PaymentMethod};

    fn capture(method: &str) -> Call {
        Call::Capture(Capture {
            reference: PaymentReference::from_bits(1),
            amount: Money::from_minor(100),
            currency: "INR".parse().expect("a currency"),
            method: PaymentMethod::new(method).expect("a method"),
        })
    }

    fn reverse() -> Call {
        Call::Reverse(PaymentReference::from_bits(1))
    }

    /// Plays calls against one entry. Returns the last answer and the entry's state.
    fn play(calls: &[Call]) -> (Result<Captured, String>, Option<EntryState>) {
        let mut entry = None;
        let mut last = Err("no call".to_owned());
        for call in calls {
            let (next, answer) = judge(entry.as_ref(), call);
            entry = next.or(entry);
            last = answer.map_err(|error| error.0);
        }
        (last, entry.map(|entry| entry.state))
    }

    #[test]
    fn each_payment_method_has_its_answer_and_a_repeat_gets_the_same() {
        for (method, answer, state) in [
            ("pm_card_visa", Captured::Captured, EntryState::Captured),
            ("pm_card_declined", Captured::Declined, EntryState::Declined),
            ("pm_unheard_of", Captured::Declined, EntryState::Declined),
        ] {
            for calls in [1, 2, 3] {
                let played = play(&vec![capture(method); calls]);
                assert_eq!(played, (Ok(answer), Some(state)), "{method}");
            }
        }
    }

    #[test]
    fn a_capture_that_times_out_is_answered_when_it_is_repeated() {
        let (first, state) = play(&[capture("pm_card_timeout")]);
        assert!(first.is_err());
        assert_eq!(state, Some(EntryState::Captured));
        let (second, _) = play(&[capture("pm_card_timeout"), capture("pm_card_timeout")]);
        assert_eq!(second, Ok(Captured::Captured));
    }

    #[test]
    fn a_call_that_fails_leaves_no_entry_however_often_it_repeats() {
        let (answer, state) = play(&[capture("pm_card_error"), capture("pm_card_error")]);
        assert!(answer.is_err());
        assert_eq!(state, None);
    }

    #[test]
    fn a_reversal_voids_or_refunds_and_a_later_capture_reports_it() {
        let voided = play(&[reverse(), capture("pm_card_visa"), reverse()]);
        assert_eq!(voided, (Ok(Captured::Reversed), Some(EntryState::Voided)));
        let refunded = play(&[capture("pm_card_visa"), reverse(), reverse()]);
        assert_eq!(refunded, (Ok(Captured::Reversed), Some(EntryState::Refunded)));
        let late = play(&[reverse(), capture("pm_card_visa")]);
        assert_eq!(late.0, Ok(Captured::Reversed));
    }

    #[test]
    fn a_reference_is_refused_for_another_amount() {
        let mut other = capture("pm_card_visa");
        if let Call::Capture(capture) = &mut other {
            capture.amount = Money::from_minor(99);
        }
        assert!(play(&[capture("pm_card_visa"), other]).0.is_err());
    }
}
