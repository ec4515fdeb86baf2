//! Faults of calls to the provider.

use super::super::ports::chance::{Chance, Fault};
use super::super::ports::gateway::{Provider, SimGateway, Standing};
use super::super::ports::process::Process;
use super::{always, at_rate, hangs, process};
use airline_booking::domain::{Money, PaymentMethod, PaymentReference, RefundId};
use airline_booking::gateway::{Gateway, Opened, Opening};
use airline_booking::tasks::Switch;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// `GATEWAY_TIMEOUT`.
const LIMIT: Duration = Duration::from_secs(10);

pub fn capture(payment: u128) -> Opening {
    Opening {
        reference: PaymentReference::from_bits(payment),
        amount: Money::from_minor(100),
        currency: "INR".parse().expect("a currency"),
        method: PaymentMethod::default(),
        return_url: None,
    }
}

fn gateway(provider: &Provider, chance: &Chance) -> SimGateway {
    SimGateway::new(provider, &process("one", chance))
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_lost_has_no_effect_and_one_whose_answer_is_lost_has() {
    for (fault, effects) in [(Fault::GatewayLostBefore, 0), (Fault::GatewayLostAfter, 1)] {
        let provider = Provider::default();
        let gateway = gateway(&provider, &always(fault));
        gateway.open(&capture(1)).await.expect_err("lost");
        assert!(provider.is_idle());
        assert_eq!(provider.ledger().len(), effects, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_comes_within_the_limit() {
    let (provider, chance) = (Provider::default(), always(Fault::GatewaySlow));
    let gateway = gateway(&provider, &chance);
    let mut slowest = Duration::ZERO;
    for payment in 0..20 {
        let asked_at = Instant::now();
        let answer = gateway.open(&capture(payment)).await.expect("an answer");
        assert_eq!(answer, Opened::Captured);
        slowest = slowest.max(asked_at.elapsed());
    }
    assert!(slowest > Duration::from_secs(3) && slowest < LIMIT, "{slowest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_may_land_after_its_caller_has_given_up() {
    let (provider, chance) = (Provider::default(), always(Fault::GatewayHangs));
    let gateway = gateway(&provider, &chance);
    let captures: Vec<_> = (0..40).map(capture).collect();
    let calls = captures.iter().map(|capture| gateway.open(capture));
    let answered = tokio::time::timeout(LIMIT, futures::future::select_all(calls)).await;
    assert!(answered.is_err());
    let landed = provider.ledger().len();
    assert!(!provider.is_idle());
    sleep(Duration::from_secs(20)).await;
    assert!(provider.is_idle());
    let all = provider.ledger().len();
    assert!(landed < all && all < 40, "{landed} in time, {all} in all");
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_adapter_leaves_open_whether_the_call_is_made() {
    let (provider, chance) = (Provider::default(), always(Fault::GatewayPanics));
    let gateway = Arc::new(gateway(&provider, &chance));
    for payment in 0..20 {
        let caller = gateway.clone();
        let call = tokio::spawn(async move { caller.open(&capture(payment)).await.is_ok() });
        assert!(call.await.expect_err("a panic").is_panic());
    }
    sleep(Duration::from_secs(1)).await;
    assert!((1..20).contains(&provider.ledger().len()));
}

#[tokio::test(start_paused = true)]
async fn a_call_of_a_killed_process_lands_and_it_makes_no_other() {
    let (provider, chance, switch) =
        (Provider::default(), Chance::without_faults(), Switch::default());
    let gateway = SimGateway::new(&provider, &Process::new("killed", &chance, &switch));
    let capture = capture(1);
    {
        let mut call = gateway.open(&capture);
        assert!(futures::poll!(call.as_mut()).is_pending());
        switch.kill();
        assert!(hangs(call).await);
    }
    assert_eq!(provider.ledger()[&capture.reference].standing, Standing::Captured);
    assert!(hangs(gateway.void(capture.reference)).await);
    assert_eq!(provider.ledger()[&capture.reference].refunds, 0);
}

#[tokio::test(start_paused = true)]
async fn however_often_calls_are_repeated_money_moves_once_each_way() {
    let (provider, chance) = (Provider::default(), at_rate(Fault::GatewayLostAfter, 500, 3));
    let gateway = gateway(&provider, &chance);
    let capture = capture(1);
    for _ in 0..20 {
        gateway.open(&capture).await.ok();
    }
    let part = Money::from_minor(30);
    for id in [1, 2].map(RefundId::from_bits).repeat(20) {
        gateway.refund(id, capture.reference, part).await.ok();
    }
    let refunds = provider.refunds();
    assert!(refunds.len() == 2 && refunds.values().all(|refund| refund.amount == part));
    for _ in 0..20 {
        gateway.void(capture.reference).await.ok();
        gateway.open(&capture).await.ok();
    }
    let entry = &provider.ledger()[&capture.reference];
    assert_eq!((entry.standing, entry.captures, entry.refunds), (Standing::Refunded, 1, 1));
}
