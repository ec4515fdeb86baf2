//! The outbox: what must happen after a commit, written in that same commit.

use super::StoreError;
use crate::booking::Told;
use crate::bus::{Message, Topic};
use crate::domain::{DayKey, Event, Outdated, Timestamp};
use crate::telemetry::TRACEPARENT;

/// One row of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its number, drawn by the insert; 0 before.
    pub id: i64,
    /// What must happen.
    pub outbound: Outbound,
}

/// What must happen after a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outbound {
    /// A message goes out.
    Publish(Topic, Message),
    /// Cached answers end.
    Outdate(Outdated),
}

/// The word that marks an [`Outbound::Outdate`] among the topics.
pub(super) const OUTDATE: &str = "search-outdated";

impl From<&Event> for OutboxEntry {
    fn from(event: &Event) -> Self {
        let (topic, message) = event.into();
        Self { id: 0, outbound: Outbound::Publish(topic, message) }
    }
}

impl From<&Told> for OutboxEntry {
    fn from(told: &Told) -> Self {
        Self::from(&told.event).in_trace(told.traceparent.as_deref())
    }
}

impl OutboxEntry {
    /// The same, whose message goes on with a trace.
    #[must_use]
    pub fn in_trace(mut self, traceparent: Option<&str>) -> Self {
        if let (Outbound::Publish(_, message), Some(traceparent)) =
            (&mut self.outbound, traceparent)
        {
            message.headers.set(TRACEPARENT, traceparent);
        }
        self
    }

    /// Ends the cached answers of these routes and days.
    pub fn outdate(days: &[DayKey]) -> Self {
        let days = days.iter().map(|day| (day.route.clone(), day.date)).collect();
        Self { id: 0, outbound: Outbound::Outdate(Outdated::Days(days)) }
    }

    /// Ends every cached answer.
    pub fn outdate_all() -> Self {
        Self { id: 0, outbound: Outbound::Outdate(Outdated::All) }
    }

    /// When what its message tells happened; nothing for answers that end.
    pub fn since(&self) -> Option<Timestamp> {
        match &self.outbound {
            Outbound::Publish(_, message) => message.headers.get("ce_time")?.parse().ok(),
            Outbound::Outdate(_) => None,
        }
    }

    /// The row's columns: topic, and message as JSON.
    pub fn columns(&self) -> (&'static str, String) {
        let json = |result: serde_json::Result<String>| result.expect("plain data is always JSON");
        match &self.outbound {
            Outbound::Publish(topic, message) => {
                (topic.as_str(), json(serde_json::to_string(message)))
            }
            Outbound::Outdate(outdated) => (OUTDATE, json(serde_json::to_string(outdated))),
        }
    }
}

impl TryFrom<(i64, String, String)> for OutboxEntry {
    type Error = StoreError;

    /// The entry that a row's columns say: id, topic, and message as JSON.
    fn try_from((id, topic, message): (i64, String, String)) -> Result<Self, StoreError> {
        let outbound = if topic == OUTDATE {
            serde_json::from_str(&message).ok().map(Outbound::Outdate)
        } else {
            let message = serde_json::from_str(&message).ok();
            Topic::parse(&topic)
                .zip(message)
                .map(|(topic, message)| Outbound::Publish(topic, message))
        };
        let corrupt =
            || StoreError::Corrupt { table: "outbox", column: "message", row: id.to_string() };
        Ok(Self { id, outbound: outbound.ok_or_else(corrupt)? })
    }
}
