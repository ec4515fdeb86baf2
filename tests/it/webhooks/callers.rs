//! Who may make webhooks, and whose they are.

use super::{PATH, of};
use crate::support::jwt::{signed_by, token};
use crate::support::{Answer, TestApp, start_of_test};
use axum::body::Body;
use chrono::TimeDelta;
use http::{Method, Request};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

const SECRET: &str = "a secret of thirty-two bytes, or more";

async fn guarded() -> TestApp {
    TestApp::with(|config| {
        config.auth = Some(signed_by(SECRET));
    })
    .await
}

fn token_of(user: i64, scope: &str) -> String {
    let expires = start_of_test() + TimeDelta::days(365);
    let claims = json!({"sub": user.to_string(), "exp": expires.timestamp(), "scope": scope});
    token(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()))
}

async fn ask(app: &TestApp, token: &str, method: Method, path: &str, body: &Value) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("content-type", "application/json");
    let request = request.header("authorization", format!("Bearer {token}"));
    app.send(request.body(Body::from(body.to_string())).expect("a request")).await
}

#[tokio::test]
async fn webhooks_need_their_scope_and_are_their_makers_alone() {
    let app = guarded().await;
    let body = json!({"url": "https://partner.example/", "types": ["booking.completed"]});
    let (maker, other) = (token_of(7, "webhooks:write"), token_of(8, "webhooks:write"));
    let staff = token_of(1, "flights:write bookings:admin");
    assert_eq!(app.post(PATH, &body).await.status, 401);
    let refused = ask(&app, &staff, Method::POST, PATH, &body).await;
    refused.assert_problem(403, "forbidden");
    assert_eq!(
        refused.header("www-authenticate"),
        Some("Bearer error=\"insufficient_scope\", scope=\"webhooks:write\"")
    );
    let made = ask(&app, &maker, Method::POST, PATH, &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let ping = ask(&app, &maker, Method::POST, &of(&made.json, "/ping"), &json!({})).await;
    assert_eq!(ping.status, 202, "{ping:?}");
    let again = format!("/deliveries/{}/redeliver", ping.json["id"]);
    for (method, rest) in [
        (Method::GET, ""),
        (Method::DELETE, ""),
        (Method::GET, "/deliveries"),
        (Method::POST, "/ping"),
        (Method::POST, "/rotate"),
        (Method::POST, &*again),
    ] {
        let path = of(&made.json, rest);
        let foreign = ask(&app, &other, method.clone(), &path, &json!({})).await;
        foreign.assert_problem(404, "not_found");
        assert_eq!(ask(&app, &staff, method, &path, &json!({})).await.status, 403);
    }
    assert_eq!(ask(&app, &other, Method::GET, PATH, &json!({})).await.json["count"], 0);
    assert_eq!(ask(&app, &maker, Method::GET, PATH, &json!({})).await.json["count"], 1);
    app.finish().await;
}
