//! The payment worker reads `payment-requests`, calls the gateway, and writes `payment-events`.
//!
//! The payment's row is the durable record of the work. A request is committed on the bus once it is taken,
//! and the sweeper repeats requests that a crash interrupted. Slow calls run side by side and block nothing.

use super::calls::Calls;
use crate::bus::{Bus, BusError, publish, received};
use crate::clock::Clock;
use crate::clock::pace::Pace;
use crate::domain::{
    BookingId, PaymentAction, PaymentEvent, PaymentOutcome, PaymentReference, PaymentRequest,
    PaymentStatus,
};
use crate::gateway::{Capture, Captured, Gateway, GatewayError};
use crate::messages::{Message, Topic, parse_payment_request};
use crate::store::{Bookings, PaymentAsked, StoreError};
use crate::tasks::Tasks;
use crate::telemetry::{Metrics, Part, Progress, Side, Span, TRACEPARENT, Tracing};
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

/// Maximum number of running and of waiting reversals. Separate, so that unanswered captures delay no
/// refund.
const REVERSALS_MAX: usize = 1_024;
const REVERSALS_WAITING_MAX: usize = 8_192;

/// Attempts of one request if the gateway gives no answer; the sweeper repeats it later.
const ATTEMPTS_MAX: u32 = 3;

/// The pause before the second attempt; four times as long before each further one.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// The pause after the store or the bus failed.
const OUTAGE_PAUSE: Duration = Duration::from_millis(250);

/// Carries out `payment-requests` at the gateway.
#[derive(Clone)]
pub struct PaymentWorker {
    /// Where requests come from and events go.
    pub bus: Arc<dyn Bus>,
    /// Knows which requests are still open.
    pub store: Arc<dyn Bookings>,
    /// The payment gateway.
    pub gateway: Arc<dyn Gateway>,
    /// Decides whether a hold has lapsed.
    pub clock: Arc<dyn Clock>,
    /// The consumer group (`KAFKA_PAYMENT_GROUP_ID`).
    pub group: String,
    /// Time limit of one call (`GATEWAY_TIMEOUT`).
    pub timeout: Duration,
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

/// An open request, with the payment's row and its span.
struct Asked {
    reference: PaymentReference,
    /// The booking that the message names; settlement refuses an event whose payment is for another.
    booking: BookingId,
    payment: PaymentAsked,
    action: PaymentAction,
    span: Span,
}

/// A result of the gateway, with the span of its request.
type Answered = (PaymentEvent, Span);

/// Why the worker restarts.
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

    async fn work(&self, stop: &CancellationToken) -> Result<(), WorkerError> {
        let (events, outbound) = mpsc::channel(BATCH_SIZE_MAX);
        let mut publishing = pin!(self.publish(outbound));
        tokio::select! {
            biased;
            failed = &mut publishing => return failed,
            failed = self.take(events) => match failed? {},
            () = stop.cancelled() => {}
        }
        // Each call has its own sender, so the channel closes with the last call.
        publishing.await
    }

    /// Takes requests from the bus and starts their calls.
    async fn take(&self, events: mpsc::Sender<Answered>) -> Result<Infallible, WorkerError> {
        let mut requests = self.bus.consume(Topic::PaymentRequests, &self.group).await?;
        let captures = Calls::new(CAPTURES_MAX, CAPTURES_WAITING_MAX);
        let reversals = Calls::new(REVERSALS_MAX, REVERSALS_WAITING_MAX);
        let mut pace = Pace::of(TURN);
        loop {
            pace.turn().await;
            let messages = requests.receive(BATCH_SIZE_MAX).await?;
            self.metrics.count_consumed(Topic::PaymentRequests, &self.group, messages.len());
            for asked in self.open(messages).await? {
                let calls = match asked.action {
                    PaymentAction::Capture => &captures,
                    PaymentAction::Reverse | PaymentAction::Refund => &reversals,
                };
                self.start(asked, calls, &events);
            }
            requests.commit().await?;
            self.taking.step();
        }
    }

