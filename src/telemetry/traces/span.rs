//! Spans as values.

use super::context::TraceContext;
use opentelemetry::trace::{FutureExt, Status, TraceContextExt};
use opentelemetry::{Context, KeyValue, Value};
use std::future::Future;

/// Maximum bytes of a text attribute; a longer one is cut. Thousands of spans may wait for the collector.
const TEXT_BYTES_MAX: usize = 256;

/// A span; it ends when dropped. Empty while tracing is off.
pub struct Span(pub(super) Option<Context>);

impl Span {
    /// No span.
    pub const NONE: Self = Self(None);

    /// The context for spans that follow from this one.
    pub fn context(&self) -> TraceContext {
        match &self.0 {
            Some(context) => TraceContext::of(context.span().span_context()),
            None => TraceContext::NONE,
        }
    }

    /// Sets an attribute. Attributes describe the work, never a person. A text is cut to 256 bytes.
    pub fn note(&self, name: &'static str, value: impl Into<Value>) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(KeyValue::new(name, bounded(value.into())));
        }
    }

    /// Marks the span as failed, with the kind of error.
    pub fn fail(&self, kind: &'static str) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(KeyValue::new("error.type", kind));
            context.span().set_status(Status::error(kind));
        }
    }

    /// Links to a related span.
    pub fn link(&self, to: &TraceContext) {
        if let (Some(context), Some(to)) = (&self.0, &to.0) {
            context.span().add_link(to.clone(), Vec::new());
        }
    }

    /// Runs a future with this span as the current one.
    pub async fn around<F: Future>(&self, work: F) -> F::Output {
        match &self.0 {
            Some(context) => work.with_context(context.clone()).await,
            None => work.await,
        }
    }
}

/// Cuts a text to [`TEXT_BYTES_MAX`].
fn bounded(value: Value) -> Value {
    match value {
        Value::String(text) if text.as_str().len() > TEXT_BYTES_MAX => {
            let text = text.as_str();
            Value::from(text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned())
        }
        value => value,
    }
}
