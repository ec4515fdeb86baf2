//! The timeline by table: what the rows of a life are, and the entries that they tell.

use super::{BookingLife, FlightMove, TimelineEvent};
use crate::domain::{
    Booking, BookingId, BookingStatus, DisputeStatus, FailureReason, FareName, FlightId, Money,
    Order, OrderRecord, PassengerChanged, Payment, PaymentKind, PaymentMethod, PaymentReference,
    PaymentStatus, Places, Refund, RefundId, RefundReason, RefundStatus, Timestamp, UserId,
    WaitsFor,
};
use chrono::TimeDelta;

/// The minute `at` after the booking was made.
fn minute(at: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::minutes(at)
}

fn booking(status: BookingStatus, changed: i64) -> Booking {
    let failed = status == BookingStatus::Failed;
    Booking {
        id: BookingId(1),
        order_id: BookingId(1),
        segment: 1,
        segments: 1,
        flight_id: FlightId(1),
        user_id: UserId(1),
        status,
        failure_reason: failed.then_some(FailureReason::PaymentDeclined),
        payment_reference: PaymentReference::from_bits(1),
        booking_price: Money::from_minor(200),
        booking_taxes: Money::default(),
        fee: Money::default(),
        fare_rules: FareName::default(),
        sold_departure: None,
        was: None,
        sold_at: None,
        replaces: None,
        has_changes: false,
        seats_booked: 2,
        extended: false,
        cancelled: Places::new(),
        erased: false,
        passengers: None,
        hold_expires_at: minute(5),
        created_at: minute(0),
        updated_at: minute(changed),
        version: 1,
        is_rewritten: false,
    }
}

fn payment(attempt: i32, status: PaymentStatus, changed: i64) -> Payment {
    Payment {
        reference: PaymentReference::from_bits(attempt as u128),
        order: PaymentReference::from_bits(1),
        attempt,
        kind: PaymentKind::Now,
        amount: Money::from_minor(200),
        currency: "INR".parse().expect("a currency"),
        method: PaymentMethod::default(),
        status,
        waits_for: WaitsFor::Gateway,
        dispute: None,
        notes: None,
        created_at: minute(0),
        updated_at: minute(changed),
        traceparent: None,
        version: 1,
    }
}

fn refund(status: RefundStatus, made: i64, changed: i64) -> Refund {
    Refund {
        id: RefundId::from_bits(made as u128),
        payment: PaymentReference::from_bits(1),
        booking_id: BookingId(1),
        amount: Money::from_minor(100),
        status,
        reason: RefundReason::Traveller,
        attempts: 1,
        gateway_reference: None,
        created_at: minute(made),
        updated_at: minute(changed),
        version: 1,
    }
}

/// The refund that a lost dispute made.
fn by_bank(at: i64) -> Refund {
    Refund {
        id: RefundId::of_dispute(PaymentReference::from_bits(1)),
        reason: RefundReason::Dispute,
        ..refund(RefundStatus::Done, at, at)
    }
}

fn life(booking: Booking, payments: Vec<Payment>, refunds: Vec<Refund>) -> BookingLife {
    let mut earlier = payments;
    let last = earlier.pop().expect("a payment");
    let order = Order::of([booking].into_iter().collect(), last).expect("an order");
    let record = OrderRecord { order, earlier: earlier.into(), refunds, change: None };
    BookingLife { record, changes: Vec::new(), moves: Vec::new(), messages: Vec::new() }
}

