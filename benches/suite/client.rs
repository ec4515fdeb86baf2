//! A load whose latencies can be believed: each request has the moment at which it is due, and its
//! latency counts from there, so that a server that stalls can't hold back the requests that would
//! have shown it (coordinated omission).

use super::http::{Connection, address};
use super::load::Load;
use anyhow::ensure;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The status of an answer that never came: the connection broke.
pub const BROKEN: u16 = 0;

/// The status of a good answer whose body does not hold what was wanted.
pub const OTHERWISE: u16 = 1;

/// When requests are due.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// So many a second, whatever the answers do (an open loop).
    Rate(f64),
    /// Each as soon as its connection is free (a closed loop).
    Closed,
}

/// What is asked, how often, and over how many connections.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub pace: Pace,
    /// Of a closed loop: until no more requests are begun.
    pub time: Duration,
    pub connections: usize,
    /// What the body of a good answer holds.
    pub wanted: &'static str,
}

/// What a load came to, by status.
#[derive(Debug, Default)]
pub struct Outcome {
    latencies: BTreeMap<u16, Histogram<u64>>,
    /// From the first request due to the last answer.
    pub took: Duration,
}

/// Runs a load on a server; `request` gives the bytes of each request by its number.
pub async fn run<R>(base: &str, plan: Plan, request: R) -> anyhow::Result<Outcome>
where
    R: Fn(usize) -> Vec<u8> + Send + Sync + 'static,
{
    let address = address(base)?;
    let mut connections = Vec::with_capacity(plan.connections);
    for _ in 0..plan.connections {
        connections.push(Connection::open(&address).await?);
    }
    let began = Instant::now();
    let count = match plan.pace {
        Pace::Rate(rate) => (rate * plan.time.as_secs_f64()).round() as usize,
        Pace::Closed => usize::MAX,
    };
    let schedule =
        Schedule { plan, began, count, due: Semaphore::new(0), next: AtomicUsize::new(0) };
    let shared = Arc::new((schedule, address, request));
    let clients: Vec<_> = connections
        .into_iter()
        .map(|connection| {
            let shared = shared.clone();
            tokio::spawn(async move {
                let (schedule, address, request) = &*shared;
                client(connection, address, schedule, request).await
            })
        })
        .collect();
    let pacer = shared.clone();
    tokio::task::spawn_blocking(move || pacer.0.pace()).await?;
    let mut outcome = Outcome::default();
    for client in clients {
        for (status, micros) in client.await? {
            outcome.latencies.entry(status).or_insert_with(histogram).saturating_record(micros);
        }
    }
    outcome.took = began.elapsed();
    Ok(outcome)
}

/// Microseconds up to ten minutes, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are sound")
}

/// Who may send which request when.
struct Schedule {
    plan: Plan,
    began: Instant,
    count: usize,
    /// A permit for each request that is due; who waits longest gets the first.
    due: Semaphore,
    next: AtomicUsize,
}

impl Schedule {
    /// Hands out permits when they are due. Runs on a thread of its own, as its sleep is more exact
    /// than the runtime's, which counts in milliseconds.
    fn pace(&self) {
        let Pace::Rate(rate) = self.plan.pace else {
            self.due.close();
            return;
        };
        let mut given = 0;
        while given < self.count {
            let due = ((self.began.elapsed().as_secs_f64() * rate) as usize + 1).min(self.count);
            self.due.add_permits(due - given);
            given = due;
            std::thread::sleep(self.due_at(given, rate).saturating_duration_since(Instant::now()));
        }
    }

    fn due_at(&self, number: usize, rate: f64) -> Instant {
        self.began + Duration::from_secs_f64(number as f64 / rate)
    }

    /// The next request's number, and since when it is due; nothing once all are taken.
    async fn next(&self) -> Option<(usize, Instant)> {
        let Pace::Rate(rate) = self.plan.pace else {
            let is_over = self.began.elapsed() >= self.plan.time;
            return (!is_over).then(|| (self.next.fetch_add(1, Ordering::Relaxed), Instant::now()));
        };
        if self.next.load(Ordering::Relaxed) >= self.count {
            return None;
        }
        self.due.acquire().await.map(SemaphorePermit::forget).ok()?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number + 1 == self.count {
            // Nobody waits for what will not come.
            self.due.close();
        }
        Some((number, self.due_at(number, rate)))
    }
}

/// One connection's requests; gives each answer's status and its latency in microseconds.
async fn client(
    connection: Connection,
    address: &str,
    schedule: &Schedule,
    request: impl Fn(usize) -> Vec<u8>,
) -> Vec<(u16, u64)> {
    let mut connection = Some(connection);
    let mut answers = Vec::new();
    while let Some((number, due_at)) = schedule.next().await {
        if connection.is_none() {
            connection = Connection::open(address).await.ok();
        }
        let status = match &mut connection {
            None => BROKEN,
            Some(open) => match open.ask(&request(number)).await {
                Ok(answer) if answer.status >= 300 || answer.holds(schedule.plan.wanted) => {
                    answer.status
                }
                Ok(_) => OTHERWISE,
                Err(_) => BROKEN,
            },
        };
        answers.push((status, due_at.elapsed().as_micros() as u64));
        if status == BROKEN {
            connection = None;
        }
    }
    answers
}

impl Outcome {
    /// Answers with that status.
    pub fn count(&self, status: u16) -> u64 {
        self.latencies.get(&status).map_or(0, Histogram::len)
    }

    /// Answers in all.
    pub fn total(&self) -> u64 {
        self.latencies.values().map(Histogram::len).sum()
    }

    /// Fails unless every answer had that status, and what was wanted in its body.
    pub fn all_are(&self, status: u16) -> anyhow::Result<()> {
        ensure!(self.count(status) == self.total(), "answers were {:?}", self.counts());
        Ok(())
    }

    /// How many answers of each status.
    pub fn counts(&self) -> BTreeMap<u16, u64> {
        self.latencies.iter().map(|(status, latencies)| (*status, latencies.len())).collect()
    }

    /// The answers whose status is one of these, as a load.
    pub fn load(&self, statuses: &[u16]) -> Load {
        let mut latencies = histogram();
        for status in statuses {
            if let Some(more) = self.latencies.get(status) {
                latencies.add(more).expect("the bounds are the same");
            }
        }
        let at = |part: f64| latencies.value_at_quantile(part) as f64 / 1_000.0;
        Load {
            rate: latencies.len() as f64 / self.took.as_secs_f64(),
            p50: at(0.5),
            p99: at(0.99),
            p999: Some(at(0.999)),
            refused: self.total() - latencies.len(),
        }
    }
}
