//! Clients that are slow, or say nothing: given up, and in nobody's way. On the real binary.

use crate::support::process::{Server, http_client};
use crate::support::{booking, flight};
use serde_json::Value;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn start(settings: &[(&str, &str)]) -> (Server, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    (Server::start(directory.path(), settings).await, directory)
}

async fn connect(server: &Server) -> TcpStream {
    let address = server.base.strip_prefix("http://").expect("a URL");
    TcpStream::connect(address).await.expect("it listens")
}

/// Reads until the server closes; what it said, and how long that took.
async fn closed(stream: &mut TcpStream) -> (String, Duration) {
    let began = Instant::now();
    let mut said = Vec::new();
    let reading = stream.read_to_end(&mut said);
    // A connection that was given up may be reset, which is as good.
    let _ = tokio::time::timeout(Duration::from_secs(20), reading).await.expect("it is closed");
    (String::from_utf8_lossy(&said).into_owned(), began.elapsed())
}

async fn book(server: &Server) {
    let client = http_client();
    let url = |path: &str| format!("{}{path}", server.base);
    let created = client.post(url("/api/v1/flights")).json(&flight(5)).send().await;
    let created: Value = created.expect("an answer").json().await.expect("JSON");
    let body = booking(created["id"].as_i64().expect("an id"), 1);
    let placed = client.post(url("/api/v1/bookings")).json(&body).send().await;
    assert_eq!(placed.expect("an answer").status(), 201);
}

#[tokio::test]
async fn a_head_that_does_not_come_and_a_connection_at_rest_are_given_up() {
    let settings = [("SERVER_READ_TIMEOUT", "300ms"), ("SERVER_IDLE_TIMEOUT", "900ms")];
    let (server, _directory) = start(&settings).await;
    let mut silent = connect(&server).await;
    let mut half = connect(&server).await;
    half.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n").await.expect("sent");
    let mut resting = connect(&server).await;
    resting.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    let mut slow_body = connect(&server).await;
    let head = b"POST /api/v1/bookings HTTP/1.1\r\nHost: x\r\n\
        Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    slow_body.write_all(head).await.expect("sent");

    let (half, slow_body, silent, resting) = tokio::join!(
        closed(&mut half),
        closed(&mut slow_body),
        closed(&mut silent),
        closed(&mut resting)
    );
    assert!(half.0.is_empty() && half.1 < Duration::from_millis(850), "{half:?}");
    assert!(slow_body.0.starts_with("HTTP/1.1 408"), "{slow_body:?}");
    assert!(silent.0.is_empty() && silent.1 >= Duration::from_millis(800), "{silent:?}");
    assert!(resting.0.starts_with("HTTP/1.1 200"), "{resting:?}");
    assert!(resting.1 >= Duration::from_millis(800), "{resting:?}");
    assert!(server.terminate().await);
}

#[tokio::test]
async fn many_connections_that_say_nothing_do_not_stop_others_from_booking() {
    let (server, _directory) = start(&[("MAX_CONNECTIONS", "100")]).await;
    let mut silent = Vec::new();
    for number in 0..300 {
        let mut stream = connect(&server).await;
        if number % 2 == 0 {
            stream.write_all(b"POST /api/v1/bookings HTTP/1.1\r\nHost:").await.expect("sent");
        }
        silent.push(stream);
    }
    let began = Instant::now();
    book(&server).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(server.terminate().await);
}

#[tokio::test]
async fn heads_beyond_their_bounds_are_refused() {
    let (server, _directory) = start(&[]).await;
    let many = "X: y\r\n".repeat(200);
    for (head, status) in [
        (format!("GET /livez HTTP/1.1\r\nHost: x\r\n{many}\r\n"), "431"),
        (
            format!("GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "y".repeat(200_000)),
            "431",
        ),
        ("nonsense\r\n\r\n".to_owned(), "400"),
    ] {
        let mut stream = connect(&server).await;
        stream.write_all(head.as_bytes()).await.expect("sent");
        let (said, _) = closed(&mut stream).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {said}");
    }
    assert!(server.terminate().await);
}

#[tokio::test]
async fn a_stop_waits_for_what_is_under_way_and_for_nobody_who_says_nothing() {
    let (server, _directory) = start(&[("PAYMENT_LATENCY", "700ms")]).await;
    let client = http_client();
    let url = |path: &str| format!("{}{path}", server.base);
    let created = client.post(url("/api/v1/flights")).json(&flight(5)).send().await;
    let created: Value = created.expect("an answer").json().await.expect("JSON");
    let body = booking(created["id"].as_i64().expect("an id"), 1);
    let _silent = connect(&server).await;
    let mut half = connect(&server).await;
    half.write_all(b"GET /livez HTTP/1.1\r\n").await.expect("sent");

    let waiting = client.post(url("/api/v1/bookings")).header("prefer", "wait=20").json(&body);
    let waiting = tokio::spawn(waiting.send());
    tokio::time::sleep(Duration::from_millis(250)).await;
    let began = Instant::now();
    assert!(server.terminate().await);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(waiting.await.expect("a task").expect("an answer").status(), 201);
}
