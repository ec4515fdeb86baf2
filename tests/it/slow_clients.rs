//! Slow and silent clients time out and block no other client. On the real binary.

use crate::support::process::{Server, http_client};
use crate::support::{booking, eventually, flight};
use serde_json::Value;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a stop would wait for a connection that says nothing, if it did.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

async fn start(settings: &[(&str, &str)]) -> (Server, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    (Server::start(directory.path(), settings).await, directory)
}

async fn connect(server: &Server) -> TcpStream {
    let address = server.base.strip_prefix("http://").expect("a URL");
    TcpStream::connect(address).await.expect("it listens")
}

/// Reads until the server closes the connection; returns what it sent, and how long that took.
async fn closed(stream: &mut TcpStream) -> (String, Duration) {
    let began = Instant::now();
    let mut said = Vec::new();
    let reading = stream.read_to_end(&mut said);
    // A connection that timed out may also be reset.
    let _ = tokio::time::timeout(Duration::from_secs(20), reading).await.expect("it is closed");
    (String::from_utf8_lossy(&said).into_owned(), began.elapsed())
}

/// Waits until the server works on a request besides the one that asks.
async fn works_on_a_request(server: &Server) {
    let url = format!("{}/metrics", server.base);
    let client = http_client();
    eventually("a request that the server works on", async || {
        let text = client.get(&url).send().await.expect("sent").text().await.expect("text");
        let value = text.lines().find_map(|line| line.strip_prefix("http_in_flight_requests "));
        value.and_then(|value| value.parse().ok()).is_some_and(|value: u32| value >= 2)
    })
    .await;
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
async fn a_missing_request_head_and_an_idle_connection_time_out() {
    let settings = [("SERVER_READ_TIMEOUT", "300ms"), ("SERVER_IDLE_TIMEOUT", "2s")];
    let (server, _directory) = start(&settings).await;
    let mut silent = connect(&server).await;
    let mut half = connect(&server).await;
    half.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n").await.expect("sent");
    let mut resting = connect(&server).await;
    resting.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let mut slow_body = connect(&server).await;
    let head = b"POST /api/v1/bookings HTTP/1.1\r\nHost: localhost\r\n\
        Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    slow_body.write_all(head).await.expect("sent");

    let (half, slow_body, silent, resting) = tokio::join!(
        closed(&mut half),
        closed(&mut slow_body),
        closed(&mut silent),
        closed(&mut resting)
    );
    assert!(half.0.is_empty() && half.1 < silent.1, "{half:?}, {silent:?}");
    assert!(slow_body.0.starts_with("HTTP/1.1 408"), "{slow_body:?}");
    assert!(silent.0.is_empty() && silent.1 >= Duration::from_millis(800), "{silent:?}");
    assert!(resting.0.starts_with("HTTP/1.1 200"), "{resting:?}");
    assert!(resting.1 >= Duration::from_millis(800), "{resting:?}");
    assert!(server.terminate().await);
}

#[tokio::test]
async fn many_silent_connections_do_not_prevent_bookings() {
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
async fn request_heads_beyond_their_limits_are_refused() {
    let (server, _directory) = start(&[]).await;
    let many = "X: y\r\n".repeat(200);
    for (head, status) in [
        (format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"), "431"),
        (
            format!(
                "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n",
                "y".repeat(200_000)
            ),
            "431",
        ),
        ("nonsense\r\n\r\n".to_owned(), "400"),
    ] {
        let mut stream = connect(&server).await;
        stream.write_all(head.as_bytes()).await.expect("sent");
        let (said, _) = closed(&mut stream).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {said}");
    }
    let metrics = http_client().get(format!("{}/metrics", server.base)).send().await;
    let metrics = metrics.expect("an answer").text().await.expect("text");
    for line in [
        r#"{code="Bad Request",method="other",path="unmatched",status="400"} 1"#,
        r#"{code="Request Header Fields Too Large",method="other",path="unmatched",status="431"} 2"#,
    ] {
        assert!(metrics.contains(&format!("http_requests_total{line}")), "{line}: {metrics}");
    }
    assert!(server.terminate().await);
}

#[tokio::test]
async fn a_shutdown_waits_for_running_requests_and_not_for_silent_connections() {
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
    works_on_a_request(&server).await;
    let began = Instant::now();
    assert!(server.terminate().await);
    assert!(began.elapsed() < SHUTDOWN_TIMEOUT, "{:?}", began.elapsed());
    assert_eq!(waiting.await.expect("a task").expect("an answer").status(), 201);
}

#[tokio::test]
async fn a_client_that_reads_single_bytes_times_out() {
    const ASKED: usize = 400;
    let (server, _directory) = start(&[("SERVER_WRITE_TIMEOUT", "300ms")]).await;
    let document = http_client().get(format!("{}/openapi.json", server.base)).send().await;
    let document = document.expect("an answer").bytes().await.expect("a body");
    let mut dripping = connect(&server).await;
    let request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
    dripping.write_all(&request.repeat(ASKED)).await.expect("sent");
    // Each byte taken is a little progress, and not enough of it: two seconds of it are longer than the
    // time-out.
    for _ in 0..40 {
        let _ = dripping.read_u8().await.expect("it is there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (said, _) = closed(&mut dripping).await;
    assert!(said.len() < ASKED * document.len(), "all {} bytes came", said.len());
    assert!(server.terminate().await);
}

#[tokio::test]
async fn at_the_connection_limit_only_idle_connections_are_closed() {
    let (server, _directory) = start(&[("MAX_CONNECTIONS", "2"), ("PAYMENT_LATENCY", "2s")]).await;
    let flight = {
        let client = http_client();
        let created = client.post(format!("{}/api/v1/flights", server.base)).json(&flight(5));
        let created: Value = created.send().await.expect("sent").json().await.expect("JSON");
        created["id"].as_i64().expect("an id")
    };
    let mut resting = connect(&server).await;
    let mut busy = connect(&server).await;
    let body = booking(flight, 1).to_string();
    let head = format!(
        "POST /api/v1/bookings HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=30\r\n\
         Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    busy.write_all(head.as_bytes()).await.expect("sent");
    // With this answer the server says that it works on the request.
    let mut said = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    busy.read_exact(&mut said).await.expect("it is asked for the body");
    assert_eq!(&said, b"HTTP/1.1 100 Continue\r\n\r\n");
    busy.write_all(body.as_bytes()).await.expect("sent");

    let mut newcomer = connect(&server).await;
    let ask = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    newcomer.write_all(ask).await.expect("sent");
    let (said, _) = closed(&mut newcomer).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    assert!(closed(&mut resting).await.0.is_empty());

    // Answered, and asked again on the same connection.
    let mut answer = vec![0; 4_096];
    let length = busy.read(&mut answer).await.expect("an answer");
    assert!(answer[..length].starts_with(b"HTTP/1.1 201"));
    busy.write_all(ask).await.expect("it is open");
    let (said, _) = closed(&mut busy).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    assert!(server.terminate().await);
}
