//! The gateway port's promises, on the gateway for trials and on the provider of the simulation, and that both
//! have the same rules.

use crate::simulated::gateway::{Call, Provider, Refund, SimGateway, Standing};
use crate::simulated::process::Process;
use crate::support::{TestDatabase, start_of_test};
use airline_booking::clock::ManualClock;
use airline_booking::domain::{Money, PaymentMethod, PaymentReference, RefundId};
use airline_booking::gateway::{Gateway, GatewayError, Opened, Opening};
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// A gateway under test.
struct Subject {
    gateway: Box<dyn Gateway>,
    /// The same gateway as another replica calls it.
    replica: Box<dyn Gateway>,
    /// Keeps its books.
    _database: Option<TestDatabase>,
}

impl Subject {
    async fn in_database(database: TestDatabase) -> Self {
        let clock = Arc::new(ManualClock::at(start_of_test()));
        let gateway = Box::new(database.open(Duration::ZERO, clock.clone()).await.gateway);
        let replica = Box::new(database.open(Duration::ZERO, clock).await.gateway);
        Self { gateway, replica, _database: Some(database) }
    }

    fn simulated() -> Self {
        let provider = Provider::default();
        let gateway = Box::new(SimGateway::new(&provider, &Process::sound("one")));
        let replica = Box::new(SimGateway::new(&provider, &Process::sound("two")));
        Self { gateway, replica, _database: None }
    }

    /// Makes calls one after the other. Returns their answers; of a reversal and a refund, that it is done.
    async fn play(&self, calls: &[Call]) -> Vec<Result<Opened, String>> {
        let mut answers = Vec::new();
        for call in calls {
            answers.push(answer(&*self.gateway, call).await);
        }
        answers
    }

    /// Makes calls at once, in turn by each replica. Returns how many were carried out.
    async fn play_at_once(&self, calls: &[Call]) -> usize {
        let gateways = [&*self.gateway, &*self.replica].into_iter().cycle();
        let answers = join_all(calls.iter().zip(gateways).map(|(call, by)| answer(by, call))).await;
        answers.iter().filter(|answer| answer.is_ok()).count()
    }
}

async fn answer(gateway: &dyn Gateway, call: &Call) -> Result<Opened, String> {
    let answer = match call {
        Call::Open(capture) => gateway.open(capture).await,
        Call::Status(reference) => gateway.status(*reference).await,
        Call::Void(reference) => gateway.void(*reference).await.map(|()| Opened::Voided),
        Call::Refund(id, Refund { reference, amount }) => {
            gateway.refund(*id, *reference, *amount).await.map(|_| Opened::Captured)
        }
    };
    answer.map_err(text)
}

fn text(error: GatewayError) -> String {
    let (GatewayError::Unanswered(text) | GatewayError::Refused(text)) = error;
    text
}

fn capture(payment: u128, method: &str, minor: i64) -> Call {
    Call::Open(Opening {
        reference: PaymentReference::from_bits(payment),
        amount: Money::from_minor(minor),
        currency: "INR".parse().expect("a currency"),
        method: PaymentMethod::new(method).expect("a method"),
        return_url: None,
    })
}

fn reverse(payment: u128) -> Call {
    Call::Void(PaymentReference::from_bits(payment))
}

fn refund(id: u128, payment: u128, minor: i64) -> Call {
    let (reference, amount) = (PaymentReference::from_bits(payment), Money::from_minor(minor));
    Call::Refund(RefundId::from_bits(id), Refund { reference, amount })
}

async fn a_repeat_has_the_first_answer(subject: Subject) {
    for (payment, method, answer) in [
        (1, "pm_card_visa", Opened::Captured),
        (2, "pm_card_declined", Opened::Declined(None)),
        (3, "pm_unheard_of", Opened::Declined(None)),
    ] {
        let calls = vec![capture(payment, method, 100); 3];
        assert_eq!(subject.play(&calls).await, vec![Ok(answer); 3], "{method}");
    }
}

