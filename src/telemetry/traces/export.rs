//! Export of spans to the collector: a bounded queue, and a thread that posts batches.
//!
//! Making a span never blocks. A full queue drops spans, which are counted. An outage of the collector
//! logs one warning when it starts and one line when it ends.

use super::names::Names;
use crate::config::TracingSettings;
use crate::telemetry::Metrics;
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

/// Maximum number of ended spans that wait to be sent, about a kilobyte each. More are dropped.
const QUEUE_MAX: usize = 16_384;

/// Maximum spans in one request to the collector: encoding them must not occupy a core for long.
const BATCH_SIZE_MAX: usize = 512;

/// Maximum time that a span waits for others.
const DELAY: Duration = Duration::from_secs(1);

/// Time limit of an export, retries included.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum links of one span: a batch links to each of its commands.
const LINKS_MAX: u32 = 512;

/// Makes spans and sends them.
pub(super) struct Pipeline {
    pub(super) tracer: SdkTracer,
    /// Names of external systems, once the application has set them.
    pub(super) names: OnceLock<Names>,
    provider: SdkTracerProvider,
}

impl Pipeline {
    /// Sends the remaining spans; blocks for up to `within`.
    pub(super) fn stop(&self, within: Duration) {
        // A failed export is logged where it fails.
        let _ = self.provider.shutdown_with_timeout(within);
    }
}

pub(super) fn start(settings: &TracingSettings, metrics: Metrics) -> anyhow::Result<Pipeline> {
    crate::tls::provide();
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(settings.endpoint.clone())
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .context("TRACING_ENDPOINT")?;
    let exporter = ReportingExporter {
        exporter,
        endpoint: settings.endpoint.clone(),
        metrics: metrics.clone(),
        is_down: AtomicBool::new(false),
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
        .with_sampler(LinkedSampler(Sampler::ParentBased(Box::new(ratio))))
        .with_max_links_per_span(LINKS_MAX)
        .with_span_processor(CountingProcessor { processor, metrics })
        .build();
    let tracer = provider.tracer("airline-booking");
    Ok(Pipeline { tracer, names: OnceLock::new(), provider })
}

/// Samples a root span if one of its links is sampled; leaves other spans to the inner sampler.
#[derive(Debug, Clone)]
struct LinkedSampler(Sampler);

impl ShouldSample for LinkedSampler {
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
        let sampler = if is_root && is_linked { &Sampler::AlwaysOn } else { &self.0 };
        sampler.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

/// Counts ended spans. Those that are never counted as sent or failed were dropped by the full queue.
#[derive(Debug)]
struct CountingProcessor {
    processor: BatchSpanProcessor,
    metrics: Metrics,
}

impl opentelemetry_sdk::trace::SpanProcessor for CountingProcessor {
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

/// Counts sent and failed spans, and logs the start and end of an outage of the collector.
#[derive(Debug)]
struct ReportingExporter {
    exporter: opentelemetry_otlp::SpanExporter,
    endpoint: String,
    metrics: Metrics,
    is_down: AtomicBool,
}

impl ReportingExporter {
    fn log_recovery(&self) {
        if self.is_down.swap(false, Ordering::Relaxed) {
            info!(endpoint = self.endpoint, "the collector takes traces again");
        }
    }

    fn log_outage(&self, error: &OTelSdkError) {
        if !self.is_down.swap(true, Ordering::Relaxed) {
            let endpoint = &self.endpoint;
            warn!(%error, endpoint, "the collector does not take traces; they are lost meanwhile");
        }
    }
}

impl SpanExporter for ReportingExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exported = self.exporter.export(batch).await;
        match &exported {
            Ok(()) => {
                self.metrics.count_spans("sent", spans);
                self.log_recovery();
            }
            Err(error) => {
                self.metrics.count_spans("failed", spans);
                self.log_outage(error);
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
