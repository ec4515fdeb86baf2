//! The role for sales: seats that flights sold and took back, by day.

use crate::domain::{DaySales, FlightId, SeatsMoved};
use crate::store::StoreError;
use async_trait::async_trait;
use chrono::NaiveDate;

/// Keeps sales by day.
#[async_trait]
pub trait Sales: Send + Sync + 'static {
    /// Adds movements of seats, each with its day: once each, however often and in whatever order they come. Leaves out
    /// those of unknown flights, and of versions that a flight has not had.
    async fn count_sales(&self, moved: &[(SeatsMoved, NaiveDate)]) -> Result<(), StoreError>;

    /// The days on which a flight's seats were sold or given back, ascending; `None` if there is no such flight.
    async fn sales(&self, flight: FlightId) -> Result<Option<Vec<DaySales>>, StoreError>;
}
