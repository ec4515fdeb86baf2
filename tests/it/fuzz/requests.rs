//! Requests: methods, paths, queries, headers and bodies.

use super::{Subject, TIME_MAX};
use crate::fuzzing::{REQUEST, Target, halves};
use crate::support::Answer;
use airline_booking::http::ProblemCode;
use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use serde_json::Value;

/// Longest refusal, in bytes: it quotes little of its request.
const REFUSAL_BYTES_MAX: usize = 32 * 1024;

const SEEDS: &[&str] = &[
    "POST /api/v1/bookings\ncontent-type: application/json\nidempotency-key: k1\nprefer: wait=0\n\n\
     {\"flight_id\":77701,\"user_id\":123,\"seats_booked\":2,\"payment_method\":\"pm_card_visa\",\
     \"passenger_details\":[{\"name\":\"Asha Rao\",\"email\":\"asha@example.com\",\"phone\":\"1234567890\",\
     \"age\":30,\"gender\":\"female\"},{\"name\":\"Ravi Rao\",\"email\":\"ravi@example.com\",\
     \"phone\":\"+91 12345\",\"age\":31,\"gender\":\"male\"}]}",
    "POST /api/v1/bookings\ncontent-type: application/json\n\n\
     {\"flight_id\":77701,\"user_id\":9,\"seats_booked\":1,\"passenger_details\":[{\"name\":\"Asha\",\
     \"email\":\"a@example.com\",\"phone\":\"1234567890\",\"age\":30,\"gender\":\"female\"}]}",
    "POST /api/v1/flights\ncontent-type: application/json\nidempotency-key: \"f 1\"\n\n\
     {\"flight_number\":\"AI101\",\"source\":\"Delhi\",\"destination\":\"Mumbai\",\
     \"timestamp\":\"2025-01-20T10:00:00Z\",\"arrival_timestamp\":\"2025-01-20T12:00:00+05:30\",\
     \"available_seats\":150,\"total_seats\":180,\"price\":2500.00,\"currency\":\"INR\",\
     \"flight_status\":\"scheduled\",\"version\":1}",
    "PUT /api/v1/flights/77701\ncontent-type: application/json\nif-match: \"1\"\n\n\
     {\"available_seats\":9000,\"total_seats\":10000,\"price\":2600,\"timestamp\":\
     \"2025-01-21T10:00:00Z\",\"flight_status\":\"scheduled\",\"source\":\"Delhi\",\"version\":1}",
    "PUT /api/v1/flights/77701\ncontent-type: application/json\n\n{\"price\":\"2600.50\"}",
    "POST /api/v1/itineraries\ncontent-type: application/json\nidempotency-key: i1\nprefer: wait=0\n\n\
     {\"user_id\":123,\"segments\":[{\"flight_id\":77701},{\"flight_id\":77703}],\"seats_booked\":1,\
     \"payment_method\":\"pm_card_visa\",\"passenger_details\":[{\"name\":\"Asha\",\"email\":\"a@example.com\",\
     \"phone\":\"1234567890\",\"age\":30,\"gender\":\"female\"}]}",
    "POST /api/v1/itineraries/77704/cancel\ncontent-type: application/json\nidempotency-key: c2\n\n\
     {\"segments\":[2],\"passengers\":[0,2]}",
    "POST /api/v1/itineraries/77704/cancel\ncontent-type: application/json\n\n{\"passengers\":[1]}",
    "POST /api/v1/itineraries/77704/cancel\n\n",
    "GET /api/v1/itineraries/77704\n\n",
    "POST /api/v1/bookings/find\ncontent-type: application/json\n\n\
     {\"reference\":\"K7MQ2X\",\"last_name\":\"Rao\"}",
    "POST /api/v1/bookings/77702/cancel\ncontent-type: application/json\n\n{\"passengers\":[0]}",
    "POST /api/v1/bookings/77702/cancel\nidempotency-key: c1\n\n",
    "POST /api/v1/bookings/77702/cancel\ncontent-type: application/json\n\n{}",
    "GET /api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20&seats=1&sort=-price\
     &max_price=9000&limit=5\naccept-encoding: gzip\nif-none-match: \"x\"\n\n",
    "GET /api/v1/users/123/bookings?status=completed&limit=2&cursor=77702\n\n",
    "GET /api/v1/flights?date=2025-01-20&source=Delhi&destination=Mumbai&status=scheduled&limit=2\
     &cursor=20062c2174ab00000000000000012f85\n\n",
    "GET /api/v1/flights/77701/bookings?status=completed&limit=2&cursor=77702\naccept: text/csv\n\n",
    "GET /api/v1/flights/77701\nif-none-match: W/\"1\"\n\n",
    "GET /api/v1/bookings/77702\nhost: localhost:8080\nx-forwarded-for: 1.2.3.4\n\n",
    "GET /api/v1/health\nforwarded: for=1.2.3.4\n\n",
    "GET /problems/validation_failed\naccept: text/html\n\n",
    "GET /\naccept: text/html\n\n",
];

