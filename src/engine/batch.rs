//! One batch: load, decide, commit, answer; again for what was stale, until all are answered.
//!
//! Atomic is the command, not the batch. A commit that fails for anything but staleness or an
//! outage, or takes too long, is split in halves until the one bad command fails alone; so is one that
//! panics. After a commit whose outcome is unknown, what it wrote is looked up before anything is
//! decided again.

use super::error::Error;
use super::overtaken::{count, refuse_locked, sort_out};
use super::parts::EngineParts;
use super::queues::Group;
use super::renumber::{is_taken_beside, renumber};
use super::row_cache::RowCache;
use super::spans::{source_chain, span_over};
use super::ticket::{
    Decided, Pending, Ticket, answer_committed, in_doubt, last_of_each_flight, refuse_unreadable,
    wanted,
};
use crate::domain::{BookingStatus, DayKey, FailureReason, FlightId, Timestamp, route_key};
use crate::rules::{ChangeSet, Changes, Decision, Outcome, State, decide};
use crate::store::StoreError;
use crate::telemetry::{Panicked, Part, Side, Span};
use std::collections::{BTreeSet, HashSet};
use std::future::Future;
use std::mem;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tracing::{error, warn};

/// How often stale commands are decided again. Each time, somebody else's commit got through.
const STALE_MAX: u32 = 64;

/// How often an unavailable store is tried.
const OUTAGE_MAX: u32 = 4;

/// The pause before the first retry of an unavailable store; doubled for each further one.
const OUTAGE_PAUSE: Duration = Duration::from_millis(20);

/// How often a batch's commits may take too long: enough to find one bad command among all. Beyond it the
/// store itself is slow, and the rest is given up.
const TIME_OUTS_MAX: u32 = 16;

/// Callers that are answered at once.
const ANSWERS_AT_ONCE: usize = 8;

/// What an attempt decides on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// Rows as this process last wrote them, where it remembers them.
    Remembered,
    /// Rows as the store has them.
    Loaded,
}

/// What one attempt came to.
enum Attempt {
    /// Committed, except for those that were overtaken, and those that would be answered without a
    /// commit though they were judged on what this process remembers, or whose number another has.
    Done { overtaken: Vec<Pending>, doubtful: Vec<Pending> },
    /// The store did not answer.
    Outage(Vec<Pending>, StoreError),
    /// The store refused; nothing was written.
    Refused(Vec<Pending>, StoreError),
    /// Something panicked; if it was the commit, its outcome is unknown.
    Panicked(Vec<Pending>),
}

/// What a command came to on the state of its batch.
struct Judged {
    outcome: Result<Outcome, Error>,
    /// Where its changes stand in the change set.
    position: Option<usize>,
    /// Whether it is a hold that was not decided, since another one has its number.
    is_number_taken: bool,
}

/// What a batch found of rows that other sessions keep.
#[derive(Debug, Default)]
pub(crate) struct RowsKept {
    /// Flights with such a row.
    pub(crate) kept: HashSet<FlightId>,
    /// Flights that were set apart for one, and were written.
    pub(crate) free: HashSet<FlightId>,
}

