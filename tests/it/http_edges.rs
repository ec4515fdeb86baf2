//! Malformed bodies, unknown paths and methods, request ids, health, documents.

use crate::support::{Answer, TestApp, booking, equal, eventually};
use airline_booking::http::ProblemCode;
use axum::body::Body;
use http::{Method, Request};
use serde_json::json;
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

async fn post(app: &TestApp, content_type: Option<&str>, body: impl Into<Body>) -> Answer {
    let mut request = Request::post("/api/v1/bookings");
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    app.send(request.body(body.into()).expect("a request")).await
}

#[tokio::test]
async fn unreadable_bodies_are_refused() {
    let app = TestApp::start().await;
    let id = app.add_flight(9).await;
    let sound = booking(id, 1).to_string();
    let json = Some("application/json");
    for body in ["", "{", "nonsense", "{\"flight_id\":1,}", &sound[..sound.len() - 3], "{} {}"] {
        post(&app, json, body.to_owned()).await.assert_problem(400, "malformed_request");
    }
    post(&app, json, vec![0xff, 0xfe]).await.assert_problem(400, "malformed_request");
    let deep = "[".repeat(5_000);
    let answer = post(&app, json, format!("{{\"x\":{deep}")).await;
    answer.assert_problem(400, "malformed_request");
    for huge in ["99999999999999999999", "1e400", "-1e400"] {
        let answer = post(&app, json, format!("{{\"flight_id\":{huge}}}")).await;
        answer.assert_problem(422, "validation_failed");
        assert_eq!(answer.pointers()[0], "/flight_id");
    }
    let long = format!("{{\"pad\":\"{}\"}}", "x".repeat(65 * 1024));
    post(&app, json, long).await.assert_problem(413, "body_too_large");
    for content_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        let answer = post(&app, content_type, sound.clone()).await;
        answer.assert_problem(415, "unsupported_media_type");
    }
    assert_eq!(app.flight(id).await["version"], 1);
    let charset = Some("application/json; charset=utf-8");
    assert_eq!(post(&app, charset, sound).await.status, 201);
    app.finish().await;
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let app = TestApp::start().await;
    for path in ["/api/v1", "/api/v1/flights/1/seats", "/api/v1/flights/search/", "//"] {
        app.get(path).await.assert_problem(404, "not_found");
    }
    for (method, path, allow) in [
        (Method::DELETE, "/api/v1/bookings", "POST"),
        (Method::PATCH, "/api/v1/flights/1", "GET,HEAD,PUT"),
        (Method::POST, "/api/v1/flights/search", "GET,HEAD"),
        (Method::GET, "/api/v1/bookings/1/cancel", "POST"),
    ] {
        let answer = app.send_json(method, path, &json!({})).await;
        answer.assert_problem(405, "method_not_allowed");
        let mut allowed: Vec<_> = answer.header("allow").expect("Allow").split(',').collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(","), allow, "{path}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_request_keeps_its_id_or_gets_one() {
    let app = TestApp::start().await;
    let ask = |id: &str| {
        let request = Request::get("/livez").header("x-request-id", id);
        app.send(request.body(Body::empty()).expect("a request"))
    };
    assert_eq!(ask("order-7.a_b").await.header("x-request-id"), Some("order-7.a_b"));
    for unsound in ["", "a b", "a;b", &"x".repeat(129)] {
        let answer = ask(unsound).await;
        let id = answer.header("x-request-id").expect("an id");
        assert!(id.len() == 32 && id != unsound, "{id}");
    }
    app.finish().await;
}

