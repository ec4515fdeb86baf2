//! What callers make, read and delete, and what is refused.

use super::{PATH, of, open, told, webhook};
use crate::support::TestApp;
use http::Method;
use serde_json::{Value, json};

const TYPES: [&str; 2] = ["booking.completed", "flight.cancelled"];

#[tokio::test]
async fn a_webhook_shows_its_secret_once_and_a_repeat_shows_none() {
    let app = TestApp::start().await;
    let body = json!({"url": "https://Partner.example/hooks", "types": TYPES});
    let post = async |key: &str, body: &Value| {
        app.send_json_with(Method::POST, PATH, body, &[("idempotency-key", key)]).await
    };
    let made = post("k1", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let secret = made.json["secret"].as_str().expect("a secret");
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    assert_eq!(made.json["url"], "https://partner.example/hooks");
    assert_eq!(made.json["status"], "active");
    assert_eq!(made.header("location"), Some(&*of(&made.json, "")));
    let again = post("k1", &body).await;
    assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (201, Some("true")));
    assert_eq!(again.json["webhook_id"], made.json["webhook_id"]);
    assert!(again.json.get("secret").is_none(), "{again:?}");
    let other = json!({"url": "https://partner.example/other", "types": TYPES});
    post("k1", &other).await.assert_problem(422, "idempotency_key_reused");
    let read = app.get(&of(&made.json, "")).await;
    assert!(read.status == 200 && read.json.get("secret").is_none(), "{read:?}");
    let listed = app.get(PATH).await;
    assert_eq!(listed.json["count"], 1);
    assert_eq!(listed.json["webhooks"][0], read.json);
    assert!(!listed.text.contains("whsec_"), "{listed:?}");
    app.finish().await;
}

#[tokio::test]
async fn a_rotation_shows_the_new_secret_once() {
    let app = TestApp::start().await;
    let made = webhook(&app, "https://partner.example/", &TYPES).await;
    let rotate = async |key: &str| {
        let head = [("idempotency-key", key)];
        app.send_json_with(Method::POST, &of(&made, "/rotate"), &json!({}), &head).await
    };
    let rotated = rotate("r1").await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    assert!(rotated.json["secret"].as_str().is_some_and(|new| *new != made["secret"]));
    let again = rotate("r1").await;
    assert_eq!((again.status.as_u16(), &again.json), (200, &json!({})));
    app.finish().await;
}

#[tokio::test]
async fn an_address_or_a_type_that_will_not_do_is_refused_with_its_place() {
    let app = TestApp::start().await;
    for url in [
        "http://partner.example/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/",
        "https://user:password@partner.example/",
        "https://partner.example/#fragment",
        "partner.example",
    ] {
        let refused = app.post(PATH, &json!({"url": url, "types": TYPES})).await;
        refused.assert_problem(422, "validation_failed");
        assert_eq!(refused.pointers(), ["/url"], "{url}");
    }
    let url = "https://partner.example/";
    for (body, pointers) in [
        (json!({"url": url, "types": []}), vec!["/types"]),
        (json!({"url": url}), vec!["/types"]),
        (json!({"types": TYPES}), vec!["/url"]),
        (
            json!({"url": url, "types": ["booking.completed", "payment.completed"]}),
            vec!["/types/1"],
        ),
        (json!({"url": url, "types": [1]}), vec!["/types/0"]),
        (json!({"url": url, "types": "booking.completed"}), vec!["/types"]),
    ] {
        let refused = app.post(PATH, &body).await;
        refused.assert_problem(422, "validation_failed");
        assert_eq!(refused.pointers(), pointers, "{body}");
    }
    assert_eq!(app.get(PATH).await.json["count"], 0);
    app.finish().await;
}

#[tokio::test]
async fn an_owner_has_a_hundred_webhooks_at_most() {
    let app = TestApp::start().await;
    let mut last = Value::Null;
    for number in 0..100 {
        last = webhook(&app, &format!("https://partner.example/{number}"), &TYPES).await;
    }
    let body = json!({"url": "https://partner.example/more", "types": TYPES});
    app.post(PATH, &body).await.assert_problem(409, "too_many_webhooks");
    let page = app.get(&format!("{PATH}?limit=99")).await.json;
    let cursor = page["next_cursor"].as_str().expect("more");
    let rest = app.get(&format!("{PATH}?cursor={cursor}")).await.json;
    assert_eq!(rest["webhooks"][0]["webhook_id"], last["webhook_id"]);
    assert_eq!(app.send_json(Method::DELETE, &of(&last, ""), &json!({})).await.status, 204);
    assert_eq!(app.post(PATH, &body).await.status, 201);
    app.finish().await;
}

#[tokio::test]
async fn a_deleted_webhook_is_gone_and_gets_nothing_more() {
    let app = open().await;
    let (receiver, made) = told(&app, &TYPES).await;
    let deleted = app.send_json(Method::DELETE, &of(&made, ""), &json!({})).await;
    assert_eq!((deleted.status.as_u16(), &*deleted.text), (204, ""));
    for (method, rest) in [
        (Method::GET, ""),
        (Method::DELETE, ""),
        (Method::GET, "/deliveries"),
        (Method::POST, "/ping"),
        (Method::POST, "/rotate"),
        (Method::POST, "/deliveries/1/redeliver"),
    ] {
        let answer = app.send_json(method, &of(&made, rest), &json!({})).await;
        answer.assert_problem(404, "not_found");
    }
    let flight = app.add_flight(9).await;
    app.book(flight, 1).await.booking_id();
    app.run_until_idle().await;
    assert_eq!(receiver.ids(), Vec::<String>::new());
    app.finish().await;
}
