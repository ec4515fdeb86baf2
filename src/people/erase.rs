//! Erases a user's personal data in bounded steps of a transaction each: the next run resumes an interrupted
//! one, and a service beside it never waits long.

use super::rows::{PAGE, Rows, Walk, load};
use crate::domain::{
    BookingId, BookingStatus, City, Entry, EntryStatus, Passenger, Timestamp, UserId, WaitlistId,
};
use crate::store::{HeldBooking, HeldKey, Scrub, Scrubbed, Store, StoreError};
use std::time::Duration;
use tracing::warn;

/// Maximum kept bookings that are listed.
pub const NAMED_MAX: usize = 50;

/// Maximum keys per step.
const KEYS_STEP: usize = 1_000;

/// The pause between two steps, in which a service beside this process can write.
const STEP_PAUSE: Duration = Duration::from_millis(5);

/// Maximum passes over the bookings, if other sessions lock some of them.
const PASSES_MAX: u32 = 50;

/// The pause between two passes.
const PASS_PAUSE: Duration = Duration::from_millis(200);

/// An erasure of a user's data.
#[derive(Clone, Copy)]
pub struct Erase<'a> {
    /// Holds the data.
    pub store: &'a dyn Store,
    /// The user whose data are erased.
    pub user: UserId,
    /// Whether to erase the passengers of bookings that have not flown yet too.
    pub all: bool,
    /// The time that the erasure records.
    pub now: Timestamp,
}

/// A user's data, by what an erasure does with them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Bookings whose passengers are due for erasure.
    pub due: usize,
    /// Bookings whose passengers are erased already.
    pub erased: usize,
    /// Bookings whose passengers are kept.
    pub kept: usize,
    /// The first [`NAMED_MAX`] kept bookings.
    pub named: Vec<Kept>,
    /// Idempotency keys. All are deleted.
    pub keys: usize,
}

/// A booking whose passengers are kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept {
    /// The booking's number.
    pub booking: BookingId,
    /// The reason.
    pub why: Why,
}

/// Why a booking is kept.
#[derive(Debug, PartialEq, Eq)]
pub enum Why {
    /// The booking has not flown yet.
    YetToFly {
        /// The booking's status.
        status: BookingStatus,
        /// The flight's origin.
        source: City,
        /// The flight's destination.
        destination: City,
        /// The flight's departure.
        departs_at: Timestamp,
    },
    /// It is an entry of a waiting list, and no booking yet.
    Waits,
    /// A row is unreadable, so that its departure is unknown.
    Unreadable,
}

/// The outcome of an erasure.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Bookings whose passengers were replaced.
    pub bookings: usize,
    /// Idempotency keys that were deleted.
    pub keys: usize,
    /// Copies that are left in files.
    pub scrubbed: Option<Scrubbed>,
}

