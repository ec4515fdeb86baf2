//! The simulated gateway's rules, on the part of its books that a batch of calls is about.

use super::{Answer, Call, Challenge, Refund, Verdict};
use crate::domain::{PaymentReference, RefundId};
use crate::gateway::{GatewayError, Opened, Opening};
use std::collections::{BTreeMap, HashMap, HashSet};
use strum::{EnumString, IntoStaticStr};
use tracing::warn;

/// An entry of the gateway's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Counted as in [`Money::stored`](crate::domain::Money::stored); `None` if a reversal came before any
    /// capture.
    pub(super) amount: Option<i64>,
    pub(super) method: Option<String>,
    pub(super) state: EntryState,
}

/// Entries with their references.
pub(super) type Entries = Vec<(PaymentReference, Entry)>;

/// The state of a payment at the gateway. A captured payment stays so while parts of it are refunded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum EntryState {
    Captured,
    Declined,
    Voided,
    Refunded,
}

/// A refund that the gateway made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refunded {
    pub(super) reference: PaymentReference,
    /// Counted as in [`Money::stored`](crate::domain::Money::stored).
    pub(super) amount: i64,
}

/// The books that a batch of calls is about: the entries of its payments, and, if a call is a refund, all
/// refunds of these payments and those that have the ids of the calls.
#[derive(Debug, Default)]
pub(super) struct Books {
    entries: HashMap<PaymentReference, Entry>,
    refunds: HashMap<RefundId, Refunded>,
    /// Payments that another gateway has taken up, with its name.
    foreign: HashMap<PaymentReference, String>,
    changes: Changes,
}

/// What a batch of calls changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Payments that the ledger did not know.
    pub(super) new: BTreeMap<PaymentReference, Entry>,
    /// Payments that were captured and are now given back.
    pub(super) reversed: Vec<PaymentReference>,
    /// Refunds that the gateway had not made.
    pub(super) refunds: BTreeMap<RefundId, Refunded>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.reversed.is_empty() && self.refunds.is_empty()
    }
}

impl Books {
    pub(super) fn new(
        entries: HashMap<PaymentReference, Entry>,
        refunds: HashMap<RefundId, Refunded>,
        foreign: HashMap<PaymentReference, String>,
    ) -> Self {
        Self { entries, refunds, foreign, changes: Changes::default() }
    }

    /// Carries out calls in their order. Returns their answers and what they change.
    pub(super) fn carry_out(mut self, calls: &[Call]) -> (Vec<Answer>, Changes) {
        let answers = calls.iter().map(|call| self.answer(call)).collect();
        (answers, self.changes)
    }

    fn answer(&mut self, call: &Call) -> Answer {
        if let Some(gateway) = self.foreign.get(&call.reference()) {
            return refused_foreign(call.reference(), gateway);
        }
        match call {
            Call::Refund(refund) => self.refund(refund),
            Call::Open(capture) => match self.entries.get(&capture.reference) {
                Some(entry) => repeated_capture(capture, entry),
                None => self.first(call),
            },
            Call::Challenged(challenge) => match self.entries.get(&challenge.reference) {
                Some(entry) => Ok(outcome_of(entry)),
                None => self.first(call),
            },
            Call::Void(reference) => match self.entries.get_mut(reference) {
                Some(entry) => {
                    if entry.state == EntryState::Captured {
                        entry.state = EntryState::Refunded;
                        self.reversed(*reference);
                    }
                    Ok(Opened::Voided)
                }
                None => self.first(call),
            },
        }
    }

    /// The first call for a payment.
    fn first(&mut self, call: &Call) -> Answer {
        let (entry, answer) = first_answer(call);
        if let Some(entry) = entry {
            self.entries.insert(call.reference(), entry.clone());
            self.changes.new.insert(call.reference(), entry);
        }
        answer
    }

    fn reversed(&mut self, reference: PaymentReference) {
        match self.changes.new.get_mut(&reference) {
            Some(entry) => entry.state = EntryState::Refunded,
            None => self.changes.reversed.push(reference),
        }
    }

    fn refund(&mut self, refund: &Refund) -> Answer {
        let asked = Refunded { reference: refund.reference, amount: refund.amount.stored() };
        match self.refunds.get(&refund.id) {
            Some(made) if *made == asked => return Ok(Opened::Captured),
            Some(_) => return refused("the refund's id was used for another amount or payment"),
            None => {}
        }
        let Some(left) = self.left_of(asked.reference) else {
            return refused("a refund of a payment that is not captured");
        };
        if asked.amount <= 0 || asked.amount > left {
            return refused("a refund beyond what is left of the payment");
        }
        self.refunds.insert(refund.id, asked.clone());
        self.changes.refunds.insert(refund.id, asked);
        Ok(Opened::Captured)
    }

