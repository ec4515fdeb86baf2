//! The way of spans to the collector: a bounded queue, and a thread of its own that posts them.
//!
//! Nobody who makes a span ever waits. A queue that is full loses spans, which are counted; a
//! collector that is away costs one warning, and a line when it is back.

use super::metrics::Metrics;
use super::names::Names;
use crate::config::TracingSettings;
use anyhow::Context as _;
use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SamplingResult, SdkTracer, SdkTracerProvider,
    ShouldSample, SpanData, SpanExporter,
};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tracing::{info, warn};

/// Ended spans that wait to be sent; about a kilobyte each. Beyond it they are lost.
const QUEUE_MAX: usize = 16_384;

/// Spans in one request to the collector; few, so that making it takes no core for long.
const BATCH_SIZE_MAX: usize = 512;

/// How long a span waits for others at most.
const DELAY: Duration = Duration::from_secs(1);

/// How long the collector has to answer, all attempts together.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Links of one span: a batch has one to each of its commands.
const LINKS_MAX: u32 = 512;

/// What makes spans and what sends them.
pub(super) struct Pipeline {
    pub(super) tracer: SdkTracer,
    /// What is outside, once the application has said so.
    pub(super) names: OnceLock<Names>,
    provider: SdkTracerProvider,
}

impl Pipeline {
    /// Sends what is left; blocks so long at most.
    pub(super) fn stop(&self, within: Duration) {
        // What could not be sent was told of where it failed.
        let _ = self.provider.shutdown_with_timeout(within);
    }
}

/// A pipeline to the collector of the settings.
pub(super) fn start(settings: &TracingSettings, metrics: Metrics) -> anyhow::Result<Pipeline> {
    crate::tls::provide();
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(settings.endpoint.clone())
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .context("TRACING_ENDPOINT")?;
    let exporter = Reporting {
        exporter,
        endpoint: settings.endpoint.clone(),
        metrics: metrics.clone(),
        is_away: AtomicBool::new(false),
    };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_MAX)
        .with_max_export_batch_size(BATCH_SIZE_MAX)
        .with_scheduled_delay(DELAY)
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let resource = Resource::builder()
        .with_service_name(settings.service_name.clone())
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("deployment.environment.name", settings.environment.clone()),
        ])
        .build();
    let ratio = Sampler::TraceIdRatioBased(settings.sampler_ratio);
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(AsTheLinked(Sampler::ParentBased(Box::new(ratio))))
        .with_max_links_per_span(LINKS_MAX)
        .with_span_processor(Counting { processor, metrics })
        .build();
    let tracer = provider.tracer("airline-booking");
    Ok(Pipeline { tracer, names: OnceLock::new(), provider })
}

/// Keeps a trace that has no parent if it is linked to one that is kept.
#[derive(Debug, Clone)]
struct AsTheLinked(Sampler);

impl ShouldSample for AsTheLinked {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let is_root = parent.is_none_or(|context| !context.span().span_context().is_valid());
        let is_linked = links.iter().any(|link| link.span_context.is_sampled());
        let by = if is_root && is_linked { &Sampler::AlwaysOn } else { &self.0 };
        by.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

/// Counts spans that have ended; those that are neither sent nor failed later were lost.
#[derive(Debug)]
struct Counting {
    processor: BatchSpanProcessor,
    metrics: Metrics,
}

impl opentelemetry_sdk::trace::SpanProcessor for Counting {
    fn on_start(&self, span: &mut opentelemetry_sdk::trace::Span, context: &Context) {
        self.processor.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.metrics.count_spans("ended", 1);
        }
        self.processor.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

/// Counts what was sent and what was not, and says when the collector goes away and comes back.
#[derive(Debug)]
struct Reporting {
    exporter: opentelemetry_otlp::SpanExporter,
    endpoint: String,
    metrics: Metrics,
    is_away: AtomicBool,
}

impl Reporting {
    fn came_back(&self) {
        if self.is_away.swap(false, Ordering::Relaxed) {
            info!(endpoint = self.endpoint, "the collector takes traces again");
        }
    }

    fn went_away(&self, error: &OTelSdkError) {
        if !self.is_away.swap(true, Ordering::Relaxed) {
            let endpoint = &self.endpoint;
            warn!(%error, endpoint, "the collector does not take traces; they are lost meanwhile");
        }
    }
}

impl SpanExporter for Reporting {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exported = self.exporter.export(batch).await;
        match &exported {
            Ok(()) => {
                self.metrics.count_spans("sent", spans);
                self.came_back();
            }
            Err(error) => {
                self.metrics.count_spans("failed", spans);
                self.went_away(error);
            }
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
