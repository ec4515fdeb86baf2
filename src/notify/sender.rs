//! The sender of a channel: takes the message that is due for the longest time, hands it to the provider, and notes what
//! the provider said, one message after the other.
//!
//! A message belongs to its sender for a while; a process that is killed between the provider's word and the note
//! leaves it to be taken again, with the same Message-ID. As one message is under way at a time, at most one a kill is
//! sent twice.

use super::calendar::{calendar, is_for_calendars};
use super::content::{Rows, Shown};
use super::mail::mail;
use super::provider::{Letter, Provider, ProviderError, Said};
use super::smtp::SmtpProvider;
use super::templates::Templates;
use crate::breaker::{Breaker, NoAnswer};
use crate::clock::Clock;
use crate::domain::{Channel, Timestamp};
use crate::store::{MessageDone, MessageOutcome, Store, StoreError, TakenMessage};
use crate::telemetry::{MessageEvent, Metrics};
use chrono::TimeDelta;
use lettre::message::Mailbox;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// How long a message is tried. News of yesterday helps nobody.
pub const GIVE_UP_AFTER: TimeDelta = TimeDelta::hours(24);

/// The pause before the second attempt; twice as long before each further one.
const RETRY_AFTER: TimeDelta = TimeDelta::seconds(15);

/// The longest pause between two attempts.
const RETRY_AFTER_MAX: TimeDelta = TimeDelta::hours(1);

/// How often a sender looks for messages that others have added.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The pause after the store failed.
const OUTAGE_PAUSE: Duration = Duration::from_millis(250);

/// How often pending messages are counted.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// A margin behind the time of an attempt, in which its outcome is written.
const NOTE_WITHIN: TimeDelta = TimeDelta::seconds(5);

/// The sender of a channel.
pub struct Sender {
    channel: Channel,
    provider: Arc<dyn Provider>,
    /// Of mails: who sends them.
    from: Option<Mailbox>,
    breaker: Breaker,
    timeout: Duration,
    parts: SenderParts,
}

/// What senders share.
#[derive(Clone)]
pub struct SenderParts {
    /// Has the messages, and the rows that they are written from.
    pub store: Arc<dyn Store>,
    /// Tells what is due.
    pub clock: Arc<dyn Clock>,
    /// Write the messages.
    pub templates: Arc<Templates>,
    /// How values are shown.
    pub shown: Shown,
    /// The domain of ids in mails and calendars.
    pub domain: String,
    /// Counts messages.
    pub metrics: Metrics,
    /// Notified when messages are due.
    pub due: Arc<Notify>,
}

/// What became of a message that was taken.
enum Attempt {
    Ended(MessageOutcome),
    /// The message is gone.
    Dropped,
    /// The circuit is open: nothing goes out for this time.
    Closed(Duration),
}

impl Sender {
    /// A sender of mails.
    pub fn of_mail(provider: SmtpProvider, timeout: Duration, parts: SenderParts) -> Self {
        let from = Some(provider.from().clone());
        Self::new(Channel::Mail, Arc::new(provider), from, timeout, parts)
    }

    /// A sender of SMS.
    pub fn of_sms(provider: Arc<dyn Provider>, timeout: Duration, parts: SenderParts) -> Self {
        Self::new(Channel::Sms, provider, None, timeout, parts)
    }

    fn new(
        channel: Channel,
        provider: Arc<dyn Provider>,
        from: Option<Mailbox>,
        timeout: Duration,
        parts: SenderParts,
    ) -> Self {
        let target = match channel {
            Channel::Mail => "smtp",
            Channel::Sms => "sms",
        };
        let breaker = Breaker::new(target, timeout / 2, &parts.metrics);
        parts.metrics.start_messages(channel.as_str());
        Self { channel, provider, from, breaker, timeout, parts }
    }