    /// The requests that are still open by the payments' rows; others were answered before. Only the reference
    /// comes from the message. The call's amount and method come from the row, and a message that differs
    /// becomes a dead letter.
    async fn open(&self, messages: Vec<Message>) -> Result<Vec<Asked>, WorkerError> {
        let mut read: Vec<(PaymentRequest, Message, Span)> = Vec::with_capacity(messages.len());
        for message in messages {
            let span = received(&self.tracing, &*self.bus, Topic::PaymentRequests, &message);
            match parse_payment_request(&message) {
                Ok(request) => read.push((request, message, span)),
                Err(malformed) => self.dead_letter(message, &span, &malformed.to_string()).await?,
            }
        }
        let references: Vec<_> = read.iter().map(|(r, ..)| r.payment_reference_id).collect();
        let rows = self.store.payments_asked(&references).await?;
        let mut open = Vec::with_capacity(read.len());
        for (request, message, span) in read {
            let reference = request.payment_reference_id;
            if request.action == PaymentAction::Refund {
                self.dead_letter(message, &span, "there is no refund of this id").await?;
                continue;
            }
            let Some(payment) = rows.get(&reference) else {
                self.dead_letter(message, &span, "there is no payment of this reference").await?;
                continue;
            };
            if let Some(reason) = difference(&request, payment) {
                self.dead_letter(message, &span, reason).await?;
                continue;
            }
            let asked_for = match request.action {
                PaymentAction::Capture => PaymentStatus::Requested,
                PaymentAction::Reverse | PaymentAction::Refund => PaymentStatus::ReversalRequested,
            };
            if payment.status == asked_for {
                let (payment, action) = (payment.clone(), request.action);
                open.push(Asked { reference, booking: request.booking_id, payment, action, span });
            }
        }
        Ok(open)
    }

    async fn dead_letter(
        &self,
        message: Message,
        span: &Span,
        reason: &str,
    ) -> Result<(), BusError> {
        span.fail("dead_letter");
        self.bus.dead_letter(Topic::PaymentRequests, message, reason).await?;
        self.metrics.count_dead_lettered(Topic::PaymentRequests);
        Ok(())
    }

    /// Starts a call beside the others. It waits for its permit; if too many calls wait, the sweeper repeats the
    /// request later, so that requests behind it go on.
    fn start(&self, asked: Asked, calls: &Calls, events: &mpsc::Sender<Answered>) {
        let Some(pending) = calls.enter() else {
            self.metrics.payments_deferred.inc();
            asked.span.fail("deferred");
            return;
        };
        let (worker, events) = (self.clone(), events.clone());
        let open = self.answering.begin();
        self.tasks.spawn(async move {
            let permits = pending.start().await;
            let asking = worker.ask_until_answered(&asked);
            let answer = worker.metrics.catch(Part::GatewayCall, asking).await;
            if answer.is_err() {
                asked.span.fail("panicked");
                warn!(booking.id = %asked.booking, "too many gateway calls wait; the sweeper repeats the request");
            }
            if let Ok(Some(event)) = answer {
                // A closed channel means that the worker restarts; the sweeper repeats the request.
                let _ = events.send((event, asked.span)).await;
                worker.answering.step();
            }
            drop((open, permits));
        });
    }

