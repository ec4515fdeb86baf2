//! One trace follows a booking from its request to its end, without personal data.

use crate::support::collector::{Collector, Received, tree};
use crate::support::deployment::is_shared;
use crate::support::replicas::Replicas;
use crate::support::{TestApp, booking, flight};
use airline_booking::telemetry::Tracing;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Method, Request};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Each span of a lone booking, and the one that it hangs on.
const ONE_BOOKING: [(&str, &str); 17] = [
    ("POST /api/v1/bookings", "caller"),
    ("booking.batch", "booking.hold"),
    ("booking.batch", "booking.settle"),
    ("booking.hold", "POST /api/v1/bookings"),
    ("booking.settle", "process payment-events"),
    ("booking.wait", "booking.hold"),
    ("booking.wait", "booking.settle"),
    ("gateway.open", "process payment-requests"),
    ("process payment-events", "send payment-events"),
    ("process payment-requests", "send payment-requests"),
    ("send airline-events", "booking.settle"),
    ("send flight-bookings", "booking.settle"),
    ("send payment-events", "process payment-requests"),
    ("send payment-requests", "booking.hold"),
    ("store.commit", "booking.batch"),
    ("store.commit", "booking.batch"),
    ("store.load", "booking.batch"),
];

fn assert_is_one_booking(trace: &[Received]) {
    let mut spans = tree(trace, CALLER);
    spans.sort();
    let spans: Vec<_> = spans.iter().map(|(name, above)| (name.as_str(), above.as_str())).collect();
    assert_eq!(spans, ONE_BOOKING);
}

/// The service with traces to a collector.
async fn traced(collector: &Collector) -> (TestApp, Tracing) {
    let tracing = collector.tracing();
    let app = TestApp::with_parts(|_| {}, |parts| parts.tracing = tracing.clone()).await;
    (app, tracing)
}

async fn book(app: &TestApp, flight: i64, method: &str, traceparent: &str) -> i64 {
    let mut body = booking(flight, 1);
    body["payment_method"] = method.into();
    let headers = [("traceparent", traceparent)];
    let answer = app.send_json_with(Method::POST, "/api/v1/bookings", &body, &headers).await;
    answer.booking_id()
}

/// Ends the test and sends what is left.
async fn finish(app: TestApp, tracing: &Tracing) {
    app.finish().await;
    tracing.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn one_trace_follows_a_booking_from_request_to_settlement() {
    let collector = Collector::start().await;
    let (app, tracing) = traced(&collector).await;
    let flight = app.add_flight(9).await;
    book(&app, flight, "pm_card_visa", TRACEPARENT).await;
    app.run_until_idle().await;
    finish(app, &tracing).await;

    let trace = collector.trace(TRACE);
    assert_is_one_booking(&trace);
    let server = trace.iter().find(|span| span.parent == CALLER).expect("a server span");
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/api/v1/bookings"),
        ("http.response.status_code", "201"),
    ] {
        assert_eq!(server.facts[name], value);
    }
    let of = |name: &str| trace.iter().find(|span| span.name == name).expect("a span");
    assert_eq!(of("send payment-requests").facts["messaging.destination.name"], "payment-requests");
    let database = if is_shared() { "postgresql" } else { "sqlite" };
    for call in ["store.load", "store.commit"] {
        assert_eq!(of(call).facts["db.system.name"], database);
    }
    assert!(!of("booking.hold").facts.contains_key("db.system.name"));
    assert_eq!(of("gateway.open").facts["payment.outcome"], "completed");
    assert_eq!(collector.resource()["service.name"], "under-test");
    assert_eq!(collector.resource()["deployment.environment.name"], "test");
}

