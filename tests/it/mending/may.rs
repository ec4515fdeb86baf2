//! Who may correct passengers, and read timelines, disruptions and sales.

use crate::support::jwt::{signed_by, token};
use crate::support::{Answer, TestApp, booking, flight, start_of_test};
use axum::body::Body;
use http::{Method, Request};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

const SECRET: &str = "a secret of thirty-two bytes, or more";

async fn ask(app: &TestApp, who: (i64, &str), method: Method, path: &str, body: Value) -> Answer {
    let now = start_of_test().timestamp();
    let (user, scope) = who;
    let claims = json!({"sub": user.to_string(), "exp": now + 300, "iat": now, "scope": scope});
    let signed = token(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()));
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {signed}"))
        .header("content-type", "application/json");
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    app.send(request.body(body).expect("a request")).await
}

#[tokio::test]
async fn travellers_reach_their_own_bookings_and_staff_all_of_them() {
    let app = TestApp::with(|config| {
        config.auth = Some(signed_by(SECRET));
    })
    .await;
    let staff = (1, "flights:write bookings:admin");
    let made = ask(&app, staff, Method::POST, "/api/v1/flights", flight(9)).await;
    let flight = made.json["id"].as_i64().unwrap_or_else(|| panic!("{made:?}"));
    let owner = (123, "");
    let placed = ask(&app, owner, Method::POST, "/api/v1/bookings", booking(flight, 1)).await;
    let id = placed.booking_id();
    let passenger = format!("/api/v1/bookings/{id}/passengers/0");
    let timeline = format!("/api/v1/bookings/{id}/timeline");
    let disruption = format!("/api/v1/flights/{flight}/disruption");
    let body = json!({"phone": "5550100"});
    for (who, status) in [(owner, 200), ((2, "bookings:admin"), 200), ((2, "flights:write"), 404)] {
        let mended = ask(&app, who, Method::PATCH, &passenger, body.clone()).await;
        let told = ask(&app, who, Method::GET, &timeline, Value::Null).await;
        assert_eq!((mended.status.as_u16(), told.status.as_u16()), (status, status), "{who:?}");
    }
    let sales = format!("/api/v1/flights/{flight}/sales");
    for (who, status) in [(owner, 403), ((2, "bookings:admin"), 403), ((2, "flights:write"), 200)] {
        for path in [&disruption, &sales] {
            let read = ask(&app, who, Method::GET, path, Value::Null).await;
            assert_eq!(read.status, status, "{who:?}, {path}");
        }
    }
    app.get(&timeline).await.assert_problem(401, "unauthenticated");
    app.finish().await;
}
