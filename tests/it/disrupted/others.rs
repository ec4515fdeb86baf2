//! Other people, who book other flights at a steady rate.

use super::airline::Airline;
use crate::support::callers::{Bases, Wish};
use crate::support::process::http_client;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Bookings a second.
const RATE: f64 = 50.0;

/// The pause before a request is repeated.
const PAUSE: Duration = Duration::from_millis(10);

/// A booking, how long its answer took from the moment at which it was due, and whether the disruption had begun by then.
pub struct Heard {
    pub wish: Wish,
    pub took: Duration,
    pub meanwhile: bool,
}

pub struct Others {
    stop: Arc<AtomicBool>,
    disruption: Arc<AtomicBool>,
    task: JoinHandle<Vec<Heard>>,
}

impl Others {
    pub fn start(airline: &Airline) -> Self {
        let (stop, disruption): (Arc<AtomicBool>, Arc<AtomicBool>) = Default::default();
        let booking = book_steadily(
            airline.bases.clone(),
            airline.undisturbed.clone(),
            stop.clone(),
            disruption.clone(),
        );
        Self { stop, disruption, task: tokio::spawn(booking) }
    }

    /// The disruption begins now.
    pub fn disruption_begins(&self) {
        self.disruption.store(true, Ordering::Relaxed);
    }

    /// Ends them; gives all that they booked.
    pub async fn stop(self) -> Vec<Heard> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("nobody panics")
    }
}

/// Each booking begins when it is due, whether those before it are answered or not.
async fn book_steadily(
    bases: Bases,
    flights: Vec<i64>,
    stop: Arc<AtomicBool>,
    disruption: Arc<AtomicBool>,
) -> Vec<Heard> {
    let (client, mut asked) = (http_client(), JoinSet::new());
    let mut due = interval(Duration::from_secs_f64(1.0 / RATE));
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for turn in 0.. {
        let due = due.tick().await;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let meanwhile = disruption.load(Ordering::Relaxed);
        let wish = Wish::new(flights[turn % flights.len()], 1, "pm_card_visa");
        let (client, bases) = (client.clone(), bases.clone());
        asked.spawn(async move {
            let wish = book(wish, &client, &bases, turn).await;
            Heard { wish, took: due.elapsed(), meanwhile }
        });
    }
    asked.join_all().await
}

/// Asks until it is answered, the other replica if one gives no answer.
async fn book(mut wish: Wish, client: &reqwest::Client, bases: &Bases, first: usize) -> Wish {
    let began = Instant::now();
    for attempt in first.. {
        match wish.ask(client, &bases.of(attempt)).await {
            Some((201, _)) => return wish,
            Some((503, _)) | None => tokio::time::sleep(PAUSE).await,
            other => panic!("{other:?} to {wish:?}"),
        }
        assert!(began.elapsed() < Duration::from_secs(60), "no answer to {wish:?}");
    }
    unreachable!("the attempts have no end");
}

/// Latencies of a phase in a line.
pub fn figures(heard: &[Heard], meanwhile: bool) -> String {
    let phase = heard.iter().filter(|heard| heard.meanwhile == meanwhile);
    let mut took: Vec<Duration> = phase.map(|heard| heard.took).collect();
    took.sort_unstable();
    let Some(longest) = took.last() else { return "none".to_owned() };
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    format!("{} booked, p50 {:.1?}, p99 {:.1?}, longest {longest:.1?}", took.len(), at(50), at(99))
}
