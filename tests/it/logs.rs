//! What the log says, and what it never says: passengers and secrets, even at `trace`.

use crate::support::collector::Collector;
use crate::support::process::{Server, http_client, run};
use crate::support::replicas::Replicas;
use crate::support::{booking, eventually, flight};
use airline_booking::clock::{Clock as _, SystemClock};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs::File;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// Texts that stand for somebody, each to be found wherever it leaks.
const MARKS: [&str; 8] = [
    "Marked Passenger",
    "marked.passenger@",
    "5550178901",
    "marked-idempotency-key",
    "marked-bearer-token",
    "marked-cookie",
    "pm_marked_token",
    "markedquery",
];

/// A service with everything in its log; gives the log once the work is done.
pub async fn log_of(
    directory: &Path,
    settings: &[(&str, &str)],
    work: impl AsyncFnOnce(&str),
) -> String {
    let file = directory.join("log");
    let log = File::create(&file).expect("a file");
    let server = Server::start_logging(directory, settings, log.into()).await;
    work(&server.base.clone()).await;
    assert!(server.terminate().await, "a clean end");
    std::fs::read_to_string(file).expect("UTF-8")
}

/// Books, replays, is refused and searches, all with marks on it.
async fn use_it(base: &str) {
    let client = http_client();
    let key = format!("marked-idempotency-key-{}", uuid::Uuid::new_v4());
    let post = async |path: &str, body: &Value| {
        let request = client.post(format!("{base}{path}")).json(body);
        let request = request
            .header("idempotency-key", &key)
            .header("authorization", "Bearer marked-bearer-token")
            .header("cookie", "session=marked-cookie")
            .header("x-request-id", "the-request-id")
            .header("prefer", "wait=5");
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.text().await.expect("text"))
    };
    let (status, created) = post("/api/v1/flights", &flight(9)).await;
    assert_eq!(status, 201, "{created}");
    let created: Value = serde_json::from_str(&created).expect("JSON");
    let mut body = booking(created["id"].as_i64().expect("an id"), 1);
    body["passenger_details"][0]["name"] = json!("Marked Passenger");
    body["passenger_details"][0]["email"] = json!("marked.passenger@example.com");
    body["passenger_details"][0]["phone"] = json!("5550178901");
    for expected in [201, 201] {
        assert_eq!(post("/api/v1/bookings", &body).await.0, expected);
    }
    // Refused for the key, for its form, and declined by the gateway.
    body["user_id"] = json!(124);
    body["payment_method"] = json!("pm_marked_token");
    assert_eq!(post("/api/v1/bookings", &body).await.0, 201);
    body["seats_booked"] = json!(2);
    assert_eq!(post("/api/v1/bookings", &body).await.0, 422);
    body["passenger_details"][0]["phone"] = json!("5550178901\u{0}");
    assert_eq!(post("/api/v1/bookings", &body).await.0, 422);
    assert_eq!(post("/api/v1/bookings", &json!("Marked Passenger")).await.0, 422);
    let search = "/api/v1/flights/search?source=markedquery&destination=Mumbai&date=2025-01-20";
    for path in [search, "/api/v1/bookings/1", "/api/v1/users/123/bookings"] {
        let answer = client.get(format!("{base}{path}")).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }
}

