//! Banks: payers dispute captured payments, and their banks decide. The provider tells a replica until it is taken. It also
//! tells what is not so, or not yet: its events come early, late, twice and in any order.

use super::world::World;
use airline_booking::domain::{DisputeStatus, PaymentReference};
use airline_booking::rules::{Cancel, CancelledBy, OrderPart, Segments};
use std::time::Duration;
use tokio::time::sleep;

/// How often a payer may dispute a payment.
const DISPUTES: Duration = Duration::from_secs(2);

/// How long a bank takes to decide, at most.
const DECISION: Duration = Duration::from_secs(8);

/// Disputes and decisions, until dropped.
pub async fn disputes(world: World) {
    loop {
        sleep(world.chance.pause(DISPUTES)).await;
        let captured = world.provider.captured();
        if captured.is_empty() || world.chance.below(3) > 0 {
            continue;
        }
        let payment = captured[world.chance.below(captured.len() as u64) as usize];
        if world.provider.begin_dispute(payment) {
            world.chance.step(|| format!("the payer disputes {payment}"));
            tell(&world, payment).await;
            if world.chance.below(2) == 0 {
                cancel(&world, payment).await;
            }
            sleep(world.chance.pause(DECISION)).await;
            decide(&world, payment).await;
        }
    }
}

/// The payer asks for the refund as well.
async fn cancel(world: &World, payment: PaymentReference) {
    let booking = world.database.rows().order(&payment).first().map(|booking| (*booking).clone());
    let (Some(booking), Some(service)) = (booking, world.any_service()) else { return };
    let cancel = Cancel {
        booking_id: booking.id,
        part: OrderPart { segments: Segments::All, passengers: Some([0].into_iter().collect()) },
        by: CancelledBy::Traveller,
        expected_refund: None,
        request: None,
    };
    let bookings = service.bookings.clone();
    let cancelling = service.tasks.spawn(async move { bookings.cancel(&booking, cancel).await });
    // A dead replica answers nothing, and a refusal is no fault.
    let _ = cancelling.await;
}

/// How often an event comes that nothing has caused.
const EVENTS: Duration = Duration::from_secs(1);

/// Events about any payment and any refund, until dropped. Whatever they claim, the provider's own answer counts.
pub async fn events(world: World) {
    loop {
        sleep(world.chance.pause(EVENTS)).await;
        let Some(service) = world.any_service() else { continue };
        let one_of = |count: usize| world.chance.below(count as u64) as usize;
        let (payment, refund) = {
            let rows = world.database.rows();
            let (payments, refunds) = (&rows.payments, &rows.refunds);
            let payment = (!payments.is_empty())
                .then(|| *payments.keys().nth(one_of(payments.len())).expect("fewer"));
            let refund = (!refunds.is_empty())
                .then(|| *refunds.keys().nth(one_of(refunds.len())).expect("fewer"));
            (payment, refund)
        };
        world.chance.step(|| format!("an event about {payment:?} and {refund:?}"));
        // A dead replica takes nothing, and a provider that is down answers nothing: neither is repeated.
        let told = service.tasks.spawn(async move {
            if let Some(payment) = payment {
                let _ = service.hints.ask_again(payment).await;
            }
            if let Some(refund) = refund {
                let _ = service.news.about_refund(refund).await;
            }
        });
        let _ = told.await;
    }
}

/// Decides every open dispute.
pub async fn decide_all(world: &World) {
    for payment in world.provider.disputed() {
        decide(world, payment).await;
    }
}

async fn decide(world: &World, payment: PaymentReference) {
    let is_lost = world.chance.below(2) == 0;
    let verdict = if is_lost { DisputeStatus::Lost } else { DisputeStatus::Won };
    world.provider.decide_dispute(payment, verdict);
    world.chance.step(|| format!("the bank decides on {payment}: {verdict:?}"));
    tell(world, payment).await;
}

/// Tells any replica, again and again until one has taken it.
async fn tell(world: &World, payment: PaymentReference) {
    loop {
        if let Some(service) = world.any_service() {
            let news = service.news.clone();
            let id = payment.to_string();
            let told = service.tasks.spawn(async move { news.about_dispute(&id).await }).await;
            if told.is_ok_and(|told| told.is_ok()) {
                return;
            }
        }
        sleep(Duration::from_millis(300)).await;
    }
}