#[tokio::test]
async fn requests_beyond_the_limit_are_shed_but_health_is_answered() {
    let app = TestApp::with(|config| config.max_in_flight = 0).await;
    let shed = app.get("/api/v1/flights/1").await;
    shed.assert_problem(503, "overloaded");
    assert_eq!(shed.header("retry-after"), Some("1"));
    for path in ["/livez", "/readyz", "/metrics", "/api/v1/health"] {
        assert_eq!(app.get(path).await.status, 200, "{path}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_times_out() {
    let app = TestApp::with(|config| config.server_read_timeout = Duration::from_millis(50)).await;
    let never = Body::from_stream(futures::stream::pending::<Result<&[u8], std::io::Error>>());
    let answer = post(&app, Some("application/json"), never).await;
    answer.assert_problem(408, "request_timeout");
    app.finish().await;
}

#[tokio::test]
async fn health_names_each_dependency() {
    let app = TestApp::start().await;
    let health = app.get("/api/v1/health").await;
    assert_eq!((health.status.as_u16(), &health.json["status"]), (200, &json!("ok")));
    for (name, status) in [("database", "ok"), ("redis", "embedded"), ("kafka", "embedded")] {
        assert_eq!(health.json["checks"][name]["status"], status);
        assert!(health.json["checks"][name]["latency_ms"].is_number());
    }
    app.take_store_away().await;
    // An answer is good for a quarter of a second.
    eventually("503 from /readyz", async || equal(app.get("/readyz").await.status, 503)).await;
    let health = app.get("/api/v1/health").await;
    assert_eq!((health.status.as_u16(), &health.json["status"]), (503, &json!("down")));
    assert_eq!(app.get("/livez").await.status, 200);
    app.book(1, 1).await.assert_problem(503, "unavailable");
    app.get("/api/v1/flights/1").await.assert_problem(503, "unavailable");
    app.abandon();
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status() {
    let app = TestApp::start().await;
    let id = app.add_flight(2).await;
    app.flight(id).await;
    app.get("/api/v1/flights/999").await;
    app.get("/nowhere").await;
    let metrics = app.get("/metrics").await.text;
    for line in [
        r#"http_requests_total{code="OK",method="GET",path="/api/v1/flights/{id}",status="200"} 1"#,
        r#"http_requests_total{code="Not Found",method="GET",path="/api/v1/flights/{id}",status="404"} 1"#,
        r#"http_requests_total{code="Created",method="POST",path="/api/v1/flights",status="201"} 1"#,
        r#"http_requests_total{code="Not Found",method="GET",path="unmatched",status="404"} 1"#,
        r#"http_request_duration_seconds_count{method="GET",path="/api/v1/flights/{id}"} 2"#,
        "http_in_flight_requests 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    app.finish().await;
}

/// The calls that `docs/calls.md` lists, but for pages and documents.
fn listed_calls() -> BTreeSet<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/calls.md"));
    let page = page.expect("the list of calls");
    let cells = page.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let calls = cells.flat_map(|cell| cell.trim_end_matches('`').split("`, `"));
    let is_page = |call: &str| {
        let path = call.split_once(' ').expect("a method and a path").1;
        path == "/" || ["/docs", "/openapi.json", "/sandbox/pay/{token}"].contains(&path)
    };
    calls.filter(|call| !is_page(call)).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_openapi_document_names_every_listed_call_and_its_problems() {
    let app = TestApp::start().await;
    let document = app.get("/openapi.json").await.json;
    assert!(document["openapi"].as_str().expect("a version").starts_with("3.1"));
    let mut routes = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            routes.insert(format!("{} {path}", method.to_uppercase()));
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let is_problem = status.starts_with(['4', '5'])
                    && (path.starts_with("/api") || path.starts_with("/problems"))
                    && !path.ends_with("/health");
                let content = &response["content"]["application/problem+json"];
                assert_eq!(content.is_object(), is_problem, "{path} {status}");
                assert_ne!(response["description"], "");
            }
        }
    }
    assert_eq!(routes, listed_calls());
    app.finish().await;
}

#[tokio::test]
async fn the_type_of_each_problem_leads_to_its_explanation() {
    let app = TestApp::start().await;
    let missing = app.get("/nowhere").await;
    let kind = missing.json["type"].as_str().expect("a type");
    assert_eq!(app.get(kind).await.json["code"], "not_found");
    for code in ProblemCode::ALL {
        let path = format!("/problems/{}", code.as_str());
        let explained = app.get(&path).await;
        assert_eq!(explained.header("content-type"), Some("application/json"));
        assert_eq!(explained.json["type"], path);
        assert_eq!(explained.json["status"], code.status().as_u16());
        assert!(explained.json["description"].as_str().expect("text").ends_with('.'));
        let browser = Request::get(&path).header("accept", "text/html,*/*;q=0.8");
        let page = app.send(browser.body(Body::empty()).expect("a request")).await;
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(page.header("vary"), Some("accept"));
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(page.text.contains(code.as_str()) && !page.text.contains("://"));
    }
    app.get("/problems/none").await.assert_problem(404, "not_found");
    app.finish().await;
}

#[tokio::test]
async fn the_document_shows_codes_examples_links_and_scopes() {
    let app = TestApp::start().await;
    let document = app.get("/openapi.json").await.json;
    let codes = &document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
    let known = ProblemCode::ALL.map(ProblemCode::as_str);
    assert_eq!(codes, &json!(known.as_slice()));
    let mut names = HashSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for operation in operations.as_object().expect("operations").values() {
            let name = operation["operationId"].as_str().expect("a name");
            assert!(!name.is_empty() && names.insert(name), "{path} {name}");
            for (status, response) in operation["responses"].as_object().expect("responses") {
                assert!(response["headers"]["X-Request-Id"].is_object(), "{path} {status}");
                for (media_type, content) in response["content"].as_object().into_iter().flatten() {
                    let is_shown = !content["example"].is_null();
                    let has_fields = media_type.ends_with("json") && status != "503";
                    assert!(is_shown || !has_fields, "{path} {status}");
                }
                if media(response, "application/problem+json") {
                    let code = response["content"]["application/problem+json"]["example"]["code"]
                        .as_str()
                        .expect("a code");
                    assert!(response["description"].as_str().expect("text").contains(code));
                }
            }
        }
    }
    let placed = &document["paths"]["/api/v1/bookings"]["post"];
    let links = placed["responses"]["201"]["links"].as_object().expect("links");
    for (name, link) in links {
        assert!(names.contains(name.as_str()) && link["operationId"] == **name, "{name}");
    }
    assert_eq!(links["getBooking"]["parameters"]["id"], "$response.body#/booking_id");
    let put = &document["paths"]["/api/v1/flights/{id}"]["put"];
    assert_eq!(put["security"], json!([{}, {"bearer": ["flights:write"]}]));
    assert!(placed["responses"]["503"]["headers"]["Retry-After"].is_object());
    assert!(put["responses"]["403"]["headers"]["WWW-Authenticate"].is_object());
    app.finish().await;
}