/// The entries, each as its minute and type.
fn told(life: &BookingLife) -> String {
    let word = |event: &TimelineEvent| {
        let kind = serde_json::to_value(event.kind).expect("a word");
        let minute = (event.at - minute(0)).num_minutes();
        format!("{minute} {}", kind.as_str().expect("text"))
    };
    life.timeline(life.record.order.first()).iter().map(word).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_payment_tells_what_no_later_change_has_overwritten() {
    use BookingStatus::{Cancelled, Completed, Failed, Pending};
    use PaymentStatus::{Captured, Declined, Requested, ReversalRequested, Reversed};
    let later = |payment: Payment| Payment { kind: PaymentKind::Later, ..payment };
    let unasked =
        |payment: Payment| later(Payment { method: PaymentMethod::unchosen(), ..payment });
    let disputed = |payment: Payment| Payment { dispute: Some(DisputeStatus::Open), ..payment };
    let adopted = |payment: Payment| {
        let method = PaymentMethod::new(PaymentMethod::ADOPTED).expect("a token");
        Payment { method, ..payment }
    };
    let table = [
        (Pending, 0, vec![payment(1, Requested, 0)], "0 held, 0 payment.requested"),
        (Pending, 0, vec![unasked(payment(1, Requested, 0))], "0 held"),
        (Pending, 0, vec![later(payment(1, Requested, 2))], "0 held"),
        (
            Completed,
            1,
            vec![payment(1, Captured, 1)],
            "0 held, 0 payment.requested, 1 payment.captured, 1 completed",
        ),
        (
            Completed,
            9,
            vec![later(payment(1, Declined, 2)), later(payment(2, Captured, 4))],
            "0 held, 2 payment.declined, 4 payment.captured, 4 completed",
        ),
        (Completed, 1, vec![disputed(payment(1, Captured, 3))], "0 held, 0 payment.requested"),
        (Completed, 1, vec![adopted(payment(1, Captured, 1))], "0 held"),
        (
            Failed,
            1,
            vec![payment(1, Declined, 1)],
            "0 held, 0 payment.requested, 1 payment.declined, 1 failed",
        ),
        (
            Failed,
            5,
            vec![later(payment(1, Declined, 2)), unasked(payment(2, Reversed, 5))],
            "0 held, 2 payment.declined, 5 failed",
        ),
        (
            Cancelled,
            2,
            vec![payment(1, ReversalRequested, 2)],
            "0 held, 0 payment.requested, 2 cancelled",
        ),
        (
            Cancelled,
            2,
            vec![payment(1, Reversed, 3)],
            "0 held, 0 payment.requested, 2 cancelled, 3 payment.reversed",
        ),
        (
            Cancelled,
            7,
            vec![payment(1, Captured, 1)],
            "0 held, 0 payment.requested, 1 payment.captured, 1 completed, 7 cancelled",
        ),
    ];
    for (status, changed, payments, expected) in table {
        assert_eq!(told(&life(booking(status, changed), payments, Vec::new())), expected);
    }
}

#[test]
fn a_refund_tells_its_request_and_its_outcome_and_whose_it_is() {
    use RefundStatus::{Done, Failed, Requested};
    let paid = "0 held, 0 payment.requested, 1 payment.captured, 1 completed";
    let reversal = Refund {
        id: RefundId::from_bits(1),
        reason: RefundReason::LateCapture,
        ..refund(Done, 6, 6)
    };
    let table: [(&[u16], Vec<Refund>, &str); 8] = [
        (&[], vec![], ""),
        (&[1], vec![refund(Requested, 3, 4)], ", 3 passenger.cancelled, 3 refund.requested"),
        (
            &[1],
            vec![refund(Done, 3, 5)],
            ", 3 passenger.cancelled, 3 refund.requested, 5 refund.done",
        ),
        (
            &[0],
            vec![refund(Failed, 3, 5)],
            ", 3 passenger.cancelled, 3 refund.requested, 5 refund.failed",
        ),
        // Which refund is whose is not told, nor when a passenger went whose fee ate all.
        (
            &[0, 1],
            vec![refund(Done, 3, 5), refund(Done, 6, 7)],
            ", 3 refund.requested, 5 refund.done, 6 refund.requested, 7 refund.done",
        ),
        (&[0], vec![], ""),
        (&[], vec![by_bank(6)], ", 6 refund.done"),
        (&[], vec![reversal], ", 6 refund.done"),
    ];
    for (cancelled, refunds, expected) in table {
        let booking =
            Booking { cancelled: cancelled.into(), ..booking(BookingStatus::Completed, 3) };
        let life = life(booking, vec![payment(1, PaymentStatus::Captured, 1)], refunds);
        assert_eq!(told(&life), format!("{paid}{expected}"));
    }
    // A lost dispute may have lowered the fee of a cancelled booking since.
    let cancelled = booking(BookingStatus::Cancelled, 8);
    let disputed =
        Payment { dispute: Some(DisputeStatus::Lost), ..payment(1, PaymentStatus::Captured, 8) };
    let life = life(cancelled, vec![disputed], vec![by_bank(8)]);
    assert_eq!(told(&life), "0 held, 0 payment.requested, 8 refund.done");
}

#[test]
fn a_whole_life_is_in_order_and_leaves_out_what_does_not_concern_it() {
    let moved =
        |at: i64| FlightMove { at: minute(at), was: minute(1_000), departs_at: minute(1_100) };
    let another = Refund { booking_id: BookingId(2), ..refund(RefundStatus::Done, 4, 5) };
    let refunds = vec![refund(RefundStatus::Done, 20, 21), another];
    let cancelled = booking(BookingStatus::Cancelled, 20);
    let mut life = life(cancelled, vec![payment(1, PaymentStatus::Captured, 1)], refunds);
    life.moves = vec![moved(-5), moved(0), moved(12), moved(30)];
    life.changes = vec![PassengerChanged { place: 1, at: minute(10) }];
    assert_eq!(
        told(&life),
        "0 held, 0 payment.requested, 1 payment.captured, 1 completed, 10 passenger.changed, \
         12 flight.moved, 20 cancelled, 20 refund.requested, 21 refund.done"
    );
    let events = life.timeline(life.record.order.first());
    let shown = serde_json::to_value(&events[4]).expect("JSON");
    let at = "1970-01-01T00:10:00Z";
    assert_eq!(shown, serde_json::json!({"at": at, "type": "passenger.changed", "passenger": 1}));
}
