//! The adapter of Stripe against a hostile Stripe, over HTTP: whatever is lost, repeated or kept, each payment is taken
//! at most once and each refund made once.

use crate::support::stripe::{API_KEY, FakeStripe, Fault};
use airline_booking::domain::{
    Money, NextAction, PaymentMethod, PaymentReference, RefundId, Timestamp,
};
use airline_booking::gateway::stripe::StripeGateway;
use airline_booking::gateway::{Gateway, GatewayError, Opened, Opening, Repaid};
use airline_booking::store::{GatewayName, GatewayNames, NamedPayment, StoreError};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// The names in memory.
#[derive(Default)]
struct Names {
    ids: Mutex<HashMap<PaymentReference, String>>,
    ended: Mutex<HashSet<PaymentReference>>,
    /// The id that another replica notes first.
    rival: Mutex<Option<String>>,
    /// What the simulated gateway took before.
    simulated: Mutex<HashSet<PaymentReference>>,
}

#[async_trait]
impl GatewayNames for Names {
    async fn name_at_gateway(
        &self,
        payment: PaymentReference,
        _: &'static str,
        id: &str,
    ) -> Result<Option<String>, StoreError> {
        if self.ended.lock().contains(&payment) {
            return Ok(None);
        }
        let id = self.rival.lock().take().unwrap_or_else(|| id.to_owned());
        Ok(Some(self.ids.lock().entry(payment).or_insert(id).clone()))
    }

    async fn gateway_name(
        &self,
        payment: PaymentReference,
    ) -> Result<Option<GatewayName>, StoreError> {
        let id = self.ids.lock().get(&payment).cloned();
        Ok(id.map(|id| GatewayName { id, currency: "INR".parse().expect("a currency") }))
    }

    async fn is_in_simulated_books(&self, payment: PaymentReference) -> Result<bool, StoreError> {
        Ok(self.simulated.lock().contains(&payment))
    }

    async fn named(&self, _: &[PaymentReference]) -> Result<Vec<NamedPayment>, StoreError> {
        Ok(Vec::new())
    }

    async fn named_since(
        &self,
        _: &'static str,
        _: Timestamp,
        _: Option<PaymentReference>,
        _: usize,
    ) -> Result<Vec<NamedPayment>, StoreError> {
        Ok(Vec::new())
    }
}

struct Trial {
    stripe: FakeStripe,
    names: Arc<Names>,
    gateway: StripeGateway,
}

const PAYMENT: u128 = 7;

/// Faults after which the same call tells what was done, whatever its key keeps.
const REPEATABLE: [Fault; 6] = [
    Fault::DelayedAfter(Duration::from_millis(20)),
    Fault::FailsAfter,
    Fault::LosesAnswer,
    Fault::Locked,
    Fault::Limited,
    Fault::Duplicated,
];

fn payment() -> PaymentReference {
    PaymentReference::from_bits(PAYMENT)
}

fn opening(method: &str) -> Opening {
    Opening {
        reference: payment(),
        amount: Money::from_minor(250_000),
        currency: "INR".parse().expect("a currency"),
        method: PaymentMethod::new(method).expect("a method"),
        return_url: None,
    }
}

impl Trial {
    async fn start() -> Self {
        let stripe = FakeStripe::start().await;
        let names = Arc::new(Names::default());
        let gateway = StripeGateway::new(&stripe.base, API_KEY, names.clone()).expect("a gateway");
        Self { stripe, names, gateway }
    }

    async fn open(&self, method: &str) -> Result<Opened, String> {
        self.gateway.open(&opening(method)).await.map_err(|error| error.to_string())
    }

    /// Repeats until there is an answer, as the worker does.
    async fn opened(&self, method: &str) -> Opened {
        for _ in 0..5 {
            if let Ok(answer) = self.open(method).await {
                return answer;
            }
        }
        panic!("no answer to five calls: {:?}", self.stripe.account());
    }