fn media(response: &serde_json::Value, media_type: &str) -> bool {
    response["content"][media_type].is_object()
}

#[tokio::test]
async fn cors_headers_are_sent_only_to_listed_origins() {
    let listed = |config: &mut airline_booking::config::Config| {
        let origins = vec!["https://shop.example".to_owned()];
        config.cors_origins = airline_booking::config::CorsOrigins::Listed(origins);
    };
    let app = TestApp::with(listed).await;
    let ask = |method: Method, origin: &str, preflight: bool| {
        let mut request = Request::builder().method(method).uri("/api/v1/flights/1");
        request = request.header("origin", origin);
        if preflight {
            request = request.header("access-control-request-method", "PUT");
        }
        app.send(request.body(Body::empty()).expect("a request"))
    };
    let page = "https://shop.example";
    let preflight = ask(Method::OPTIONS, page, true).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some(page));
    assert!(
        preflight.header("access-control-allow-headers").expect("some").contains("idempotency-key")
    );
    let called = ask(Method::GET, page, false).await;
    assert_eq!(called.header("access-control-allow-origin"), Some(page));
    assert_eq!(called.header("vary"), Some("origin"));
    for (method, preflight) in [(Method::GET, false), (Method::OPTIONS, true)] {
        let answer = ask(method, "https://evil.example", preflight).await;
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    app.finish().await;
}

#[tokio::test]
async fn options_lists_the_methods_and_every_answer_has_nosniff() {
    let app = TestApp::start().await;
    let request = Request::builder().method(Method::OPTIONS).uri("/api/v1/flights/1");
    let answer = app.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    assert!(answer.header("allow").expect("Allow").contains("PUT"));
    let docs = ["/docs", "/docs/start.js", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js"];
    for path in docs.into_iter().chain(["/openapi.json", "/nowhere"]) {
        let answer = app.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        if path.starts_with("/docs") {
            let policy = answer.header("content-security-policy").expect("a policy");
            assert!(policy.starts_with("default-src 'none'"), "{path}");
            assert!(!policy.contains("unsafe") && !policy.contains("://"), "{policy}");
        }
    }
    app.finish().await;
}
