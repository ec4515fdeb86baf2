//! The simulated database, and each replica's connection to it.
//!
//! A write is three events: it arrives at the server, it takes effect, its answer arrives. Faults lie between
//! them; what has arrived takes effect even if its caller is gone.

mod bookings;
mod catalogue;
mod commits;
mod history;
mod leases;
mod maintenance;
mod messages;
mod operations;
mod outbox;
mod payment_notes;
mod personal;
mod refunds;
mod sales;
mod waitlist;
mod webhooks;

use super::chance::{Chance, Fault};
use super::process::Process;
use super::rows::Rows;
use airline_booking::domain::FlightId;
use airline_booking::rules::{ChangeSet, Changes, ChangesId, Stale};
use airline_booking::store::{Committed, Job, StoreError};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

/// How long a call is on its way, each way.
const WAY: Duration = Duration::from_micros(600);

/// How long a lost or a slow call takes, at most.
const SLOW: Duration = Duration::from_secs(1);

/// How long a commit that lands late is on its way, at most: longer than the pauses between attempts.
const LATE: Duration = Duration::from_secs(2);

/// How long a commit waits for a row that another session locks.
const LOCK_WAIT: Duration = Duration::from_millis(250);

/// The database. It outlives every replica.
#[derive(Clone, Default)]
pub struct Database(Arc<Mutex<Rows>>);

impl Database {
    /// The tables, now.
    pub fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Ends the session that holds a job, as a restart of the server does.
    pub fn end_lease(&self, job: Job) {
        self.rows().leases.remove(job.as_str());
    }
}

/// One replica's connection.
#[derive(Clone)]
pub struct SimStore {
    database: Database,
    process: Process,
}

impl SimStore {
    /// A replica's connection.
    pub fn new(database: &Database, process: &Process) -> Self {
        Self { database: database.clone(), process: process.clone() }
    }

    fn chance(&self) -> &Chance {
        self.process.chance()
    }

    /// The answer of a query.
    async fn read<T>(&self, read: impl FnOnce(&Rows) -> T + Send) -> Result<T, StoreError> {
        self.process.alive().await;
        let way = if self.chance().strikes(Fault::ReadSlow) { SLOW } else { WAY };
        sleep(self.chance().pause(way)).await;
        let answer = read(&self.database.rows());
        if self.chance().strikes(Fault::ReadLost) {
            return Err(lost());
        }
        Ok(answer)
    }

    /// Runs a statement on the server. It takes effect also if the caller leaves.
    async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Rows) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.process.alive().await;
        if self.chance().strikes(Fault::CommitLostBefore) {
            sleep(self.chance().pause(SLOW)).await;
            return Err(lost());
        }
        let is_late = self.chance().strikes(Fault::CommitLandsLate);
        let is_slow = self.chance().strikes(Fault::CommitSlow);
        let is_slow = is_late || is_slow;
        let there = self.chance().pause(if is_slow { LATE } else { WAY });
        let (reply, answer) = oneshot::channel();
        let database = self.database.clone();
        database.rows().slow_statements += usize::from(is_slow);
        tokio::spawn(async move {
            sleep(there).await;
            let written = {
                let mut rows = database.rows();
                rows.slow_statements -= usize::from(is_slow);
                write(&mut rows)
            };
            // Fails if the caller has left.
            let _ = reply.send(written);
        });
        if is_late {
            sleep(self.chance().pause(WAY)).await;
            return Err(lost());
        }
        let answer = answer.await.expect("the server answers");
        sleep(self.chance().pause(WAY)).await;
        if self.chance().strikes(Fault::CommitLostAfter) {
            return Err(lost());
        }
        Ok(answer)
    }

    /// Waits for locks of other sessions on the flights that a commit writes, as long as it may. Returns those
    /// that are locked still.
    async fn wait_for_locks(&self, changes: &ChangeSet) -> Stale {
        let deadline = Instant::now() + LOCK_WAIT;
        let flights: Vec<FlightId> = changes.flights().map(|change| change.after.id).collect();
        let free_at = {
            let rows = self.database.rows();
            flights.iter().filter_map(|flight| rows.locked.get(flight).copied()).max()
        };
        let Some(free_at) = free_at.filter(|at| *at > Instant::now()) else {
            return Stale::default();
        };
        sleep_until(free_at.min(deadline)).await;
        let (rows, now) = (self.database.rows(), Instant::now());
        let is_locked =
            |flight: &FlightId| rows.locked.get(flight).is_some_and(|until| *until > now);
        Stale { flights: flights.into_iter().filter(is_locked).collect(), ..Stale::default() }
    }
}

/// A commit, for the trace.
fn told(changes: &ChangeSet, committed: Result<&Committed, &StoreError>) -> String {
    let stale = match committed {
        Ok(committed) => &committed.stale,
        Err(error) => return format!("database: refuses a commit, {error}"),
    };
    let command = |(id, command): (ChangesId, &Changes)| {
        let flights = command
            .flights
            .iter()
            .map(|c| format!(" flight {}→{}", c.was.version, c.after.version));
        let bookings = command
            .bookings
            .iter()
            .map(|c| format!(" booking {} {:?}→{:?}", c.after.id, c.was, c.after.status));
        let payments =
            command.payments.iter().map(|c| format!(" payment {:?}→{:?}", c.was, c.after.status));
        let stale = if stale.contains(&id) { " STALE" } else { "" };
        flights.chain(bookings).chain(payments).chain([stale.to_owned()]).collect::<String>()
    };
    let commands: Vec<_> = changes.iter().map(command).collect();
    format!("database: commits{}", commands.join(","))
}

/// The connection broke.
fn lost() -> StoreError {
    StoreError::Unavailable(anyhow::anyhow!("simulated"))
}

/// Every simulated panic says this, so that a run tells them from bugs.
pub const PLANNED_PANIC: &str = "a simulated panic";
