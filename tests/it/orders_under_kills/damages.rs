//! The reader of all rows sees what is broken.

use crate::support::snapshot::{
    BookingSeen, FlightSeen, GivenSeen, PaymentSeen, RefundSeen, Snapshot,
};

/// A completed order of two flights, one seat each of 10.00, whose second segment was refunded.
fn sound() -> Snapshot {
    let booking = |id, status: &str| BookingSeen {
        id,
        order: 1,
        flight: id,
        user: 7,
        segment: id,
        segments: 2,
        status: status.to_owned(),
        seats: 1,
        price: 1_000,
        fee: 0,
        payment: "PAY".to_owned(),
        replaces: None,
    };
    let flight = |id, available| FlightSeen { id, total: 9, available, held: 0 };
    let refund = |status: &str| RefundSeen {
        id: "REF".to_owned(),
        payment: "PAY".to_owned(),
        booking: 2,
        amount: 1_000,
        status: status.to_owned(),
    };
    Snapshot {
        flights: vec![flight(1, 8), flight(2, 9)],
        bookings: vec![booking(1, "completed"), booking(2, "cancelled")],
        payments: vec![PaymentSeen {
            reference: "PAY".to_owned(),
            status: "captured".to_owned(),
            amount: 2_000,
        }],
        refunds: vec![refund("done")],
        given: vec![GivenSeen {
            id: "REF".to_owned(),
            payment: "PAY".to_owned(),
            amount: 1_000,
            captured: 2_000,
        }],
    }
}

/// Makes a snapshot that is whole.
type Sound = fn() -> Snapshot;

type Damage = fn(&mut Snapshot);

#[test]
fn the_reader_sees_each_part_of_an_order_and_each_paisa() {
    assert_eq!(sound().broken(), Vec::<String>::new());
    let damages: [(&str, Damage); 10] = [
        ("not whole", |s| drop(s.bookings.pop())),
        ("not whole", |s| s.bookings[1].user = 8),
        ("not settled whole", |s| s.bookings[1].status = "pending".to_owned()),
        ("not settled whole", |s| s.bookings[1].status = "failed".to_owned()),
        ("not conserved money", |s| s.bookings[0].price += 1),
        ("not conserved money", |s| drop(s.refunds.pop())),
        ("sold seats of", |s| s.flights[1].available -= 1),
        ("sold seats of", |s| s.flights[0].held += 1),
        ("done, and not given", |s| drop(s.given.pop())),
        ("given back, and not owed", |s| s.given[0].amount += 1),
    ];
    for (named, damage) in damages {
        let mut snapshot = sound();
        damage(&mut snapshot);
        let broken = snapshot.broken();
        assert!(broken.iter().any(|what| what.contains(named)), "{named}: {broken:?}");
    }
}

/// The same order, the first segment of which waits for the payment of 3.00 to fly with flight 3.
fn changing() -> Snapshot {
    let mut snapshot = sound();
    snapshot.flights.push(FlightSeen { id: 3, total: 9, available: 9, held: 1 });
    snapshot.bookings.push(BookingSeen {
        id: 3,
        order: 3,
        flight: 3,
        segment: 1,
        segments: 1,
        status: "pending".to_owned(),
        price: 1_300,
        payment: "DIFF".to_owned(),
        replaces: Some(1),
        ..snapshot.bookings[0].clone()
    });
    snapshot.payments.push(PaymentSeen {
        reference: "DIFF".to_owned(),
        status: "requested".to_owned(),
        amount: 300,
    });
    snapshot
}

/// The same after the capture: the seats are swapped.
fn changed() -> Snapshot {
    let mut snapshot = changing();
    (snapshot.flights[0].available, snapshot.flights[2].available) = (9, 8);
    snapshot.flights[2].held = 0;
    (snapshot.bookings[0].flight, snapshot.bookings[0].price) = (3, 1_300);
    "cancelled".clone_into(&mut snapshot.bookings[2].status);
    "captured".clone_into(&mut snapshot.payments[1].status);
    snapshot
}

#[test]
fn the_reader_sees_both_flights_sold_and_none() {
    assert_eq!(changing().broken(), Vec::<String>::new());
    assert_eq!(changed().broken(), Vec::<String>::new());
    let damages: [(&str, Sound, Damage); 8] = [
        ("sold seats of", changing, |s| s.bookings[0].flight = 3),
        ("not changed soundly", changing, |s| s.bookings[0].status = "cancelled".to_owned()),
        ("not changed soundly", changing, |s| s.payments[1].status = "captured".to_owned()),
        ("not changed soundly", changing, |s| drop(s.payments.pop())),
        ("not conserved money", changing, |s| s.payments[1].status = "captured".to_owned()),
        ("not changed soundly", changed, |s| s.bookings[2].status = "completed".to_owned()),
        ("not conserved money", changed, |s| s.bookings[0].price = 1_000),
        ("changes without", changed, |s| s.bookings[2].replaces = Some(9)),
    ];
    for (named, sound, damage) in damages {
        let mut snapshot = sound();
        damage(&mut snapshot);
        let broken = snapshot.broken();
        assert!(broken.iter().any(|what| what.contains(named)), "{named}: {broken:?}");
    }
}
