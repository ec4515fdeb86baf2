//! A reader that looks at everything again and again, and stops the test at the first moment that shows a part.

use super::snapshot::{
    BookingSeen, FlightSeen, GivenSeen, PaymentSeen, RefundSeen, Rows, Snapshot,
};
use crate::support::TestDatabase;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// The pause between two looks, so that the reader leaves the processors to the service.
const PAUSE: Duration = Duration::from_millis(40);

pub struct Reader {
    stop: Arc<AtomicBool>,
    task: JoinHandle<(usize, Snapshot)>,
}

impl Reader {
    pub async fn start(database: &TestDatabase) -> Self {
        let mut rows = Rows::open(database).await;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut looks = 0;
            loop {
                let is_last = stopped.load(Ordering::Relaxed);
                let snapshot = rows.snapshot().await;
                looks += 1;
                let broken = snapshot.broken();
                assert!(broken.is_empty(), "look {looks}: {broken:#?}");
                if is_last {
                    return (looks, snapshot);
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self { stop, task }
    }

    /// Looks for the last time; gives the number of looks, and what the last one saw.
    pub async fn stop(self) -> (usize, Snapshot) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("every look saw whole orders and all money")
    }
}

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
        payment: "PAY".to_owned(),
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
