//! Orders of one to four flights while the service is killed again and again: every order ends, no money is lost,
//! and no moment shows a part of an order.
//!
//! `tests/run` places a few hundred; `KILLED_ORDERS=5000` says how many. Embedded, the one process is killed;
//! shared, one of two replicas at a time.

mod buyers;
mod damages;
mod deployment;

use crate::support::snapshot::{BookingSeen, Reader, Snapshot};
use buyers::{Buyers, Wish};
use deployment::Deployment;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Orders, unless `KILLED_ORDERS` says how many.
const ORDERS: usize = 200;

/// Interval between two kills, minimum kills, however fast the orders are placed, and how long seats are held for a
/// payment: in a long run, and in a short one. After a kill Kafka keeps the partitions of the dead for 6 s, so that a
/// short hold lapses now and then.
const PACES: [(Duration, usize, &str); 2] =
    [(Duration::from_secs(2), 25, "60s"), (Duration::from_millis(1_200), 4, "10s")];

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "its figures are what a long run is for")]
async fn orders_stay_whole_and_end_while_the_service_is_killed() {
    let orders = std::env::var("KILLED_ORDERS").ok().map(|text| text.parse().expect("a number"));
    let (kill_every, kills_min, hold) = PACES[usize::from(orders.is_none())];
    let orders = orders.unwrap_or(ORDERS);
    let mut deployment = Deployment::start(hold).await;
    let flights = deployment.add_flights().await;
    let reader = Reader::start(&deployment.database).await;
    let began = Instant::now();
    let buyers = Buyers::start(&deployment.bases, &flights, orders, kills_min);
    let mut kills = 0;
    let mut due = tokio::time::interval(kill_every);
    due.tick().await;
    while !buyers.have_finished() {
        due.tick().await;
        deployment.kill_and_restart(kills).await;
        kills += 1;
        buyers.count_kill();
    }
    let wishes = buyers.finish().await;
    let (bought, bought_in) = (Instant::now(), began.elapsed());
    deployment.comes_to_rest().await;
    let rested_in = bought.elapsed();
    let (looks, last) = reader.stop().await;

    let accepted = wishes.iter().filter(|wish| wish.order.is_some()).count();
    let cancelled = wishes.iter().filter(|wish| wish.is_cancelled).count();
    let mut ends: HashMap<String, usize> = HashMap::new();
    for (order, status) in last.orders() {
        assert_ne!(status, "pending", "order {order} has not ended");
        *ends.entry(status.to_owned()).or_default() += 1;
    }
    let open: Vec<_> = last.refunds.iter().filter(|refund| refund.status != "done").collect();
    println!(
        "{} orders wished for, {accepted} accepted, {cancelled} cancelled in part or whole; {kills} kills in \
         {bought_in:.1?}, at rest {rested_in:.1?} later; {looks} looks at {} bookings, {} refunds; ends: {ends:?}",
        wishes.len(),
        last.bookings.len(),
        last.refunds.len(),
    );
    assert!(open.is_empty(), "refunds that are not done: {open:?}");
    assert!(kills >= kills_min && looks > kills, "{kills} kills, {looks} looks");
    assert!(cancelled > 0 && !last.refunds.is_empty(), "nothing was cancelled");
    expect_each_wish_once(&wishes, &last);
    deployment.audit().await;
}

/// Each accepted wish is one order under the answered id and reference; a refused one left nothing.
fn expect_each_wish_once(wishes: &[Wish], last: &Snapshot) {
    let mut of_user: HashMap<i64, Vec<&BookingSeen>> = HashMap::new();
    for booking in &last.bookings {
        of_user.entry(booking.user).or_default().push(booking);
    }
    for wish in wishes {
        let bookings = of_user.remove(&wish.user).unwrap_or_default();
        let Some((id, reference)) = &wish.order else {
            assert!(bookings.is_empty(), "refused and yet stored: {wish:?}");
            continue;
        };
        assert_eq!(bookings.len(), wish.flights.len(), "{wish:?}");
        for booking in bookings {
            assert_eq!((booking.order, &booking.payment), (*id, reference), "{wish:?}");
        }
    }
    assert!(of_user.is_empty(), "orders that no one wished for: {of_user:?}");
}
