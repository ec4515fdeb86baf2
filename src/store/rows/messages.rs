//! Rows of messages to travellers.

use super::{Cell, instant};
use crate::domain::{BookingId, Channel, MessageEnded};
use crate::store::StoreError;
use crate::store::roles::messages::{PendingMessages, TakenMessage};

/// Id, event, recipient, booking, type, attempts, Message-ID, and `created_at` in microseconds.
pub(in crate::store) type TakenRow =
    (String, String, String, i64, String, i32, Option<String>, i64);

/// Channel, number, and the oldest one's `created_at` in microseconds.
pub(in crate::store) type PendingRow = (String, i64, i64);

/// Channel, type, whether it was sent, and when, in microseconds.
pub(in crate::store) type EndedRow = (String, String, bool, i64);

/// Deletes a message.
pub(in crate::store) const DROP_MESSAGE: &str = "DELETE FROM messages WHERE id = $1";

/// Takes the message of channel `$1` that is due at `$now` for the longest time, until `$until`.
macro_rules! take_message {
    ($now:literal, $until:literal, $locked:literal, $micros:ident) => {
        concat!(
            "UPDATE messages SET attempts = attempts + 1, next_attempt_at = ",
            $until,
            " WHERE id = (
                 SELECT id FROM messages
                  WHERE status = 'pending' AND channel = $1 AND next_attempt_at <= ",
            $now,
            " ORDER BY next_attempt_at, id LIMIT 1 ",
            $locked,
            ") RETURNING id, event_id, recipient, booking_id, type, attempts, message_id, ",
            $micros!("created_at")
        )
    };
}

/// Notes what became of message `$1`: its status `$2`, when it is due again `$due`, attempts to take back `$4`, at
/// `$now`.
macro_rules! note_message {
    ($due:literal, $now:literal) => {
        concat!(
            "UPDATE messages SET status = $2, next_attempt_at = coalesce(",
            $due,
            ", next_attempt_at), attempts = CASE WHEN attempts >= $4 THEN attempts - $4 ELSE 0 END, updated_at = ",
            $now,
            " WHERE id = $1 AND status = 'pending'"
        )
    };
}

/// When changes of booking `$1` were declined or lapsed.
macro_rules! ended_changes {
    ($micros:ident) => {
        concat!(
            "SELECT ",
            $micros!("updated_at"),
            " FROM bookings WHERE replaces = $1 AND status = 'failed'"
        )
    };
}

/// Counts the pending messages of both channels, each up to `$1`.
macro_rules! count_messages {
    ($micros:ident) => {
        concat!(
            "SELECT channel, count(*), ",
            $micros!("min(created_at)"),
            " FROM (SELECT * FROM (SELECT channel, created_at FROM messages
                      WHERE status = 'pending' AND channel = 'mail' LIMIT $1) AS mail
                    UNION ALL
                    SELECT * FROM (SELECT channel, created_at FROM messages
                      WHERE status = 'pending' AND channel = 'sms' LIMIT $1) AS sms) AS pending
               GROUP BY channel ORDER BY channel"
        )
    };
}

/// The messages about booking `$1` that have ended.
macro_rules! ended_messages {
    ($micros:ident) => {
        concat!(
            "SELECT channel, type, status = 'sent', ",
            $micros!("updated_at"),
            " FROM messages WHERE booking_id = $1 AND status <> 'pending'
               ORDER BY updated_at, id"
        )
    };
}

/// The messages about bookings that `$these` names.
macro_rules! messages_held {
    ($these:literal, $micros:ident) => {
        concat!(
            "SELECT booking_id, channel, type, recipient, status, ",
            $micros!("created_at"),
            ", ",
            $micros!("updated_at"),
            " FROM messages WHERE booking_id ",
            $these,
            " ORDER BY booking_id, created_at, id"
        )
    };
}

pub(in crate::store) use {
    count_messages, ended_changes, ended_messages, messages_held, note_message, take_message,
};

/// The message of a row.
pub(in crate::store) fn taken(row: TakenRow) -> Result<TakenMessage, StoreError> {
    let (id, event_id, recipient, booking, kind, attempts, message_id, created_at) = row;
    let cell = Cell { table: "messages", row: id.clone() };
    Ok(TakenMessage {
        kind: cell.read("type", kind.parse().ok())?,
        created_at: cell.read("created_at", instant(created_at))?,
        booking_id: BookingId(booking),
        id,
        event_id,
        recipient,
        attempts,
        message_id,
    })
}

/// The pending messages of a row.
pub(in crate::store) fn pending(
    (channel, count, since): PendingRow,
) -> Result<PendingMessages, StoreError> {
    let cell = Cell { table: "messages", row: channel.clone() };
    Ok(PendingMessages {
        channel: cell.read("channel", channel.parse().ok())?,
        count,
        since: cell.read("created_at", instant(since))?,
    })
}

/// Messages that have ended. One of a type of a later release is left out.
pub(in crate::store) fn ended(rows: Vec<EndedRow>) -> Vec<MessageEnded> {
    let read = |(channel, kind, is_sent, at): EndedRow| {
        let channel: Channel = channel.parse().ok()?;
        Some(MessageEnded { channel, kind: kind.parse().ok()?, is_sent, at: instant(at)? })
    };
    rows.into_iter().filter_map(read).collect()
}
