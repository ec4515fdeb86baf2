//! The payment worker reads `payment-requests`, calls the gateway, and writes `payment-events`.
//!
//! The payment's or refund's row is the durable record of the work. A request is committed on the bus once it is taken,
//! and the sweeper repeats requests that a crash interrupted. Slow calls run side by side and block nothing.

use super::calls::Calls;
use super::gateway_calls::Told;
use super::requests::Asked;
use crate::breaker::{Breaker, NoAnswer};
use crate::bus::{Bus, Interrupted, OUTAGE_PAUSE, publish};
use crate::clock::Clock;
use crate::clock::pace::Pace;
use crate::domain::{PaymentEvent, PaymentOutcome};
use crate::gateway::{Gateway, GatewayError};
use crate::messages::{Message, Topic};
use crate::store::{Bookings, PaymentNotes};
use crate::tasks::Tasks;
use crate::telemetry::{Metrics, Part, Progress, Span, TRACEPARENT, Tracing};
use futures::future::BoxFuture;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Maximum number of requests taken from the bus, and of events given to it, at once.
const BATCH_SIZE_MAX: usize = 2_048;

/// Minimum time between two turns.
const TURN: Duration = Duration::from_millis(3);

/// Maximum number of running and of waiting captures; beyond both, the sweeper repeats the request.
const CAPTURES_MAX: usize = 4_096;
const CAPTURES_WAITING_MAX: usize = 16_384;

/// Maximum number of running and of waiting reversals and refunds. Separate, so that unanswered captures delay no
/// refund.
const REVERSALS_MAX: usize = 1_024;
const REVERSALS_WAITING_MAX: usize = 8_192;

/// Attempts of one request if the gateway gives no answer; the sweeper repeats it later.
const ATTEMPTS_MAX: u32 = 3;

/// The pause before the second attempt; four times as long before each further one.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Carries out `payment-requests` at the gateway.
#[derive(Clone)]
pub struct PaymentWorker {
    /// Where requests come from and events go.
    pub bus: Arc<dyn Bus>,
    /// Knows which requests are still open.
    pub store: Arc<dyn Bookings>,
    /// Takes what the gateway says beside an outcome.
    pub notes: Arc<dyn PaymentNotes>,
    /// The payment gateway.
    pub gateway: Arc<dyn Gateway>,
    /// Decides whether a hold has lapsed.
    pub clock: Arc<dyn Clock>,
    /// The consumer group (`KAFKA_PAYMENT_GROUP_ID`).
    pub group: String,
    /// Time limit of one call (`GATEWAY_TIMEOUT`).
    pub timeout: Duration,
    /// The circuits around the gateway.
    pub circuits: Arc<GatewayCircuits>,
    /// Metrics of gateway calls and dead letters.
    pub metrics: Metrics,
    /// Runs the gateway calls.
    pub tasks: Tasks,
    /// Continues the traces of the requests.
    pub tracing: Tracing,
    /// Records each batch of requests taken from the bus.
    pub taking: Progress,
    /// Records open gateway calls, and each answer on its way to the bus.
    pub answering: Progress,
}

/// The gateway's circuits: one for each kind of call, so that captures without an answer delay no refund.
pub struct GatewayCircuits {
    pub(super) captures: Breaker,
    /// Reversals and refunds.
    pub(super) refunds: Breaker,
}

impl GatewayCircuits {
    /// Closed circuits. Calls that take half of `timeout` or longer count as failed.
    pub fn new(timeout: Duration, metrics: &Metrics) -> Self {
        let circuit = |target| Breaker::new(target, timeout / 2, metrics);
        Self { captures: circuit("gateway"), refunds: circuit("gateway_refunds") }
    }

