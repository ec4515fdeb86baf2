//! The booking engine: batches commands, and takes each batch through lock, load, decide, commit.
//!
//! Nobody is told that a seat is theirs before the commit. Bounds: a full hold queue sheds
//! ([`Error::Overloaded`]); urgent commands wait for room; a batch tries a bounded number of times.

use super::batch::{Batch, RowsKept};
use super::error::Error;
use super::parts::EngineParts;
use super::queues::{Entry, FlightQueues, Group, Queue};
use super::row_cache::RowCache;
use super::ticket::Ticket;
use crate::domain::{BookingId, FlightId, PaymentReference};
use crate::lock::Taken;
use crate::rules::{Command, Outcome, Refusal};
use crate::store::Located;
use crate::telemetry::{Panicked, Part, Side, Span, TraceContext};
use futures::{FutureExt as _, poll};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

/// Commands in one batch at most: a transaction of a few milliseconds.
const BATCH_SIZE_MAX: usize = 512;

/// Urgent commands that may wait; their producers wait for room beyond it.
const URGENT_MAX: usize = 8_192;

/// How long a batch leaves a flight alone that another replica has locked; below the time for which
/// a lock is kept for whoever waits.
const LOCK_RETRY_AFTER: Duration = Duration::from_millis(2);

/// The engine's bounds.
#[derive(Debug, Clone, Copy)]
pub struct EngineLimits {
    /// Holds that may wait; beyond it they are refused.
    pub queued_holds_max: usize,
    /// Batches that run at once; they never share a flight.
    pub batches_max: usize,
    /// The least time between the beginnings of two batches, unless a full one waits.
    pub between_batches: Duration,
}

/// The door to the seats. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    parts: EngineParts,
    limits: EngineLimits,
    holds_room: Arc<Semaphore>,
    urgent_room: Arc<Semaphore>,
    scheduler: Mutex<Scheduler>,
    rows: RowCache,
}

/// Who waits, and how many batches run.
#[derive(Default)]
struct Scheduler {
    lines: FlightQueues<QueuedCommand>,
    running: usize,
    /// Whether a batch of flights that are set apart runs, beside all others.
    is_apart_running: bool,
    /// When the last batch began.
    last_began: Option<Instant>,
    /// Whether somebody will come back when the next is due.
    is_alarm_set: bool,
}

/// A command in its line; its room is given back when its batch takes it.
struct QueuedCommand {
    ticket: Ticket,
    _room: OwnedSemaphorePermit,
}

type Answer = oneshot::Receiver<Result<Outcome, Error>>;