    async fn ask_until_answered(&self, asked: &Asked) -> Option<PaymentEvent> {
        let Asked { reference, booking, payment, span, .. } = asked;
        let mut pause = RETRY_AFTER;
        for attempt in 1..=ATTEMPTS_MAX {
            if self.is_too_late(asked) {
                span.fail("lapsed");
                return None;
            }
            let asked_at = Instant::now();
            let answer = self.ask(asked).await;
            self.metrics.gateway_seconds.observe(asked_at.elapsed().as_secs_f64());
            let declined = answer.is_err() && planted!(no_answer_is_a_decline);
            let answer = if declined { Ok(PaymentOutcome::Failed) } else { answer };
            match answer {
                Ok(status) => {
                    return Some(PaymentEvent {
                        booking_id: *booking,
                        payment_reference_id: *reference,
                        refund_id: None,
                        amount: payment.amount,
                        status,
                        timestamp: self.clock.now(),
                    });
                }
                Err(error) => {
                    self.metrics.gateway_errors.inc();
                    debug!(%error, attempt, booking.id = %booking, "the gateway gave no answer, retrying");
                }
            }
            if attempt < ATTEMPTS_MAX {
                tokio::time::sleep(pause).await;
                pause *= 4;
            }
        }
        span.fail("unanswered");
        let trace = span.context();
        let trace_id = trace.trace_id().map(tracing::field::display);
        warn!(booking.id = %booking, trace_id, "no answer of the gateway; the sweeper repeats the request");
        None
    }

    /// Whether the request is for a capture whose hold has lapsed: its seats may be gone. The sweeper ends the
    /// booking, and its commit requests the reversal of whatever an earlier call has captured. A reversal from
    /// here would be in no row, so a lost answer would leave a completed booking that is refunded.
    fn is_too_late(&self, asked: &Asked) -> bool {
        asked.action == PaymentAction::Capture && asked.payment.hold_expires_at <= self.clock.now()
    }

    /// Calls the gateway once.
    async fn ask(&self, asked: &Asked) -> Result<PaymentOutcome, GatewayError> {
        let reverse = asked.action == PaymentAction::Reverse;
        let name = if reverse { "gateway.reverse" } else { "gateway.capture" };
        let call = self.tracing.span(name, Side::Client, &asked.span.context());
        let answer = tokio::time::timeout(self.timeout, self.call(asked, reverse)).await;
        let answer =
            answer.unwrap_or_else(|_| Err(GatewayError("no answer in GATEWAY_TIMEOUT".into())));
        match &answer {
            Ok(outcome) => call.note("payment.outcome", <&str>::from(outcome)),
            Err(_) => call.fail("unanswered"),
        }
        answer
    }

    async fn call(&self, asked: &Asked, reverse: bool) -> Result<PaymentOutcome, GatewayError> {
        let (reference, payment) = (asked.reference, &asked.payment);
        if reverse {
            self.gateway.reverse(reference).await?;
            return Ok(PaymentOutcome::Reversed);
        }
        let capture = Capture {
            reference,
            amount: payment.amount,
            currency: payment.currency,
            method: payment.method.clone(),
        };
        Ok(match self.gateway.capture(&capture).await? {
            Captured::Captured => PaymentOutcome::Completed,
            Captured::Declined => PaymentOutcome::Failed,
            Captured::Reversed => PaymentOutcome::Reversed,
        })
    }

    /// Publishes results in batches, until no call is left.
    async fn publish(&self, mut events: mpsc::Receiver<Answered>) -> Result<(), WorkerError> {
        let mut batch = Vec::with_capacity(BATCH_SIZE_MAX);
        while events.recv_many(&mut batch, BATCH_SIZE_MAX).await > 0 {
            let (messages, spans): (Vec<_>, Vec<_>) = batch.drain(..).map(message_of).unzip();
            publish(&*self.bus, &self.tracing, &self.metrics, messages).await?;
            drop(spans);
        }
        Ok(())
    }
}

/// The first difference between a request and the payment's row.
fn difference(request: &PaymentRequest, payment: &PaymentAsked) -> Option<&'static str> {
    let differs = |reason, is_other: bool| is_other.then_some(reason);
    differs("the payment is over another amount", request.amount != payment.amount)
        .or(differs("the payment is in another currency", request.currency != payment.currency))
        .or(differs("the payment has another method", request.payment_method != payment.method))
}

/// The message of a result, in the trace of its request.
fn message_of((event, span): Answered) -> ((Topic, Message), Span) {
    let mut message = Message::from(&event);
    if let Some(traceparent) = span.context().traceparent() {
        message.headers.set(TRACEPARENT, &*traceparent);
    }
    ((Topic::PaymentEvents, message), span)
}
