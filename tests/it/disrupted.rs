//! Flights that their airline cancels all at once, on two replicas, one of which is killed half-way: each booking is
//! refunded once, the other flights of an order stay, progress adds up whenever it is read, and other people go on
//! booking.
//!
//! `tests/run` cancels some hundred bookings; `DISRUPTED_BOOKINGS=30000` says how many. A flight of a long run has 150,
//! and one order in 15 has an onward flight.

mod airline;
mod others;
mod travellers;
mod watchers;

use crate::support::asker::Asker;
use crate::support::snapshot::{RefundSeen, Rows, Snapshot};
use crate::support::{TestDatabase, equal, within};
use airline::Airline;
use others::{Heard, Others, figures};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use travellers::{Bought, Traveller};
use watchers::Watchers;

/// Bookings, unless `DISRUPTED_BOOKINGS` says how many; and flights to be cancelled, at least.
const BOOKINGS: usize = 600;
const FLIGHTS_MIN: usize = 8;
const BOOKINGS_OF_FLIGHT: usize = 150;

/// How long others book before the disruption, for comparison.
const CALM: Duration = Duration::from_secs(2);

/// How long a disruption of full size may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(1_200);

/// What is still under way.
const OPEN: &str = "
    SELECT (SELECT count(*) FROM payments WHERE status IN ('requested', 'reversal_requested'))
         + (SELECT count(*) FROM refunds WHERE status = 'requested')
         + (SELECT count(*) FROM outbox)";

/// Costs and refunds that no cancelled flight may cause.
const UNFAIR: &str = "
    SELECT (SELECT count(*) FROM bookings WHERE fee <> 0)
         + (SELECT count(*) FROM refunds WHERE reason <> 'airline' OR status <> 'done')";

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "its figures are what a long run is for")]
async fn bookings_of_cancelled_flights_are_refunded_once_while_a_replica_is_killed() {
    let bookings = std::env::var("DISRUPTED_BOOKINGS").ok();
    let bookings = bookings.map_or(BOOKINGS, |text| text.parse().expect("a number"));
    let flights = (bookings / BOOKINGS_OF_FLIGHT).max(FLIGHTS_MIN);
    let mut airline = Airline::start(flights, flights.div_ceil(10), FLIGHTS_MIN).await;
    let asker = Asker::new(&airline.bases);
    let began = Instant::now();
    let travellers = travellers::buy(&airline, &asker, bookings).await;
    airline.replicas.settled().await;
    println!("{bookings} bookings of {flights} flights made in {:.1?}", began.elapsed());

    let others = Others::start(&airline);
    tokio::time::sleep(CALM).await;
    let watchers = Watchers::start(&asker, &travellers);
    others.disruption_begins();
    let began = Instant::now();
    airline.cancel_doomed().await;
    watchers.all_are_cancelled();
    let cancelled_in = began.elapsed();
    let leavers = travellers.iter().filter(|traveller| traveller.leaves()).cloned().collect();
    let leaving = tokio::spawn(travellers::leave(asker.clone(), leavers));
    within(DEADLINE, "half of the refunds", async || watchers.refunded() >= bookings / 2).await;
    let (half, half_in) = (watchers.refunded(), began.elapsed());
    airline.kill_the_sweeping_one().await;
    let reads = watchers.finish().await;
    let refunded_in = began.elapsed();
    let left = leaving.await.expect("no traveller panics");
    let heard = others.stop().await;
    let last = at_rest(&airline).await;
    println!(
        "{flights} flights cancelled in {cancelled_in:.1?}; {half} bookings refunded when a replica was killed after \
         {half_in:.1?}, all after {refunded_in:.1?}; {left} onward flights given up; progress read {reads} times",
    );
    println!("others before: {}", figures(&heard, false));
    println!("others meanwhile: {}", figures(&heard, true));
    expect_each_refunded_once(&travellers, &last);
    expect_all_completed(&heard, &last);
    airline.replicas.audit().await;
}

/// All rows once nothing is under way.
async fn at_rest(airline: &Airline) -> Snapshot {
    let url = airline.replicas.setting("DATABASE_URL").to_owned();
    let mut rows = Rows::open(&TestDatabase::Postgres(url)).await;
    within(DEADLINE, "an end of all that is under way", async || equal(rows.count(OPEN).await, 0))
        .await;
    assert_eq!(rows.count(UNFAIR).await, 0, "fees, or refunds that are not the airline's");
    let last = rows.snapshot().await;
    let broken = last.broken();
    assert!(broken.is_empty(), "{broken:#?}");
    last
}

/// A booking of a cancelled flight, or an onward one that was given up, has one refund of its price. The others stay.
fn expect_each_refunded_once(travellers: &[Traveller], last: &Snapshot) {
    let statuses: HashMap<i64, &str> =
        last.bookings.iter().map(|booking| (booking.id, &*booking.status)).collect();
    let mut refunds: HashMap<i64, Vec<&RefundSeen>> = HashMap::new();
    for refund in &last.refunds {
        refunds.entry(refund.booking).or_default().push(refund);
    }
    let mut is_refunded = |bought: &Bought| {
        let refunds = refunds.remove(&bought.id).unwrap_or_default();
        let amounts: Vec<i64> = refunds.iter().map(|refund| refund.amount).collect();
        statuses[&bought.id] == "cancelled" && amounts == [bought.price]
    };
    for traveller in travellers {
        assert!(is_refunded(&traveller.doomed), "{traveller:?}");
        match &traveller.onward {
            Some(onward) if traveller.leaves() => assert!(is_refunded(onward), "{traveller:?}"),
            Some(onward) => assert_eq!(statuses[&onward.id], "completed", "{traveller:?}"),
            None => {}
        }
    }
    assert!(refunds.is_empty(), "refunds of other bookings: {refunds:?}");
    assert_eq!(last.given.len(), last.refunds.len());
}

/// What others booked is one completed booking each, and nothing else was sold to them.
fn expect_all_completed(heard: &[Heard], last: &Snapshot) {
    let of_id: HashMap<i64, _> =
        last.bookings.iter().map(|booking| (booking.id, booking)).collect();
    let mut flights = HashSet::new();
    for Heard { wish, .. } in heard {
        let (id, payment) = wish.answered.as_ref().expect("an answer");
        let booking = of_id[id];
        assert_eq!((&*booking.status, &booking.payment), ("completed", payment), "{wish:?}");
        flights.insert(booking.flight);
    }
    let sold = last.bookings.iter().filter(|booking| flights.contains(&booking.flight)).count();
    assert_eq!(sold, heard.len());
}
