//! Readers of the progress of each cancelled flight, which must add up whenever it is read.

use super::travellers::{Traveller, paise};
use crate::support::asker::Asker;
use fastrand::Rng;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

const WATCHERS: usize = 4;

/// The pause between two reads of a watcher, so that it leaves the processors to the service.
const PAUSE: Duration = Duration::from_millis(10);

/// A flight's progress as it was last read.
#[derive(Debug, Clone)]
struct Progress {
    flight: i64,
    /// All its bookings, and what they cost.
    bookings: i64,
    amount: i64,
    is_cancelled: bool,
    refunded: i64,
    is_done: bool,
}

pub struct Watchers {
    tasks: Vec<JoinHandle<usize>>,
    refunded: Arc<AtomicUsize>,
    is_cancelled: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Watcher {
    asker: Asker,
    /// Bookings that all watchers have seen refunded.
    refunded: Arc<AtomicUsize>,
    /// Whether the cancellation of all flights has been answered.
    is_cancelled: Arc<AtomicBool>,
}

impl Watchers {
    /// Starts them on the flights of these travellers.
    pub fn start(asker: &Asker, travellers: &[Traveller]) -> Self {
        let (refunded, is_cancelled): (Arc<AtomicUsize>, Arc<AtomicBool>) = Default::default();
        let watcher = Watcher {
            asker: asker.clone(),
            refunded: refunded.clone(),
            is_cancelled: is_cancelled.clone(),
        };
        let flights = before(travellers);
        let shares = flights.chunks(flights.len().div_ceil(WATCHERS));
        let tasks =
            shares.map(|share| tokio::spawn(watcher.clone().watch(share.to_vec()))).collect();
        Self { tasks, refunded, is_cancelled }
    }

    /// The cancellation of all flights has been answered.
    pub fn all_are_cancelled(&self) {
        self.is_cancelled.store(true, Ordering::SeqCst);
    }

    /// Bookings that they have seen refunded.
    pub fn refunded(&self) -> usize {
        self.refunded.load(Ordering::Relaxed)
    }

    /// Until all refunds are done; gives how often they have read.
    pub async fn finish(self) -> usize {
        let mut reads = 0;
        for task in self.tasks {
            reads += task.await.expect("progress adds up whenever it is read");
        }
        reads
    }
}

/// The flights before they are cancelled.
fn before(travellers: &[Traveller]) -> Vec<Progress> {
    let mut flights = BTreeMap::new();
    for Traveller { doomed, .. } in travellers {
        let progress = flights.entry(doomed.flight).or_insert_with(|| Progress {
            flight: doomed.flight,
            bookings: 0,
            amount: 0,
            is_cancelled: false,
            refunded: 0,
            is_done: false,
        });
        progress.bookings += 1;
        progress.amount += doomed.price;
    }
    flights.into_values().collect()
}

impl Watcher {
    async fn watch(self, mut flights: Vec<Progress>) -> usize {
        let (mut reads, mut rng) = (0, Rng::with_seed(0));
        while !flights.iter().all(|progress| progress.is_done) {
            for progress in &mut flights {
                let must_be = self.is_cancelled.load(Ordering::SeqCst);
                let path = format!("/flights/{}/disruption", progress.flight);
                let shown = self.asker.get(&path, &mut rng).await;
                reads += 1;
                let more = progress.follow(&shown, must_be);
                self.refunded.fetch_add(more, Ordering::Relaxed);
                tokio::time::sleep(PAUSE).await;
            }
        }
        reads
    }
}

impl Progress {
    /// Checks what is shown now against what was shown before; gives how many bookings more are refunded.
    fn follow(&mut self, shown: &Value, must_be_cancelled: bool) -> usize {
        let number = |name: &str| shown[name].as_i64().expect("a number");
        let (refunded, remaining) = (number("refunded"), number("remaining"));
        let (amount, is_done) = (paise(&shown["amount"]), shown["done"] == true);
        let seen = format!("after {self:?}: {shown}");
        if shown["kind"].is_null() {
            assert!(!self.is_cancelled && !must_be_cancelled, "{seen}");
            assert_eq!((number("bookings"), refunded, remaining, amount), (0, 0, 0, 0), "{seen}");
            return 0;
        }
        assert_eq!(
            (&shown["kind"], number("bookings")),
            (&"cancelled".into(), self.bookings),
            "{seen}"
        );
        assert_eq!(refunded + remaining, self.bookings, "{seen}");
        assert_eq!(amount, self.amount, "{seen}");
        assert!(refunded >= self.refunded && is_done >= self.is_done, "{seen}");
        assert_eq!(is_done, remaining == 0, "{seen}");
        let more = (refunded - self.refunded) as usize;
        (self.is_cancelled, self.refunded, self.is_done) = (true, refunded, is_done);
        more
    }
}
