//! The context that connects the spans of a trace, also across queues, the outbox and the bus.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// The header that carries a context (W3C Trace Context).
pub const TRACEPARENT: &str = "traceparent";

/// Maximum bytes of a caller's `tracestate`: what W3C asks to be propagated. A longer one is ignored,
/// because each span below it keeps a copy.
const STATE_BYTES_MAX: usize = 512;

/// A position in a trace; empty while tracing is off.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TraceContext(pub(super) Option<SpanContext>);

impl TraceContext {
    /// No trace.
    pub const NONE: Self = Self(None);

    pub(super) fn of(context: &SpanContext) -> Self {
        Self(context.is_valid().then(|| context.clone()))
    }

    /// The context in headers. Malformed headers give none.
    pub(super) fn in_headers<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Self {
        let context = TraceContextPropagator::new()
            .extract_with_context(&Context::new(), &Headers(header, PhantomData));
        Self::of(context.span().span_context())
    }

    /// The trace id in hexadecimal, as logs show it.
    pub fn trace_id(&self) -> Option<impl fmt::Display> {
        self.0.as_ref().map(SpanContext::trace_id)
    }

    /// The value of [`TRACEPARENT`].
    pub fn traceparent(&self) -> Option<Arc<str>> {
        let context = self.0.as_ref()?;
        let (trace, span) = (context.trace_id(), context.span_id());
        let sampled = u8::from(context.is_sampled());
        Some(format!("00-{trace}-{span}-{sampled:02x}").into())
    }

    /// Whether the trace is sampled.
    pub fn is_sampled(&self) -> bool {
        self.0.as_ref().is_some_and(SpanContext::is_sampled)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.traceparent().as_deref().unwrap_or("none"))
    }
}

/// Adapts a header lookup to the propagator.
struct Headers<'a, F>(F, PhantomData<&'a ()>);

impl<'a, F: Fn(&str) -> Option<&'a str>> Extractor for Headers<'a, F> {
    fn get(&self, name: &str) -> Option<&str> {
        (self.0)(name).filter(|value| value.len() <= STATE_BYTES_MAX)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, "tracestate"]
    }
}
