//! The role for messages to travellers: written by a consumer of events, taken by senders one at a time.

use crate::domain::{Booking, BookingId, Channel, MessageKind, MessageStatus, Timestamp};
use crate::store::StoreError;
use crate::store::rows::instant;
use async_trait::async_trait;

/// Maximum count of the messages of a channel.
pub const MESSAGES_COUNTED_MAX: i64 = 100_000;

/// Writes and takes messages.
#[async_trait]
pub trait Messages: Send + Sync + 'static {
    /// These bookings with their passengers, in any order. Unknown and unreadable ones are left out; the store logs
    /// and counts the latter.
    async fn bookings_with_passengers(
        &self,
        bookings: &[BookingId],
    ) -> Result<Vec<Booking>, StoreError>;

    /// When changes of a booking to another flight ended without their payment.
    async fn ended_changes(&self, of: BookingId) -> Result<Vec<Timestamp>, StoreError>;

    /// Adds messages that are due now, in one transaction. Leaves those that are there already, by event, channel and
    /// recipient, and those of bookings whose passengers are erased. Returns how many it added.
    async fn add_messages(
        &self,
        messages: &[NewMessage],
        now: Timestamp,
    ) -> Result<usize, StoreError>;

    /// Notes what became of a message that was taken, and takes the channel's message that is due for the longest
    /// time, in one transaction. A message that is taken is due again at `until`: no other sender takes it before, and
    /// a crash does not lose it.
    async fn take_message(
        &self,
        channel: Channel,
        done: Option<&MessageDone>,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<TakenMessage>, StoreError>;

    /// Notes what became of a message that was taken.
    async fn note_message(&self, done: &MessageDone, now: Timestamp) -> Result<(), StoreError>;

    /// Deletes a message that has become untrue, or whose recipient is no passenger's any more.
    async fn drop_message(&self, id: &str) -> Result<(), StoreError>;

    /// Counts the pending messages of each channel that has any, up to [`MESSAGES_COUNTED_MAX`].
    async fn count_messages(&self) -> Result<Vec<PendingMessages>, StoreError>;

    /// The messages about these bookings with their recipients, in the order of the bookings and of time.
    async fn messages_held(&self, bookings: &[BookingId]) -> Result<Vec<HeldMessage>, StoreError>;
}

/// A message to add. Personal data: never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Its id, and the part of its Message-ID before the `@`.
    pub id: String,
    /// What it tells: type, subject and version.
    pub event_id: String,
    /// Its way.
    pub channel: Channel,
    /// An e-mail address or a telephone number.
    pub recipient: String,
    /// The booking.
    pub booking_id: BookingId,
    /// The event's type.
    pub kind: MessageKind,
    /// Of a mail: its Message-ID.
    pub message_id: Option<String>,
}

/// A message that a sender has taken. Personal data: never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct TakenMessage {
    /// Its id.
    pub id: String,
    /// What it tells: type, subject and version.
    pub event_id: String,
    /// An e-mail address or a telephone number.
    pub recipient: String,
    /// The booking.
    pub booking_id: BookingId,
    /// The event's type.
    pub kind: MessageKind,
    /// How often it was taken, from 1.
    pub attempts: i32,
    /// Of a mail: its Message-ID.
    pub message_id: Option<String>,
    /// When it was added.
    pub created_at: Timestamp,
}

impl std::fmt::Debug for NewMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewMessage({} of {})", self.event_id, self.id)
    }
}

impl std::fmt::Debug for TakenMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TakenMessage({} of {})", self.event_id, self.id)
    }
}

/// What became of a message that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageDone {
    /// Its id.
    pub id: String,
    /// The outcome.
    pub outcome: MessageOutcome,
}

/// The outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageOutcome {
    /// The provider took it.
    Sent,
    /// It is given up.
    Failed,
    /// It is due again at this time.
    Later(Timestamp),
    /// No attempt was made; it is due again at this time.
    Untried(Timestamp),
}

impl MessageOutcome {
    /// The status, when a pending message is due again, and the number of attempts to take back.
    pub(in crate::store) fn columns(self) -> (MessageStatus, Option<Timestamp>, i32) {
        match self {
            Self::Sent => (MessageStatus::Sent, None, 0),
            Self::Failed => (MessageStatus::Failed, None, 0),
            Self::Later(at) => (MessageStatus::Pending, Some(at), 0),
            Self::Untried(at) => (MessageStatus::Pending, Some(at), 1),
        }
    }
}

/// The pending messages of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingMessages {
    /// The channel.
    pub channel: Channel,
    /// Their number.
    pub count: i64,
    /// When the oldest of them was added.
    pub since: Timestamp,
}

/// A message as an export shows it, with personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldMessage {
    /// The booking.
    pub booking: BookingId,
    /// Its way.
    pub channel: String,
    /// The event's type.
    pub kind: String,
    /// An e-mail address or a telephone number.
    pub recipient: String,
    /// Its state.
    pub status: String,
    /// When it was added.
    pub created_at: Option<Timestamp>,
    /// When its state last changed.
    pub updated_at: Option<Timestamp>,
}

/// Booking, channel, type, recipient, status, `created_at` and `updated_at` in microseconds since 1970.
pub(in crate::store) type HeldMessageRow = (i64, String, String, String, String, i64, i64);

impl From<HeldMessageRow> for HeldMessage {
    fn from(
        (booking, channel, kind, recipient, status, created_at, updated_at): HeldMessageRow,
    ) -> Self {
        let (created_at, updated_at) = (instant(created_at), instant(updated_at));
        Self {
            booking: BookingId(booking),
            channel,
            kind,
            recipient,
            status,
            created_at,
            updated_at,
        }
    }
}