fn assert_tells_no_one(log: &str, collector: &Collector) {
    assert!(log.lines().count() > 20, "a log at trace: {log}");
    for mark in MARKS {
        let leak = log.lines().find(|line| line.contains(mark));
        assert_eq!(leak, None, "{mark} is in the log");
        assert!(!collector.holds(mark), "{mark} is in a trace");
    }
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect();
    let requests: Vec<_> = lines.iter().filter(|line| line["target"] == "access").collect();
    let placed = requests.iter().find(|line| line["route"] == "/api/v1/bookings");
    let placed = placed.expect("the line of a booking");
    assert_eq!(placed["request_id"], "the-request-id");
    assert_eq!((&placed["method"], &placed["status"]), (&json!("POST"), &json!(201)));
    assert!(placed["duration_ms"].as_f64().is_some_and(|took| took > 0.0));
    let trace = placed["trace_id"].as_str().expect("a trace");
    assert!(!collector.trace(trace).is_empty(), "the line leads to its trace");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_traces_hold_no_personal_data_on_embedded_services() {
    let collector = Collector::start().await;
    let directory = TempDir::new().expect("a directory");
    let settings = [
        ("RUST_LOG", "trace"),
        ("LOG_FORMAT", "json"),
        ("PAYMENT_LATENCY", "0s"),
        ("TRACING_ENABLED", "true"),
        ("TRACING_ENDPOINT", &collector.endpoint),
    ];
    let log = log_of(directory.path(), &settings, use_it).await;
    assert_tells_no_one(&log, &collector);
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_traces_hold_no_personal_data_on_shared_services() {
    let collector = Collector::start().await;
    let directory = TempDir::new().expect("a directory");
    let replicas = Replicas::new()
        .await
        .with("RUST_LOG", "trace")
        .with("LOG_FORMAT", "json")
        .with("TRACING_ENABLED", "true")
        .with("TRACING_ENDPOINT", &collector.endpoint);
    let log = log_of(directory.path(), &replicas.settings(), use_it).await;
    assert_tells_no_one(&log, &collector);
}

fn access_lines(log: &str) -> Vec<Value> {
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.filter(|line| line["target"] == "access").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_except_probes_has_one_log_line_that_can_be_turned_off() {
    let directory = TempDir::new().expect("a directory");
    let lines_at = async |filter: &str| {
        let settings = [("RUST_LOG", filter), ("LOG_FORMAT", "json"), ("PAYMENT_LATENCY", "0s")];
        let log = log_of(directory.path(), &settings, async |base: &str| {
            use_it(base).await;
            for probe in ["/livez", "/readyz", "/metrics", "/api/v1/health"] {
                let answer = http_client().get(format!("{base}{probe}")).send().await;
                assert!(answer.expect("an answer").status().is_success());
            }
        })
        .await;
        let others = log.lines().count() - access_lines(&log).len();
        (access_lines(&log), others)
    };
    let (told, others) = lines_at("info").await;
    assert_eq!(told.len(), 10, "{told:#?}");
    assert!(told.iter().all(|line| line["level"] == "INFO" && line["request_id"].is_string()));
    assert!(others > 0, "what else happens is told as well");
    let refused: Vec<_> = told.iter().filter_map(|line| line["reason"].as_str()).collect();
    assert_eq!(refused, ["validation_failed"; 3]);
    assert_eq!(lines_at("info,access=warn").await.0, Vec::<Value>::new());
    let (told, others) = lines_at("warn,access=debug").await;
    assert_eq!((told.len(), others), (14, 0), "with the probes, and nothing else");
}

/// Adds a flight without a request, which would need a token of staff.
async fn import_a_flight(directory: &Path) {
    let flights =
        "source,destination,timestamp,total_seats,price\nDelhi,Mumbai,2099-01-20T10:00:00Z,9,1\n";
    std::fs::write(directory.join("flights.csv"), flights).expect("a file");
    let (code, printed) = run(directory, &["import", "flights.csv"]).await;
    assert_eq!(code, 0, "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_callers_are_logged_without_what_they_sent() {
    const SECRET: &str = "a marked secret of thirty-two bytes or more";
    let directory = TempDir::new().expect("a directory");
    let token = |user: i64, expires: i64| {
        let claims = json!({"sub": user.to_string(), "exp": expires});
        let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
        crate::support::jwt::token(&jsonwebtoken::Header::default(), &claims, &key)
    };
    let soon = SystemClock.now().timestamp() + 3_600;
    let (owner, stranger) = (token(123, soon), token(7, soon));
    let expired = token(123, 1_000_000_000);
    let settings = [
        ("RUST_LOG", "info"),
        ("LOG_FORMAT", "json"),
        ("AUTH", "jwt"),
        ("JWT_SECRET", SECRET),
        ("RATE_LIMIT_RPS", "1"),
        ("RATE_LIMIT_BURST", "7"),
    ];
    import_a_flight(directory.path()).await;
    let log = log_of(directory.path(), &settings, async |base: &str| {
        let client = http_client();
        let ask = async |method: Method, path: &str, token: &str, body: Option<Value>| {
            let request = client.request(method, format!("{base}/api/v1{path}"));
            let request = if token.is_empty() { request } else { request.bearer_auth(token) };
            let request = match &body {
                Some(body) => request.json(body),
                None => request,
            };
            request.send().await.expect("an answer").status().as_u16()
        };
        let body = Some(booking(1, 1));
        assert_eq!(ask(Method::POST, "/bookings", &owner, body.clone()).await, 201);
        assert_eq!(ask(Method::GET, "/bookings/1", "", None).await, 401);
        assert_eq!(ask(Method::GET, "/bookings/1", &expired, None).await, 401);
        assert_eq!(ask(Method::GET, "/bookings/1", &format!("{owner}x"), None).await, 401);
        assert_eq!(ask(Method::GET, "/bookings/1", &stranger, None).await, 404);
        assert_eq!(ask(Method::POST, "/bookings", &stranger, body).await, 403);
        assert_eq!(ask(Method::POST, "/flights", &owner, Some(flight(5))).await, 403);
        assert_eq!(ask(Method::GET, "/bookings/1", &owner, None).await, 429);
    })
    .await;
    let refused: Vec<_> =
        access_lines(&log).into_iter().filter(|line| line["message"] == "refused").collect();
    let told: Vec<_> = refused
        .iter()
        .map(|line| (line["status"].as_u64().expect("a status"), line["reason"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (401, Some("no token")),
            (401, Some("it has expired")),
            (401, Some("its signature or its claims are invalid")),
            (404, Some("the booking is another user's")),
            (403, Some("its token is another user's")),
            (403, Some("its token lacks flights:write")),
            (429, Some("it asks too often")),
        ]
    );
    for line in &refused {
        assert_eq!((&line["level"], &line["client"]), (&json!("INFO"), &json!("127.0.0.1")));
        assert!(line["request_id"].is_string() && line["route"].is_string(), "{line}");
    }
    let parts = [&owner, &stranger, &expired].into_iter().flat_map(|token| token.split('.'));
    for part in parts.chain([SECRET]) {
        assert!(!log.contains(part), "{part} is in the log: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pretty_log_has_no_colours_in_a_file() {
    let directory = TempDir::new().expect("a directory");
    let settings = [("RUST_LOG", "info"), ("LOG_FORMAT", "pretty"), ("PAYMENT_LATENCY", "0s")];
    let log = log_of(directory.path(), &settings, use_it).await;
    assert!(log.contains("answered") && !log.contains('\u{1b}'), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_start_warns_of_open_access_and_clear_text() {
    let directory = TempDir::new().expect("a directory");
    let log_at = async |settings: &[(&str, &str)]| {
        let settings = [&[("LOG_FORMAT", "json")], settings].concat();
        log_of(directory.path(), &settings, async |_: &str| {}).await
    };
    assert_eq!(log_at(&[]).await, "");
    let open = log_at(&[("SERVER_HOST", "0.0.0.0"), ("AUTH", "off")]).await;
    assert!(open.contains("AUTH is off") && open.contains("set AUTH=jwt"), "{open}");
    assert!(open.contains("callers reach 0.0.0.0 without TLS"), "{open}");
    let keys = ("JWT_JWKS", "http://user:marked-password@192.0.2.1:9/keys");
    let clear = log_at(&[("AUTH", "jwt"), keys, ("JWT_AUDIENCE", "us")]).await;
    assert!(clear.contains("over plain http"), "{clear}");
    assert!(!clear.contains("marked-password"), "{clear}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_collector_causes_one_warning_and_no_delay() {
    let directory = TempDir::new().expect("a directory");
    let settings = [
        ("RUST_LOG", "info"),
        ("LOG_FORMAT", "json"),
        ("PAYMENT_LATENCY", "0s"),
        ("TRACING_ENABLED", "true"),
        // No collector listens there.
        ("TRACING_ENDPOINT", "http://127.0.0.1:9"),
    ];
    let mut stopped_at = None;
    let log = log_of(directory.path(), &settings, async |base: &str| {
        use_it(base).await;
        let client = http_client();
        eventually("spans that were not sent", async || {
            let sent = client.get(format!("{base}/metrics")).send().await;
            let text = sent.expect("an answer").text().await.expect("text");
            let failed = "trace_spans_total{outcome=\"failed\"} ";
            text.lines().any(|line| line.strip_prefix(failed).is_some_and(|count| count != "0"))
        })
        .await;
        use_it(base).await;
        stopped_at = Some(std::time::Instant::now());
    })
    .await;
    let stop = stopped_at.expect("it was used").elapsed();
    assert!(stop < Duration::from_secs(10), "the stop took {stop:?}");
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    assert!(warnings[0].contains("the collector does not take traces"));
}
