//! Requests that are repeated until a replica has answered them.

use super::callers::Bases;
use super::process::http_client;
use super::{booking, flight};
use airline_booking::clock::{Clock as _, SystemClock};
use chrono::TimeDelta;
use fastrand::Rng;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// The pause before an unanswered request is repeated, at the other replica if there is one.
const PAUSE: Duration = Duration::from_millis(20);

/// Attempts at one request before the test fails: a replica that is killed is back within a few seconds.
const ATTEMPTS_MAX: usize = 3_000;

/// Someone who asks the service. Paths are those below `/api/v1`.
#[derive(Clone)]
pub struct Asker {
    client: reqwest::Client,
    bases: Bases,
}

impl Asker {
    pub fn new(bases: &Bases) -> Self {
        Self { client: http_client(), bases: bases.clone() }
    }

    /// A replica's origin.
    pub fn base(&self, turn: usize) -> String {
        self.bases.of(turn)
    }

    /// Adds a flight that departs in a month: far enough that seats may gather.
    pub async fn add_flight(&self, seats: i32) -> i64 {
        let mut body = flight(seats);
        body["timestamp"] = json!(SystemClock.now() + TimeDelta::days(30));
        let (_, created) = self.ask(Method::POST, "/flights", None, Some(&body), 0).await;
        created["id"].as_i64().unwrap_or_else(|| panic!("no flight: {created}"))
    }

    /// Books seats, paid at once unless `later`. Gives the booking's id.
    pub async fn book(
        &self,
        flight: i64,
        user: i64,
        seats: i32,
        later: bool,
        rng: &mut Rng,
    ) -> Result<i64, String> {
        let mut body = booking(flight, seats);
        body["user_id"] = json!(user);
        body["payment"] = json!(if later { "later" } else { "now" });
        let booked = self.post("/bookings", &format!("book-{user}"), &body, rng).await?;
        Ok(booked["booking_id"].as_i64().expect("an id"))
    }

    /// What a path shows.
    pub async fn get(&self, path: &str, rng: &mut Rng) -> Value {
        let shown = self.ask(Method::GET, path, None, None, rng.usize(..2)).await;
        done(path, None, shown).unwrap_or_else(|code| panic!("{code}: {path}"))
    }

    /// Posts under a key. A refusal is its code.
    pub async fn post(
        &self,
        path: &str,
        key: &str,
        body: &Value,
        rng: &mut Rng,
    ) -> Result<Value, String> {
        let made = self.ask(Method::POST, path, Some(key), Some(body), rng.usize(..2)).await;
        done(path, Some(body), made)
    }

    /// Changes what is at a path. A refusal is its code.
    pub async fn put(&self, path: &str, body: &Value, rng: &mut Rng) -> Result<Value, String> {
        let changed = self.ask(Method::PUT, path, None, Some(body), rng.usize(..2)).await;
        done(path, Some(body), changed)
    }

    /// Deletes what is at a path. A refusal is its code.
    pub async fn delete(&self, path: &str, rng: &mut Rng) -> Result<Value, String> {
        let deleted = self.ask(Method::DELETE, path, None, None, rng.usize(..2)).await;
        done(path, None, deleted)
    }

    /// Asks until there is an answer, first the replica of this turn. A replica that is killed gives none, or a part of
    /// one; one that is busy answers 503.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
        turn: usize,
    ) -> (u16, Value) {
        for attempt in turn..turn + ATTEMPTS_MAX {
            let url = format!("{}/api/v1{path}", self.bases.of(attempt));
            let mut request = self.client.request(method.clone(), url);
            if let Some(body) = body {
                request = request.json(body);
            }
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            if let Ok(answer) = request.send().await {
                let status = answer.status().as_u16();
                match answer.json().await {
                    Ok(answer) if status != 503 => return (status, answer),
                    _ => {}
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("no answer to {method} {path}");
    }
}

/// What was made, or the code of a conflict. The test fails of any other answer.
fn done(path: &str, body: Option<&Value>, answer: (u16, Value)) -> Result<Value, String> {
    match answer {
        (200..=202, answer) => Ok(answer),
        (409, answer) => Err(answer["code"].as_str().unwrap_or_default().to_owned()),
        (status, answer) => panic!("{status} to {path} {body:?}: {answer}"),
    }
}