    /// What was captured less what was refunded; `None` unless the payment is captured.
    fn left_of(&self, reference: PaymentReference) -> Option<i64> {
        let entry = self.entries.get(&reference)?;
        let captured = entry.amount.filter(|_| entry.state == EntryState::Captured)?;
        let refunds = self.refunds.values().filter(|refund| refund.reference == reference);
        Some(captured - refunds.map(|refund| refund.amount).sum::<i64>())
    }
}

fn unanswered(reason: &str) -> Answer {
    Err(GatewayError::Unanswered(reason.to_owned()))
}

fn refused(reason: &str) -> Answer {
    Err(GatewayError::Refused(reason.to_owned()))
}

/// Whatever the answer, it would be about money that is elsewhere.
fn refused_foreign(payment: PaymentReference, gateway: &str) -> Answer {
    warn!(
        payment.reference = %payment, gateway,
        "refused: PAYMENT_GATEWAY=simulated cannot go on with a payment of another gateway"
    );
    refused(&format!("PAYMENT_GATEWAY=simulated cannot go on with a payment of {gateway}"))
}

/// The entry, if the call leaves one, and the answer for a payment that the ledger does not know.
fn first_answer(call: &Call) -> (Option<Entry>, Answer) {
    match call {
        Call::Open(capture) => first_capture(capture),
        Call::Void(_) => {
            let voided = Entry { amount: None, method: None, state: EntryState::Voided };
            (Some(voided), Ok(Opened::Voided))
        }
        Call::Challenged(challenge) => challenged(challenge),
        Call::Refund(_) => (None, refused("a refund of a payment that is not captured")),
    }
}

fn first_capture(capture: &Opening) -> (Option<Entry>, Answer) {
    let entry = |state| {
        let method = Some(capture.method.as_str().to_owned());
        Some(Entry { amount: Some(capture.amount.stored()), method, state })
    };
    match capture.method.as_str() {
        "pm_card_visa" => (entry(EntryState::Captured), Ok(Opened::Captured)),
        "pm_card_timeout" => (entry(EntryState::Captured), unanswered("timed out")),
        "pm_card_error" => (None, unanswered("out of order")),
        _ => (entry(EntryState::Declined), Ok(Opened::Declined(None))),
    }
}

fn repeated_capture(capture: &Opening, entry: &Entry) -> Answer {
    if entry.amount.is_some_and(|amount| amount != capture.amount.stored()) {
        return refused("the reference was used for another amount");
    }
    Ok(outcome_of(entry))
}

/// The entry of a payment that its payer has approved or declined.
fn challenged(challenge: &Challenge) -> (Option<Entry>, Answer) {
    let (state, answer) = match challenge.verdict {
        Some(Verdict::Approved) => (EntryState::Captured, Opened::Captured),
        Some(Verdict::Declined) => (EntryState::Declined, Opened::Declined(None)),
        None => return (None, Ok(Opened::Processing)),
    };
    let (amount, method) = (challenge.amount.stored(), challenge.method.as_str().to_owned());
    (Some(Entry { amount: Some(amount), method: Some(method), state }), Ok(answer))
}

fn outcome_of(entry: &Entry) -> Opened {
    match entry.state {
        EntryState::Captured => Opened::Captured,
        EntryState::Declined => Opened::Declined(None),
        EntryState::Voided | EntryState::Refunded => Opened::Voided,
    }
}

