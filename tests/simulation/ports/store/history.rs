//! Histories: of bookings, of their passengers' data, of flights.

use super::SimStore;
use airline_booking::domain::{BookingId, BookingLife, Disruption, FlightId};
use airline_booking::store::{HeldChange, History, StoreError};
use async_trait::async_trait;

#[async_trait]
impl History for SimStore {
    async fn life(&self, of: BookingId) -> Result<Option<BookingLife>, StoreError> {
        self.read(|rows| rows.life(of)).await
    }

    async fn disruption(&self, flight: FlightId) -> Result<Option<Disruption>, StoreError> {
        self.read(|rows| rows.disruption(flight)).await
    }

    async fn passenger_changes(
        &self,
        bookings: &[BookingId],
    ) -> Result<Vec<HeldChange>, StoreError> {
        self.read(|rows| {
            let its = rows.corrected.iter().filter(|c| bookings.contains(&c.change.booking_id));
            let held = its.map(|corrected| HeldChange {
                booking: corrected.change.booking_id,
                place: i32::from(corrected.change.place),
                was: serde_json::to_string(&corrected.was).expect("JSON"),
                changed_at: Some(corrected.change.at),
            });
            held.collect()
        })
        .await
    }
}
