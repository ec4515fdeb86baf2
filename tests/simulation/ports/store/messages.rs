//! Messages to travellers: no provider is configured in a simulation, so there are none.

use super::SimStore;
use airline_booking::domain::{Booking, BookingId, Channel, Timestamp};
use airline_booking::store::{
    HeldMessage, MessageDone, Messages, NewMessage, PendingMessages, StoreError, TakenMessage,
};
use async_trait::async_trait;

#[async_trait]
impl Messages for SimStore {
    async fn bookings_with_passengers(
        &self,
        _bookings: &[BookingId],
    ) -> Result<Vec<Booking>, StoreError> {
        Ok(Vec::new())
    }

    async fn add_messages(
        &self,
        _messages: &[NewMessage],
        _now: Timestamp,
    ) -> Result<usize, StoreError> {
        Ok(0)
    }

    async fn take_message(
        &self,
        _channel: Channel,
        _done: Option<&MessageDone>,
        _now: Timestamp,
        _until: Timestamp,
    ) -> Result<Option<TakenMessage>, StoreError> {
        Ok(None)
    }

    async fn ended_changes(&self, _of: BookingId) -> Result<Vec<Timestamp>, StoreError> {
        Ok(Vec::new())
    }

    async fn note_message(&self, _done: &MessageDone, _now: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    async fn drop_message(&self, _id: &str) -> Result<(), StoreError> {
        Ok(())
    }

    async fn count_messages(&self) -> Result<Vec<PendingMessages>, StoreError> {
        Ok(Vec::new())
    }

    async fn messages_held(&self, _bookings: &[BookingId]) -> Result<Vec<HeldMessage>, StoreError> {
        Ok(Vec::new())
    }
}
