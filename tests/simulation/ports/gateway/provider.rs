//! The payment provider: an external party with its own ledger, which outlives every replica.

use airline_booking::domain::{DisputeStatus, Money, NextAction, PaymentReference, RefundId};
use airline_booking::gateway::{Disputed, GatewayError, Opened, Opening};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

/// The state of a payment at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Captured,
    Declined,
    Voided,
    Refunded,
}

/// A payment in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The amount of the capture; `None` if a reversal came before any.
    pub amount: Option<Money>,
    pub standing: Standing,
    /// How often money was taken. More than once is a fault of the provider's rules.
    pub captures: u32,
    /// How often what was left was given back.
    pub refunds: u32,
}

/// A refund in the books, and what a call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    pub reference: PaymentReference,
    pub amount: Money,
}

/// A call to carry out.
#[derive(Debug, Clone)]
pub enum Call {
    Open(Opening),
    Status(PaymentReference),
    Void(PaymentReference),
    Refund(RefundId, Refund),
}

impl Call {
    /// The payment.
    pub fn reference(&self) -> PaymentReference {
        match self {
            Self::Open(capture) => capture.reference,
            Self::Void(reference) | Self::Status(reference) => *reference,
            Self::Refund(_, refund) => refund.reference,
        }
    }

    /// For traces.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Status(_) => "status",
            Self::Void(_) => "void",
            Self::Refund(..) => "refund",
        }
    }
}

/// The answer to a call.
pub type Answer = Result<Opened, GatewayError>;

/// The provider that all replicas call. A clone is the same provider.
#[derive(Clone, Default)]
pub struct Provider(Arc<Mutex<Books>>);

#[derive(Default)]
struct Books {
    ledger: BTreeMap<PaymentReference, Entry>,
    refunds: BTreeMap<RefundId, Refund>,
    /// Payments whose payer must approve them, and what the payer said.
    challenges: BTreeMap<PaymentReference, (Money, Option<bool>)>,
    /// The refunds, in the order in which money went back. None is in it twice but by a fault of the provider.
    given_back: Vec<RefundId>,
    /// Disputes of payers, with the amount.
    disputes: BTreeMap<PaymentReference, (DisputeStatus, Money)>,
    /// Calls that have left a replica and are not carried out yet.
    on_the_way: usize,
    /// Until when it refuses every call.
    down_until: Option<Instant>,
}

/// A call on its way to the provider.
pub struct OnTheWay(Provider);

impl Drop for OnTheWay {
    fn drop(&mut self) {
        self.0.0.lock().on_the_way -= 1;
    }
}

impl Provider {
    /// Every payment that the provider knows of.
    pub fn ledger(&self) -> BTreeMap<PaymentReference, Entry> {
        self.0.lock().ledger.clone()
    }

    /// Every refund that the provider has made.
    pub fn refunds(&self) -> BTreeMap<RefundId, Refund> {
        self.0.lock().refunds.clone()
    }

    /// The refunds for which money went back, in their order.
    pub fn given_back(&self) -> Vec<RefundId> {
        self.0.lock().given_back.clone()
    }

    /// The payer approves a payment, or declines it; the first word counts.
    pub fn act(&self, payment: PaymentReference, approves: bool) {
        if let Some((_, verdict)) = self.0.lock().challenges.get_mut(&payment) {
            verdict.get_or_insert(approves);
        }
    }

    /// The captured payments.
    pub fn captured(&self) -> Vec<PaymentReference> {
        let books = self.0.lock();
        let captured = books.ledger.iter().filter(|(_, its)| its.standing == Standing::Captured);
        captured.map(|(payment, _)| *payment).collect()
    }

    /// A payer disputes what is left of a captured payment, once. Whether there is something to dispute.
    pub fn begin_dispute(&self, payment: PaymentReference) -> bool {
        let mut books = self.0.lock();
        let left = books.left_of(payment);
        if left == 0 || books.disputes.contains_key(&payment) {
            return false;
        }
        let amount = Money::from_stored(left, 2);
        books.disputes.insert(payment, (DisputeStatus::Open, amount));
        true
    }