/// As hyper reads it; `None`: hyper refuses it, so that it never gets here.
fn parsed(input: &[u8]) -> Option<Request<Body>> {
    let (head, body) = halves(input);
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = lines.next()?;
    let space = line.iter().position(|byte| *byte == b' ')?;
    let method = Method::from_bytes(&line[..space]).ok()?;
    let path = &line[space + 1..];
    let uri = path.starts_with(b"/").then(|| Uri::try_from(path).ok())??;
    let mut request = Request::builder().method(method).uri(uri);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        request = request.header(name, value);
    }
    request.body(Body::from(body.to_vec())).ok()
}

/// A refusal is a problem with a known code, and says what is wrong and where.
fn assert_sound(answer: &Answer) {
    let status = answer.status.as_u16();
    assert!(status < 500, "{answer:?}");
    if status < 400 {
        return;
    }
    assert!(answer.text.len() <= REFUSAL_BYTES_MAX, "{} bytes", answer.text.len());
    let name = answer.json["code"].as_str().unwrap_or_else(|| panic!("no code: {answer:?}"));
    let code = ProblemCode::ALL.into_iter().find(|code| code.as_str() == name);
    let code = code.unwrap_or_else(|| panic!("an unknown code: {answer:?}"));
    answer.assert_problem(code.status().as_u16(), name);
    let detail = answer.json["detail"].as_str().unwrap_or_default();
    assert!(!detail.is_empty(), "no detail: {answer:?}");
    if code == ProblemCode::ValidationFailed {
        let errors = answer.json["errors"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
        assert!(!errors.is_empty(), "{answer:?}");
        for error in errors {
            let pointer = error["pointer"].as_str().expect("a pointer");
            assert!(pointer.is_empty() || pointer.starts_with('/'), "{answer:?}");
            assert!(error["detail"].as_str().is_some_and(|rule| !rule.is_empty()), "{answer:?}");
        }
    }
}

#[test]
fn a_request_of_any_bytes_is_answered_or_refused_by_name() {
    let Some(mut subject) = Subject::start(|config| {
        let proxies = |name: &str| (name == "TRUSTED_PROXIES").then(|| "0.0.0.0/0,::/0".to_owned());
        let sound = airline_booking::config::Config::from_env(proxies).expect("sound");
        config.trusted_proxies = sound.trusted_proxies;
    }) else {
        return;
    };
    let seeds = SEEDS.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    let mut is_idle = true;
    Target { name: "requests", seeds, mutations: REQUEST }.run(|input| {
        subject.refresh();
        let Some(request) = parsed(&subject.with_ids(input)) else { return };
        let is_head = request.method() == Method::HEAD;
        let is_read = request.method() == Method::GET || is_head;
        if !is_read && !is_idle {
            subject.runtime.block_on(subject.app.run_until_idle());
            is_idle = true;
        }
        let before = subject.data_version();
        if request.headers().contains_key("accept-encoding") {
            // The answer may be compressed: a refusal never is.
            let (body, headers) = subject.runtime.block_on(subject.app.send_raw(request));
            let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
            let is_fault = problem["code"] == "internal" || problem["code"] == "unavailable";
            assert!(!is_fault, "{headers:?} {problem}");
            if is_idle && (is_read || problem["code"].is_string()) {
                assert_eq!(subject.data_version(), before, "a read or a refusal wrote: {problem}");
            } else {
                is_idle = false;
            }
            return;
        }
        let answer = subject.runtime.block_on(async {
            let sending = tokio::time::timeout(TIME_MAX, subject.app.send(request));
            sending.await.expect("an answer in time")
        });
        if !is_head {
            assert_sound(&answer);
        }
        if is_read || answer.status.as_u16() >= 400 {
            if is_idle {
                assert_eq!(subject.data_version(), before, "a read or a refusal wrote: {answer:?}");
            }
        } else {
            is_idle = false;
        }
    });
    subject.finish();
}