    /// Runs until `stop`; then it ends behind the message that is under way.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut done = None;
        let mut counted_at: Option<Instant> = None;
        while !stop.is_cancelled() {
            if counted_at.is_none_or(|at| at.elapsed() >= COUNT_EVERY) {
                counted_at = Some(Instant::now());
                self.count().await;
            }
            let pause = match self.step(&mut done).await {
                Ok(Some(pause)) => pause,
                Ok(None) => LOOK_EVERY,
                Err(error) => {
                    debug!(%error, channel = self.channel.as_str(), "no message can be taken");
                    OUTAGE_PAUSE
                }
            };
            if pause > Duration::ZERO {
                self.rest(pause, stop).await;
            }
        }
        if let Some(done) = done {
            let noted = self.parts.store.note_message(&done, self.parts.clock.now()).await;
            if let Err(error) = noted {
                warn!(%error, message.id = done.id, "what became of a message is not noted");
            }
        }
    }

    /// Waits for that time. New messages end the wait, unless the circuit is open: its pauses are longer.
    async fn rest(&self, time: Duration, stop: &CancellationToken) {
        let due = async {
            if time <= LOOK_EVERY {
                self.parts.due.notified().await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = sleep(time) => {}
            () = due => {}
            () = stop.cancelled() => {}
        }
    }

    /// Notes what became of the last message, and sends the next one that is due. Returns the pause before the next
    /// step; `None`: no message is due.
    async fn step(&self, done: &mut Option<MessageDone>) -> Result<Option<Duration>, StoreError> {
        let SenderParts { store, clock, .. } = &self.parts;
        let now = clock.now();
        let time = TimeDelta::from_std(self.timeout).unwrap_or(RETRY_AFTER_MAX);
        let until = now + time + NOTE_WITHIN;
        let taken = store.take_message(self.channel, done.as_ref(), now, until).await?;
        *done = None;
        let Some(message) = taken else { return Ok(None) };
        let attempt = self.attempt(&message).await?;
        let outcome = |outcome| Some(MessageDone { id: message.id.clone(), outcome });
        match attempt {
            Attempt::Ended(ended) => *done = outcome(ended),
            Attempt::Dropped => {}
            Attempt::Closed(pause) => {
                let at = now + TimeDelta::from_std(pause).unwrap_or(RETRY_AFTER);
                *done = outcome(MessageOutcome::Untried(at));
                return Ok(Some(pause));
            }
        }
        Ok(Some(Duration::ZERO))
    }

    async fn attempt(&self, message: &TakenMessage) -> Result<Attempt, StoreError> {
        let letter = match self.letter(message).await {
            Ok(Some(letter)) => letter,
            Ok(None) => {
                self.parts.store.drop_message(&message.id).await?;
                return Ok(Attempt::Dropped);
            }
            Err(Unsendable::Store(error)) => return Err(error),
            Err(Unsendable::Message(reason)) => return Ok(self.give_up(message, &reason)),
        };
        let (provider, time) = (self.provider.clone(), self.timeout);
        let handing_over = async move {
            // The time-out is inside the circuit: a call that is dropped would not count.
            let said = timeout(time, provider.hand_over(&letter)).await;
            said.unwrap_or_else(|_| Err(ProviderError("no answer in MESSAGE_TIMEOUT".into())))
        };
        Ok(match self.breaker.call(Box::pin(handing_over)).await {
            Ok(Said::Taken) => {
                self.count_event(MessageEvent::Sent);
                Attempt::Ended(MessageOutcome::Sent)
            }
            Ok(Said::Refused(reason)) => self.give_up(message, &reason),
            Ok(Said::Later(reason)) => self.try_later(message, &reason),
            Err(NoAnswer::Failed(error)) => self.try_later(message, &error.to_string()),
            Err(NoAnswer::Open(pause)) => Attempt::Closed(pause),
        })
    }

    fn try_later(&self, message: &TakenMessage, reason: &str) -> Attempt {
        let now = self.parts.clock.now();
        let at = now + pause_after(message.attempts);
        if at - message.created_at > GIVE_UP_AFTER {
            return self.give_up(message, reason);
        }
        self.count_event(MessageEvent::Retried);
        info!(
            message.id,
            channel = self.channel.as_str(),
            reason,
            attempts = message.attempts,
            "a message was not sent, and is tried again"
        );
        Attempt::Ended(MessageOutcome::Later(at))
    }

    fn give_up(&self, message: &TakenMessage, reason: &str) -> Attempt {
        self.count_event(MessageEvent::Failed);
        warn!(
            message.id, channel = self.channel.as_str(), reason, attempts = message.attempts,
            booking.id = %message.booking_id, "a message is given up"
        );
        Attempt::Ended(MessageOutcome::Failed)
    }

    /// What the provider gets, from the rows of now; `None`: nobody has the recipient any more.
    async fn letter(&self, message: &TakenMessage) -> Result<Option<Letter>, Unsendable> {
        let SenderParts { store, shown, templates, domain, .. } = &self.parts;
        let Some(rows) = Rows::read(&**store, message).await? else { return Ok(None) };
        let Some(content) = rows.content(message, self.channel, shown) else { return Ok(None) };
        let unwritable = |error: &dyn std::fmt::Display| Unsendable::Message(error.to_string());
        let body = match &self.from {
            Some(from) => {
                let page = templates.page(&content).map_err(|error| unwritable(&error))?;
                let stamp = message.created_at;
                let calendar = calendar(rows.segments(), &content.reference, stamp, domain);
                let calendar = calendar.filter(|_| is_for_calendars(message.kind));
                mail(message, from, &content.names, page, calendar)
                    .map_err(|error| unwritable(&error))?
            }
            None => templates.sms(&content).map_err(|error| unwritable(&error))?.into_bytes(),
        };
        let (id, recipient) = (message.id.clone(), message.recipient.clone());
        Ok(Some(Letter { id, recipient, body }))
    }

    async fn count(&self) {
        match self.parts.store.count_messages().await {
            Ok(counts) => {
                let its = counts.iter().find(|its| its.channel == self.channel);
                let age = |since: Timestamp| (self.parts.clock.now() - since).as_seconds_f64();
                let (count, age) = its.map_or((0, 0.0), |its| (its.count, age(its.since)));
                self.parts.metrics.set_messages_pending(self.channel.as_str(), count, age);
            }
            Err(error) => debug!(%error, "pending messages cannot be counted"),
        }
    }

    fn count_event(&self, event: MessageEvent) {
        self.parts.metrics.count_message(self.channel.as_str(), event);
    }
}

/// Why a message does not go out.
enum Unsendable {
    Store(StoreError),
    /// It cannot be written, now or later.
    Message(String),
}

impl From<StoreError> for Unsendable {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt { .. } => Self::Message(error.to_string()),
            error => Self::Store(error),
        }
    }
}

/// The pause behind an attempt, counted from 1.
fn pause_after(attempts: i32) -> TimeDelta {
    let doublings = attempts.clamp(1, 16) - 1;
    (RETRY_AFTER * 2_i32.pow(doublings.unsigned_abs())).min(RETRY_AFTER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let seconds: Vec<_> = [0, 1, 2, 3, 8, 9, 99]
            .into_iter()
            .map(|attempts| pause_after(attempts).num_seconds())
            .collect();
        assert_eq!(seconds, [15, 15, 30, 60, 1_920, 3_600, 3_600]);
    }
}
