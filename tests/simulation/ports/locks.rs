//! Simulated flight locks: as those in Redis, leased for 5 s, handed over to a replica that waits.

use super::chance::Fault;
use super::process::Process;
use airline_booking::domain::FlightId;
use airline_booking::lock::{FlightLocks, Taken};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a lock outlives its holder.
pub const LEASE: Duration = Duration::from_secs(5);

/// How long a lock is reserved for a replica that waits for it.
const TURN: Duration = Duration::from_millis(50);

/// Longest time of one call.
const LATENCY: Duration = Duration::from_millis(1);

/// Longest time for which a busy stranger holds a lock.
const BUSY: Duration = Duration::from_secs(2);

/// Longest time until a lock lapses under its holder.
const LAPSE: Duration = Duration::from_millis(10);

/// The lock service that all replicas share. A clone is the same service.
#[derive(Clone, Default)]
pub struct LockServer(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    locks: BTreeMap<FlightId, Lock>,
    /// The replica that waits for a flight, and until when its name counts.
    waiting: BTreeMap<FlightId, (Arc<str>, Instant)>,
    tokens: u64,
}

struct Lock {
    holder: Holder,
    until: Instant,
}

#[derive(PartialEq, Eq)]
enum Holder {
    /// Who has this token.
    Token(String),
    /// Reserved for a replica that waits.
    For(Arc<str>),
    /// Another process, which does nothing with it.
    Stranger,
}

impl LockServer {
    /// Number of locks that are held now.
    pub fn held(&self) -> usize {
        let now = Instant::now();
        let held = |lock: &&Lock| lock.until > now && matches!(lock.holder, Holder::Token(_));
        self.0.lock().locks.values().filter(held).count()
    }
}

impl Table {
    fn token(&mut self) -> String {
        self.tokens += 1;
        self.tokens.to_string()
    }

    /// Takes a lock that is free or reserved for this replica; else leaves its name.
    fn take(&mut self, flight: FlightId, token: &str, name: &Arc<str>, until: Instant) -> bool {
        let now = Instant::now();
        let held = self.locks.get(&flight).filter(|lock| lock.until > now);
        let waiting = self.waiting.get(&flight).filter(|(_, until)| *until > now);
        let is_waiting_one = waiting.is_none_or(|(waiting, _)| waiting == name);
        if held.is_some_and(|lock| lock.holder != Holder::For(name.clone())) {
            if is_waiting_one {
                self.waiting.insert(flight, (name.clone(), now + TURN));
            }
            return false;
        }
        if is_waiting_one {
            self.waiting.remove(&flight);
        }
        self.locks.insert(flight, Lock { holder: Holder::Token(token.to_owned()), until });
        true
    }

    /// Lets another process take a lock, if it is free.
    fn take_by_stranger(&mut self, flight: FlightId, until: Instant) {
        let is_held = self.locks.get(&flight).is_some_and(|lock| lock.until > Instant::now());
        if !is_held {
            self.locks.insert(flight, Lock { holder: Holder::Stranger, until });
        }
    }

    fn is_held_by(&self, flight: FlightId, token: &str) -> bool {
        let held = self.locks.get(&flight).filter(|lock| lock.until > Instant::now());
        held.is_some_and(|lock| matches!(&lock.holder, Holder::Token(held) if held == token))
    }

    /// Releases a lock that the token holds: to the replica that waits, or to all.
    fn release(&mut self, flight: FlightId, token: &str, name: &Arc<str>) {
        if !self.is_held_by(flight, token) {
            return;
        }
        self.locks.remove(&flight);
        let now = Instant::now();
        let waiting =
            self.waiting.get(&flight).filter(|(other, until)| *until > now && other != name);
        if let Some((other, _)) = waiting.cloned() {
            self.waiting.remove(&flight);
            self.locks.insert(flight, Lock { holder: Holder::For(other), until: now + TURN });
        }
    }
}

/// A replica's connection to the lock service.
pub struct SimLocks {
    server: LockServer,
    process: Process,
    name: Arc<str>,
    lease: Duration,
}

impl SimLocks {
    /// The connection of one process.
    pub fn new(server: &LockServer, process: &Process) -> Self {
        Self::with_lease(server, process, LEASE)
    }

    /// The same, with another lease.
    pub fn with_lease(server: &LockServer, process: &Process, lease: Duration) -> Self {
        let name = process.name().into();
        Self { server: server.clone(), process: process.clone(), name, lease }
    }
}

#[async_trait]
impl FlightLocks for SimLocks {
    async fn take(&self, flights: &[FlightId]) -> Taken {
        let process = &self.process;
        process.pause(LATENCY).await;
        let is_away = process.strikes(Fault::LocksAway);
        let stranger = process.strikes(Fault::LockBusy).then(|| process.chance().pause(BUSY));
        let lapse = process.strikes(Fault::LockLapses).then(|| process.chance().pause(LAPSE));
        let now = Instant::now();
        let mut table = self.server.0.lock();
        let token = table.token();
        if is_away {
            return Taken::new(flights.to_vec(), Some(token));
        }
        if let (Some(time), Some(flight)) = (stranger, flights.first()) {
            table.take_by_stranger(*flight, now + time);
        }
        let until = now + lapse.unwrap_or(self.lease);
        let first = flights.first().copied();
        let is_guarded =
            |flight| !planted!(order_guards_its_first_flight_alone) || Some(flight) == first;
        let taken = flights.iter().copied().filter(|flight| {
            !is_guarded(*flight) || table.take(*flight, &token, &self.name, until)
        });
        let taken: Vec<_> = taken.collect();
        drop(table);
        process.step(|| format!("locks {taken:?} of {flights:?}"));
        Taken::new(taken, Some(token))
    }

    async fn keep(&self, taken: &Taken) -> Infallible {
        let token = taken.token().expect("this port draws a token for each call");
        loop {
            sleep(self.lease / 3).await;
            self.process.alive().await;
            if self.process.strikes(Fault::LocksAway) {
                continue;
            }
            let until = Instant::now() + self.lease;
            let mut table = self.server.0.lock();
            for flight in &taken.flights {
                if table.is_held_by(*flight, token)
                    && let Some(lock) = table.locks.get_mut(flight)
                {
                    lock.until = until;
                }
            }
        }
    }

    /// Takes effect at the first poll: calls reach the service in their order.
    async fn release(&self, taken: Taken) {
        self.process.alive().await;
        let token = taken.token().expect("this port draws a token for each call");
        if !self.process.strikes(Fault::ReleaseLost) {
            let mut table = self.server.0.lock();
            for flight in &taken.flights {
                table.release(*flight, token, &self.name);
            }
        }
        self.process.step(|| format!("unlocks {:?}", taken.flights));
        self.process.pause(LATENCY).await;
    }
}