    async fn refund(&self, id: u128, minor: i64) -> Result<(), String> {
        let amount = Money::from_minor(minor);
        let made = self.gateway.refund(RefundId::from_bits(id), payment(), amount).await;
        match made {
            Ok(Repaid::Done) => Ok(()),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    fn balance(&self) -> i64 {
        self.stripe.account().balance()
    }
}

#[tokio::test]
async fn a_payment_that_the_simulated_gateway_took_is_neither_taken_nor_returned() {
    let trial = Trial::start().await;
    trial.names.simulated.lock().insert(payment());
    let rule = "PAYMENT_GATEWAY=stripe cannot return what the simulated gateway took";
    let refused = GatewayError::Refused(rule.to_owned()).to_string();
    assert_eq!(trial.open("pm_card_visa").await, Err(refused.clone()));
    assert_eq!(trial.refund(1, 100).await, Err(refused.clone()));
    let voided = trial.gateway.void(payment()).await.map_err(|error| error.to_string());
    assert_eq!(voided, Err(refused));
    assert_eq!(trial.stripe.account().calls, [""; 0]);
}

#[tokio::test]
async fn an_intent_that_a_crash_left_unconfirmed_is_confirmed_at_the_repeat() {
    let trial = Trial::start().await;
    for _ in 0..2 {
        trial.stripe.plan("/confirm", Fault::Locked);
        trial.open("pm_card_visa").await.expect_err("nothing is confirmed");
    }
    assert_eq!(trial.open("pm_card_visa").await, Ok(Opened::Captured));
    assert_eq!(trial.balance(), 250_000);
}

#[tokio::test]
async fn each_fault_of_each_step_captures_once() {
    for call in ["/payment_intents", "/confirm"] {
        for fault in REPEATABLE.into_iter().chain([Fault::FailsBefore]) {
            let trial = Trial::start().await;
            trial.stripe.plan(call, fault);
            assert_eq!(trial.opened("pm_card_visa").await, Opened::Captured, "{call} {fault:?}");
            assert_eq!(trial.opened("pm_card_visa").await, Opened::Captured, "{call} {fault:?}");
            assert_eq!(trial.balance(), 250_000, "{call} {fault:?}");
            let noted = trial.names.ids.lock()[&payment()].clone();
            let taken = trial
                .stripe
                .account()
                .intents
                .iter()
                .filter(|its| its.captures > 0)
                .cloned()
                .collect::<Vec<_>>();
            assert_eq!((taken.len(), &taken[0].id), (1, &noted), "{call} {fault:?}");
        }
    }
}

#[tokio::test]
async fn two_replicas_that_open_at_once_capture_once() {
    for _ in 0..20 {
        let trial = Trial::start().await;
        let (one, other) = tokio::join!(trial.opened("pm_card_visa"), trial.opened("pm_card_visa"));
        assert_eq!((one, other), (Opened::Captured, Opened::Captured));
        assert_eq!(trial.balance(), 250_000);
    }
}

#[tokio::test]
async fn the_intent_that_another_replica_has_noted_first_is_confirmed_and_no_other() {
    let trial = Trial::start().await;
    trial.names.ended.lock().insert(payment());
    trial.open("pm_card_visa").await.expect("an intent that is not noted");
    trial.names.ended.lock().clear();
    trial.stripe.forget_keys();
    *trial.names.rival.lock() = Some("pi_1".to_owned());
    assert_eq!(trial.open("pm_card_visa").await, Ok(Opened::Captured));
    let statuses: Vec<_> = trial.stripe.account().intents.iter().map(|its| its.status).collect();
    assert_eq!(statuses, ["succeeded", "requires_payment_method"]);
}

#[tokio::test]
async fn no_money_is_taken_for_a_payment_that_ended_before_its_intent_was_noted() {
    let trial = Trial::start().await;
    trial.names.ended.lock().insert(payment());
    assert_eq!(trial.open("pm_card_visa").await, Ok(Opened::Processing));
    trial.gateway.void(payment()).await.expect("nothing to void");
    assert_eq!((trial.balance(), trial.stripe.calls("/confirm")), (0, 0));
}

#[tokio::test]
async fn a_decline_has_its_reason_and_its_intent_takes_no_later_attempt() {
    for (method, reason) in [
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_unheard_of", "resource_missing"),
    ] {
        let trial = Trial::start().await;
        let declined = Opened::Declined(Some(reason.into()));
        assert_eq!(trial.opened(method).await, declined);
        assert_eq!(trial.stripe.account().intents[0].status, "canceled");
        trial.gateway.void(payment()).await.expect("voided");
        assert_eq!(trial.balance(), 0);
    }
}

#[tokio::test]
async fn what_stripe_refuses_for_good_is_a_decline_and_no_failure_of_stripe() {
    let trial = Trial::start().await;
    trial.stripe.plan("/confirm", Fault::Refuses);
    let declined = Opened::Declined(Some("payment_method_unactivated".into()));
    assert_eq!(trial.open("pm_card_visa").await, Ok(declined));
    assert_eq!(trial.stripe.account().intents[0].status, "canceled");
}

#[tokio::test]
async fn a_decline_whose_answer_is_lost_is_a_decline_when_it_is_repeated() {
    for fault in [Fault::LosesAnswer, Fault::FailsAfter] {
        for call in ["/confirm", "/cancel"] {
            let trial = Trial::start().await;
            trial.stripe.plan(call, fault);
            let declined = Opened::Declined(Some("insufficient_funds".into()));
            let method = "pm_card_chargeDeclinedInsufficientFunds";
            assert_eq!(trial.opened(method).await, declined, "{call} {fault:?}");
            assert_eq!(trial.balance(), 0);
        }
    }
}

#[tokio::test]
async fn a_payer_approves_or_gives_up_and_status_tells_which() {
    for (is_approved, outcome, balance) in [
        (true, Opened::Captured, 250_000),
        (false, Opened::Declined(Some("payment_intent_authentication_failure".into())), 0),
    ] {
        let trial = Trial::start().await;
        let client_secret = "pi_1_secret_1".to_owned();
        let asked = Opened::ActionRequired(NextAction::ClientSecret { client_secret });
        assert_eq!(trial.open("pm_card_threeDSecure2Required").await, Ok(asked.clone()));
        assert_eq!(trial.gateway.status(payment()).await.expect("a status"), asked);
        trial.stripe.account().act(&payment().to_string(), is_approved);
        assert_eq!(trial.gateway.status(payment()).await.expect("a status"), outcome);
        assert_eq!(trial.balance(), balance);
    }
}

#[tokio::test]
async fn a_payer_with_a_page_to_return_to_is_sent_to_the_banks_page() {
    let trial = Trial::start().await;
    let mut opening = opening("pm_card_threeDSecure2Required");
    opening.return_url = Some("https://shop.example/paid".into());
    let url = "https://hooks.stripe.test/pi_1".to_owned();
    let asked = Opened::ActionRequired(NextAction::Redirect { url });
    assert_eq!(trial.gateway.open(&opening).await.expect("an answer"), asked);
}

#[tokio::test]
async fn a_bank_that_decides_later_is_asked_again() {
    let trial = Trial::start().await;
    assert_eq!(trial.open("pm_bank").await, Ok(Opened::Processing));
    trial.gateway.void(payment()).await.expect_err("it may still be captured");
    trial.stripe.account().intents[0].status = "canceled";
    trial.gateway.void(payment()).await.expect("voided");
}

#[tokio::test]
async fn an_amount_that_stripe_cannot_charge_is_declined_without_a_call() {
    let trial = Trial::start().await;
    let mut opening = opening("pm_card_visa");
    (opening.amount, opening.currency) =
        (Money::from_stored(5_124, 3), "KWD".parse().expect("KWD"));
    let declined = Opened::Declined(Some("amount_not_supported".into()));
    assert_eq!(trial.gateway.open(&opening).await.expect("an answer"), declined);
    (opening.amount, opening.currency) = (Money::from_minor(10), "INR".parse().expect("INR"));
    let declined = Opened::Declined(Some("amount_too_small".into()));
    assert_eq!(trial.gateway.open(&opening).await.expect("an answer"), declined);
    assert!(trial.stripe.account().intents.is_empty());
}

#[tokio::test]
async fn a_void_gives_back_what_is_left_once_whatever_is_lost() {
    for fault in [Fault::LosesAnswer, Fault::Locked, Fault::DelayedAfter(Duration::ZERO)] {
        let trial = Trial::start().await;
        trial.opened("pm_card_visa").await;
        trial.refund(1, 100_000).await.expect("a refund");
        trial.stripe.plan("POST /v1/refunds", fault);
        let _ = trial.gateway.void(payment()).await;
        for _ in 0..3 {
            trial.stripe.forget_keys();
            trial.gateway.void(payment()).await.expect("voided");
        }
        assert_eq!((trial.balance(), trial.stripe.account().refunds.len()), (0, 2), "{fault:?}");
    }
}

#[tokio::test]
async fn a_void_overtakes_a_confirmation_and_no_money_is_kept() {
    let trial = Trial::start().await;
    trial.stripe.plan("/confirm", Fault::DelayedBefore(Duration::from_millis(300)));
    let open = trial.open("pm_card_visa");
    let void = async {
        while trial.names.ids.lock().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        trial.gateway.void(payment()).await.expect("voided");
    };
    let (opened, ()) = tokio::join!(open, void);
    assert_eq!((opened, trial.balance()), (Ok(Opened::Voided), 0));
}

#[tokio::test]
async fn a_refund_is_made_once_even_after_stripe_has_forgotten_its_key() {
    for fault in [Fault::LosesAnswer, Fault::FailsAfter] {
        let trial = Trial::start().await;
        trial.opened("pm_card_visa").await;
        // Further refunds, so that this one is not on the first page.
        for id in 1..=3 {
            trial.refund(id, 100).await.expect("a refund");
        }
        trial.stripe.plan("POST /v1/refunds", fault);
        trial.refund(4, 1_000).await.expect_err("no answer");
        trial.stripe.forget_keys();
        for _ in 0..3 {
            trial.refund(4, 1_000).await.expect("made");
            trial.stripe.forget_keys();
        }
        assert_eq!(trial.balance(), 250_000 - 300 - 1_000, "{fault:?}");
        trial.refund(4, 999).await.expect_err("another amount");
    }
}

#[tokio::test]
async fn a_refund_that_was_made_is_never_told_as_failed() {
    for fault in REPEATABLE {
        let trial = Trial::start().await;
        trial.opened("pm_card_visa").await;
        trial.stripe.plan("POST /v1/refunds", fault);
        // Of all that was paid, so that it cannot be made twice.
        let (id, all) = (RefundId::from_bits(1), Money::from_minor(250_000));
        let mut told = Vec::new();
        for _ in 0..3 {
            told.extend(trial.gateway.refund(id, payment(), all).await.ok());
        }
        assert!(
            !told.is_empty() && told.iter().all(|it| *it == Repaid::Done),
            "{fault:?}: {told:?}"
        );
        assert_eq!(trial.balance(), 0, "{fault:?}");
    }
}

/// Two replicas ask at once, and both have found no such refund.
#[tokio::test]
async fn a_refund_that_overtakes_its_own_repeat_is_done_for_both() {
    let trial = Trial::start().await;
    trial.opened("pm_card_visa").await;
    trial.stripe.plan("POST /v1/refunds", Fault::DelayedBefore(Duration::from_millis(200)));
    let (slow, fast) = tokio::join!(trial.refund(1, 250_000), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let fast = trial.refund(1, 250_000).await;
        trial.stripe.forget_keys();
        fast
    });
    assert_eq!((slow, fast), (Ok(()), Ok(())));
}

#[tokio::test]
async fn a_refund_that_failed_before_it_was_made_is_made_once_its_key_is_forgotten() {
    let trial = Trial::start().await;
    trial.opened("pm_card_visa").await;
    trial.stripe.plan("POST /v1/refunds", Fault::FailsBefore);
    for _ in 0..3 {
        trial.refund(1, 1_000).await.expect_err("a kept 500");
    }
    assert_eq!(trial.balance(), 250_000);
    trial.stripe.forget_keys();
    trial.refund(1, 1_000).await.expect("made");
    assert_eq!(trial.balance(), 249_000);
}

#[tokio::test]
async fn a_refund_that_the_bank_returned_is_made_again() {
    let trial = Trial::start().await;
    trial.opened("pm_card_visa").await;
    trial.refund(1, 1_000).await.expect("made");
    trial.stripe.account().refunds[0].status = "failed";
    trial.refund(1, 1_000).await.expect("made again");
    trial.refund(1, 1_000).await.expect("known");
    assert_eq!((trial.balance(), trial.stripe.account().refunds.len()), (249_000, 2));
}

#[tokio::test]
async fn a_wrong_key_is_an_error_and_no_decline() {
    let trial = Trial::start().await;
    let gateway = StripeGateway::new(&trial.stripe.base, "sk_test_other", trial.names.clone());
    let told = gateway.expect("a gateway").open(&opening("pm_card_visa")).await;
    let told = told.expect_err("no answer").to_string();
    assert!(told.contains("401") && !told.contains("sk_test"), "{told}");
}