#[tokio::test]
async fn one_trace_follows_an_itinerary_of_several_flights() {
    let collector = Collector::start().await;
    let (app, tracing) = traced(&collector).await;
    let mut segments = Vec::new();
    for hour in [6, 12, 18] {
        let mut body = flight(9);
        body["timestamp"] = json!(format!("2025-01-20T{hour:02}:00:00Z"));
        body["arrival_timestamp"] = json!(format!("2025-01-20T{:02}:00:00Z", hour + 2));
        segments.push(json!({"flight_id": app.post("/api/v1/flights", &body).await.json["id"]}));
    }
    let mut body = booking(0, 1);
    body.as_object_mut().expect("an object").remove("flight_id");
    body["segments"] = segments.into();
    let headers = [("traceparent", TRACEPARENT)];
    let placed = app.send_json_with(Method::POST, "/api/v1/itineraries", &body, &headers).await;
    assert_eq!(placed.status, 201, "{placed:?}");
    app.run_until_idle().await;
    finish(app, &tracing).await;

    let trace = collector.trace(TRACE);
    let edges: BTreeSet<_> = tree(&trace, CALLER).into_iter().collect();
    let wanted = ONE_BOOKING.map(|edge| {
        let [name, above] = [edge.0, edge.1].map(|name| name.replace("/bookings", "/itineraries"));
        (name, above)
    });
    assert_eq!(edges, wanted.into());
    for once in ["booking.hold", "send payment-requests", "gateway.open", "booking.settle"] {
        assert_eq!(trace.iter().filter(|span| span.name == once).count(), 1, "{once}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_follows_a_booking_over_replicas_and_kafka() {
    let collector = Collector::start().await;
    let replicas = Replicas::new()
        .await
        .with("TRACING_ENABLED", "true")
        .with("TRACING_ENDPOINT", &collector.endpoint)
        .with("TRACING_ENVIRONMENT", "two replicas")
        .start(2)
        .await;
    let flight = replicas.add_flight(9).await;
    let url = replicas.url(0, "/api/v1/bookings");
    let placed = replicas.client.post(url).json(&booking(flight, 1));
    let placed = placed.header("traceparent", TRACEPARENT).send().await.expect("an answer");
    let placed: Value = placed.json().await.expect("JSON");
    replicas.expect_ended(&[placed]).await;
    // Messages about the settlement go out; then a stop sends what has not been sent.
    replicas.outbox_is_empty().await;
    let names = ["KAFKA_TOPIC_PAYMENT_REQUESTS", "KAFKA_TOPIC_PAYMENTS"];
    let topics = names.map(|name| replicas.setting(name).to_owned());
    for server in replicas.servers {
        assert!(server.terminate().await, "a clean end");
    }

    let trace = collector.trace(TRACE);
    // Kafka may deliver a message again while groups form.
    let edges: BTreeSet<_> = tree(&trace, CALLER).into_iter().collect();
    let wanted = ONE_BOOKING.map(|(name, above)| (name.to_owned(), above.to_owned()));
    assert_eq!(edges, wanted.into());
    let of = |name: &str| trace.iter().find(|span| span.name == name).expect("a span");
    assert_eq!(of("process payment-events").facts["messaging.system"], "kafka");
    assert_eq!(of("store.commit").facts["db.system.name"], "postgresql");
    for (name, topic) in [
        ("send payment-requests", topics[0].as_str()),
        ("process payment-events", topics[1].as_str()),
    ] {
        assert_eq!(of(name).facts["messaging.destination.name"], topic, "as it is called there");
    }
    assert_eq!(collector.resource()["service.name"], "airline-booking-service");
    assert_eq!(collector.resource()["deployment.environment.name"], "two replicas");
}

#[tokio::test]
async fn a_batch_has_its_own_trace_with_links_to_and_from_each_command() {
    let collector = Collector::start().await;
    let (app, tracing) = traced(&collector).await;
    let flight = app.add_flight(99).await;
    app.gateway.close();
    futures::future::join_all((0..40).map(|_| app.book(flight, 1))).await;
    finish(app, &tracing).await;

    let spans = collector.spans();
    let batches = spans.iter().filter(|span| span.name == "booking.batch" && span.links.len() > 1);
    let mut commands = 0;
    for batch in batches {
        assert_eq!(
            (batch.parent.as_str(), batch.links.len().to_string()),
            ("", batch.facts["booking.batch.size"].clone())
        );
        for link in &batch.links {
            let command = spans.iter().find(|span| (&span.trace, &span.id) == (&link.0, &link.1));
            let command = command.expect("the command's span");
            assert_eq!(command.links, [(batch.trace.clone(), batch.id.clone())]);
            commands += 1;
        }
    }
    assert!(commands > 1, "forty at once share batches");
}

#[tokio::test]
async fn a_repeated_payment_and_its_reversal_stay_in_the_trace_of_the_booking() {
    let collector = Collector::start().await;
    let (app, tracing) = traced(&collector).await;
    let flight = app.add_flight(9).await;
    book(&app, flight, "pm_card_error", TRACEPARENT).await;
    app.run_until_idle().await;
    app.pass(Duration::from_secs(60)).await;
    app.run_until_idle().await;
    app.pass(Duration::from_secs(301)).await;
    finish(app, &tracing).await;

    let trace = collector.trace(TRACE);
    tree(&trace, CALLER);
    let count = |name: &str| trace.iter().filter(|span| span.name == name).count();
    assert_eq!(count("process payment-requests"), 3, "asked, asked again, reversed");
    assert_eq!(count("gateway.open"), 6, "three attempts each");
    assert_eq!(count("gateway.void"), 1);
    assert_eq!(count("send airline-events"), 1, "that it failed");
}

#[tokio::test]
async fn one_trace_follows_a_payment_over_its_payers_page_to_the_completion() {
    let collector = Collector::start().await;
    let (app, tracing) = traced(&collector).await;
    let mut held = booking(app.add_flight(9).await, 1);
    held["payment"] = json!("later");
    let id = app.post("/api/v1/bookings", &held).await.booking_id();
    let path = format!("/api/v1/bookings/{id}/payment");
    let headers = [("traceparent", TRACEPARENT), ("prefer", "wait=30")];
    let body = json!({"payment_method": "pm_card_3ds"});
    let asked = app.send_json_with(Method::POST, &path, &body, &headers).await;
    let page = asked.json["payment"]["next_action"]["url"].as_str().expect("a page").to_owned();
    let form = Request::post(&page).body(Body::from("verdict=approved")).expect("a request");
    assert_eq!(app.send(form).await.status, 303);
    app.run_until_idle().await;
    assert_eq!(app.booking(id).await["status"], "completed");
    finish(app, &tracing).await;

    let trace = collector.trace(TRACE);
    tree(&trace, CALLER);
    let count = |name: &str| trace.iter().filter(|span| span.name == name).count();
    for (name, times) in [
        ("POST /api/v1/bookings/{id}/payment", 1),
        ("booking.pay", 1),
        ("gateway.open", 1),
        ("gateway.status", 1),
        ("booking.settle", 2),
        ("send airline-events", 1),
    ] {
        assert_eq!(count(name), times, "{name}");
    }
}

#[tokio::test]
async fn a_search_names_the_layer_that_answered() {
    let collector = Collector::start().await;
    let (app, tracing) = traced(&collector).await;
    app.add_flight(9).await;
    // What the new flight outdates is outdated.
    app.run_until_idle().await;
    let path = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20";
    for _ in 0..2 {
        assert_eq!(app.get(path).await.status, 200);
    }
    finish(app, &tracing).await;
    let spans = collector.spans();
    let searches = spans.iter().filter(|span| span.name == "GET /api/v1/flights/search");
    let layers: Vec<_> = searches.map(|span| span.facts["cache.layer"].as_str()).collect();
    assert_eq!(layers, ["store", "process"]);
    assert!(spans.iter().all(|span| !span.facts.contains_key("url.query")));
}

#[tokio::test]
async fn spans_hold_no_path_and_little_caller_input() {
    const MARK: &str = "john.secret@example.com";
    let collector = Collector::start().await;
    let (app, tracing) = traced(&collector).await;
    let long = format!("{MARK}{}", "a".repeat(30_000));
    let state = format!("vendor={long}");
    for path in [
        format!("/api/v1/bookings/{MARK}"),
        format!("/api/v1/users/{MARK}/bookings"),
        format!("/api/v1/nowhere/{MARK}"),
        format!("/{MARK}"),
        format!("/api/v1/bookings/{long}"),
    ] {
        let request = http::Request::get(path).header("traceparent", TRACEPARENT);
        let request = request.header("tracestate", &state).body(axum::body::Body::empty());
        app.send(request.expect("a request")).await;
    }
    app.get("/api/v1/users/123456/bookings").await;
    finish(app, &tracing).await;
    assert!(!collector.holds("john.secret"), "a span holds what a caller wrote");
    assert!(!collector.holds("123456"), "a span holds a user's number");
    let spans = collector.spans();
    let routes: BTreeSet<_> =
        spans.iter().filter_map(|span| span.facts.get("http.route")).collect();
    let known = ["/api/v1/bookings/{id}".to_owned(), "/api/v1/users/{user_id}/bookings".to_owned()];
    assert_eq!(routes, known.iter().collect());
    let longest = spans.iter().flat_map(|span| span.facts.values()).map(String::len).max();
    assert!(longest.expect("facts") <= 256);
}

#[tokio::test]
async fn unsampled_requests_and_probes_make_no_spans() {
    let collector = Collector::start().await;
    let (app, tracing) = traced(&collector).await;
    let flight = app.add_flight(9).await;
    for path in ["/livez", "/readyz", "/metrics", "/api/v1/health"] {
        assert_eq!(app.get(path).await.status, 200);
    }
    let ignored = TRACEPARENT.replace("-01", "-00");
    book(&app, flight, "pm_card_visa", &ignored).await;
    finish(app, &tracing).await;
    let names: Vec<_> = collector.spans().into_iter().map(|span| (span.name, span.trace)).collect();
    assert!(
        names.iter().all(|(name, trace)| !name.starts_with("GET ") && trace != TRACE),
        "{names:?}"
    );
}

#[tokio::test]
async fn an_untrusted_callers_trace_context_is_ignored() {
    let collector = Collector::start().await;
    let (app, tracing) = traced(&collector).await;
    let ask = async |peer: [u8; 4], traceparent: &str| {
        let request = http::Request::get("/api/v1/flights").header("traceparent", traceparent);
        let request = request.extension(ConnectInfo(SocketAddr::from((peer, 4711))));
        app.send(request.body(axum::body::Body::empty()).expect("a request")).await;
    };
    let ignored = TRACEPARENT.replace("-01", "-00");
    ask([203, 0, 113, 9], TRACEPARENT).await;
    ask([203, 0, 113, 9], &ignored).await;
    ask([127, 0, 0, 1], &ignored).await;
    ask([127, 0, 0, 1], TRACEPARENT).await;
    finish(app, &tracing).await;
    let spans = collector.spans();
    let requests: Vec<_> = spans.iter().filter(|span| span.name.starts_with("GET ")).collect();
    let (own, strangers): (Vec<_>, Vec<_>) =
        requests.into_iter().partition(|span| span.trace == TRACE);
    assert_eq!((own.len(), strangers.len()), (1, 2));
    assert_eq!(own[0].parent, CALLER);
    for span in strangers {
        assert_eq!(span.parent, "", "a trace of its own");
        assert_eq!(span.links, [(TRACE.to_owned(), CALLER.to_owned())], "that points to theirs");
    }
}

#[tokio::test]
async fn without_tracing_a_trace_context_is_neither_read_nor_propagated() {
    use airline_booking::bus::Bus;
    use airline_booking::messages::Topic;
    let app = TestApp::start().await;
    let mut requests = app.bus.listen(Topic::PaymentRequests).await.expect("a listener");
    let flight = app.add_flight(9).await;
    book(&app, flight, "pm_card_visa", TRACEPARENT).await;
    app.run_until_idle().await;
    let asked = requests.receive(9).await.expect("requests");
    assert_eq!(asked[0].headers.get("traceparent"), None);
    app.finish().await;
}
