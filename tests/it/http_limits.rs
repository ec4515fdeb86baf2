//! The rate limit for each client, and which proxies may name the client's address.

use crate::support::{Answer, TestApp};
use airline_booking::config::RateLimit;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use std::net::SocketAddr;

const SEARCH: &str = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20";

async fn limited(per_second: u32, burst: u32, trusted: &str) -> TestApp {
    TestApp::with(|config| {
        config.rate_limit = Some(RateLimit { per_second, burst });
        let trusted = trusted.split_whitespace();
        config.trusted_proxies = trusted.map(|text| text.parse().expect("a network")).collect();
    })
    .await
}

async fn get_from(app: &TestApp, peer: &str, path: &str, forwarded: Option<&str>) -> Answer {
    let mut request = Request::get(path);
    if let Some(forwarded) = forwarded {
        request = request.header("x-forwarded-for", forwarded);
    }
    let peer = SocketAddr::new(peer.parse().expect("an address"), 4711);
    let request = request.extension(ConnectInfo(peer)).body(Body::empty());
    app.send(request.expect("a request")).await
}

#[tokio::test]
async fn a_rate_limited_client_gets_retry_after_and_the_name_of_the_setting() {
    let app = limited(1, 3, "").await;
    for left in ["2", "1", "0"] {
        let answer = get_from(&app, "203.0.113.9", SEARCH, None).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-policy"), Some("\"client\";q=3;w=3"));
        let expected = format!("\"client\";r={left};");
        assert!(answer.header("ratelimit").expect("a header").starts_with(&expected));
    }
    let refused = get_from(&app, "203.0.113.9", SEARCH, None).await;
    refused.assert_problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.header("ratelimit").expect("a header").starts_with("\"client\";r=0;"));
    let detail = refused.json["detail"].as_str().expect("a detail");
    assert!(detail.contains("RATE_LIMIT_RPS") && detail.contains("RATE_LIMIT_BURST"), "{detail}");

    assert_eq!(get_from(&app, "203.0.113.10", SEARCH, None).await.status, 200);
    let unknown = get_from(&app, "203.0.113.9", "/nowhere", None).await;
    unknown.assert_problem(429, "rate_limited");
    let posted = Request::post("/api/v1/bookings")
        .extension(ConnectInfo(SocketAddr::from(([203, 0, 113, 9], 1))))
        .body(Body::empty());
    app.send(posted.expect("a request")).await.assert_problem(429, "rate_limited");
    app.finish().await;
}

#[tokio::test]
async fn probes_and_metrics_are_never_rate_limited() {
    let app = limited(1, 1, "").await;
    for _ in 0..5 {
        for path in ["/livez", "/readyz", "/metrics", "/api/v1/health"] {
            let answer = get_from(&app, "203.0.113.9", path, None).await;
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(answer.header("ratelimit"), None);
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn forwarded_addresses_count_only_from_trusted_proxies() {
    let app = limited(1, 1, "10.0.0.0/8").await;
    for client in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        assert_eq!(get_from(&app, "10.0.0.1", SEARCH, Some(client)).await.status, 200);
        let again = get_from(&app, "10.0.0.2", SEARCH, Some(client)).await;
        again.assert_problem(429, "rate_limited");
        // The client itself wrote whatever is left of it.
        let forged = format!("198.51.100.1, {client}");
        let forged = get_from(&app, "10.0.0.1", SEARCH, Some(&forged)).await;
        forged.assert_problem(429, "rate_limited");
    }
    assert_eq!(get_from(&app, "203.0.113.9", SEARCH, Some("192.0.2.77")).await.status, 200);
    let forged = get_from(&app, "203.0.113.9", SEARCH, Some("192.0.2.78")).await;
    forged.assert_problem(429, "rate_limited");
    app.finish().await;
}

#[tokio::test]
async fn without_a_rate_limit_no_rate_limit_header_is_sent() {
    let app = TestApp::start().await;
    for _ in 0..50 {
        let answer = get_from(&app, "203.0.113.9", SEARCH, None).await;
        assert_eq!((answer.status.as_u16(), answer.header("ratelimit")), (200, None));
    }
    app.finish().await;
}