async fn a_capture_without_an_answer_is_answered_at_its_repeat(subject: Subject) {
    let calls = vec![capture(1, "pm_card_timeout", 100); 2];
    let answers = subject.play(&calls).await;
    assert!(answers[0].is_err());
    assert_eq!(answers[1], Ok(Opened::Captured));
}

async fn after_a_reversal_a_capture_is_refused(subject: Subject) {
    let (visa, reversed) = (capture(1, "pm_card_visa", 100), Ok(Opened::Voided));
    let refunded = subject.play(&[visa.clone(), reverse(1), visa, reverse(1)]).await;
    let (first, rest) = refunded.split_first().expect("answers");
    assert_eq!((first, rest), (&Ok(Opened::Captured), &vec![reversed.clone(); 3][..]));
    let voided = subject.play(&[reverse(2), capture(2, "pm_card_visa", 100)]).await;
    assert_eq!(voided, vec![reversed; 2]);
}

async fn a_reference_can_not_be_used_for_another_amount(subject: Subject) {
    let calls = [100, 99, 100].map(|minor| capture(1, "pm_card_visa", minor));
    let answers = subject.play(&calls).await;
    assert!(answers[1].is_err());
    assert_eq!(answers[2], Ok(Opened::Captured));
}

async fn refunds_give_back_no_more_than_was_captured(subject: Subject) {
    let calls = [
        (capture(1, "pm_card_visa", 100), true),
        (refund(1, 1, 60), true),
        (refund(1, 1, 60), true),
        (refund(2, 1, 41), false),
        (refund(2, 1, 0), false),
        (refund(2, 1, -1), false),
        (refund(2, 1, 40), true),
        (refund(3, 1, 1), false),
        (refund(1, 1, 60), true),
        (capture(1, "pm_card_visa", 100), true),
    ];
    for (call, is_made) in calls {
        let answers = subject.play(std::slice::from_ref(&call)).await;
        assert_eq!(answers[0].is_ok(), is_made, "{call:?}: {answers:?}");
    }
}

async fn a_refund_s_id_can_not_be_used_for_another_amount_or_payment(subject: Subject) {
    let captures = [1, 2].map(|payment| capture(payment, "pm_card_visa", 100));
    subject.play(&captures).await;
    let calls = [refund(1, 1, 60), refund(1, 1, 59), refund(1, 2, 60), refund(1, 1, 60)];
    let answers = subject.play(&calls).await;
    let made: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(made, [true, false, false, true]);
    // Nothing of the other payment was given back.
    assert_eq!(subject.play(&[refund(2, 2, 100)]).await, [Ok(Opened::Captured)]);
}

async fn only_a_captured_payment_is_refunded(subject: Subject) {
    for calls in [
        vec![refund(1, 1, 1)],
        vec![capture(2, "pm_card_declined", 100), refund(2, 2, 1)],
        vec![reverse(3), refund(3, 3, 1)],
        vec![capture(4, "pm_card_visa", 100), reverse(4), refund(4, 4, 1)],
    ] {
        let answers = subject.play(&calls).await;
        assert!(answers.last().expect("an answer").is_err(), "{calls:?}");
    }
    // The refusal left nothing behind.
    let calls = [capture(1, "pm_card_visa", 100), refund(1, 1, 1)];
    assert_eq!(subject.play(&calls).await, vec![Ok(Opened::Captured); 2]);
}

async fn a_reversal_gives_back_what_refunds_have_left(subject: Subject) {
    let visa = capture(1, "pm_card_visa", 100);
    let calls = [visa.clone(), refund(1, 1, 60), reverse(1), refund(1, 1, 60), visa];
    let (captured, reversed) = (Ok(Opened::Captured), Ok(Opened::Voided));
    let answers = [captured.clone(), captured.clone(), reversed.clone(), captured, reversed];
    assert_eq!(subject.play(&calls).await, answers);
    assert!(subject.play(&[refund(2, 1, 40)]).await[0].is_err());
}

