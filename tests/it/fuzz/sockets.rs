//! Bytes on a connection of the real server: malformed heads, headers of any size, requests in a row, halves.

use super::digest;
use crate::fuzzing::{SOCKET, Target};
use crate::support::deployment::is_shared;
use crate::support::process::Server;
use crate::support::{booking, flight};
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Longest exchange on a connection: more than each time limit of the server that the test starts.
const TIME_MAX: Duration = Duration::from_secs(20);

/// How long the server is silent before a client ends its half.
const QUIET: Duration = Duration::from_millis(40);

/// Longest answer in bytes to a request of the seeds, however changed.
const ANSWER_BYTES_MAX: usize = 32 * 1024;

/// Each so many inputs the client leaves its half open, as one that goes on writing.
const LEFT_OPEN_EVERY: usize = 25;

/// Each so many inputs an undamaged request must be answered.
const SOUND_EVERY: usize = 50;

/// Requests that read, and requests that are refused: none changes anything.
const SEEDS: &[&str] = &[
    "GET /api/v1/flights/1 HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n",
    "GET /api/v1/flights/search?source=Delhi&destination=Mumbai&date=2100-01-20 HTTP/1.1\r\n\
     Host: localhost\r\nIf-None-Match: \"x\"\r\nConnection: keep-alive\r\n\r\n",
    "GET /livez HTTP/1.0\r\n\r\n",
    "HEAD /api/v1/bookings/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "POST /api/v1/bookings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
     Idempotency-Key: k1\r\nContent-Length: 52\r\n\r\n\
     {\"flight_id\":999999,\"user_id\":123,\"seats_booked\":\"x\"}",
    "POST /api/v1/bookings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
     Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n\
     10;a=b\r\n{\"flight_id\":9999\r\n2\r\n9}\r\n0\r\nX-Trailer: y\r\n\r\n",
    "PUT /api/v1/flights/1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
     If-Match: \"1\"\r\nContent-Length: 10\r\n\r\n{\"nope\":1}",
    "POST /api/v1/bookings/999999/cancel HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n\
     GET /api/v1/users/123/bookings HTTP/1.1\r\nHost: localhost\r\n\r\n",
];

struct Victim {
    address: String,
    inputs: usize,
}

impl Victim {
    /// Sends bytes and reads until the server closes. A client that ends its half does so once the server is quiet:
    /// the server answers nothing to one that has left.
    fn exchange(&self, bytes: &[u8], ends: bool) -> Vec<u8> {
        let began = Instant::now();
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(if ends { QUIET } else { TIME_MAX })).expect("set");
        stream.set_write_timeout(Some(TIME_MAX)).expect("set");
        // It may have answered and closed before all is sent.
        let _ = stream.write_all(bytes);
        let mut said = Vec::new();
        let mut outcome = stream.read_to_end(&mut said);
        let is_silent = |error: &std::io::Error| {
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        };
        if ends && outcome.as_ref().is_err_and(is_silent) {
            stream.set_read_timeout(Some(TIME_MAX)).expect("set");
            let _ = stream.shutdown(Shutdown::Write);
            outcome = stream.read_to_end(&mut said);
        }
        if let Err(error) = outcome {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "not closed in {TIME_MAX:?}");
        }
        assert!(began.elapsed() < TIME_MAX, "{:?}", began.elapsed());
        said
    }

    /// Each answer is sound and bounded, and there are no more of them than requests.
    fn check(&mut self, input: &[u8]) {
        self.inputs += 1;
        let said = self.exchange(input, !self.inputs.is_multiple_of(LEFT_OPEN_EVERY));
        let said = String::from_utf8_lossy(&said);
        let answers: Vec<_> = said.split("HTTP/1.").skip(1).collect();
        assert!(said.is_empty() || said.starts_with("HTTP/1."), "{said}");
        for answer in &answers {
            let status: u16 = answer.get(2..5).and_then(|digits| digits.parse().ok()).unwrap_or(0);
            assert!((100..500).contains(&status), "{answer}");
            assert!(answer.len() <= ANSWER_BYTES_MAX, "{} bytes", answer.len());
        }
        // Each request has a line of its own; one more is refused as malformed.
        let lines = input.split(|byte| *byte == b'\n').count();
        assert!(answers.len() <= 2 * lines, "{} answers to {lines} lines", answers.len());
        if self.inputs.is_multiple_of(SOUND_EVERY) {
            self.assert_answers();
        }
    }

    fn assert_answers(&self) {
        let sound = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let said = self.exchange(sound, false);
        let said = String::from_utf8_lossy(&said);
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.ends_with("ok\n"), "{said}");
    }
}

async fn post(server: &Server, path: &str, body: &Value) -> Value {
    let client = crate::support::process::http_client();
    let post = client.post(format!("{}/api/v1{path}", server.base)).json(body);
    let answer = post.header("prefer", "wait=10").send().await.expect("an answer");
    assert_eq!(answer.status().as_u16() / 100, 2, "{path}");
    answer.json().await.expect("JSON")
}

/// A flight that is not on sale, and a cancelled booking on it.
async fn prepare(server: &Server) {
    let mut body = flight(10);
    body["timestamp"] = json!("2100-01-20T10:00:00Z");
    let flight = post(server, "/flights", &body).await["id"].as_i64().expect("an id");
    let booking = post(server, "/bookings", &booking(flight, 1)).await["booking_id"].clone();
    post(server, &format!("/bookings/{booking}/cancel"), &json!({})).await;
    let client = crate::support::process::http_client();
    let url = format!("{}/api/v1/flights/{flight}", server.base);
    let put = client.put(url).json(&json!({"flight_status": "cancelled"})).send().await;
    assert_eq!(put.expect("an answer").status(), 200);
}

#[test]
fn bytes_of_any_kind_on_a_connection_are_answered_within_bounds_and_change_nothing() {
    if is_shared() {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let settings = [
        ("PAYMENT_LATENCY", "0s"),
        ("SERVER_READ_TIMEOUT", "300ms"),
        ("SERVER_IDLE_TIMEOUT", "300ms"),
        ("SERVER_WRITE_TIMEOUT", "1s"),
    ];
    let (server, mut watch) = runtime.block_on(async {
        let server = Server::start(directory.path(), &settings).await;
        prepare(&server).await;
        let file = directory.path().join("airline_booking.db");
        let watch = SqliteConnectOptions::new().filename(file).read_only(true).connect().await;
        (server, watch.expect("a connection"))
    });
    // The refund of the cancelled booking ends first.
    let before = runtime.block_on(async {
        let mut last = digest(&mut watch).await;
        crate::support::eventually("tables at rest", async || {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = digest(&mut watch).await;
            std::mem::replace(&mut last, now.clone()) == now
        })
        .await;
        last
    });
    let address = server.base.strip_prefix("http://").expect("a URL").to_owned();
    let mut victim = Victim { address, inputs: 0 };
    let seeds = SEEDS.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    Target { name: "sockets", seeds, mutations: SOCKET }.run(|input| victim.check(input));
    victim.assert_answers();
    assert_eq!(runtime.block_on(digest(&mut watch)), before, "an input has changed a table");
    runtime.block_on(async {
        let url = format!("{}/metrics", server.base);
        let metrics = crate::support::process::http_client().get(url).send().await;
        let metrics = metrics.expect("an answer").text().await.expect("text");
        let panics = metrics.lines().filter(|line| line.starts_with("panics_total{"));
        let panics: Vec<_> = panics.filter(|line| !line.ends_with(" 0")).collect();
        assert_eq!(panics, Vec::<&str>::new());
        assert!(server.terminate().await, "a clean end");
    });
}