impl Erase<'_> {
    /// Counts what an erasure would do. Changes nothing.
    pub async fn look(&self) -> Result<Held, StoreError> {
        let mut held = Held::default();
        let mut walk = Walk::over(self.store, self.user);
        loop {
            let page = walk.page().await?;
            if page.is_empty() {
                break;
            }
            let (due, kept) = self.sort(&page).await?;
            held.erased += page.len() - due.len() - kept.len();
            held.due += due.len();
            held.kept += kept.len();
            let room = NAMED_MAX - held.named.len();
            held.named.extend(kept.into_iter().take(room));
        }
        self.look_at_entries(&mut held).await?;
        let mut last: Option<HeldKey> = None;
        loop {
            let mut page = self.store.keys_held(self.user, last.as_ref(), KEYS_STEP).await?;
            held.keys += page.len();
            last = page.pop();
            if last.is_none() {
                return Ok(held);
            }
        }
    }

    /// Counts the waiting entries, which are like bookings that have not flown yet.
    async fn look_at_entries(&self, held: &mut Held) -> Result<(), StoreError> {
        for entry in waiting(self.store, self.user).await? {
            if self.all {
                held.due += usize::from(!is_erased(&entry));
                continue;
            }
            held.kept += 1;
            if held.named.len() < NAMED_MAX {
                held.named.push(Kept { booking: entry.id.booking(), why: Why::Waits });
            }
        }
        Ok(())
    }

    /// Erases the data that are due, records it, and removes copies in files.
    pub async fn run(&self) -> anyhow::Result<Erased> {
        let mut erased = Erased::default();
        let mut passes = 0;
        let kept = loop {
            let pass = self.pass().await?;
            erased.bookings += pass.erased;
            if pass.missed == 0 {
                break pass.kept;
            }
            passes += 1;
            anyhow::ensure!(
                passes < PASSES_MAX,
                "another session locks {} bookings (pg_stat_activity shows it); run it again later, and it \
                 resumes where it stopped",
                pass.missed
            );
            tokio::time::sleep(PASS_PAUSE).await;
        };
        loop {
            let keys = self.store.erase_keys(self.user, self.now, KEYS_STEP).await?;
            erased.keys += keys;
            if keys < KEYS_STEP {
                break;
            }
            tokio::time::sleep(STEP_PAUSE).await;
        }
        let mut kept = kept;
        if self.all {
            erased.bookings += self.store.erase_entries(self.user, self.now).await?;
        } else {
            kept += waiting(self.store, self.user).await?.len();
        }
        self.store.end_erasure(self.user, kept, self.now).await?;
        erased.scrubbed = Some(self.store.scrub(Scrub::RewriteAndWait).await?);
        Ok(erased)
    }

    /// Walks over all bookings once.
    async fn pass(&self) -> Result<Pass, StoreError> {
        let mut pass = Pass::default();
        let mut walk = Walk::over(self.store, self.user);
        loop {
            let page = walk.page().await?;
            if page.is_empty() {
                return Ok(pass);
            }
            let (due, kept) = self.sort(&page).await?;
            pass.kept += kept.len();
            if due.is_empty() {
                continue;
            }
            let erased = self.store.erase_passengers(&due, Some(self.user), self.now).await?;
            pass.erased += erased.len();
            pass.missed += due.len() - erased.len();
            tokio::time::sleep(STEP_PAUSE).await;
        }
    }

    /// The bookings of a page that are due, and those that are kept. The others are erased already.
    async fn sort(&self, page: &[HeldBooking]) -> Result<(Vec<BookingId>, Vec<Kept>), StoreError> {
        debug_assert!(page.len() <= PAGE);
        let present: Vec<_> =
            page.iter().filter(|held| held.erased_at.is_none()).cloned().collect();
        if self.all || present.is_empty() {
            return Ok((present.iter().map(|held| held.id).collect(), Vec::new()));
        }
        let (mut due, mut kept) = (Vec::new(), Vec::new());
        for (held, rows) in present.iter().zip(load(self.store, &present).await?) {
            match self.why_kept(rows) {
                Some(why) => kept.push(Kept { booking: held.id, why }),
                None => due.push(held.id),
            }
        }
        Ok((due, kept))
    }

    fn why_kept(&self, rows: Result<Rows, StoreError>) -> Option<Why> {
        match rows {
            Ok(Rows { booking, flight, .. }) => {
                booking.is_yet_to_fly(flight.departs_at, self.now).then_some(Why::YetToFly {
                    status: booking.status,
                    source: flight.source,
                    destination: flight.destination,
                    departs_at: flight.departs_at,
                })
            }
            Err(error) => {
                warn!(%error, "keeping a booking with an unreadable row");
                Some(Why::Unreadable)
            }
        }
    }
}

/// A user's entries of waiting lists that wait.
async fn waiting(store: &dyn Store, user: UserId) -> Result<Vec<Entry>, StoreError> {
    let (mut all, mut after) = (Vec::new(), WaitlistId(i64::MIN));
    loop {
        let page = store.entries_held(user, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(all) };
        after = last.id;
        all.extend(page.into_iter().filter(|entry| entry.status == EntryStatus::Waiting));
    }
}

fn is_erased(entry: &Entry) -> bool {
    let mut passengers = entry.passengers.iter().flat_map(|all| all.iter());
    passengers.all(|passenger| *passenger == Passenger::erased())
}

/// The outcome of a walk over the bookings.
#[derive(Default)]
struct Pass {
    erased: usize,
    kept: usize,
    /// Bookings that another session locked or another erasure reached first.
    missed: usize,
}
