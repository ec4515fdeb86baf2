//! Security headers for browsers, cross-origin requests, and gzip.

use crate::support::jwt::signed_by;
use crate::support::{Answer, TestApp};
use airline_booking::config::{AllowedHosts, CorsOrigins};
use axum::body::Body;
use http::{Method, Request};
use std::io::Read as _;

async fn cancel(app: &TestApp, booking: i64, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::post(format!("/api/v1/bookings/{booking}/cancel"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing() {
    let listed = CorsOrigins::Listed(vec!["https://shop.example".into()]);
    let app = TestApp::with(|config| config.cors_origins = listed).await;
    let flight = app.add_flight(9).await;
    let booked = app.book(flight, 1).await.booking_id();
    app.run_until_idle().await;
    let host = ("host", "localhost:8080");
    for forged in [
        &[host, ("origin", "https://evil.example")][..],
        &[host, ("origin", "http://localhost:3000"), ("sec-fetch-site", "same-site")],
        &[host, ("origin", "null")],
        &[("origin", "null")],
        &[host, ("sec-fetch-site", "cross-site")],
        &[host, ("sec-fetch-site", "same-site")],
    ] {
        let refused = cancel(&app, booked, forged).await;
        refused.assert_problem(403, "forbidden");
        assert!(refused.json["detail"].as_str().expect("text").contains("CORS_ORIGINS"));
    }
    let request = Request::put(format!("/api/v1/flights/{flight}"));
    let request = request.header("origin", "https://evil.example").body(Body::from("{}"));
    app.send(request.expect("a request")).await.assert_problem(403, "forbidden");
    assert_eq!(app.booking(booked).await["status"], "completed");

    // To read is not to change, and CORS keeps the answer from the page.
    let request = Request::get(format!("/api/v1/flights/{flight}"));
    let request = request.header("origin", "https://evil.example").body(Body::empty());
    assert_eq!(app.send(request.expect("a request")).await.status, 200);

    for sound in [
        &[host][..],
        &[],
        &[host, ("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")],
        &[host, ("origin", "https://shop.example"), ("sec-fetch-site", "cross-site")],
        &[host, ("sec-fetch-site", "none")],
    ] {
        assert_eq!(cancel(&app, booked, sound).await.status, 200, "{sound:?}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_foreign_host_name_that_resolves_here_is_refused() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    let booked = app.book(flight, 1).await.booking_id();
    app.run_until_idle().await;
    let paths = [
        format!("/api/v1/bookings/{booked}"),
        "/api/v1/users/123/bookings".into(),
        format!("/api/v1/flights/{flight}/bookings"),
        "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20".into(),
        "/openapi.json".into(),
        "/nowhere".into(),
    ];
    let get = async |app: &TestApp, path: &str, host: &str| {
        let request = Request::get(path).header("host", host).body(Body::empty());
        app.send(request.expect("a request")).await
    };
    for host in ["evil.test", "evil.test:8080", "localhost.evil.test", "127.0.0.1.evil.test"] {
        for path in &paths {
            let refused = get(&app, path, host).await;
            refused.assert_problem(421, "misdirected_request");
            assert!(refused.json["detail"].as_str().expect("text").contains("ALLOWED_HOSTS"));
        }
        // A browser takes the page for the service's own.
        let origin = format!("http://{host}");
        let own = [("host", host), ("origin", &*origin), ("sec-fetch-site", "same-origin")];
        let changed = cancel(&app, booked, &own).await;
        changed.assert_problem(421, "misdirected_request");
        for probe in ["/api/v1/health", "/livez", "/readyz", "/metrics"] {
            assert_eq!(get(&app, probe, host).await.status, 200, "{probe}");
        }
    }
    assert_eq!(app.booking(booked).await["status"], "completed");
    for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080", "10.1.2.3"] {
        assert_eq!(get(&app, &paths[0], host).await.status, 200, "{host}");
    }
    assert_eq!(get(&app, &paths[0], "host.docker.internal:8080").await.status, 200);
    app.finish().await;

    let app = TestApp::with(|config| {
        config.allowed_hosts = AllowedHosts { names: vec!["shop.example".into()], is_set: true };
        config.server_host = [0, 0, 0, 0].into();
    })
    .await;
    let flight = format!("/api/v1/flights/{}", app.add_flight(9).await);
    assert_eq!(get(&app, &flight, "Shop.example").await.status, 200);
    assert_eq!(get(&app, &flight, "evil.test").await.status, 421);
    app.finish().await;
    let app = TestApp::with(|config| config.server_host = [0, 0, 0, 0].into()).await;
    let flight = format!("/api/v1/flights/{}", app.add_flight(9).await);
    assert_eq!(get(&app, &flight, "any.example").await.status, 200);
    app.finish().await;
}

#[tokio::test]
async fn with_tokens_required_the_origin_is_not_checked() {
    let app = TestApp::with(|config| {
        config.auth = Some(signed_by("a secret of thirty-two bytes, or more"));
    })
    .await;
    let answer = cancel(&app, 1, &[("origin", "https://evil.example")]).await;
    answer.assert_problem(401, "unauthenticated");
    app.finish().await;
}

#[tokio::test]
async fn answers_carry_cache_and_security_headers() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    let booked = app.book(flight, 1).await;
    assert_eq!(booked.header("cache-control"), Some("no-store"));
    let booked = booked.booking_id();
    for path in [format!("/api/v1/bookings/{booked}"), "/api/v1/users/123/bookings".into()] {
        let answer = app.get(&path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("cache-control")),
            (200, Some("no-store"))
        );
    }
    let cancelled = cancel(&app, booked, &[]).await;
    assert_eq!(cancelled.header("cache-control"), Some("no-store"));
    let flight = format!("/api/v1/flights/{flight}");
    let search = "/api/v1/flights/search";
    let found = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20";
    let others = ["/api/v1/bookings/999", "/nowhere", "/openapi.json", "/livez"];
    for path in others.into_iter().chain([&*flight, search, found]) {
        let answer = app.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        let policy = Some("default-src 'none'; frame-ancestors 'none'");
        assert_eq!(answer.header("content-security-policy"), policy, "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        let policy = answer.header("cross-origin-resource-policy");
        assert_eq!(policy, Some("same-origin"), "{path}");
    }
    for path in ["/api/v1/bookings/999", "/api/v1/bookings/x", "/api/v1/users/0/bookings?limit=x"] {
        let refused = app.get(path).await;
        assert!(refused.status.is_client_error(), "{path}");
        assert_eq!(refused.header("cache-control"), Some("no-store"), "{path}");
    }
    app.finish().await;
}

#[tokio::test]
async fn long_answers_are_gzipped_on_request() {
    let app = TestApp::start().await;
    let flight = app.add_flight(50).await;
    for _ in 0..8 {
        app.book(flight, 2).await.booking_id();
        app.add_flight(7).await;
    }
    app.run_until_idle().await;
    let search = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20&seats=1";
    let list = "/api/v1/users/123/bookings";
    for path in
        [search, list, "/openapi.json", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css"]
    {
        let ask = |coding: &str| {
            let request = Request::builder().method(Method::GET).uri(path);
            let request = request.header("accept-encoding", coding).body(Body::empty());
            app.send_raw(request.expect("a request"))
        };
        let (plain, head) = ask("gzip;q=0, identity").await;
        assert!(head.get("content-encoding").is_none() && plain.len() > 1_024, "{path}");
        let (zipped, head) = ask("br, gzip").await;
        assert_eq!(head["content-encoding"], "gzip", "{path}");
        assert_eq!(head["vary"], "accept-encoding", "{path}");
        assert!(zipped.len() < plain.len() / 2, "{path}");
        let mut unzipped = Vec::new();
        flate2::read::GzDecoder::new(&*zipped).read_to_end(&mut unzipped).expect("gzip");
        assert_eq!(unzipped, plain, "{path}");
    }
    let (_, head) = {
        let request = Request::get("/api/v1/users/7/bookings").header("accept-encoding", "gzip");
        app.send_raw(request.body(Body::empty()).expect("a request")).await
    };
    assert!(head.get("content-encoding").is_none(), "it fits in one packet");
    app.finish().await;
}
