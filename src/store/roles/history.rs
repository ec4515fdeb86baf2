//! The role for what happened: to a booking, to its passengers' data, to a flight.

use crate::domain::{BookingId, BookingLife, Disruption, FlightId, Timestamp};
use crate::store::StoreError;
use crate::store::rows::instant;
use async_trait::async_trait;

/// Reads histories.
#[async_trait]
pub trait History: Send + Sync + 'static {
    /// The rows of a booking's life, all of one moment; without passengers' earlier data.
    async fn life(&self, of: BookingId) -> Result<Option<BookingLife>, StoreError>;

    /// What became of the bookings of a flight, all of one moment; `None`: there is no such flight.
    async fn disruption(&self, flight: FlightId) -> Result<Option<Disruption>, StoreError>;

    /// The corrections of these bookings' passengers with the earlier values, in the order of the bookings and of their
    /// versions.
    async fn passenger_changes(
        &self,
        bookings: &[BookingId],
    ) -> Result<Vec<HeldChange>, StoreError>;
}

/// A correction of a passenger, with personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldChange {
    /// The booking.
    pub booking: BookingId,
    /// The passenger's place in it, from 0.
    pub place: i32,
    /// The earlier values: a JSON object.
    pub was: String,
    /// When they were corrected.
    pub changed_at: Option<Timestamp>,
}

/// Booking, place, earlier values, and `changed_at` in microseconds since 1970.
pub(in crate::store) type HeldChangeRow = (i64, i32, String, i64);

impl From<HeldChangeRow> for HeldChange {
    fn from((booking, place, was, changed_at): HeldChangeRow) -> Self {
        Self { booking: BookingId(booking), place, was, changed_at: instant(changed_at) }
    }
}
