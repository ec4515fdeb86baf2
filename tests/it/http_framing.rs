//! Request smuggling: no notation of a request hides another in its body. On the real binary.

use crate::support::process::{Server, http_client};
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What an attacker hides: a flight that nothing else creates.
const HIDDEN: &str = "POST /api/v1/flights HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
    Content-Type: application/json\r\nContent-Length: 131\r\n\r\n";
const FLIGHT: &str = r#"{"source":"Hidden","destination":"Away","timestamp":"2031-01-20T10:00:00Z","available_seats":1,"total_seats":1,"price":100.00     }"#;

/// Sends bytes as they stand and reads until the service closes: the statuses of all answers.
async fn send(server: &Server, bytes: &[u8]) -> Vec<String> {
    let address = server.base.strip_prefix("http://").expect("a URL");
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    // It may have answered and closed before all is sent.
    let _ = stream.write_all(bytes).await;
    let mut said = Vec::new();
    let reading = stream.read_to_end(&mut said);
    let _ = tokio::time::timeout(Duration::from_secs(20), reading).await.expect("it is closed");
    let said = String::from_utf8_lossy(&said);
    let answers = said.split("HTTP/1.1 ").skip(1);
    answers.map(|answer| answer.chars().take(3).collect()).collect()
}

async fn hidden_flights(server: &Server) -> Value {
    let search = "/api/v1/flights/search?source=Hidden&destination=Away&date=2031-01-20";
    let answer = http_client().get(format!("{}{search}", server.base)).send().await;
    let answer: Value = answer.expect("an answer").json().await.expect("JSON");
    answer["count"].clone()
}

#[tokio::test]
async fn a_request_smuggled_in_an_ambiguous_body_is_never_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[]).await;
    let hidden = format!("{HIDDEN}{FLIGHT}");
    for (head, body) in [
        ("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "0\r\n\r\n"),
        ("Content-Length: 0\r\nContent-Length: 5\r\n", ""),
        ("Content-Length: 5, 5\r\n", "{\"a\":"),
        ("Content-Length: +5\r\n", "{\"a\":"),
        ("Content-Length: -1\r\n", ""),
        ("Content-Length: 0x5\r\n", "{\"a\":"),
        ("Content-Length: 99999999999999999999999\r\n", ""),
        ("Content-Length: \r\n", ""),
        ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: \u{b}chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n"),
        ("X: a\r\n b\r\nContent-Length: 0\r\n", ""),
        ("X: a\0b\r\nContent-Length: 0\r\n", ""),
        ("X: a\rContent-Length: 5\r\nContent-Length: 0\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "zz\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "0x5\r\n{\"a\":\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\n{\"a\":\n0\n\n"),
        ("Transfer-Encoding: chunked\r\n", "5;a\nb\r\n{\"a\":\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\r\n{\"a\":XX0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "-1\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "ffffffffffffffff1\r\n\r\n"),
    ] {
        let request = format!(
            "POST /api/v1/bookings HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/json\r\n{head}\r\n{body}{hidden}"
        );
        let answers = send(&server, request.as_bytes()).await;
        assert_eq!(answers, ["400"], "{head:?} {body:?}");
    }
    assert_eq!(hidden_flights(&server).await, 0);
    // What was hidden is a sound request by itself.
    assert_eq!(send(&server, hidden.as_bytes()).await, ["201"]);
    assert!(server.terminate().await);
}

#[tokio::test]
async fn a_body_in_an_unsupported_content_encoding_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[]).await;
    let chunked = format!("{:x}\r\n{FLIGHT}\r\n0\r\n\r\n", FLIGHT.len());
    for (codings, status) in [
        ("gzip, chunked", "400"),
        ("identity, chunked", "400"),
        ("chunked\r\nTransfer-Encoding: chunked", "400"),
        ("identity\r\nTransfer-Encoding: chunked", "400"),
        ("chunked", "201"),
        ("Chunked", "201"),
    ] {
        let request = format!(
            "POST /api/v1/flights HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: {codings}\r\n\r\n{chunked}"
        );
        assert_eq!(send(&server, request.as_bytes()).await, [status], "{codings:?}");
    }
    assert!(server.terminate().await);
}
