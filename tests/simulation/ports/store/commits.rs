//! Loading and committing a batch, booking numbers.

use super::super::chance::Fault;
use super::super::rows::Rows;
use super::{PLANNED_PANIC, SLOW, SimStore, told};
use airline_booking::domain::{BookingId, PaymentReference};
use airline_booking::rules::{ChangeSet, State, Wanted};
use airline_booking::store::{Commits, Committed, Located, StoreError};
use async_trait::async_trait;
use tokio::time::sleep;

#[async_trait]
impl Commits for SimStore {
    async fn load(&self, wanted: &Wanted) -> Result<State, StoreError> {
        self.read(|rows| rows.load(wanted)).await
    }

    async fn commit(&self, changes: &ChangeSet) -> Result<Committed, StoreError> {
        self.process.alive().await;
        assert!(!self.chance().strikes(Fault::CommitPanics), "{PLANNED_PANIC} before a commit");
        if self.chance().strikes(Fault::CommitTimesOut) {
            sleep(self.chance().pause(SLOW)).await;
            return Err(StoreError::TimedOut(anyhow::anyhow!("simulated")));
        }
        let locked = self.wait_for_locks(changes).await;
        let (set, chance) = (changes.clone(), self.chance().clone());
        if planted!(commit_lost_after_its_answer) && chance.below(32) == 0 {
            return Ok(Committed::default());
        }
        let committed = self.write(move |rows| {
            let mut committed = rows.commit(&set, &locked);
            if planted!(commit_sent_twice) && chance.below(16) == 0 {
                committed = rows.commit(&set, &locked);
            }
            chance.step(|| told(&set, committed.as_ref()));
            committed
        });
        let committed = committed.await?;
        assert!(!self.chance().strikes(Fault::CommitPanicsAfter), "{PLANNED_PANIC} after a commit");
        committed
    }

    async fn locate(
        &self,
        payments: &[PaymentReference],
        bookings: &[BookingId],
    ) -> Result<Located, StoreError> {
        let locate = |rows: &Rows| {
            let mut located = Located::default();
            for payment in payments {
                for booking in rows.order(payment) {
                    located.add_payment(*payment, booking.flight_id);
                }
            }
            for booking in bookings.iter().filter_map(|id| rows.bookings.get(id)) {
                for other in rows.order(&booking.payment_reference) {
                    located.add_booking(booking.id, other.flight_id);
                }
            }
            located
        };
        self.read(locate).await
    }

    async fn draw_booking_id(&self) -> Result<BookingId, StoreError> {
        let mut rows = self.database.rows();
        if planted!(taken_number_is_not_noticed) && rows.last_booking % 4 == 3 {
            rows.last_booking -= 1;
        }
        rows.last_booking += 1;
        Ok(BookingId(rows.last_booking))
    }

    async fn draw_booking_id_instead_of(&self, _taken: BookingId) -> Result<BookingId, StoreError> {
        {
            let mut rows = self.database.rows();
            let highest = rows.bookings.keys().next_back().map_or(0, |id| id.0);
            rows.last_booking = rows.last_booking.max(highest);
        }
        self.draw_booking_id().await
    }
}
