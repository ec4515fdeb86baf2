//! The role for deliveries: events on their way to webhooks.

use crate::domain::{
    Booking, BookingId, Delivery, DeliveryId, Flight, FlightId, NewDelivery, Timestamp, Webhook,
    WebhookId,
};
use crate::store::{Leases, StoreError};
use async_trait::async_trait;

/// Queues deliveries, and notes what became of them.
#[async_trait]
pub trait Deliveries: Leases {
    /// Every active webhook, in no order.
    async fn active_webhooks(&self) -> Result<Vec<Webhook>, StoreError>;

    /// The webhooks with these ids, in no order. Unknown, deleted and unreadable ones are left out.
    async fn webhooks_named(&self, ids: &[WebhookId]) -> Result<Vec<Webhook>, StoreError>;

    /// Adds deliveries in their order, but for webhooks that are not active, and events that a webhook has already.
    async fn add_deliveries(&self, new: &[NewDelivery], now: Timestamp) -> Result<(), StoreError>;

    /// Deliveries to send at `now`, up to 2,048, the longest due first: at most `of_each` for a webhook and none for those
    /// in `busy`. Of a flight's deliveries to a webhook the first alone is due. A disabled webhook gets pings and
    /// repetitions alone.
    async fn due_deliveries(
        &self,
        now: Timestamp,
        busy: &[WebhookId],
        of_each: usize,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// Notes what became of attempts, and makes the next delivery of each flight due. A webhook with a success is
    /// active and fails no more. One whose delivery used up its attempts is disabled if it has been failing since
    /// `disable_before`; one that is gone at once. Returns those that were disabled.
    async fn note_attempts(
        &self,
        attempts: &[Attempt],
        now: Timestamp,
        disable_before: Timestamp,
    ) -> Result<Vec<WebhookId>, StoreError>;

    /// Makes a webhook's deliveries that wait for a further attempt due now: it answers again.
    async fn hasten_deliveries(&self, webhook: WebhookId, now: Timestamp)
    -> Result<(), StoreError>;

    /// Ends deliveries of disabled webhooks as failed, but for pings and repetitions: at most `limit`. Returns how many.
    async fn fail_deliveries(&self, limit: usize) -> Result<usize, StoreError>;

    /// Deletes at most `limit` deliveries: those that have ended and were taken up before `before`, and those of
    /// deleted webhooks, which go with the last. Returns how many.
    async fn forget_deliveries(&self, before: Timestamp, limit: usize)
    -> Result<usize, StoreError>;

    /// How much waits.
    async fn count_webhooks(&self) -> Result<WebhookCounts, StoreError>;

    /// The flights and bookings that events are about, as they are now, without passengers. Unknown and unreadable ones
    /// are left out.
    async fn event_rows(
        &self,
        flights: &[FlightId],
        bookings: &[BookingId],
    ) -> Result<EventRows, StoreError>;
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its webhook.
    pub webhook: WebhookId,
    /// Its flight.
    pub flight: Option<FlightId>,
    /// Status of the answer; `None`: there was none.
    pub response_status: Option<i32>,
    /// What follows.
    pub outcome: AttemptOutcome,
}

/// What follows an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// Nothing: it was delivered.
    Delivered,
    /// Another attempt at this time.
    Again(Timestamp),
    /// Nothing: it was the last.
    UsedUp,
    /// Nothing: the receiver says that it is gone.
    Gone,
}

/// Numbers of webhooks and deliveries; each count stops at [`BACKLOG_MAX`](crate::store::BACKLOG_MAX).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WebhookCounts {
    /// Deliveries that have not ended.
    pub pending: i64,
    /// Active webhooks whose last attempt failed.
    pub failing: i64,
    /// Disabled webhooks.
    pub disabled: i64,
}

/// Rows that events are about.
#[derive(Debug, Clone, Default)]
pub struct EventRows {
    /// The flights, in no order.
    pub flights: Vec<Flight>,
    /// The bookings, in no order.
    pub bookings: Vec<Booking>,
}