async fn refunds_that_two_replicas_ask_at_once_are_made_once_each(subject: Subject) {
    let captures: Vec<_> = (1..=3).map(|payment| capture(payment, "pm_card_visa", 100)).collect();
    subject.play(&captures).await;
    assert_eq!(subject.play_at_once(&vec![refund(1, 1, 60); 20]).await, 20);
    // Had it been made more than once, nothing would be left.
    assert_eq!(subject.play(&[refund(2, 1, 40)]).await, [Ok(Opened::Captured)]);

    let parts: Vec<_> = (0..20).map(|part| refund(10 + part, 2, 10)).collect();
    assert_eq!(subject.play_at_once(&parts).await, 10);
    assert_eq!(subject.play_at_once(&parts).await, 10);

    // One id, asked for two payments.
    subject.play(&[capture(4, "pm_card_visa", 100)]).await;
    let same_id = [refund(3, 3, 100), refund(3, 4, 100)];
    assert_eq!(subject.play_at_once(&same_id).await, 1);
    let left = [refund(5, 3, 100), refund(6, 4, 100)];
    assert_eq!(subject.play_at_once(&left).await, 1);
}

/// Every play of up to three calls for one payment, each for a payment of its own.
fn plays() -> Vec<Vec<Call>> {
    let calls = |payment: u128| {
        let methods = ["pm_card_visa", "pm_card_declined", "pm_card_timeout", "pm_card_error"];
        let captures = methods.map(|method| capture(payment, method, 100)).into_iter();
        let refunds = [0, 1].map(|id| refund(2 * payment + id, payment, 60));
        captures.chain([capture(payment, "pm_card_visa", 99), reverse(payment)]).chain(refunds)
    };
    let kinds = calls(0).count();
    let numbers = (1..=3).flat_map(|length| (0..kinds.pow(length)).map(move |play| (length, play)));
    let play = |(payment, (length, play)): (u128, (u32, usize))| {
        let nth = |place: u32| play / kinds.pow(place) % kinds;
        let call = |place| calls(payment).nth(nth(place)).expect("a call");
        (0..length).map(call).collect()
    };
    (1..).zip(numbers).map(play).collect()
}

/// Proves that the simulation's money follows the rules of `gateway::simulated`.
async fn the_provider_of_the_simulation_answers_as_it_does(subject: Subject) {
    let (provider, plays) = (Provider::default(), plays());
    let answers = join_all(plays.iter().map(|play| subject.play(play))).await;
    for (play, answers) in plays.iter().zip(answers) {
        let simulated = play.iter().map(|call| provider.carry_out(call).map_err(text));
        assert_eq!(simulated.collect::<Vec<_>>(), answers, "{play:?}");
    }
    for (reference, entry) in provider.ledger() {
        let moved = (entry.captures, entry.refunds);
        let expected = match entry.standing {
            Standing::Captured => (1, 0),
            Standing::Refunded => (1, 1),
            Standing::Declined | Standing::Voided => (0, 0),
        };
        assert_eq!(moved, expected, "{reference}: {entry:?}");
        let refunds = provider.refunds().into_values();
        let refunds = refunds.filter(|refund| refund.reference == reference).count();
        assert!(refunds <= usize::from(entry.captures == 1), "{reference}: {refunds} refunds");
    }
}

macro_rules! on_each_gateway {
    ($($body:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $body() {
                super::$body(super::Subject::in_database(super::TestDatabase::sqlite()).await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $body() {
                let database = super::TestDatabase::postgres().await;
                super::$body(super::Subject::in_database(database).await).await;
            })+
        }
        mod in_simulation {
            $(#[tokio::test(start_paused = true)]
            async fn $body() {
                super::$body(super::Subject::simulated()).await;
            })+
        }
    };
}

on_each_gateway!(
    a_repeat_has_the_first_answer,
    a_capture_without_an_answer_is_answered_at_its_repeat,
    after_a_reversal_a_capture_is_refused,
    a_reference_can_not_be_used_for_another_amount,
    refunds_give_back_no_more_than_was_captured,
    a_refund_s_id_can_not_be_used_for_another_amount_or_payment,
    only_a_captured_payment_is_refunded,
    a_reversal_gives_back_what_refunds_have_left,
    refunds_that_two_replicas_ask_at_once_are_made_once_each,
    the_provider_of_the_simulation_answers_as_it_does,
);
