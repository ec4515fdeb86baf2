//! What the sweeper asks, and jobs that one replica leads.

use super::{Fixture, captured};
use crate::support::TestDatabase;
use airline_booking::clock::{Clock, SystemClock};
use airline_booking::domain::{FlightPatch, FlightStatus, PaymentAction};
use airline_booking::rules::{
    Cancel, CancelledBy, Command, OrderPart, OutboxEvent, PutFlight, request,
};
use airline_booking::store::{Job, Lane};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

on_each_store! {
    overdue_payments_are_found_and_retried_once
    bookings_of_a_cancelled_flight_are_found_until_they_have_ended
}

async fn overdue_payments_are_found_and_retried_once(on: Fixture) {
    let flight = on.flight(10).await.id;
    let hold = on.hold(flight, 1).await;
    on.commit(&on.decide(&[Command::Hold(hold.clone())]).await).await;
    let later = on.now + chrono::TimeDelta::minutes(5);
    assert_eq!(on.lapsed_holds(on.now, 9).await, []);
    assert_eq!(on.lapsed_holds(later, 9).await, [hold.reference]);

    assert_eq!(on.unanswered_payments(on.now, 9).await, []);
    let overdue = on.unanswered_payments(later, 9).await;
    let [(payment, booking)] = &overdue[..] else { panic!("{overdue:?}") };
    assert_eq!((payment.reference, booking.id), (hold.reference, hold.order_id()));
    let event = request(booking, payment, PaymentAction::Capture, later);
    let requests = [(payment.clone(), OutboxEvent { event, traceparent: None })];
    let before = on.outbox(Lane::Requests).await.len();
    on.store.redrive(&requests, later).await.expect("driven");
    // A second sweeper that read the same row comes too late.
    on.store.redrive(&requests, later).await.expect("nothing to drive");
    assert_eq!(on.outbox(Lane::Requests).await.len(), before + 1);
    assert_eq!(on.unanswered_payments(later, 9).await, []);
}

async fn bookings_of_a_cancelled_flight_are_found_until_they_have_ended(on: Fixture) {
    let (flight, other) = (on.flight(10).await.id, on.flight(10).await.id);
    let holds = [on.hold(flight, 1).await, on.hold(flight, 2).await, on.hold(other, 3).await];
    on.commit(&on.decide(&holds.clone().map(Command::Hold)).await).await;
    on.commit(&on.decide(&[captured(&holds[0], "2500.00")]).await).await;
    let stranded = async || {
        let mut found = BTreeSet::new();
        let mut after = None;
        loop {
            let page = on.store.stranded_bookings(after, 1).await.expect("bookings");
            found.extend(page.iter().map(|(_, booking)| *booking));
            after = page.last().copied();
            if page.is_empty() {
                break found;
            }
        }
    };
    assert_eq!(stranded().await, BTreeSet::new());

    let patch =
        FlightPatch { flight_status: Some(FlightStatus::Cancelled), ..FlightPatch::default() };
    let put = Command::PutFlight(PutFlight { flight_id: flight, patch, expected: None });
    on.commit(&on.decide(&[put]).await).await;
    // One that is paid for and one that is not.
    assert_eq!(stranded().await, [holds[0].order_id(), holds[1].order_id()].into());
    for hold in &holds[..2] {
        assert!(stranded().await.contains(&hold.order_id()), "until it has ended");
        let (booking_id, by) = (hold.order_id(), CancelledBy::Airline);
        on.commit(
            &on.decide(&[Command::Cancel(Cancel {
                part: OrderPart::default(),
                booking_id,
                by,
                request: None,
                expected_refund: None,
            })])
            .await,
        )
        .await;
    }
    assert_eq!(stranded().await, BTreeSet::new());
    assert_eq!(stranded().await, BTreeSet::new(), "the flight is forgotten");
}

#[tokio::test]
async fn one_replica_at_a_time_leads_a_job() {
    let database = TestDatabase::postgres().await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let one = database.open(Duration::ZERO, clock.clone()).await.store;
    let other = database.open(Duration::ZERO, clock).await.store;
    let mut lease = one.lease(Job::Relay).await.expect("an answer").expect("it is free");
    assert!(lease.is_held().await);
    assert!(other.lease(Job::Relay).await.expect("an answer").is_none());
    assert!(other.lease(Job::Sweep).await.expect("an answer").is_some(), "another job is free");
    drop(lease);
    other.wait_for(Job::Relay).await;
}
