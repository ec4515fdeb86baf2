//! Who may place, read and cancel an itinerary.

use super::{PATH, id_of, itinerary, journey};
use crate::support::jwt::{signed_by, token};
use crate::support::{Answer, TestApp, start_of_test};
use airline_booking::config::RateLimit;
use axum::body::Body;
use chrono::TimeDelta;
use http::{Method, Request};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

const SECRET: &str = "a secret of thirty-two bytes, or more";

async fn guarded() -> TestApp {
    TestApp::with(|config| {
        config.auth = Some(signed_by(SECRET));
        config.max_pending_per_user = Some(2);
    })
    .await
}

fn token_of(user: i64, scope: &str) -> String {
    let expires = start_of_test() + TimeDelta::days(365);
    let claims = json!({"sub": user.to_string(), "exp": expires.timestamp(), "scope": scope});
    token(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()))
}

async fn ask(app: &TestApp, who: Option<&str>, method: Method, path: &str, body: &Value) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("content-type", "application/json");
    let request = match who {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    };
    app.send(request.body(Body::from(body.to_string())).expect("a request")).await
}

/// Two flights that connect.
async fn flights(app: &TestApp) -> Vec<i64> {
    let currency = "INR".parse().expect("a currency");
    let legs = [super::leg(0, 50), super::leg(1, 50)];
    app.store.import_flights(&legs, currency, start_of_test()).await.expect("an import");
    vec![1, 2]
}

#[tokio::test]
async fn an_itinerary_is_its_owners_and_staffs() {
    let app = guarded().await;
    let flights = flights(&app).await;
    let (owner, other) = (token_of(123, ""), token_of(7, "flights:write"));
    let staff = token_of(1, "bookings:admin");
    let body = itinerary(&flights, 1);
    ask(&app, None, Method::POST, PATH, &body).await.assert_problem(401, "unauthenticated");
    ask(&app, Some(&other), Method::POST, PATH, &body).await.assert_problem(403, "forbidden");
    let id = id_of(&ask(&app, Some(&owner), Method::POST, PATH, &body).await);
    app.run_until_idle().await;
    let by_staff = id_of(&ask(&app, Some(&staff), Method::POST, PATH, &body).await);
    app.run_until_idle().await;
    let (read, cancel) = (format!("{PATH}/{id}"), format!("{PATH}/{id}/cancel"));
    for who in [&owner, &staff] {
        assert_eq!(ask(&app, Some(who), Method::GET, &read, &json!({})).await.status, 200);
    }
    // Another's, and one that does not exist, are answered alike.
    for (method, path) in [(Method::GET, &read), (Method::POST, &cancel)] {
        ask(&app, None, method.clone(), path, &json!({}))
            .await
            .assert_problem(401, "unauthenticated");
        let anothers = ask(&app, Some(&other), method.clone(), path, &json!({})).await;
        anothers.assert_problem(404, "not_found");
        let path = path.replace(&format!("/{id}"), "/999");
        let missing = ask(&app, Some(&other), method.clone(), &path, &json!({})).await;
        let detail = |answer: &Answer, id: &str| {
            answer.json["detail"].as_str().expect("text").replace(id, "N")
        };
        assert_eq!(detail(&anothers, &id.to_string()), detail(&missing, "999"));
        // Of a later segment too: its itinerary is not told.
        let second = path.replace("/999", &format!("/{}", id + 1));
        let anothers = ask(&app, Some(&other), method, &second, &json!({})).await;
        assert_eq!(detail(&anothers, &(id + 1).to_string()), detail(&missing, "999"));
    }
    let cancelled = ask(&app, Some(&owner), Method::POST, &cancel, &json!({"segments": [1]})).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    let path = format!("{PATH}/{by_staff}/cancel");
    assert_eq!(ask(&app, Some(&staff), Method::POST, &path, &json!({})).await.status, 200);
    app.finish().await;
}

#[tokio::test]
async fn staff_gives_all_back_after_departure_and_places_beyond_the_pending_limit() {
    let app = guarded().await;
    let flights = flights(&app).await;
    let (owner, staff) = (token_of(123, ""), token_of(1, "bookings:admin"));
    app.gateway.close();
    let body = itinerary(&flights, 2);
    let id = id_of(&ask(&app, Some(&owner), Method::POST, PATH, &body).await);
    let refused = ask(&app, Some(&owner), Method::POST, PATH, &body).await;
    refused.assert_problem(409, "too_many_pending");
    assert_eq!(refused.pointers(), ["/segments/0/flight_id"]);
    id_of(&ask(&app, Some(&staff), Method::POST, PATH, &body).await);
    app.gateway.open();
    app.run_until_idle().await;
    app.clock.advance(TimeDelta::days(20));
    let cancel = format!("{PATH}/{id}/cancel");
    let quote = format!("{PATH}/{id}/cancellation");
    let late = ask(&app, Some(&owner), Method::GET, &quote, &json!({})).await;
    assert_eq!(late.json["rule"], "no-show", "{late:?}");
    let cancelled = ask(&app, Some(&staff), Method::POST, &cancel, &json!({})).await;
    assert_eq!((cancelled.status.as_u16(), &cancelled.json["status"]), (200, &json!("cancelled")));
    assert_eq!(cancelled.json["refunds"].as_array().map(Vec::len), Some(2));
    app.finish().await;
}

#[tokio::test]
async fn itineraries_are_personal_limited_and_closed_to_pages_of_other_origins() {
    let app = TestApp::with(|config| {
        config.rate_limit = Some(RateLimit { per_second: 1, burst: 8 });
    })
    .await;
    let flights = journey(&app, 2, 9).await;
    let placed = super::place(&app, &flights, 1).await;
    let id = id_of(&placed);
    assert_eq!(placed.header("cache-control"), Some("no-store"));
    assert!(placed.header("ratelimit").is_some());
    let forged =
        Request::post(format!("{PATH}/{id}/cancel")).header("origin", "https://evil.example");
    let forged = app.send(forged.body(Body::empty()).expect("a request")).await;
    forged.assert_problem(403, "forbidden");
    let foreign = Request::get(format!("{PATH}/{id}")).header("host", "evil.test");
    let foreign = app.send(foreign.body(Body::empty()).expect("a request")).await;
    foreign.assert_problem(421, "misdirected_request");
    let mut last = app.get(&format!("{PATH}/{id}")).await;
    for _ in 0..8 {
        last = app.get(&format!("{PATH}/{id}")).await;
    }
    last.assert_problem(429, "rate_limited");
    app.finish().await;
}

#[tokio::test]
async fn beyond_the_requests_in_flight_an_itinerary_is_refused() {
    let app = TestApp::with(|config| config.max_in_flight = 0).await;
    let refused = app.post(PATH, &itinerary(&[1, 2], 1)).await;
    refused.assert_problem(503, "overloaded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    app.finish().await;
}
