//! Erases what is held of a user: in bounded steps, each a transaction of its own, so that a run that
//! stopped half-way is gone on with by the next, and a service beside it waits for none for long.

use super::rows::{PAGE, Rows, Walk, load};
use crate::domain::{BookingId, BookingStatus, City, Timestamp, UserId};
use crate::store::{HeldBooking, HeldKey, Scrub, Scrubbed, Store, StoreError};
use std::time::Duration;
use tracing::warn;

/// Kept bookings that are named at most.
pub const NAMED_MAX: usize = 50;

/// Keys in a step.
const KEYS_STEP: usize = 1_000;

/// The pause between two steps, in which a service beside this process gets to write.
const STEP_PAUSE: Duration = Duration::from_millis(5);

/// How often the bookings are gone through, where another session keeps some of them.
const PASSES_MAX: u32 = 50;

/// The pause before the next pass.
const PASS_PAUSE: Duration = Duration::from_millis(200);

/// Whose data to erase, and which of it.
#[derive(Clone, Copy)]
pub struct Erase<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// Whose.
    pub user: UserId,
    /// Also of bookings that are yet to fly.
    pub all: bool,
    /// The present time.
    pub now: Timestamp,
}

/// What is held of a user, by what an erasure does with it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Bookings whose passengers it erases.
    pub due: usize,
    /// Bookings whose passengers are erased already.
    pub erased: usize,
    /// Bookings that it keeps.
    pub kept: usize,
    /// The first [`NAMED_MAX`] of those.
    pub named: Vec<Kept>,
    /// Idempotency keys, all of which it deletes.
    pub keys: usize,
}

/// A booking that is kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept {
    /// The booking.
    pub booking: BookingId,
    /// Why.
    pub why: Why,
}

/// Why a booking is kept.
#[derive(Debug, PartialEq, Eq)]
pub enum Why {
    /// It is yet to fly.
    YetToFly {
        /// Its status.
        status: BookingStatus,
        /// From where.
        source: City,
        /// To where.
        destination: City,
        /// When.
        departs_at: Timestamp,
    },
    /// A row of it can't be read, so that nobody knows.
    Unreadable,
}

/// What was erased.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Bookings whose passengers were replaced.
    pub bookings: usize,
    /// Idempotency keys that were deleted.
    pub keys: usize,
    /// What is left of them in files.
    pub scrubbed: Option<Scrubbed>,
}

impl Erase<'_> {
    /// Looks, and changes nothing.
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

    /// Erases what is due, notes that it was done, and removes what is left in files.
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
                "another session keeps {} bookings (pg_stat_activity shows it); run it again later, and it \
                 goes on where it stopped",
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
        self.store.end_erasure(self.user, kept, self.now).await?;
        erased.scrubbed = Some(self.store.scrub(Scrub::RewriteAndWait).await?);
        Ok(erased)
    }

    /// Goes through all bookings once.
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

    /// The bookings of a page that are due, and those that are kept; the rest is erased already.
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
                warn!(%error, "a booking is kept, since a row of it can't be read");
                Some(Why::Unreadable)
            }
        }
    }
}

/// What one walk over the bookings did.
#[derive(Default)]
struct Pass {
    erased: usize,
    kept: usize,
    /// Bookings that another session kept, or that another erasure was faster with.
    missed: usize,
}
