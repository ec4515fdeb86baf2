//! Requests that are repeated until a replica has answered them.

use crate::support::callers::Bases;
use reqwest::{Client, Method};
use serde_json::Value;
use std::time::Duration;

/// The pause before a request is repeated, at the other replica if there is one.
const PAUSE: Duration = Duration::from_millis(20);

/// Attempts at one request before the test fails.
const ATTEMPTS_MAX: usize = 3_000;

/// Someone who asks the service.
#[derive(Clone)]
pub struct Asker {
    pub client: Client,
    pub bases: Bases,
}

impl Asker {
    /// What a path answers with 200.
    pub async fn get(&self, path: &str, turn: usize) -> Value {
        self.ask(Method::GET, path, None, turn).await
    }

    /// What a request makes, under a key.
    pub async fn post(&self, path: &str, key: &str, body: &Value, turn: usize) -> Value {
        self.ask(Method::POST, path, Some((key, body)), turn).await
    }

    /// Asks until it is answered with 200 or 201. A replica that is killed gives no answer, or a part of one.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
        turn: usize,
    ) -> Value {
        for attempt in turn..turn + ATTEMPTS_MAX {
            let url = format!("{}{path}", self.bases.of(attempt));
            let mut request = self.client.request(method.clone(), url);
            if let Some((key, body)) = body {
                request = request.header("idempotency-key", key).json(body);
            }
            if let Ok(answer) = request.send().await {
                let status = answer.status().as_u16();
                match (status, answer.json::<Value>().await) {
                    (200 | 201, Ok(answer)) => return answer,
                    (503, _) | (_, Err(_)) => {}
                    (_, Ok(answer)) => panic!("{status} to {method} {path}: {answer}"),
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("no answer to {method} {path}");
    }
}