    /// The bank decides.
    pub fn decide_dispute(&self, payment: PaymentReference, verdict: DisputeStatus) {
        if let Some((status, _)) = self.0.lock().disputes.get_mut(&payment)
            && *status == DisputeStatus::Open
        {
            *status = verdict;
        }
    }

    /// The payments with a dispute.
    pub fn disputed(&self) -> Vec<PaymentReference> {
        self.0.lock().disputes.keys().copied().collect()
    }

    /// The dispute of a payment.
    pub fn dispute_of(&self, payment: PaymentReference) -> Option<Disputed> {
        let (status, amount) = self.0.lock().disputes.get(&payment).copied()?;
        Some(Disputed { payment, status, amount })
    }

    /// What was given back of a payment more than was captured, if it was.
    pub fn overpaid(&self, payment: PaymentReference) -> bool {
        self.0.lock().left_of(payment) < 0
    }

    /// Whether no call is on its way.
    pub fn is_idle(&self) -> bool {
        self.0.lock().on_the_way == 0
    }

    /// Refuses every call until then.
    pub fn go_down(&self, until: Instant) {
        self.0.lock().down_until = Some(until);
    }

    /// Whether it refuses every call.
    pub(super) fn is_down(&self) -> bool {
        self.0.lock().down_until.is_some_and(|until| Instant::now() < until)
    }

    /// Counts a call as on its way until the result is dropped.
    pub(super) fn expect_call(&self) -> OnTheWay {
        self.0.lock().on_the_way += 1;
        OnTheWay(self.clone())
    }

    /// Carries out a call. The rules are those of `gateway::simulated`: idempotent by reference or refund, and the
    /// method's token decides.
    pub fn carry_out(&self, call: &Call) -> Answer {
        let mut books = self.0.lock();
        match call {
            Call::Open(capture) => match books.ledger.get_mut(&capture.reference) {
                Some(entry) if planted!(gateway_captures_again) => {
                    entry.captures += u32::from(entry.standing == Standing::Captured);
                    captured_before(entry, capture)
                }
                Some(entry) if planted!(gateway_captures_after_a_reversal) => {
                    if matches!(entry.standing, Standing::Voided) {
                        *entry = Entry {
                            standing: Standing::Captured,
                            captures: 1,
                            amount: Some(capture.amount),
                            ..entry.clone()
                        };
                    }
                    captured_before(entry, capture)
                }
                Some(entry) => captured_before(entry, capture),
                None => books.first_capture(capture),
            },
            Call::Status(reference) => match books.ledger.get(reference) {
                Some(entry) => Ok(outcome_of(entry)),
                None => books.challenged(*reference),
            },
            Call::Refund(id, refund) => books.refund(*id, refund),
            Call::Void(reference) if books.is_disputed(*reference) => {
                Err(GatewayError::Refused("the payment is disputed".into()))
            }
            Call::Void(reference) => {
                let nothing =
                    Entry { amount: None, standing: Standing::Voided, captures: 0, refunds: 0 };
                let entry = books.ledger.entry(*reference).or_insert(nothing);
                if entry.standing == Standing::Captured && !planted!(gateway_loses_a_reversal) {
                    entry.standing = Standing::Refunded;
                    entry.refunds += 1;
                }
                Ok(Opened::Voided)
            }
        }
    }
}

impl Books {
    fn is_disputed(&self, payment: PaymentReference) -> bool {
        self.disputes.get(&payment).is_some_and(|(status, _)| *status == DisputeStatus::Open)
    }

