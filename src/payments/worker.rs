//! The payment worker: reads `payment-requests`, asks the gateway, writes `payment-events`.
//!
//! The payment's row is the durable work: a request is committed on the bus once it is taken, and
//! the sweeper repeats what a crash took with it. Slow calls run side by side and pin nothing.

use super::gateway::{Capture, Captured, Gateway, GatewayError};
use crate::bus::{Bus, BusError, Message, Topic, parse_payment_request, publish, received};
use crate::clock::Clock;
use crate::domain::{PaymentAction, PaymentEvent, PaymentOutcome, PaymentRequest, PaymentStatus};
use crate::pace::Pace;
use crate::store::{Store, StoreError};
use crate::telemetry::{Metrics, Part, Side, Span, TRACEPARENT, Tracing};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// Requests taken from the bus, and events given to it, at once.
const BATCH_SIZE_MAX: usize = 2_048;

/// The least time between two looks at the bus: each asks the store once, and the gateway once.
const TURN: Duration = Duration::from_millis(3);

/// Gateway calls under way at once; beyond it, requests wait on the bus.
const CALLS_MAX: usize = 4_096;

/// How often one request asks a gateway that gives no answer; the sweeper asks again later.
const ATTEMPTS_MAX: u32 = 3;

/// The pause before the second attempt; four times as long before each further one.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// The pause after the store or the bus failed.
const OUTAGE_PAUSE: Duration = Duration::from_millis(250);

/// Asks the gateway for what `payment-requests` say.
#[derive(Clone)]
pub struct PaymentWorker {
    /// Where requests come from and events go.
    pub bus: Arc<dyn Bus>,
    /// Tells which requests are still open.
    pub store: Arc<dyn Store>,
    /// Moves the money.
    pub gateway: Arc<dyn Gateway>,
    /// Tells whether a hold has lapsed.
    pub clock: Arc<dyn Clock>,
    /// The consumer group (`KAFKA_PAYMENT_GROUP_ID`).
    pub group: String,
    /// Counts what happens.
    pub metrics: Metrics,
    /// Where gateway calls run.
    pub tasks: TaskTracker,
    /// Goes on with the traces of the requests.
    pub tracing: Tracing,
}

/// A request that is open, and the span in which it is worked on.
struct Asked {
    request: PaymentRequest,
    span: Span,
}

/// What the gateway said, with the span of its request.
type Answered = (PaymentEvent, Span);

