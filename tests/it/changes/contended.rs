//! Changes between crossing flights that have few seats, on two replicas at once: no booking has seats on both flights
//! or on none, a change that ends without seats or money leaves the booking as it was, and money is conserved.
//!
//! `tests/run` makes a few hundred; `CHANGES=2000` says how many.

mod alone;
mod contest;
mod pairs;

use crate::support::TestDatabase;
use crate::support::replicas::Replicas;
use crate::support::snapshot::Reader;
use contest::Contest;
use futures::future::join_all;
use std::time::Instant;

/// Changes, unless `CHANGES` says how many.
const CHANGES: usize = 150;

/// Bookings that two clients change, and those that one does, who can tell what became of each of its changes.
const SHARED: usize = 10;
const ALONE: usize = 12;

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "its figures are what a long run is for")]
async fn random_changes_on_two_replicas_sell_each_seat_once_and_conserve_money() {
    let changes = std::env::var("CHANGES").ok();
    let changes = changes.map_or(CHANGES, |text| text.parse().expect("a number"));
    let replicas = Replicas::new().await.with("RUST_LOG", "error").start(2).await;
    let contest = Contest::start(&replicas, changes).await;
    let url = replicas.setting("DATABASE_URL").to_owned();
    let reader = Reader::start(&TestDatabase::Postgres(url)).await;
    let began = Instant::now();
    let pairs = join_all((0..SHARED).map(|number| pairs::change(&contest, number as u64)));
    let singles = join_all((0..ALONE).map(|number| alone::change(&contest, number as u64)));
    tokio::join!(pairs, singles);
    let took = began.elapsed();
    replicas.settled().await;
    replicas.outbox_is_empty().await;
    let (looks, last) = reader.stop().await;
    println!("{} in {took:.1?}; {looks} looks at {} bookings", contest.counts, last.bookings.len());
    contest.counts.expect_each_kind();
    let open: Vec<_> = last.bookings.iter().filter(|booking| booking.status == "pending").collect();
    assert!(open.is_empty(), "{open:?}");
    replicas.audit().await;
}
