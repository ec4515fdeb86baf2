//! Webhooks: partners make them, and get events, whatever their receivers do.

mod callers;
mod delivered;
mod hostile;
mod requests;
mod rows;

use crate::support::TestApp;
use crate::support::receiver::Receiver;
use serde_json::{Value, json};

const PATH: &str = "/api/v1/webhooks";

/// The service, whose webhooks may lead to this machine.
async fn open() -> TestApp {
    TestApp::with(|config| config.webhook_allow_private = true).await
}

/// Makes a webhook; gives the answer.
async fn webhook(app: &TestApp, url: &str, types: &[&str]) -> Value {
    let made = app.post(PATH, &json!({"url": url, "types": types})).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json
}

/// A receiver, and the webhook that leads to it.
async fn told(app: &TestApp, types: &[&str]) -> (Receiver, Value) {
    let receiver = Receiver::start().await;
    let made = webhook(app, &receiver.url, types).await;
    (receiver, made)
}

/// The path of a webhook, or below it.
fn of(webhook: &Value, rest: &str) -> String {
    format!("{PATH}/{}{rest}", webhook["webhook_id"])
}

async fn deliveries(app: &TestApp, webhook: &Value) -> Vec<Value> {
    let listed = app.get(&of(webhook, "/deliveries")).await;
    listed.json["deliveries"].as_array().expect("a list").clone()
}