/// The worker cannot go on for now.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bus does not answer.
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl PaymentWorker {
    /// Works until stopped from outside.
    pub async fn run(&self) {
        loop {
            let Err(error) = self.work().await;
            warn!(%error, "the payment worker starts again");
            tokio::time::sleep(OUTAGE_PAUSE).await;
        }
    }

    async fn work(&self) -> Result<std::convert::Infallible, WorkerError> {
        let mut requests = self.bus.consume(Topic::PaymentRequests, &self.group).await?;
        let (events, outbound) = mpsc::channel(BATCH_SIZE_MAX);
        let calls = Arc::new(Semaphore::new(CALLS_MAX));
        tokio::select! {
            failed = self.publish(outbound) => failed,
            failed = async {
                let mut pace = Pace::of(TURN);
                loop {
                    pace.turn().await;
                    let messages = requests.receive(BATCH_SIZE_MAX).await?;
                    let topic = Topic::PaymentRequests;
                    self.metrics.count_consumed(topic, &self.group, messages.len());
                    for asked in self.open(messages).await? {
                        self.start(asked, &calls, &events).await;
                    }
                    requests.commit().await?;
                }
            } => failed,
        }
    }

    /// The requests that the payments' rows still ask for; the others were answered before.
    async fn open(&self, messages: Vec<Message>) -> Result<Vec<Asked>, WorkerError> {
        let mut requests: Vec<Asked> = Vec::with_capacity(messages.len());
        for message in messages {
            let span = received(&self.tracing, &*self.bus, Topic::PaymentRequests, &message);
            match parse_payment_request(&message) {
                Ok(request) => requests.push(Asked { request, span }),
                Err(malformed) => {
                    span.fail("dead_letter");
                    let reason = malformed.to_string();
                    self.bus.dead_letter(Topic::PaymentRequests, message, &reason).await?;
                    self.metrics.count_dead_lettered(Topic::PaymentRequests);
                }
            }
        }
        let references: Vec<_> = requests.iter().map(|a| a.request.payment_reference_id).collect();
        let statuses = self.store.payment_statuses(&references).await?;
        requests.retain(|Asked { request, .. }| {
            let asked_for = match request.action {
                PaymentAction::Capture => PaymentStatus::Requested,
                PaymentAction::Reverse => PaymentStatus::ReversalRequested,
            };
            statuses.get(&request.payment_reference_id) == Some(&asked_for)
        });
        Ok(requests)
    }

    /// Starts one call beside the others, once there is room for it.
    async fn start(
        &self,
        Asked { request, span }: Asked,
        calls: &Arc<Semaphore>,
        events: &mpsc::Sender<Answered>,
    ) {
        let room = calls.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (worker, events) = (self.clone(), events.clone());
        self.tasks.spawn(async move {
            let asked = worker.ask_until_answered(&request, &span);
            let answer = worker.metrics.catch(Part::GatewayCall, asked).await;
            if answer.is_err() {
                span.fail("panicked");
                warn!(booking.id = %request.booking_id, "the payment stays unanswered for now");
            }
            if let Ok(Some(event)) = answer {
                // A closed channel means a restart of the worker; the sweeper repeats the request.
                let _ = events.send((event, span)).await;
            }
            drop(room);
        });
    }

    async fn ask_until_answered(
        &self,
        request: &PaymentRequest,
        span: &Span,
    ) -> Option<PaymentEvent> {
        let mut pause = RETRY_AFTER;
        for attempt in 1..=ATTEMPTS_MAX {
            let asked_at = Instant::now();
            let answer = self.ask(request, span).await;
            self.metrics.gateway_seconds.observe(asked_at.elapsed().as_secs_f64());
            match answer {
                Ok(status) => {
                    return Some(PaymentEvent {
                        booking_id: request.booking_id,
                        payment_reference_id: request.payment_reference_id,
                        amount: request.amount,
                        status,
                        timestamp: self.clock.now(),
                    });
                }
                Err(error) => {
                    self.metrics.gateway_errors.inc();
                    debug!(%error, attempt, booking.id = %request.booking_id, "asking again");
                }
            }
            if attempt < ATTEMPTS_MAX {
                tokio::time::sleep(pause).await;
                pause *= 4;
            }
        }
        span.fail("unanswered");
        let (trace, booking) = (span.context(), request.booking_id);
        let trace_id = trace.trace_id().map(tracing::field::display);
        warn!(booking.id = %booking, trace_id, "the payment stays unanswered for now");
        None
    }

    /// Asks once. A capture whose hold has lapsed is reversed instead: its seats may be gone.
    async fn ask(
        &self,
        request: &PaymentRequest,
        span: &Span,
    ) -> Result<PaymentOutcome, GatewayError> {
        let lapsed = request.hold_expires_at.is_some_and(|end| end <= self.clock.now());
        let reverse = request.action == PaymentAction::Reverse || lapsed;
        let name = if reverse { "gateway.reverse" } else { "gateway.capture" };
        let call = self.tracing.span(name, Side::Client, &span.context());
        let answer = self.call(request, reverse).await;
        match &answer {
            Ok(outcome) => call.note("payment.outcome", outcome.as_str()),
            Err(_) => call.fail("unanswered"),
        }
        answer
    }

    async fn call(
        &self,
        request: &PaymentRequest,
        reverse: bool,
    ) -> Result<PaymentOutcome, GatewayError> {
        if reverse {
            self.gateway.reverse(request.payment_reference_id).await?;
            return Ok(PaymentOutcome::Reversed);
        }
        let capture = Capture {
            reference: request.payment_reference_id,
            amount: request.amount,
            currency: request.currency,
            method: request.payment_method.clone(),
        };
        Ok(match self.gateway.capture(&capture).await? {
            Captured::Captured => PaymentOutcome::Completed,
            Captured::Declined => PaymentOutcome::Failed,
            Captured::Reversed => PaymentOutcome::Reversed,
        })
    }

    /// Publishes what the gateway said, as much at once as there is.
    async fn publish(
        &self,
        mut events: mpsc::Receiver<Answered>,
    ) -> Result<std::convert::Infallible, WorkerError> {
        let mut batch = Vec::with_capacity(BATCH_SIZE_MAX);
        loop {
            events.recv_many(&mut batch, BATCH_SIZE_MAX).await;
            let (messages, spans): (Vec<_>, Vec<_>) = batch.drain(..).map(told).unzip();
            publish(&*self.bus, &self.tracing, &self.metrics, messages).await?;
            drop(spans);
        }
    }
}

/// What is told of an answer, in the trace of its request.
fn told((event, span): Answered) -> ((Topic, Message), Span) {
    let mut message = Message::from(&event);
    if let Some(traceparent) = span.context().traceparent() {
        message.headers.set(TRACEPARENT, &*traceparent);
    }
    ((Topic::PaymentEvents, message), span)
}
