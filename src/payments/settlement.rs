//! Settlement: reads `payment-events` and brings their bookings to an end, through the door.

use crate::bus::{Bus, BusError, received};
use crate::clock::pace::Pace;
use crate::engine::{Engine, Error};
use crate::messages::{Message, Topic, parse_payment_event};
use crate::rules::{Command, Refusal, Settle};
use crate::store::StoreError;
use crate::telemetry::{Metrics, Progress, Span, Tracing};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// Events settled at once: several batches of the engine, since flights that a batch of holds has are
/// settled a batch later. With one batch at a time those few held up all the others.
const BATCH_SIZE_MAX: usize = 2_048;

/// The least time between two looks at the bus, each of which is a batch of the engine or more.
const TURN: Duration = Duration::from_millis(3);

/// The pause after the store or the bus failed.
const OUTAGE_PAUSE: Duration = Duration::from_millis(250);

/// Applies what the gateway said.
pub struct Settlement {
    /// Where events come from.
    pub bus: Arc<dyn Bus>,
    /// The door.
    pub engine: Engine,
    /// The consumer group (`KAFKA_GROUP_ID`).
    pub group: String,
    /// Counts what is put aside.
    pub metrics: Metrics,
    /// Goes on with the traces of the events.
    pub tracing: Tracing,
    /// Records each settled batch.
    pub progress: Progress,
}

/// Settlement cannot go on for now; what it had comes again.
#[derive(Debug, thiserror::Error)]
enum SettlementError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Engine(#[from] Error),
}

impl Settlement {
    /// Works until stopped from outside.
    pub async fn run(&self) {
        loop {
            let Err(error) = self.work().await;
            warn!(%error, "settlement starts again");
            tokio::time::sleep(OUTAGE_PAUSE).await;
        }
    }

    async fn work(&self) -> Result<std::convert::Infallible, SettlementError> {
        let mut events = self.bus.consume(Topic::PaymentEvents, &self.group).await?;
        let mut pace = Pace::of(TURN);
        loop {
            pace.turn().await;
            let messages = events.receive(BATCH_SIZE_MAX).await?;
            self.metrics.count_consumed(Topic::PaymentEvents, &self.group, messages.len());
            self.settle(messages).await?;
            events.commit().await?;
            self.progress.step();
        }
    }

    /// Settles a batch; what can never be applied is put aside.
    async fn settle(&self, messages: Vec<Message>) -> Result<(), SettlementError> {
        let mut commands = Vec::with_capacity(messages.len());
        let mut sources = Vec::with_capacity(messages.len());
        for message in messages {
            let span = received(&self.tracing, &*self.bus, Topic::PaymentEvents, &message);
            match parse_payment_event(&message) {
                Ok(event) => {
                    commands.push(Command::Settle(Settle {
                        reference: event.payment_reference_id,
                        booking_id: event.booking_id,
                        amount: event.amount,
                        outcome: event.status,
                    }));
                    sources.push((message, span));
                }
                Err(malformed) => self.put_aside(message, span, &malformed.to_string()).await?,
            }
        }
        let callers: Vec<_> = sources.iter().map(|(_, span)| span.context()).collect();
        let outcomes = self.engine.submit_all(commands, &callers).await?;
        for (outcome, (message, span)) in outcomes.into_iter().zip(sources) {
            match outcome {
                Ok(_) => {}
                Err(Error::Refused(refusal)) => {
                    self.put_aside(message, span, &reason(&refusal)).await?;
                }
                // The others do not wait for that row. Nothing is lost, for the same reason as below.
                Err(Error::Store(locked @ StoreError::Locked(_))) => {
                    span.fail("locked");
                    warn!(error = %locked, "a payment is not settled yet; its gateway is asked again");
                }
                // Asking again would pin its partition for ever. Nothing is lost: the payment still
                // waits, so the sweeper has the gateway asked again, whose answer is another event.
                Err(Error::Store(
                    fault @ (StoreError::Corrupt { .. } | StoreError::Refused(_)),
                )) => self.put_aside(message, span, &fault.to_string()).await?,
                Err(Error::Panicked) => {
                    self.put_aside(message, span, "settling it made the service panic").await?;
                }
                Err(
                    error @ (Error::Overloaded
                    | Error::Stopping
                    | Error::Store(StoreError::Unavailable(_) | StoreError::TimedOut(_))),
                ) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn put_aside(&self, message: Message, span: Span, reason: &str) -> Result<(), BusError> {
        span.fail("dead_letter");
        self.bus.dead_letter(Topic::PaymentEvents, message, reason).await?;
        self.metrics.count_dead_lettered(Topic::PaymentEvents);
        Ok(())
    }
}

/// Why an event was refused, without what it says: reasons are kept and logged.
fn reason(refusal: &Refusal) -> String {
    match refusal {
        Refusal::UnknownPayment(_) => "there is no payment of this reference".to_owned(),
        Refusal::BookingMismatch(_) => "the payment is for another booking".to_owned(),
        Refusal::AmountMismatch { expected, .. } => {
            format!("the payment is over {expected}, and the event names another amount")
        }
        other => other.to_string(),
    }
}
