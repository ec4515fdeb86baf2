//! Changes of flight: what they write, and what is loaded of them.

use super::{Fixture, NOTHING, captured};
use airline_booking::domain::{
    BookingId, BookingStatus, FlightId, Money, PaymentKind, PaymentMethod, PaymentOutcome,
    PaymentReference, PaymentStatus, UserId,
};
use airline_booking::rules::{ChangeFlight, ChangeSet, Command, Settle, Wanted, decide};
use airline_booking::store::PaymentsCompared;
use std::collections::BTreeSet;

on_each_store! {
    a_change_holds_seats_under_a_booking_of_its_own_and_swaps_them_when_it_is_paid
    of_two_changes_of_an_order_one_is_written
}

impl Fixture {
    /// The rules of the audit hold, but for those about the gateway's books, which are empty.
    pub(super) async fn assert_sound(&self) {
        let findings = self.store.audit(self.now).await.expect("an audit");
        for finding in findings.iter().filter(|finding| !finding.rule.contains("gateway")) {
            assert_eq!(finding.violations, 0, "{finding:?}");
        }
    }

    /// A paid booking of two seats.
    async fn paid(&self, flight: FlightId) -> BookingId {
        let hold = self.hold(flight, 2).await;
        let held = self.decide(&[Command::Hold(hold.clone())]).await;
        assert_eq!(self.commit(&held).await, NOTHING);
        let sold = self.decide(&[captured(&hold, "5000.00")]).await;
        assert_eq!(self.commit(&sold).await, NOTHING);
        hold.order_id()
    }

    async fn change(&self, booking_id: BookingId, flight_id: FlightId) -> ChangeFlight {
        ChangeFlight {
            booking_id,
            flight_id,
            user_id: UserId(7),
            method: PaymentMethod::default(),
            expected_difference: None,
            replacement_id: self.store.draw_booking_id().await.expect("a number"),
            reference: PaymentReference::draw(self.now),
            pending_max: Some(9),
            request: None,
        }
    }

    /// Decides a command on these flights, and on the orders of a booking and a payment.
    async fn decided(
        &self,
        command: &Command,
        flights: [FlightId; 2],
        booking: BookingId,
        payment: Option<PaymentReference>,
    ) -> ChangeSet {
        let wanted = Wanted {
            flights: flights.into(),
            bookings: [booking].into(),
            payments: payment.into_iter().collect(),
            ..Wanted::default()
        };
        let state = self.store.load(&wanted).await.expect("a state");
        let mut changes = ChangeSet::default();
        let decision = decide(&state, command, self.now, &super::policy());
        assert!(decision.outcome.is_ok(), "{decision:?}");
        changes.push(decision.changes);
        changes
    }
}

async fn a_change_holds_seats_under_a_booking_of_its_own_and_swaps_them_when_it_is_paid(
    on: Fixture,
) {
    let (from, to) = (on.flight(10).await.id, on.dearer_flight(10).await.id);
    let id = on.paid(from).await;
    let change = on.change(id, to).await;
    let held = on.decided(&Command::ChangeFlight(change.clone()), [from, to], id, None).await;
    assert_eq!(on.commit(&held).await, NOTHING);
    let record = on.store.order(id).await.expect("an answer").expect("the order");
    let pending = record.change.expect("its change");
    let made = held.commands[0].bookings.iter().find(|it| it.was.is_none()).expect("a booking");
    assert_eq!(pending.replacement, made.after, "each column, to the microsecond and the paisa");
    assert_eq!(pending.payment.kind, PaymentKind::Difference);
    assert_eq!(pending.payment.amount, Money::from_minor(100_000));
    assert_eq!(record.order.bookings.len(), 1);
    assert_eq!(on.store.order(change.replacement_id).await.expect("an answer"), None);
    let listed = on.store.bookings_of_user(UserId(7), None, None, 9).await.expect("a list");
    assert_eq!(listed.iter().map(|booking| booking.id).collect::<Vec<_>>(), [id]);
    let asked = on.store.payments_asked(&[change.reference]).await.expect("payments");
    assert_eq!(asked[&change.reference].hold_expires_at, pending.replacement.hold_expires_at);
    on.assert_sound().await;

    let settle = Command::Settle(Settle {
        reference: change.reference,
        booking_id: change.replacement_id,
        amount: pending.payment.amount,
        outcome: PaymentOutcome::Completed,
        refund_id: None,
    });
    // What it needs is found from the payment alone.
    let wanted = Wanted { payments: [change.reference].into(), ..Wanted::default() };
    let far = on.store.load(&wanted).await.expect("a state");
    let known: BTreeSet<_> = far.bookings.keys().copied().collect();
    assert_eq!(known, [id, change.replacement_id].into());
    assert_eq!(far.payments.len(), 2);
    let swapped = on.decided(&settle, [from, to], id, Some(change.reference)).await;
    assert_eq!(on.commit(&swapped).await, NOTHING);
    let (left, taken) = (on.load(from).await, on.load(to).await);
    assert_eq!((left.available_seats, left.held_seats), (10, 0));
    assert_eq!((taken.available_seats, taken.held_seats), (8, 0));
    let record = on.store.order(id).await.expect("an answer").expect("the order");
    let booking = record.order.first();
    assert_eq!(record.change, None);
    assert_eq!((booking.flight_id, booking.status), (to, BookingStatus::Completed));
    assert_eq!(booking.booking_price, Money::from_minor(600_000));
    let after = swapped.commands[0].bookings.iter().find(|it| it.after.id == id).expect("it");
    assert_eq!(booking.sold_at, after.after.sold_at);
    assert_eq!(booking.sold_departure, after.after.sold_departure);
    assert_eq!(record.order.payment.status, PaymentStatus::Captured);
    let asked = PaymentsCompared { after: BookingId(0), walk: 9, also: Vec::new() };
    let compared = on.store.compare_payments(&asked).await.expect("bookings");
    // The simulated gateway's books are empty, which is ignored.
    assert!(compared.iter().all(|(_, agrees)| *agrees));
}

async fn of_two_changes_of_an_order_one_is_written(on: Fixture) {
    let (from, to) = (on.flight(10).await.id, on.dearer_flight(10).await.id);
    let other = on.dearer_flight(10).await.id;
    let id = on.paid(from).await;
    let (one, two) = (on.change(id, to).await, on.change(id, other).await);
    let one = on.decided(&Command::ChangeFlight(one), [from, to], id, None).await;
    let two = on.decided(&Command::ChangeFlight(two), [from, other], id, None).await;
    assert_eq!(on.commit(&one).await, NOTHING);
    assert_ne!(on.commit(&two).await, NOTHING, "the booking has changed");
    assert_eq!(on.load(other).await.held_seats, 0);
    on.assert_sound().await;
}