impl Engine {
    /// An engine at rest.
    pub fn new(parts: EngineParts, limits: EngineLimits) -> Self {
        let shared = Shared {
            holds_room: Arc::new(Semaphore::new(limits.queued_holds_max)),
            urgent_room: Arc::new(Semaphore::new(URGENT_MAX)),
            scheduler: Mutex::default(),
            rows: RowCache::default(),
            parts,
            limits,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Runs one command; answers after its commit.
    pub async fn submit(&self, command: Command) -> Result<Outcome, Error> {
        let located = self.locate(std::slice::from_ref(&command)).await?;
        let flight = located.flight_of(&command)?;
        let caller = self.shared.parts.tracing.current();
        let answer = self.enqueue(command, flight, &caller).await?;
        self.dispatch();
        answer.await.map_err(|_| Error::Stopping)?
    }

    /// Runs many commands, located in one read; answers in their order, after their commits. Each
    /// goes on with the trace of its callers, where `callers` has one.
    pub async fn submit_all(
        &self,
        commands: Vec<Command>,
        callers: &[TraceContext],
    ) -> Result<Vec<Result<Outcome, Error>>, Error> {
        let located = self.locate(&commands).await?;
        let mut answers = Vec::with_capacity(commands.len());
        for (position, command) in commands.into_iter().enumerate() {
            let caller = callers.get(position).unwrap_or(&TraceContext::NONE);
            answers.push(match located.flight_of(&command) {
                Ok(flight) => Ok(self.enqueue(command, flight, caller).await?),
                Err(refusal) => Err(refusal),
            });
            if self.shared.urgent_room.available_permits() == 0 {
                self.dispatch();
            }
        }
        self.dispatch();
        let mut outcomes = Vec::with_capacity(answers.len());
        for answer in answers {
            outcomes.push(match answer {
                Ok(answer) => answer.await.unwrap_or(Err(Error::Stopping)),
                Err(refusal) => Err(refusal.into()),
            });
        }
        Ok(outcomes)
    }

    /// Whether nothing waits and nothing runs.
    pub fn is_idle(&self) -> bool {
        self.scheduler().lines.is_idle()
    }

    /// Finds the flights of commands that name a payment or a booking: those that this process
    /// remembers, and the others in one read.
    async fn locate(&self, commands: &[Command]) -> Result<Located, Error> {
        let mut remembered: HashMap<PaymentReference, FlightId> = HashMap::new();
        let mut payments: Vec<PaymentReference> = Vec::new();
        let mut bookings: Vec<BookingId> = Vec::new();
        let mut look_for =
            |reference: PaymentReference| match self.shared.rows.flight_of(&reference) {
                Some(flight) => _ = remembered.insert(reference, flight),
                None => payments.push(reference),
            };
        for command in commands {
            match command {
                Command::Settle(settle) => look_for(settle.reference),
                Command::Expire(reference) => look_for(*reference),
                Command::Cancel(cancel) => bookings.push(cancel.booking_id),
                Command::Release(booking) => bookings.push(*booking),
                Command::Hold(_) | Command::PutFlight(_) => {}
            }
        }
        let mut located = Located::default();
        if !payments.is_empty() || !bookings.is_empty() {
            located = self.shared.parts.store.locate(&payments, &bookings).await?;
        }
        located.payments.extend(remembered);
        Ok(located)
    }

    /// Puts a command at the end of its flight's line.
    async fn enqueue(
        &self,
        command: Command,
        flight: FlightId,
        caller: &TraceContext,
    ) -> Result<Answer, Error> {
        let shared = &self.shared;
        let span = self.span_of(&command, flight, caller);
        let (queue, room) = match &command {
            Command::Hold(_) => {
                let room = shared.holds_room.clone().try_acquire_owned();
                (Queue::Holds, room.map_err(|_| Error::Overloaded)?)
            }
            _ => {
                let room = shared.urgent_room.clone().acquire_owned().await;
                (Queue::Urgent, room.map_err(|_| Error::Stopping)?)
            }
        };
        let (reply, answer) = oneshot::channel();
        let is_called = *caller != TraceContext::NONE;
        let ticket = Ticket {
            command,
            flight,
            reply: Some(reply),
            arrived: Instant::now(),
            span,
            is_called,
        };
        let item = QueuedCommand { ticket, _room: room };
        self.scheduler().lines.push(Entry { flight, queue, item });
        Ok(answer)
    }

    /// A command's time in the engine: in its line, and in its batch.
    fn span_of(&self, command: &Command, flight: FlightId, caller: &TraceContext) -> Span {
        let tracing = &self.shared.parts.tracing;
        let span = tracing.span(command.name(), Side::Internal, caller);
        span.note("flight.id", flight.0);
        match command {
            Command::Hold(hold) => span.note("booking.id", hold.booking_id.0),
            Command::Cancel(cancel) => span.note("booking.id", cancel.booking_id.0),
            Command::Release(booking) => span.note("booking.id", booking.0),
            Command::Settle(_) | Command::Expire(_) | Command::PutFlight(_) => {}
        }
        span
    }

    /// Starts as many batches as may run now.
    fn dispatch(&self) {
        let mut scheduler = self.scheduler();
        while scheduler.running < self.shared.limits.batches_max {
            if let Some(due) = self.next_due(&scheduler) {
                self.come_back_at(due, &mut scheduler);
                break;
            }
            let entries = scheduler.lines.next_batch(Group::Shared, BATCH_SIZE_MAX);
            if entries.is_empty() {
                break;
            }
            scheduler.running += 1;
            scheduler.last_began = Some(Instant::now());
            self.begin(entries, Group::Shared);
        }
        if !scheduler.is_apart_running {
            let entries = scheduler.lines.next_batch(Group::Apart, BATCH_SIZE_MAX);
            scheduler.is_apart_running = !entries.is_empty();
            if !entries.is_empty() {
                self.begin(entries, Group::Apart);
            }
        }
        let metrics = &self.shared.parts.metrics;
        metrics.holds_queued.set(scheduler.lines.waiting(Queue::Holds) as i64);
        metrics.urgent_queued.set(scheduler.lines.waiting(Queue::Urgent) as i64);
    }

    fn begin(&self, entries: Vec<Entry<QueuedCommand>>, group: Group) {
        let engine = self.clone();
        self.shared.parts.tasks.spawn(async move { engine.run(entries, group).await });
    }

    /// When the next batch may begin, if not now. What a batch costs whatever its size is shared by
    /// all that came since the last began.
    fn next_due(&self, scheduler: &Scheduler) -> Option<Instant> {
        let due = scheduler.last_began? + self.shared.limits.between_batches;
        let is_full = scheduler.lines.all_waiting() >= BATCH_SIZE_MAX;
        (!is_full && Instant::now() < due).then_some(due)
    }

    fn come_back_at(&self, due: Instant, scheduler: &mut Scheduler) {
        if scheduler.is_alarm_set || scheduler.lines.all_waiting() == 0 {
            return;
        }
        scheduler.is_alarm_set = true;
        let engine = self.clone();
        self.shared.parts.tasks.spawn(async move {
            tokio::time::sleep_until(due).await;
            engine.scheduler().is_alarm_set = false;
            engine.dispatch();
        });
    }

    /// Takes one batch through; flights that another replica has go back to their lines.
    async fn run(&self, entries: Vec<Entry<QueuedCommand>>, group: Group) {
        let parts = &self.shared.parts;
        let mut flights: Vec<FlightId> = entries.iter().map(|entry| entry.flight).collect();
        flights.sort_unstable();
        flights.dedup();
        let (engine, kept) = (self.clone(), RowsKept::default());
        let mut slot = BatchSlot { engine, group, flights: flights.clone(), kept };

        let taken = parts.locks.take(&flights).await;
        let (ours, theirs): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| taken.flights.contains(&entry.flight));
        slot.flights.clone_from(&taken.flights);
        let held = Held { parts, taken: Some(taken) };

        let tickets = ours.into_iter().map(|entry| entry.item.ticket).collect();
        if !theirs.is_empty() {
            let engine = self.clone();
            parts.tasks.spawn(async move { engine.come_back_later(theirs).await });
        }
        slot.kept = self.run_locked(tickets, held.taken(), group).await;

        // Asked before the next batch on these flights asks for them, and so answered before it,
        // which need not wait for that answer to begin.
        let mut release = pin!(parts.locks.release(held.give()));
        let is_released = poll!(release.as_mut()).is_ready();
        drop(slot);
        if !is_released {
            release.await;
        }
    }

    /// Runs a batch on flights that are ours, as long as it takes.
    async fn run_locked(&self, tickets: Vec<Ticket>, taken: &Taken, group: Group) -> RowsKept {
        let parts = &self.shared.parts;
        if tickets.is_empty() {
            return RowsKept::default();
        }
        let batch = Batch::new(parts, &self.shared.rows, &tickets, group);
        let mut run = pin!(batch.run(tickets));
        tokio::select! {
            kept = &mut run => return kept,
            Err(Panicked) = parts.metrics.catch(Part::FlightLocks, parts.locks.keep(taken)) => {}
        }
        // Its locks may lapse; versions protect the seats.
        run.await
    }

    async fn come_back_later(&self, entries: Vec<Entry<QueuedCommand>>) {
        self.shared.parts.metrics.lock_waits.inc_by(entries.len() as u64);
        tokio::time::sleep(LOCK_RETRY_AFTER).await;
        self.scheduler().lines.put_back(entries);
        self.dispatch();
    }

    fn scheduler(&self) -> MutexGuard<'_, Scheduler> {
        self.shared.scheduler.lock().expect("no holder of the scheduler panics")
    }
}

