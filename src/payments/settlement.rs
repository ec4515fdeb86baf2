//! Settlement reads `payment-events` and submits them to the engine.

use crate::bus::{Bus, BusError, OUTAGE_PAUSE, received};
use crate::clock::pace::Pace;
use crate::engine::{Engine, Error};
use crate::messages::{Message, Topic, parse_payment_event};
use crate::rules::{Command, Refusal, Settle};
use crate::store::StoreError;
use crate::telemetry::{Metrics, Progress, Span, Tracing};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// Events settled at once: several batches of the engine. Events of a flight that is in a running batch must
/// wait for the next one. Taking several batches' worth at once lets the events of other flights go on
/// meanwhile.
const BATCH_SIZE_MAX: usize = 2_048;

/// Minimum time between two turns, each of which is a batch of the engine or more.
const TURN: Duration = Duration::from_millis(3);

/// Applies the results of the gateway.
pub struct Settlement {
    /// Delivers the events.
    pub bus: Arc<dyn Bus>,
    /// The engine.
    pub engine: Engine,
    /// The consumer group (`KAFKA_GROUP_ID`).
    pub group: String,
    /// Counts dead letters.
    pub metrics: Metrics,
    /// Continues the traces of the events.
    pub tracing: Tracing,
    /// Records each settled batch.
    pub progress: Progress,
}

/// Why settlement restarts. The bus delivers its events again.
#[derive(Debug, thiserror::Error)]
enum SettlementError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Engine(#[from] Error),
}

impl Settlement {
    /// Runs until dropped.
    pub async fn run(&self) {
        loop {
            let Err(error) = self.work().await;
            warn!(%error, "settlement failed, restarting");
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

    /// Settles a batch. Events that can never be applied become dead letters.
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
                        refund_id: event.refund_id,
                    }));
                    sources.push((message, span));
                }
                Err(malformed) => self.dead_letter(message, span, &malformed.to_string()).await?,
            }
        }
        let callers: Vec<_> = sources.iter().map(|(_, span)| span.context()).collect();
        let outcomes = self.engine.submit_all(commands, &callers).await?;
        for (outcome, (message, span)) in outcomes.into_iter().zip(sources) {
            match outcome {
                Ok(_) => {}
                Err(Error::Refused(refusal)) => {
                    self.dead_letter(message, span, &reason(&refusal)).await?;
                }
                // The other events must not wait for that row. Nothing is lost, as below.
                Err(Error::Store(locked @ StoreError::Locked(_))) => {
                    span.fail("locked");
                    warn!(error = %locked, "a payment is not settled yet; its gateway is asked again");
                }
                // A retry could block the partition for ever. Nothing is lost: the payment is still
                // open, so the sweeper repeats the request, and its answer is another event.
                Err(Error::Store(
                    fault @ (StoreError::Corrupt { .. } | StoreError::Refused(_)),
                )) => self.dead_letter(message, span, &fault.to_string()).await?,
                Err(Error::Panicked) => {
                    self.dead_letter(message, span, "settling it made the service panic").await?;
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

    async fn dead_letter(
        &self,
        message: Message,
        span: Span,
        reason: &str,
    ) -> Result<(), BusError> {
        span.fail("dead_letter");
        self.bus.dead_letter(Topic::PaymentEvents, message, reason).await?;
        self.metrics.count_dead_lettered(Topic::PaymentEvents);
        Ok(())
    }
}

/// Why an event was refused, without its content, since reasons are stored and logged.
fn reason(refusal: &Refusal) -> String {
    match refusal {
        Refusal::UnknownPayment(_) => "there is no payment of this reference".to_owned(),
        Refusal::UnknownRefund(_) => "there is no refund of this id".to_owned(),
        Refusal::BookingMismatch(_) => "the payment is for another booking".to_owned(),
        Refusal::AmountMismatch { expected, .. } => {
            format!("the payment is over {expected}, and the event names another amount")
        }
        other => other.to_string(),
    }
}