/// The entries and answers of calls with new references, as nearly all are. One statement inserts them all, or
/// none if a reference exists. `None` if a call leaves no entry or a reference repeats.
pub(super) fn first_calls(calls: &[Call]) -> Option<(Entries, Vec<Answer>)> {
    let references: HashSet<_> = calls.iter().map(Call::reference).collect();
    if references.len() < calls.len() {
        return None;
    }
    let first = |call: &Call| {
        let (entry, answer) = first_answer(call);
        Some(((call.reference(), entry?), answer))
    };
    calls.iter().map(first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Money, PaymentMethod};

    fn capture(method: &str) -> Call {
        Call::Open(Opening {
            reference: PaymentReference::from_bits(1),
            amount: Money::from_minor(100),
            currency: "INR".parse().expect("a currency"),
            method: PaymentMethod::new(method).expect("a method"),
            return_url: None,
        })
    }

    fn reverse() -> Call {
        Call::Void(PaymentReference::from_bits(1))
    }

    fn refund(id: u128, minor: i64) -> Call {
        Call::Refund(Refund {
            id: RefundId::from_bits(id),
            reference: PaymentReference::from_bits(1),
            amount: Money::from_minor(minor),
        })
    }

    /// Plays calls about one payment. Returns the last answer, the entry's state, and the sum of refunds.
    fn play(calls: &[Call]) -> (Result<Opened, String>, Option<EntryState>, i64) {
        let (answers, changes) = Books::default().carry_out(calls);
        assert!(changes.reversed.is_empty(), "the ledger did not know the payment");
        let last = answers.into_iter().last().expect("a call").map_err(|error| error.to_string());
        let state = changes.new.into_values().next().map(|entry| entry.state);
        (last, state, changes.refunds.values().map(|refund| refund.amount).sum())
    }

    #[test]
    fn each_payment_method_has_its_answer_and_a_repeat_gets_the_same() {
        for (method, answer, state) in [
            ("pm_card_visa", Opened::Captured, EntryState::Captured),
            ("pm_card_declined", Opened::Declined(None), EntryState::Declined),
            ("pm_unheard_of", Opened::Declined(None), EntryState::Declined),
        ] {
            for calls in [1, 2, 3] {
                let played = play(&vec![capture(method); calls]);
                assert_eq!(played, (Ok(answer.clone()), Some(state), 0), "{method}");
            }
        }
    }

    #[test]
    fn a_capture_that_times_out_is_answered_when_it_is_repeated() {
        let (first, state, _) = play(&[capture("pm_card_timeout")]);
        assert!(first.is_err());
        assert_eq!(state, Some(EntryState::Captured));
        let (second, ..) = play(&[capture("pm_card_timeout"), capture("pm_card_timeout")]);
        assert_eq!(second, Ok(Opened::Captured));
    }

    #[test]
    fn a_call_that_fails_leaves_no_entry_however_often_it_repeats() {
        let (answer, state, _) = play(&[capture("pm_card_error"), capture("pm_card_error")]);
        assert!(answer.is_err());
        assert_eq!(state, None);
    }

    #[test]
    fn a_reversal_voids_or_refunds_and_a_later_capture_reports_it() {
        let voided = play(&[reverse(), capture("pm_card_visa"), reverse()]);
        assert_eq!(voided, (Ok(Opened::Voided), Some(EntryState::Voided), 0));
        let refunded = play(&[capture("pm_card_visa"), reverse(), reverse()]);
        assert_eq!(refunded, (Ok(Opened::Voided), Some(EntryState::Refunded), 0));
        let late = play(&[reverse(), capture("pm_card_visa")]);
        assert_eq!(late.0, Ok(Opened::Voided));
    }

    #[test]
    fn a_reference_is_refused_for_another_amount() {
        let mut other = capture("pm_card_visa");
        if let Call::Open(capture) = &mut other {
            capture.amount = Money::from_minor(99);
        }
        assert!(play(&[capture("pm_card_visa"), other]).0.is_err());
    }

    #[test]
    fn refunds_never_add_up_to_more_than_was_captured() {
        let visa = || capture("pm_card_visa");
        let kept = Some(EntryState::Captured);
        for (calls, is_made, sum) in [
            (vec![visa(), refund(1, 60), refund(2, 40)], true, 100),
            (vec![visa(), refund(1, 60), refund(2, 41)], false, 60),
            (vec![visa(), refund(1, 101)], false, 0),
            (vec![visa(), refund(1, 0)], false, 0),
            (vec![visa(), refund(1, -1)], false, 0),
            (vec![visa(), refund(1, 60), refund(1, 60), refund(1, 60)], true, 60),
            (vec![visa(), refund(1, 60), refund(1, 40)], false, 60),
            (vec![visa(), refund(1, 100), refund(2, 1)], false, 100),
            (vec![visa(), refund(1, 100), visa()], true, 100),
        ] {
            let (answer, state, refunded) = play(&calls);
            assert_eq!((answer.is_ok(), state, refunded), (is_made, kept, sum), "{calls:?}");
        }
    }

    #[test]
    fn only_a_captured_payment_is_refunded_and_a_reversal_gives_back_the_rest() {
        for calls in [
            vec![refund(1, 1)],
            vec![capture("pm_card_declined"), refund(1, 1)],
            vec![reverse(), refund(1, 1)],
            vec![capture("pm_card_visa"), reverse(), refund(1, 1)],
        ] {
            let (answer, _, refunded) = play(&calls);
            assert_eq!((answer.is_err(), refunded), (true, 0), "{calls:?}");
        }
        let calls = [capture("pm_card_visa"), refund(1, 60), reverse(), refund(1, 60)];
        assert_eq!(play(&calls), (Ok(Opened::Captured), Some(EntryState::Refunded), 60));
        let late = [&calls[..3], &[refund(2, 40)]].concat();
        assert!(play(&late).0.is_err());
    }
}
