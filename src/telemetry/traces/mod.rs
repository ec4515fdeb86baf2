//! Traces: spans, which are sent to a collector, and the context that connects them.
//!
//! A span is a value and ends when it is dropped. Within a request the context is ambient
//! ([`Tracing::current`]); through queues, the outbox and the bus it travels as a value, in the form of
//! W3C Trace Context. While tracing is off everything here is `None`, and nothing is made or read.

mod context;
mod export;
mod names;
mod span;

use super::Metrics;
use crate::clock::{Clock, SystemClock};
use crate::config::TracingSettings;
use crate::messages::Topic;
use chrono::TimeDelta;
use export::Pipeline;
use opentelemetry::trace::{Link, SpanKind, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

pub use context::{TRACEPARENT, TraceContext};
pub use names::Names;
pub use span::Span;

/// Prefix of the names of spans that are calls to the store.
const STORE_PREFIX: &str = "store.";

/// Makes spans, or none while tracing is off. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tracing(Option<Arc<Pipeline>>);

/// The side of a call that a span describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Work in this process.
    Internal,
    /// Answers a request.
    Server,
    /// Waits for another party's answer.
    Client,
    /// Hands a message over.
    Producer,
    /// Works on a message.
    Consumer,
}

impl From<Side> for SpanKind {
    fn from(side: Side) -> Self {
        match side {
            Side::Internal => Self::Internal,
            Side::Server => Self::Server,
            Side::Client => Self::Client,
            Side::Producer => Self::Producer,
            Side::Consumer => Self::Consumer,
        }
    }
}

impl Tracing {
    /// Starts to export spans to the collector, whether or not it answers. Fails if its address is
    /// unusable.
    pub fn start(settings: &TracingSettings, metrics: Metrics) -> anyhow::Result<Self> {
        Ok(Self(Some(Arc::new(export::start(settings, metrics)?))))
    }

    /// Whether spans are made.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Sets the names of external systems for the spans that follow.
    pub fn set_names(&self, names: Names) {
        if let Some(pipeline) = &self.0 {
            // A second call is ignored: the spans belong to the service that called first.
            let _ = pipeline.names.set(names);
        }
    }

    /// The name of a topic on the broker.
    pub fn topic_name(&self, topic: Topic) -> String {
        let names = self.0.as_ref().and_then(|pipeline| pipeline.names.get());
        names
            .and_then(|names| names.topics.get(&topic))
            .map_or(topic.as_str(), |name| name)
            .to_owned()
    }

    /// Sends the ended spans and stops; waits for the collector for up to `within`.
    pub async fn stop(&self, within: Duration) {
        let Some(pipeline) = self.0.clone() else { return };
        // `Pipeline::stop` blocks until the collector has answered.
        let stopping = tokio::task::spawn_blocking(move || pipeline.stop(within));
        let _ = stopping.await;
    }

    /// The context of the current request.
    pub fn current(&self) -> TraceContext {
        if self.is_on() {
            TraceContext::of(Context::current().span().span_context())
        } else {
            TraceContext::NONE
        }
    }

    /// Sets an attribute of the current request's span.
    pub fn note(&self, name: &'static str, value: &'static str) {
        if self.is_on() {
            Context::current().span().set_attribute(KeyValue::new(name, value));
        }
    }

