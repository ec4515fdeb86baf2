//! Sales: nobody counts any in a run.

use super::SimStore;
use airline_booking::domain::{DaySales, FlightId, SeatsMoved};
use airline_booking::store::{Sales, StoreError};
use async_trait::async_trait;
use chrono::NaiveDate;

#[async_trait]
impl Sales for SimStore {
    async fn count_sales(&self, _moved: &[(SeatsMoved, NaiveDate)]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn sales(&self, _flight: FlightId) -> Result<Option<Vec<DaySales>>, StoreError> {
        Ok(None)
    }
}
