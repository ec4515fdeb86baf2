//! What `/` answers to browsers and to other programs, and the documents that `DOCS=off` removes.

use crate::support::{Answer, TestApp};
use airline_booking::config::{AllowedHosts, Config};
use axum::body::Body;
use http::{Method, Request};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const SEARCH: &str = "http://shop.example:8080/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-02";

/// A service that answers to the name that is asked for here.
fn named(config: &mut Config) {
    config.allowed_hosts = AllowedHosts { names: vec!["shop.example".into()], is_set: true };
}

async fn look(app: &TestApp, method: Method, accept: &str) -> Answer {
    let request = Request::builder().method(method).uri("/").header("accept", accept);
    let request = request.header("host", "shop.example:8080").body(Body::empty());
    app.send(request.expect("a request")).await
}

#[tokio::test]
async fn the_home_page_is_html_for_browsers_and_text_for_curl() {
    let app = TestApp::with(named).await;
    let page = look(&app, Method::GET, BROWSER).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text.contains("href=\"docs\""), "{}", page.text);

    let text = look(&app, Method::GET, "*/*").await;
    assert_eq!((text.status.as_u16(), text.header("vary")), (200, Some("accept")));
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    let command = format!("  curl \"{SEARCH}\"\n");
    for part in ["http://shop.example:8080/docs\n", "/api/v1/health\n", &command] {
        assert!(text.text.contains(part), "{part}: {}", text.text);
    }
    // The search is one that can be asked.
    let path = SEARCH.strip_prefix("http://shop.example:8080").expect("a path");
    assert_eq!(app.get(path).await.status, 200);

    let head = look(&app, Method::HEAD, "*/*").await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
    let length = text.text.len().to_string();
    assert_eq!(head.header("content-length"), Some(length.as_str()));
    app.send_json(Method::POST, "/", &serde_json::json!({}))
        .await
        .assert_problem(405, "method_not_allowed");
    app.finish().await;
}

#[tokio::test]
async fn behind_a_tls_proxy_the_shown_address_is_https() {
    let app = TestApp::start().await;
    let request = Request::get("/").header("x-forwarded-proto", "https");
    let answer = app.send(request.body(Body::empty()).expect("a request")).await;
    assert!(answer.text.contains("curl \"https://localhost:8080/api"), "{}", answer.text);
    app.finish().await;
}

#[tokio::test]
async fn with_docs_off_the_reference_is_removed_and_no_page_links_to_it() {
    let app = TestApp::with(|config| {
        named(config);
        config.docs = false;
    })
    .await;
    for path in ["/docs", "/docs/", "/docs/start.js", "/docs/swagger-ui.css", "/openapi.json"] {
        app.get(path).await.assert_problem(404, "not_found");
    }
    for accept in [BROWSER, "*/*"] {
        let answer = look(&app, Method::GET, accept).await;
        assert_eq!(answer.status, 200);
        assert!(
            !answer.text.contains("docs") && !answer.text.contains("openapi"),
            "{}",
            answer.text
        );
    }
    let request = Request::get("/problems/not_found").header("accept", BROWSER);
    let explained = app.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(explained.status, 200);
    assert!(!explained.text.contains("/docs"), "{}", explained.text);
    app.finish().await;

    let shown = TestApp::start().await;
    for path in ["/docs", "/docs/start.js", "/openapi.json"] {
        assert_eq!(shown.get(path).await.status, 200, "{path}");
    }
    shown.finish().await;
}

#[tokio::test]
async fn the_reference_page_loads_only_files_that_the_service_has() {
    let app = TestApp::start().await;
    let page = app.get("/docs").await.text;
    let start = app.get("/docs/start.js").await.text;
    let loaded = page.split(['"', '\'']).filter(|part| part.starts_with("docs/"));
    let loaded: Vec<_> = loaded.map(|path| format!("/{path}")).collect();
    assert_eq!(loaded.len(), 3, "{page}");
    assert!(start.contains("url: \"openapi.json\"") && start.contains("validatorUrl: null"));
    for path in loaded.iter().map(String::as_str).chain(["/openapi.json"]) {
        assert_eq!(app.get(path).await.status, 200, "{path}");
    }
    // The bundle's first line names its licences.
    let bundle = app.get("/docs/swagger-ui-bundle.js").await.text;
    let line = bundle.lines().next().expect("a line");
    let licences = line.split(' ').find(|word| word.contains("LICENSE")).expect("a file");
    let licences = app.get(&format!("/docs/{licences}")).await;
    assert!(licences.text.contains("Apache License"), "{}", licences.text);
    app.finish().await;
}