    /// Makes a call of at most `time` within one of the circuits. A refusal is an answer: it does not count against the
    /// circuit. Else refunds that wait for a dispute would keep out the news of its end.
    pub(super) async fn call<T: Send + 'static>(
        circuit: &Breaker,
        time: Duration,
        call: BoxFuture<'static, Result<T, GatewayError>>,
    ) -> Result<T, NoAnswer<GatewayError>> {
        // The time-out is inside the circuit: a call that is dropped would not count.
        let timed = async move {
            match tokio::time::timeout(time, call).await {
                Ok(Err(GatewayError::Refused(reason))) => Ok(Err(GatewayError::Refused(reason))),
                Ok(answer) => answer.map(Ok),
                Err(_) => Err(GatewayError::late()),
            }
        };
        circuit.call(Box::pin(timed)).await?.map_err(NoAnswer::Failed)
    }
}

/// A result of the gateway, with the span of its request.
type Answered = (PaymentEvent, Span);

impl PaymentWorker {
    /// Runs until `stop`; then takes no more requests, and ends when all running calls are answered and their
    /// results published.
    pub async fn run(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let Err(error) = self.work(stop).await else { return };
            warn!(%error, "the payment worker failed, restarting");
            tokio::select! {
                biased;
                () = tokio::time::sleep(OUTAGE_PAUSE) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn work(&self, stop: &CancellationToken) -> Result<(), Interrupted> {
        let (events, outbound) = mpsc::channel(BATCH_SIZE_MAX);
        let mut publishing = pin!(self.publish(outbound));
        tokio::select! {
            biased;
            failed = &mut publishing => return failed,
            failed = self.take(events, stop) => match failed? {},
            () = stop.cancelled() => {}
        }
        // Each call has its own sender, so the channel closes with the last call.
        publishing.await
    }

    /// Takes requests from the bus and starts their calls.
    async fn take(
        &self,
        events: mpsc::Sender<Answered>,
        stop: &CancellationToken,
    ) -> Result<Infallible, Interrupted> {
        let mut requests = self.bus.consume(Topic::PaymentRequests, &self.group).await?;
        let captures = Calls::new(CAPTURES_MAX, CAPTURES_WAITING_MAX);
        let reversals = Calls::new(REVERSALS_MAX, REVERSALS_WAITING_MAX);
        let mut pace = Pace::of(TURN);
        loop {
            pace.turn().await;
            let messages = requests.receive(BATCH_SIZE_MAX).await?;
            self.metrics.count_consumed(Topic::PaymentRequests, &self.group, messages.len());
            for asked in self.open(messages).await? {
                let calls = if asked.call.payment().is_some() { &captures } else { &reversals };
                self.start(asked, calls, &events, stop);
            }
            requests.commit().await?;
            self.taking.step();
        }
    }

    /// Starts a call beside the others. It waits for its permit; if too many calls wait, the sweeper repeats the
    /// request later, so that requests behind it go on.
    fn start(
        &self,
        asked: Asked,
        calls: &Calls,
        events: &mpsc::Sender<Answered>,
        stop: &CancellationToken,
    ) {
        let Some(pending) = calls.enter() else {
            self.metrics.payments_deferred.inc();
            asked.span.fail("deferred");
            return;
        };
        let (worker, events, stop) = (self.clone(), events.clone(), stop.clone());
        let open = self.answering.begin();
        self.tasks.spawn(async move {
            let permits = pending.start().await;
            let asking = worker.ask_until_answered(&asked, &stop);
            let answer = worker.metrics.catch(Part::GatewayCall, asking).await;
            if answer.is_err() {
                asked.span.fail("panicked");
                warn!(booking.id = %asked.booking, "the gateway call panicked; the sweeper repeats the request");
            }
            if let Ok(Some(event)) = answer {
                // A closed channel means that the worker restarts; the sweeper repeats the request.
                let _ = events.send((event, asked.span)).await;
                worker.answering.step();
            }
            drop((open, permits));
        });
    }

    /// Asks until the gateway answers, for some attempts. While its circuit is open, a capture waits as long as
    /// its hold, and other calls wait until it closes or the worker stops; the sweeper repeats them.
    async fn ask_until_answered(
        &self,
        asked: &Asked,
        stop: &CancellationToken,
    ) -> Option<PaymentEvent> {
        let Asked { reference, booking, span, .. } = asked;
        let mut pause = RETRY_AFTER;
        let mut attempt = 1;
        while attempt <= ATTEMPTS_MAX {
            if self.is_too_late(asked) {
                span.fail("lapsed");
                return None;
            }
            let asked_at = Instant::now();
            let answer = match self.ask(asked).await {
                Ok(outcome) => Ok(outcome),
                Err(NoAnswer::Failed(error)) => Err(error),
                Err(NoAnswer::Open(_)) if planted!(open_circuit_drops_a_refund) => {
                    return asked
                        .call
                        .refund()
                        .map(|_| self.event_of(asked, PaymentOutcome::Refunded));
                }
                Err(NoAnswer::Open(pause)) => {
                    tokio::select! {
                        () = tokio::time::sleep(pause) => continue,
                        () = stop.cancelled() => break,
                    }
                }
            };
            self.metrics.gateway_seconds.observe(asked_at.elapsed().as_secs_f64());
            let declined = answer.is_err() && planted!(no_answer_is_a_decline);
            let answer = if declined { Ok(Told::of(PaymentOutcome::Failed)) } else { answer };
            match answer {
                Ok(told) => match self.note(*reference, &told).await {
                    Ok(()) => return told.outcome.map(|status| self.event_of(asked, status)),
                    Err(error) => {
                        debug!(%error, attempt, booking.id = %booking, "the store did not take the answer, retrying");
                    }
                },
                Err(error) => {
                    self.metrics.gateway_errors.inc();
                    debug!(%error, attempt, booking.id = %booking, "the gateway gave no answer, retrying");
                }
            }
            if attempt < ATTEMPTS_MAX {
                tokio::time::sleep(pause).await;
                pause *= 4;
            }
            attempt += 1;
        }
        span.fail("unanswered");
        let trace = span.context();
        let trace_id = trace.trace_id().map(tracing::field::display);
        warn!(booking.id = %booking, trace_id, "no answer of the gateway; the sweeper repeats the request");
        None
    }

    fn event_of(&self, asked: &Asked, status: PaymentOutcome) -> PaymentEvent {
        PaymentEvent {
            booking_id: asked.booking,
            payment_reference_id: asked.reference,
            refund_id: asked.call.refund(),
            amount: asked.call.amount(),
            status,
            timestamp: self.clock.now(),
        }
    }

    /// Whether the request is for a capture whose hold has lapsed: its seats may be gone. The sweeper ends the
    /// booking, and its commit requests the reversal of whatever an earlier call has captured. A reversal from
    /// here would be in no row, so a lost answer would leave a completed booking that is refunded.
    fn is_too_late(&self, asked: &Asked) -> bool {
        asked.call.payment().is_some_and(|payment| payment.hold_expires_at <= self.clock.now())
    }

    /// Publishes results in batches, until no call is left.
    async fn publish(&self, mut events: mpsc::Receiver<Answered>) -> Result<(), Interrupted> {
        let mut batch = Vec::with_capacity(BATCH_SIZE_MAX);
        while events.recv_many(&mut batch, BATCH_SIZE_MAX).await > 0 {
            let (messages, spans): (Vec<_>, Vec<_>) = batch.drain(..).map(message_of).unzip();
            publish(&*self.bus, &self.tracing, &self.metrics, messages).await?;
            drop(spans);
        }
        Ok(())
    }
}

/// The message of a result, in the trace of its request.
fn message_of((event, span): Answered) -> ((Topic, Message), Span) {
    let mut message = Message::from(&event);
    if let Some(traceparent) = span.context().traceparent() {
        message.headers.set(TRACEPARENT, &*traceparent);
    }
    ((Topic::PaymentEvents, message), span)
}
