//! One attempt to deliver an event.

use super::endpoint::Next;
use crate::breaker::NoAnswer;
use crate::clock::Clock;
use crate::domain::{Delivery, Timestamp};
use crate::store::{Attempt, AttemptOutcome};
use crate::telemetry::Seconds;
use crate::webhooks::client::{Client, NotDelivered};
use crate::webhooks::schedule::pause_after;
use std::sync::Arc;
use tokio::time::Instant;
use tracing::debug;

/// Says that the receiver does not exist any more (RFC 9110, 15.5.11).
const GONE: u16 = 410;

/// An attempt that came to its end.
pub(super) struct Sent {
    pub(super) delivery: Delivery,
    /// The status of an answer of 2xx, or why there is none.
    pub(super) answer: Result<u16, NoAnswer<NotDelivered>>,
}

/// Sends one delivery, unless the circuit of its receiver is open.
pub(super) async fn send(
    next: Next,
    client: Arc<Client>,
    clock: Arc<dyn Clock>,
    seconds: Seconds,
) -> Sent {
    let Next { webhook, delivery, circuit } = next;
    let sent = delivery.clone();
    let call = Box::pin(async move {
        let began = Instant::now();
        let answer = client.send(&webhook, &sent, clock.now()).await;
        seconds.observe(began.elapsed());
        answer
    });
    Sent { answer: circuit.call(call).await, delivery }
}

impl Sent {
    /// What to note; `None` if nothing was sent.
    pub(super) fn ended(&self, now: Timestamp) -> Option<Attempt> {
        let (response_status, outcome) = match &self.answer {
            Err(NoAnswer::Open(_)) => return None,
            Ok(status) => (Some(*status), AttemptOutcome::Delivered),
            Err(NoAnswer::Failed(NotDelivered::Refused(GONE))) => {
                (Some(GONE), AttemptOutcome::Gone)
            }
            Err(NoAnswer::Failed(NotDelivered::Refused(status))) => {
                (Some(*status), self.again(now))
            }
            Err(NoAnswer::Failed(NotDelivered::NoAnswer(why))) => {
                debug!(webhook = %self.delivery.webhook, delivery = %self.delivery.id, why, "a webhook does not answer");
                (None, self.again(now))
            }
        };
        let Delivery { id, webhook, flight, .. } = &self.delivery;
        Some(Attempt {
            delivery: *id,
            webhook: *webhook,
            flight: *flight,
            response_status: response_status.map(i32::from),
            outcome,
        })
    }

    fn again(&self, now: Timestamp) -> AttemptOutcome {
        let pause = pause_after(self.delivery.id, self.delivery.attempts + 1);
        pause.map_or(AttemptOutcome::UsedUp, |pause| AttemptOutcome::Again(now + pause))
    }
}

/// The outcome in metrics.
pub(super) const fn word_of(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Delivered => "delivered",
        AttemptOutcome::Again(_) => "retried",
        AttemptOutcome::UsedUp | AttemptOutcome::Gone => "failed",
    }
}
