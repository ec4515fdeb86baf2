//! The gateway port's promises, on the gateway for trials and on the provider of the simulation, and that both
//! have the same rules.

use crate::simulated::gateway::{Call, Provider, SimGateway, Standing};
use crate::simulated::process::Process;
use crate::support::{TestDatabase, start_of_test};
use airline_booking::clock::ManualClock;
use airline_booking::domain::{Money, PaymentMethod, PaymentReference};
use airline_booking::gateway::{Capture, Captured, Gateway, GatewayError};
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// A gateway under test.
struct Subject {
    gateway: Box<dyn Gateway>,
    /// Keeps its books.
    _database: Option<TestDatabase>,
}

impl Subject {
    async fn in_database(database: TestDatabase) -> Self {
        let clock = Arc::new(ManualClock::at(start_of_test()));
        let opened = database.open(Duration::ZERO, clock).await;
        Self { gateway: Box::new(opened.gateway), _database: Some(database) }
    }

    fn simulated() -> Self {
        let gateway = SimGateway::new(&Provider::default(), &Process::sound("one"));
        Self { gateway: Box::new(gateway), _database: None }
    }

    /// Makes calls one after the other. Returns their answers; of a reversal, that it is done.
    async fn play(&self, calls: &[Call]) -> Vec<Result<Captured, String>> {
        let mut answers = Vec::new();
        for call in calls {
            let answer = match call {
                Call::Capture(capture) => self.gateway.capture(capture).await,
                Call::Reverse(reference) => {
                    self.gateway.reverse(*reference).await.map(|()| Captured::Reversed)
                }
            };
            answers.push(answer.map_err(text));
        }
        answers
    }
}

fn text(GatewayError(text): GatewayError) -> String {
    text
}

fn capture(payment: u128, method: &str, minor: i64) -> Call {
    Call::Capture(Capture {
        reference: PaymentReference::from_bits(payment),
        amount: Money::from_minor(minor),
        currency: "INR".parse().expect("a currency"),
        method: PaymentMethod::new(method).expect("a method"),
    })
}

fn reverse(payment: u128) -> Call {
    Call::Reverse(PaymentReference::from_bits(payment))
}

async fn a_repeat_has_the_first_answer(subject: Subject) {
    for (payment, method, answer) in [
        (1, "pm_card_visa", Captured::Captured),
        (2, "pm_card_declined", Captured::Declined),
        (3, "pm_unheard_of", Captured::Declined),
    ] {
        let calls = vec![capture(payment, method, 100); 3];
        assert_eq!(subject.play(&calls).await, vec![Ok(answer); 3], "{method}");
    }
}

async fn a_capture_without_an_answer_is_answered_at_its_repeat(subject: Subject) {
    let calls = vec![capture(1, "pm_card_timeout", 100); 2];
    let answers = subject.play(&calls).await;
    assert!(answers[0].is_err());
    assert_eq!(answers[1], Ok(Captured::Captured));
}

async fn after_a_reversal_a_capture_is_refused(subject: Subject) {
    let (visa, reversed) = (capture(1, "pm_card_visa", 100), Ok(Captured::Reversed));
    let refunded = subject.play(&[visa.clone(), reverse(1), visa, reverse(1)]).await;
    let (first, rest) = refunded.split_first().expect("answers");
    assert_eq!((first, rest), (&Ok(Captured::Captured), &vec![reversed.clone(); 3][..]));
    let voided = subject.play(&[reverse(2), capture(2, "pm_card_visa", 100)]).await;
    assert_eq!(voided, vec![reversed; 2]);
}

async fn a_reference_can_not_be_used_for_another_amount(subject: Subject) {
    let calls = [100, 99, 100].map(|minor| capture(1, "pm_card_visa", minor));
    let answers = subject.play(&calls).await;
    assert!(answers[1].is_err());
    assert_eq!(answers[2], Ok(Captured::Captured));
}

/// Every play of up to three calls for one payment, each for a payment of its own.
fn plays() -> Vec<Vec<Call>> {
    let calls = |payment: u128| {
        let methods = ["pm_card_visa", "pm_card_declined", "pm_card_timeout", "pm_card_error"];
        let captures = methods.map(|method| capture(payment, method, 100)).into_iter();
        captures.chain([capture(payment, "pm_card_visa", 99), reverse(payment)])
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
    the_provider_of_the_simulation_answers_as_it_does,
);