impl Located {
    /// The flight whose line a command stands in.
    fn flight_of(&self, command: &Command) -> Result<FlightId, Refusal> {
        let payment = |reference: &PaymentReference| {
            self.payments.get(reference).copied().ok_or(Refusal::UnknownPayment(*reference))
        };
        let booking = |booking: &BookingId| {
            self.bookings.get(booking).copied().ok_or(Refusal::BookingNotFound(*booking))
        };
        match command {
            Command::Settle(settle) => payment(&settle.reference),
            Command::Expire(reference) => payment(reference),
            Command::Cancel(cancel) => booking(&cancel.booking_id),
            Command::Release(released) => booking(released),
            Command::Hold(hold) => Ok(hold.flight_id),
            Command::PutFlight(put) => Ok(put.flight_id),
        }
    }
}

/// The flights' locks of a running batch; given back even if the batch panics.
struct Held<'a> {
    parts: &'a EngineParts,
    /// There until it is given back.
    taken: Option<Taken>,
}

impl Held<'_> {
    fn taken(&self) -> &Taken {
        self.taken.as_ref().expect("it is given back by value")
    }

    fn give(mut self) -> Taken {
        self.taken.take().expect("it is given back once")
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let Some(taken) = self.taken.take() else { return };
        let locks = self.parts.locks.clone();
        let mut release = async move { locks.release(taken).await }.boxed();
        // Locks in memory are free at once; others need the runtime, without which they lapse.
        if (&mut release).now_or_never().is_none() && Handle::try_current().is_ok() {
            self.parts.tasks.spawn(release);
        }
    }
}

/// A running batch's seat on the scheduler; given back even if the batch panics.
struct BatchSlot {
    engine: Engine,
    group: Group,
    flights: Vec<FlightId>,
    /// What it found of rows that other sessions keep.
    kept: RowsKept,
}

impl Drop for BatchSlot {
    fn drop(&mut self) {
        {
            let mut scheduler = self.engine.scheduler();
            match self.group {
                Group::Shared => scheduler.running -= 1,
                Group::Apart => scheduler.is_apart_running = false,
            }
            self.kept.free.drain().for_each(|flight| scheduler.lines.rejoin(flight));
            self.kept.kept.drain().for_each(|flight| scheduler.lines.set_apart(flight));
            scheduler.lines.free(self.flights.drain(..));
        }
        self.engine.dispatch();
    }
}
