//! Spans for sending and processing messages. They continue the trace in a message's headers.

use super::{Bus, BusError};
use crate::messages::{Message, Topic};
use crate::telemetry::{Metrics, Side, Span, TRACEPARENT, TraceContext, Tracing};

/// Publishes messages, each in its own trace, and counts them.
pub async fn publish(
    bus: &dyn Bus,
    tracing: &Tracing,
    metrics: &Metrics,
    mut messages: Vec<(Topic, Message)>,
) -> Result<(), BusError> {
    let sending = Sending::begin(tracing, bus, &mut messages);
    sending.end(bus.publish(&messages).await)?;
    metrics.count_published(&messages);
    Ok(())
}

/// The spans of messages that are being sent. They end when this is dropped.
struct Sending(Vec<Span>);

impl Sending {
    /// Begins a span for each message that belongs to a trace; the message's header then names the span.
    fn begin(tracing: &Tracing, bus: &dyn Bus, messages: &mut [(Topic, Message)]) -> Self {
        if !tracing.is_on() {
            return Self(Vec::new());
        }
        let begin = |(topic, message): &mut (Topic, Message)| {
            let above = tracing.received(|name| message.headers.get(name));
            if above == TraceContext::NONE {
                return None;
            }
            let span = span(tracing, bus, "send", Side::Producer, (*topic, message), &above);
            if let Some(traceparent) = span.context().traceparent() {
                message.headers.set(TRACEPARENT, &*traceparent);
            }
            Some(span)
        };
        Self(messages.iter_mut().filter_map(begin).collect())
    }

    /// Records a failure in the spans, and returns the outcome.
    fn end(self, outcome: Result<(), BusError>) -> Result<(), BusError> {
        if outcome.is_err() {
            self.0.iter().for_each(|span| span.fail("bus"));
        }
        outcome
    }
}

/// Begins the span for processing a message, in a new trace if the message has none.
pub fn received(tracing: &Tracing, bus: &dyn Bus, topic: Topic, message: &Message) -> Span {
    if !tracing.is_on() {
        return Span::NONE;
    }
    let above = tracing.received(|name| message.headers.get(name));
    let span = span(tracing, bus, "process", Side::Consumer, (topic, message), &above);
    if let Some(origin) = &message.origin {
        span.note("messaging.destination.partition.id", origin.partition.to_string());
        span.note("messaging.kafka.offset", origin.offset);
    }
    span
}

fn span(
    tracing: &Tracing,
    bus: &dyn Bus,
    operation: &'static str,
    side: Side,
    (topic, message): (Topic, &Message),
    above: &TraceContext,
) -> Span {
    let span = tracing.span(format!("{operation} {}", topic.as_str()), side, above);
    span.note("messaging.system", bus.system());
    span.note("messaging.operation.name", operation);
    span.note("messaging.operation.type", operation);
    span.note("messaging.destination.name", tracing.topic_name(topic));
    // This service writes far shorter ids; other teams may write anything.
    if let Some(id) = message.headers.get("ce_id").filter(|id| id.len() <= 256) {
        span.note("messaging.message.id", id.to_owned());
    }
    span
}
