//! Health and audit.

use super::super::rows::refused;
use super::SimStore;
use airline_booking::domain::{BookingId, FlightId, Timestamp};
use airline_booking::store::{
    Finding, Operations, PaymentsCompared, SeatCount, SeatsAsked, StoreError,
};
use airline_booking::telemetry::PoolUse;
use async_trait::async_trait;
use std::collections::BTreeMap;

#[async_trait]
impl Operations for SimStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.read(|_| ()).await
    }

    async fn is_served(&self) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn pools(&self) -> Vec<PoolUse> {
        Vec::new()
    }

    fn unreadable(&self) -> BTreeMap<&'static str, usize> {
        BTreeMap::new()
    }

    async fn count_seats(&self, _asked: &SeatsAsked) -> Result<Vec<SeatCount>, StoreError> {
        Ok(Vec::new())
    }

    async fn compare_payments(
        &self,
        _asked: &PaymentsCompared,
    ) -> Result<Vec<(BookingId, bool)>, StoreError> {
        Ok(Vec::new())
    }

    async fn unserved_lines(
        &self,
        _before: Timestamp,
        _limit: usize,
    ) -> Result<Vec<FlightId>, StoreError> {
        Ok(Vec::new())
    }

    /// The audit of a run is [`super::audit`], which knows the gateway's ledger too.
    async fn audit(&self, _now: Timestamp) -> Result<Vec<Finding>, StoreError> {
        Err(refused("the simulation audits by itself".to_owned()))
    }
}