    /// What is left of a captured payment, after its refunds and a lost dispute.
    fn left_of(&self, payment: PaymentReference) -> i64 {
        let entry = self.ledger.get(&payment);
        // A reversal gives back what was left by then, and no more.
        let Some(captured) = entry.filter(|entry| entry.standing == Standing::Captured) else {
            return 0;
        };
        let captured = captured.amount.map_or(0, Money::stored);
        let refunds = self.refunds.values().filter(|made| made.reference == payment);
        let refunded: i64 = refunds.map(|made| made.amount.stored()).sum();
        let lost = match self.disputes.get(&payment) {
            Some((DisputeStatus::Lost, amount)) => amount.stored(),
            _ => 0,
        };
        captured - refunded - lost
    }

    /// Gives back a part of what is left of a captured payment.
    fn refund(&mut self, id: RefundId, asked: &Refund) -> Answer {
        let refused = |reason: &str| Err(GatewayError::Refused(reason.into()));
        match self.refunds.get(&id) {
            Some(made) if made == asked => {
                if planted!(gateway_refunds_again) {
                    self.given_back.push(id);
                }
                return Ok(Opened::Captured);
            }
            Some(_) => return refused("the refund's id was used for another amount or payment"),
            None => {}
        }
        let entry = self.ledger.get(&asked.reference);
        let captured = entry.filter(|entry| entry.standing == Standing::Captured);
        if captured.is_none() {
            return refused("a refund of a payment that is not captured");
        }
        if self.is_disputed(asked.reference) && !planted!(disputed_refund_does_not_wait) {
            return refused("the payment is disputed");
        }
        // Money of the merchant's own pays what a dispute has taken already.
        let left = self.left_of(asked.reference);
        if !planted!(disputed_refund_does_not_wait) && !(1..=left).contains(&asked.amount.stored())
        {
            return refused("a refund beyond what is left of the payment");
        }
        if !planted!(gateway_loses_a_refund) {
            self.refunds.insert(id, asked.clone());
            self.given_back.push(id);
        }
        Ok(Opened::Captured)
    }

    /// Goes on with a payment whose payer must approve it.
    fn challenged(&mut self, payment: PaymentReference) -> Answer {
        let Some((amount, verdict)) = self.challenges.get(&payment).copied() else {
            return Err(GatewayError::Refused("there is no such payment".into()));
        };
        let Some(approves) = verdict else {
            let url = format!("/sandbox/pay/{payment}");
            return Ok(Opened::ActionRequired(NextAction::Redirect { url }));
        };
        let standing = if approves { Standing::Captured } else { Standing::Declined };
        let captures = u32::from(approves);
        let entry = Entry { amount: Some(amount), standing, captures, refunds: 0 };
        let answer = outcome_of(&entry);
        self.ledger.insert(payment, entry);
        Ok(answer)
    }

    fn first_capture(&mut self, capture: &Opening) -> Answer {
        let (standing, answer) = match capture.method.as_str() {
            "pm_card_visa" => (Standing::Captured, Ok(Opened::Captured)),
            "pm_card_timeout" => {
                (Standing::Captured, Err(GatewayError::Unanswered("timed out".into())))
            }
            "pm_card_3ds" => {
                self.challenges.entry(capture.reference).or_insert((capture.amount, None));
                return self.challenged(capture.reference);
            }
            "pm_card_error" => return Err(GatewayError::Unanswered("out of order".into())),
            _ => (Standing::Declined, Ok(Opened::Declined(None))),
        };
        let captures = u32::from(standing == Standing::Captured);
        let entry = Entry { amount: Some(capture.amount), standing, captures, refunds: 0 };
        self.ledger.insert(capture.reference, entry);
        answer
    }
}

fn captured_before(entry: &Entry, capture: &Opening) -> Answer {
    if entry.amount.is_some_and(|amount| amount != capture.amount) {
        return Err(GatewayError::Refused("the reference was used for another amount".into()));
    }
    Ok(outcome_of(entry))
}

fn outcome_of(entry: &Entry) -> Opened {
    match entry.standing {
        Standing::Captured => Opened::Captured,
        Standing::Declined => Opened::Declined(None),
        Standing::Voided | Standing::Refunded => Opened::Voided,
    }
}
