//! Personal data: erasure and retention.

use super::SimStore;
use airline_booking::domain::{BookingId, Entry, Timestamp, UserId, WaitlistId};
use airline_booking::store::{
    Departed, DepartedPage, Erasure, HeldBooking, HeldKey, PersonalData, Scrub, Scrubbed,
    StoreError,
};
use async_trait::async_trait;

/// No booking of a run departs, so nothing here is due.
#[async_trait]
impl PersonalData for SimStore {
    async fn bookings_held(
        &self,
        _user: UserId,
        _after: BookingId,
        _limit: usize,
    ) -> Result<Vec<HeldBooking>, StoreError> {
        Ok(Vec::new())
    }

    async fn keys_held(
        &self,
        _user: UserId,
        _after: Option<&HeldKey>,
        _limit: usize,
    ) -> Result<Vec<HeldKey>, StoreError> {
        Ok(Vec::new())
    }

    async fn erasures_of(&self, _user: UserId, _limit: usize) -> Result<Vec<Erasure>, StoreError> {
        Ok(Vec::new())
    }

    async fn erase_passengers(
        &self,
        _bookings: &[BookingId],
        _of: Option<UserId>,
        _now: Timestamp,
    ) -> Result<Vec<BookingId>, StoreError> {
        Ok(Vec::new())
    }

    async fn erase_keys(
        &self,
        _user: UserId,
        _now: Timestamp,
        _limit: usize,
    ) -> Result<usize, StoreError> {
        Ok(0)
    }

    async fn entries_held(
        &self,
        _user: UserId,
        _after: WaitlistId,
        _limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        Ok(Vec::new())
    }

    async fn erase_entries(&self, _user: UserId, _now: Timestamp) -> Result<usize, StoreError> {
        Ok(0)
    }

    async fn end_erasure(
        &self,
        _user: UserId,
        _kept: usize,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    async fn departed_bookings(
        &self,
        _until: Timestamp,
        _after: Option<Departed>,
        _limit: usize,
    ) -> Result<DepartedPage, StoreError> {
        Ok(DepartedPage::default())
    }

    async fn scrub(&self, _how: Scrub) -> Result<Scrubbed, StoreError> {
        Ok(Scrubbed::ByServer)
    }
}
