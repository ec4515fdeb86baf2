//! A trace collector inside the test: accepts OTLP over HTTP and keeps the spans.

use airline_booking::config::TracingSettings;
use airline_booking::telemetry::{Metrics, Tracing};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A collector that runs until it is dropped.
pub struct Collector {
    /// As `TRACING_ENDPOINT` names it.
    pub endpoint: String,
    bodies: Arc<Mutex<Vec<Bytes>>>,
    server: JoinHandle<()>,
}

/// A span that was received.
#[derive(Debug, Clone)]
pub struct Received {
    pub name: String,
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub facts: BTreeMap<String, String>,
    /// Traces and spans that it is linked to.
    pub links: Vec<(String, String)>,
}

impl Collector {
    pub async fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.expect("a port"))
    }

    /// The same where somebody listens already.
    pub fn on(listener: TcpListener) -> Self {
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let bodies: Arc<Mutex<Vec<Bytes>>> = Arc::default();
        let keep = async |State(bodies): State<Arc<Mutex<Vec<Bytes>>>>, body: Bytes| {
            bodies.lock().expect("no panic").push(body);
        };
        let router = Router::new().route("/v1/traces", post(keep)).with_state(bodies.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Self { endpoint, bodies, server }
    }

    /// Tracing of this process to here, of every trace.
    pub fn tracing(&self) -> Tracing {
        self.tracing_counted_in(Metrics::new())
    }

    /// The same, with its spans counted.
    pub fn tracing_counted_in(&self, metrics: Metrics) -> Tracing {
        let settings = TracingSettings {
            endpoint: format!("{}/v1/traces", self.endpoint),
            service_name: "under-test".into(),
            environment: "test".into(),
            sampler_ratio: 1.0,
            trust_caller: None,
        };
        Tracing::start(&settings, metrics).expect("an address")
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let bodies = self.bodies.lock().expect("no panic");
        bodies.iter().map(|body| Message::decode(body.clone()).expect("protobuf")).collect()
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Received> {
        let requests = self.requests().into_iter().flat_map(|request| request.resource_spans);
        let scopes = requests.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).map(Received::from).collect()
    }

    /// The spans of one trace.
    pub fn trace(&self, id: &str) -> Vec<Received> {
        self.spans().into_iter().filter(|span| span.trace == id).collect()
    }

    /// What the spans say of the service, which must be the same for all.
    pub fn resource(&self) -> BTreeMap<String, String> {
        let requests = self.requests().into_iter().flat_map(|request| request.resource_spans);
        let resources = requests.map(|spans| facts(spans.resource.expect("a resource").attributes));
        resources
            .reduce(|one, other| {
                assert_eq!(one, other);
                one
            })
            .expect("a span")
    }

    /// Whether anything that was received holds this text.
    pub fn holds(&self, text: &str) -> bool {
        let bodies = self.bodies.lock().expect("no panic");
        bodies.iter().any(|body| body.windows(text.len()).any(|part| part == text.as_bytes()))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn hex(id: &[u8]) -> String {
    use std::fmt::Write as _;
    id.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all");
        text
    })
}

fn facts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: KeyValue| match value.value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|fact| (fact.key.clone(), text(fact))).collect()
}

impl From<Span> for Received {
    fn from(span: Span) -> Self {
        let links = span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id)));
        Self {
            name: span.name,
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            links: links.collect(),
            facts: facts(span.attributes),
        }
    }
}

/// Checks that each of a trace's spans hangs on another, but the one below the caller; gives their
/// names with those that they hang on.
pub fn tree(trace: &[Received], caller: &str) -> Vec<(String, String)> {
    let names: HashMap<&str, &str> =
        trace.iter().map(|span| (span.id.as_str(), span.name.as_str())).collect();
    let above = |span: &Received| match names.get(span.parent.as_str()) {
        Some(name) => (*name).to_owned(),
        None if span.parent == caller => "caller".to_owned(),
        None => panic!("{} hangs on nothing: {trace:#?}", span.name),
    };
    trace.iter().map(|span| (span.name.clone(), above(span))).collect()
}
