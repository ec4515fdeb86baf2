//! Callers that disconnect before they get an answer, some milliseconds after they send a request.

use crate::support::callers::{Bases, Wish};
use crate::support::eventually;
use crate::support::flight;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How many of them call at once, and how long each waits before it calls again.
const AT_ONCE: usize = 2;
const PAUSE: Duration = Duration::from_millis(10);

/// The last moment at which they leave, in microseconds; the others are spread evenly before it.
const LEAVE_AFTER_MAX: usize = 4_000;

/// Callers that disconnect again and again until they are stopped.
pub struct CutOff {
    left: Arc<AtomicUsize>,
    callers: JoinSet<()>,
}

impl CutOff {
    /// Starts them, on a flight of their own.
    pub fn start(bases: &Bases, flight: i64) -> Self {
        let left: Arc<AtomicUsize> = Arc::default();
        let mut callers = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (bases, left) = (bases.clone(), left.clone());
            callers.spawn(async move {
                loop {
                    let number = left.fetch_add(1, Ordering::Relaxed);
                    // A third of them for each kind of request, to either replica.
                    call(&bases.of(number / 3), flight, number).await;
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Self { left, callers }
    }

    /// How many were cut off.
    pub fn count(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// Until so many were cut off.
    pub async fn leave(&self, count: usize) {
        eventually(format!("{count} cut off callers"), async || self.count() >= count).await;
    }

    /// Ends them; says how many were cut off.
    pub async fn stop(mut self) -> usize {
        self.callers.shutdown().await;
        self.count()
    }
}

async fn call(base: &str, id: i64, number: usize) {
    let (line, body) = request(id, number);
    let body = body.to_string();
    let place = base.trim_start_matches("http://");
    let request = format!(
        "{line} HTTP/1.1\r\nhost: {place}\r\ncontent-type: application/json\r\n\
         idempotency-key: cut-off-{number}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let Ok(mut connection) = TcpStream::connect(place).await else { return };
    if connection.write_all(request.as_bytes()).await.is_ok() {
        // A prime, so that the moments are spread over all kinds of requests.
        let leaves_after = number * 7_919 % LEAVE_AFTER_MAX;
        tokio::time::sleep(Duration::from_micros(leaves_after as u64)).await;
    }
}

/// A request's line and its body.
fn request(id: i64, number: usize) -> (String, Value) {
    match number % 3 {
        0 => ("POST /api/v1/flights".to_owned(), flight(10)),
        1 => {
            // Without seats, which would ask for the version.
            let price = 2_500 + number % 100;
            (format!("PUT /api/v1/flights/{id}"), json!({ "price": price }))
        }
        _ => ("POST /api/v1/bookings".to_owned(), Wish::new(id, 1, "pm_card_visa").body),
    }
}