/// Runs one batch.
pub(crate) struct Batch<'a> {
    parts: &'a EngineParts,
    rows: &'a RowCache,
    span: Span,
    group: Group,
    rows_kept: Mutex<RowsKept>,
    /// Commits of unknown outcome so far.
    in_doubt: AtomicU32,
    /// Cached answers that such a commit outdates, if it was made.
    doubtful_days: Mutex<BTreeSet<DayKey>>,
    /// How often a commit took too long.
    time_outs: AtomicU32,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(
        parts: &'a EngineParts,
        rows: &'a RowCache,
        tickets: &[Ticket],
        group: Group,
    ) -> Self {
        let span = span_over(parts, tickets);
        Self {
            parts,
            rows,
            span,
            group,
            rows_kept: Mutex::default(),
            in_doubt: AtomicU32::default(),
            doubtful_days: Mutex::default(),
            time_outs: AtomicU32::default(),
        }
    }

    /// Answers every ticket.
    pub(crate) async fn run(&self, tickets: Vec<Ticket>) -> RowsKept {
        let metrics = &self.parts.metrics;
        metrics.batch_size.observe(tickets.len() as f64);
        for ticket in &tickets {
            metrics.wait_seconds.observe(ticket.arrived.elapsed().as_secs_f64());
        }
        let begin = |(place, ticket)| Pending::new(ticket, place);
        let pending = tickets.into_iter().enumerate().map(begin).collect();
        self.finish(pending, Rows::Remembered).await;
        mem::take(&mut *self.rows_kept())
    }

    async fn finish(&self, mut pending: Vec<Pending>, mut rows: Rows) {
        let (mut stale, mut outages) = (0, 0);
        loop {
            // Who went away before the decision is skipped, unless it may have been committed.
            pending.retain(|p| !p.earlier.is_empty() || !p.ticket.is_abandoned());
            if pending.is_empty() {
                return;
            }
            pending = match self.attempt(pending, rows).await {
                Attempt::Done { mut overtaken, doubtful } => {
                    stale += u32::from(!overtaken.is_empty());
                    if stale >= STALE_MAX {
                        for p in overtaken.drain(..) {
                            p.ticket.answer(Err(Error::Overloaded));
                        }
                    }
                    // In the order in which they came.
                    overtaken.extend(doubtful);
                    overtaken.sort_by_key(|p| p.place);
                    overtaken
                }
                Attempt::Outage(again, cause) => {
                    outages += 1;
                    warn!(error = %source_chain(&cause), outages, "the store is unavailable");
                    if outages >= OUTAGE_MAX || self.is_slow() {
                        self.end_doubtful_days();
                        for p in again {
                            let gone = StoreError::Unavailable(anyhow::anyhow!("gave up"));
                            p.ticket.answer(Err(gone.into()));
                        }
                        return;
                    }
                    tokio::time::sleep(OUTAGE_PAUSE * 2_u32.pow(outages)).await;
                    again
                }
                Attempt::Refused(again, cause) => {
                    self.split(again, Some(cause)).await;
                    return;
                }
                Attempt::Panicked(again) => {
                    self.split(again, None).await;
                    return;
                }
            };
            rows = Rows::Loaded;
        }
    }

    /// Tries each half alone, so that one bad command spoils no other's booking. `cause`: why the
    /// store refused; nothing after a panic.
    async fn split(&self, mut pending: Vec<Pending>, cause: Option<StoreError>) {
        if pending.len() == 1 {
            let Some(cause) = cause else { return self.fail_after_panic(pending).await };
            error!(error = %source_chain(&cause), "the store refused a command");
            for p in pending {
                let refused = StoreError::Refused(anyhow::anyhow!("logged with its cause"));
                p.ticket.answer(Err(refused.into()));
            }
            return;
        }
        let second = pending.split_off(pending.len() / 2);
        Box::pin(self.finish(pending, Rows::Loaded)).await;
        Box::pin(self.finish(second, Rows::Loaded)).await;
    }

    /// Answers the command that panicked by itself: with a fault, unless it was written after all.
    async fn fail_after_panic(&self, pending: Vec<Pending>) {
        let wanted_rows = wanted(&pending, self.parts.clock.now());
        let loaded = self.timed("store.load", self.parts.store.load(&wanted_rows)).await;
        self.end_doubtful_days();
        let pending = match loaded {
            Ok(Ok(state)) => answer_committed(pending, &state),
            Ok(Err(_)) | Err(Panicked) => pending,
        };
        for p in pending {
            error!(command = p.ticket.command.name(), "a command panicked and was given up");
            p.ticket.answer(Err(Error::Panicked));
        }
    }

    async fn attempt(&self, pending: Vec<Pending>, rows: Rows) -> Attempt {
        let mut wanted_rows = wanted(&pending, self.parts.clock.now());
        let mut state = match rows {
            Rows::Remembered => self.rows.recall(&mut wanted_rows),
            Rows::Loaded => State::default(),
        };
        let recalled: HashSet<FlightId> = state.flights.keys().copied().collect();
        let is_all_loaded =
            recalled.is_empty() && state.payments.is_empty() && state.pending.is_empty();
        if !wanted_rows.is_empty() {
            match self.timed("store.load", self.parts.store.load(&wanted_rows)).await {
                Ok(Ok(loaded)) => {
                    self.rows.count_pending(&loaded);
                    state.extend(loaded);
                }
                Ok(Err(cause @ StoreError::Unavailable(_))) => {
                    return Attempt::Outage(pending, cause);
                }
                Ok(Err(cause)) => return Attempt::Refused(pending, cause),
                Err(Panicked) => return Attempt::Panicked(pending),
            }
        }
        self.end_doubtful_days();
        let pending = refuse_unreadable(answer_committed(pending, &state), &state);
        let pending = renumber(self.parts, pending, &state).await;
        let judge = || self.judge(&pending, &mut state);
        let Ok((judged, mut changes)) = self.parts.metrics.catch_now(Part::Batch, judge) else {
            return Attempt::Panicked(pending);
        };
        let decided = pending.into_iter().zip(judged);
        let mut decided: Vec<_> = decided.map(|(p, judged)| judged.of(p)).collect();
        changes.waits_briefly = self.group == Group::Apart;
        let ended = self.outdated(&changes);
        if self.parts.cache.is_told() {
            changes.outdated.clone_from(&ended);
        }
        let leans = |d: &mut Decided| d.number.is_taken || !is_all_loaded && d.position.is_none();
        let doubtful: Vec<_> = decided.extract_if(.., leans).map(Decided::again).collect();
        if changes.commands.is_empty() {
            self.answer(decided, &changes);
            return Attempt::Done { overtaken: Vec::new(), doubtful };
        }
        match self.timed("store.commit", self.parts.store.commit(&changes)).await {
            Ok(Ok(committed)) => {
                self.parts.cache.end(&ended);
                self.parts.committed.notify_one();
                let (good, overtaken) = sort_out(decided, &committed.stale);
                let changed_elsewhere = count(&self.parts.metrics, &overtaken, &committed);
                if !recalled.is_disjoint(&changed_elsewhere) {
                    self.rows.be_wary();
                }
                let written = good.iter().filter_map(|d| Some(&changes.commands[d.position?]));
                self.rows.keep(written.clone());
                let bookings = written.filter_map(|changes| Some(&changes.booking.as_ref()?.after));
                self.parts.waiting.tell(bookings.filter(|b| b.status != BookingStatus::Pending));
                let written = |d: &Decided| d.position.map(|_| d.ticket.flight);
                if self.group == Group::Apart {
                    self.rows_kept().free.extend(good.iter().filter_map(written));
                }
                self.answer(good, &changes);
                let (overtaken, kept) = refuse_locked(overtaken, &committed.locked);
                self.rows_kept().kept.extend(kept);
                let again = |d: Decided| d.overtaken(&committed.taken);
                let overtaken = overtaken.into_iter().map(again).collect();
                Attempt::Done { overtaken, doubtful }
            }
            Ok(Err(cause @ StoreError::Unavailable(_))) => {
                Attempt::Outage(self.doubt(decided, doubtful, &changes, ended), cause)
            }
            // Nothing was written.
            Ok(Err(cause)) => {
                let again = in_order(decided.into_iter().map(Decided::again).chain(doubtful));
                if matches!(cause, StoreError::TimedOut(_)) && self.is_outage(&again) {
                    return Attempt::Outage(again, cause);
                }
                Attempt::Refused(again, cause)
            }
            Err(Panicked) => Attempt::Panicked(self.doubt(decided, doubtful, &changes, ended)),
        }
    }

    /// After a commit whose outcome is unknown: what is to be looked up. Answers that it outdates
    /// end now, and again when more is known, since it may be made between two searches.
    fn doubt(
        &self,
        decided: Vec<Decided>,
        doubtful: Vec<Pending>,
        changes: &ChangeSet,
        ended: Vec<DayKey>,
    ) -> Vec<Pending> {
        self.doubtful_days.lock().expect("no holder of the days panics").extend(ended);
        self.end_doubtful_days();
        let attempt = self.in_doubt.fetch_add(1, Ordering::Relaxed);
        let flights = last_of_each_flight(changes);
        let again = |d: Decided| d.again_unless_committed(attempt, changes, &flights);
        in_order(decided.into_iter().map(again).chain(doubtful))
    }

    fn end_doubtful_days(&self) {
        let days = self.doubtful_days.lock().expect("no holder of the days panics");
        if !days.is_empty() {
            self.parts.cache.end(&days.iter().cloned().collect::<Vec<_>>());
            self.parts.committed.notify_one();
        }
    }

    fn rows_kept(&self) -> MutexGuard<'_, RowsKept> {
        self.rows_kept.lock().expect("no holder of what was found of rows panics")
    }

    /// Whether a commit that took too long is tried again as it is, and not split.
    fn is_outage(&self, again: &[Pending]) -> bool {
        self.time_outs.fetch_add(1, Ordering::Relaxed);
        again.len() == 1 || self.is_slow()
    }

    fn is_slow(&self) -> bool {
        self.time_outs.load(Ordering::Relaxed) >= TIME_OUTS_MAX
    }

    /// Decides each command on the state that the ones before it left.
    fn judge(&self, pending: &[Pending], state: &mut State) -> (Vec<Judged>, ChangeSet) {
        let now = self.parts.clock.now();
        let mut judged = Vec::with_capacity(pending.len());
        let mut changes = ChangeSet::default();
        for p in pending {
            if is_taken_beside(&p.ticket.command, state) {
                judged.push(Judged {
                    outcome: Err(in_doubt()),
                    position: None,
                    is_number_taken: true,
                });
                continue;
            }
            let Decision { outcome, changes: wanted } =
                decide(state, &p.ticket.command, now, &self.parts.policy);
            state.apply(&wanted);
            if let Some(change) = &wanted.flight {
                self.parts.metrics.observe_version(change.after.version);
            }
            let position = (!wanted.is_empty()).then_some(changes.commands.len());
            if position.is_some() {
                changes.commands.push(self.in_trace(&p.ticket, wanted));
            }
            let outcome = outcome.map_err(|refusal| {
                if p.may_have_been_written_over() { in_doubt() } else { refusal.into() }
            });
            judged.push(Judged { outcome, position, is_number_taken: false });
        }
        (judged, changes)
    }

    /// A call of the store within the batch's span; a panic in it ends there.
    async fn timed<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<Result<T, StoreError>, Panicked> {
        let span = self.parts.tracing.span(name, Side::Client, &self.span.context());
        let outcome = self.parts.metrics.catch(Part::Batch, call).await;
        if !matches!(outcome, Ok(Ok(_))) {
            span.fail("store");
        }
        outcome
    }

    /// What a command changes belongs to its own trace; or, if nobody asked for it, to that in
    /// which its payment began.
    fn in_trace(&self, ticket: &Ticket, changes: Changes) -> Changes {
        if !self.parts.tracing.is_on() {
            return changes;
        }
        let began = changes.payment.as_ref().and_then(|change| change.after.traceparent.clone());
        let trace = match began {
            Some(began) if !ticket.is_called => Some(began),
            _ => ticket.span.context().traceparent(),
        };
        changes.in_trace(trace)
    }

    /// Answers a few callers at a time: each has work to do then, behind which the next batch would
    /// wait until it is the turn of its own.
    fn answer(&self, decided: Vec<Decided>, changes: &ChangeSet) {
        for decided in &decided {
            match decided.position {
                Some(position) => self.count(&changes.commands[position]),
                None if decided.outcome.is_err() => self.parts.metrics.count_booking("refused"),
                None => {}
            }
        }
        self.parts.tasks.spawn(async move {
            for (answered, Decided { ticket, outcome, .. }) in decided.into_iter().enumerate() {
                if answered > 0 && answered % ANSWERS_AT_ONCE == 0 {
                    tokio::task::yield_now().await;
                }
                ticket.answer(outcome);
            }
        });
    }

    fn count(&self, changes: &Changes) {
        let Some(booking) = &changes.booking else { return };
        self.parts.metrics.count_booking(
            match (booking.after.status, booking.after.failure_reason) {
                (BookingStatus::Pending, _) => "held",
                (BookingStatus::Completed, _) => "completed",
                (BookingStatus::Failed, Some(FailureReason::HoldExpired)) => "expired",
                (BookingStatus::Failed, _) => "failed",
                (BookingStatus::Cancelled, _) => "cancelled",
            },
        );
    }

    /// The cached answers that these changes outdate: the flights' days, before and after.
    fn outdated(&self, changes: &ChangeSet) -> Vec<DayKey> {
        let flights = changes.commands.iter().filter_map(|command| command.flight.as_ref());
        let departures: HashSet<(&str, &str, Timestamp)> = flights
            .flat_map(|change| [&change.was, &change.after])
            .map(|flight| (&*flight.source, &*flight.destination, flight.departs_at))
            .collect();
        let days: BTreeSet<DayKey> = departures
            .into_iter()
            .map(|(source, destination, departs_at)| DayKey {
                route: route_key(source, destination),
                date: self.parts.zone.day_of(departs_at),
            })
            .collect();
        days.into_iter().collect()
    }
}

impl Judged {
    fn of(self, pending: Pending) -> Decided {
        let Pending { ticket, place, earlier, mut number } = pending;
        let Self { outcome, position, is_number_taken } = self;
        number.is_taken = is_number_taken;
        Decided { ticket, place, earlier, number, outcome, position }
    }
}

/// In the order in which they came.
fn in_order(pending: impl Iterator<Item = Pending>) -> Vec<Pending> {
    let mut pending: Vec<_> = pending.collect();
    pending.sort_by_key(|p| p.place);
    pending
}