    /// The context in the headers of a message or request. Malformed headers give none.
    pub fn received<'a>(&self, header: impl Fn(&str) -> Option<&'a str>) -> TraceContext {
        if !self.is_on() || header(TRACEPARENT).is_none() {
            return TraceContext::NONE;
        }
        TraceContext::in_headers(header)
    }

    /// Starts a span below `parent`, or a new trace if there is none.
    pub fn span(
        &self,
        name: impl Into<Cow<'static, str>>,
        side: Side,
        parent: &TraceContext,
    ) -> Span {
        self.start_span(name.into(), side, parent, None, Vec::new())
    }

    /// A span whose start lies `ago` in the past.
    pub fn span_since(
        &self,
        name: &'static str,
        side: Side,
        parent: &TraceContext,
        ago: Duration,
    ) -> Span {
        self.start_span(name.into(), side, parent, Some(ago), Vec::new())
    }

    /// Starts a new trace, sampled if one of its links is sampled.
    pub fn linked_span(
        &self,
        name: &'static str,
        side: Side,
        to: impl Iterator<Item = TraceContext>,
    ) -> Span {
        let links = to.filter_map(|context| context.0).map(Link::with_context).collect();
        self.start_span(name.into(), side, &TraceContext::NONE, None, links)
    }

    fn start_span(
        &self,
        name: Cow<'static, str>,
        side: Side,
        parent: &TraceContext,
        ago: Option<Duration>,
        links: Vec<Link>,
    ) -> Span {
        let Some(pipeline) = &self.0 else { return Span(None) };
        let is_store_call = name.starts_with(STORE_PREFIX);
        let mut builder = pipeline.tracer.span_builder(name).with_kind(side.into());
        if let Some(ago) = ago {
            let ago = TimeDelta::from_std(ago).unwrap_or_default();
            builder = builder.with_start_time(SystemClock.now() - ago);
        }
        if !links.is_empty() {
            builder = builder.with_links(links);
        }
        if let Some(names) = pipeline.names.get().filter(|_| is_store_call) {
            builder = builder.with_attributes([KeyValue::new("db.system.name", names.database)]);
        }
        let above = match &parent.0 {
            Some(context) => Context::new().with_remote_span_context(context.clone()),
            None => Context::new(),
        };
        let span = pipeline.tracer.build_with_context(builder, &above);
        Span(Some(Context::new().with_span(span)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on() -> Tracing {
        with_ratio(1.0)
    }

    fn with_ratio(sampler_ratio: f64) -> Tracing {
        let settings = TracingSettings {
            endpoint: "http://127.0.0.1:9/v1/traces".into(),
            service_name: "test".into(),
            environment: "test".into(),
            sampler_ratio,
            trust_caller: None,
        };
        Tracing::start(&settings, Metrics::new()).expect("an address")
    }

    fn from(tracing: &Tracing, value: &'static str) -> TraceContext {
        tracing.received(|name| (name == TRACEPARENT).then_some(value))
    }

    #[test]
    fn a_received_context_is_the_parent_of_the_span_below_it() {
        let tracing = on();
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let came = from(&tracing, parent);
        assert_eq!(came.traceparent().as_deref(), Some(parent));
        let below = tracing.span("below", Side::Internal, &came).context();
        let below = below.traceparent().expect("a context");
        assert_eq!(below[..36], parent[..36]);
        assert_ne!(below[36..52], parent[36..52]);
        assert!(below.ends_with("-01"));
    }

    #[test]
    fn a_trace_that_the_caller_does_not_sample_is_not_sampled() {
        let tracing = on();
        let came = from(&tracing, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
        let below = tracing.span("below", Side::Internal, &came).context();
        assert!(!below.is_sampled());
        let batch = tracing.linked_span("batch", Side::Internal, std::iter::once(below));
        assert!(batch.context().is_sampled(), "by the ratio, which is 1");
    }

    /// How many of a thousand traces are sampled.
    fn sampled(tracing: &Tracing, parent: &TraceContext) -> usize {
        let begin = |_| tracing.span("root", Side::Server, parent).context();
        (0..1_000).map(begin).filter(TraceContext::is_sampled).count()
    }

    #[test]
    fn the_ratio_determines_how_many_traces_are_sampled() {
        assert_eq!(sampled(&with_ratio(0.0), &TraceContext::NONE), 0);
        assert_eq!(sampled(&with_ratio(1.0), &TraceContext::NONE), 1_000);
        // Trace ids are drawn; 9 standard deviations on either side.
        let half = sampled(&with_ratio(0.5), &TraceContext::NONE);
        assert!((350..650).contains(&half), "{half}");
    }

    #[test]
    fn the_caller_decides_regardless_of_the_ratio() {
        let (none, all) = (with_ratio(0.0), with_ratio(1.0));
        let sampled_by_caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(sampled(&none, &from(&none, sampled_by_caller)), 1_000);
        let not_sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        assert_eq!(sampled(&all, &from(&all, not_sampled)), 0);
    }

    #[test]
    fn a_malformed_context_gives_none() {
        let tracing = on();
        for value in [
            "",
            "x",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        ] {
            assert_eq!(from(&tracing, value), TraceContext::NONE, "{value}");
        }
    }

    #[test]
    fn without_tracing_no_header_is_read_and_no_span_is_made() {
        let off = Tracing::default();
        let header = |_: &str| -> Option<&'static str> { panic!("a header is read") };
        assert_eq!(off.received(header), TraceContext::NONE);
        assert!(off.span("name", Side::Server, &TraceContext::NONE).0.is_none());
        assert_eq!(off.current(), TraceContext::NONE);
    }
}
