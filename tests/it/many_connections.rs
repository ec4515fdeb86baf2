//! One client that opens many connections or is refused repeatedly keeps to its share of the connections and
//! of the log. On the real binary, from several addresses of this machine.

use crate::support::process::{Server, http_client};
use serde_json::Value;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// A connection from one of this machine's addresses.
async fn connect_from(server: &Server, address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::new(address.parse().expect("an address"), 0)).expect("it is ours");
    let to = server.base.strip_prefix("http://").expect("a URL");
    socket.connect(to.parse().expect("an address")).await.expect("it listens")
}

/// Whether a request on this connection is answered; one that is refused is closed without a word.
async fn is_answered(stream: &mut TcpStream) -> bool {
    let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // Where it is closed already, writing or reading fails.
    if stream.write_all(request).await.is_err() {
        return false;
    }
    let (mut said, mut part) = (Vec::new(), [0; 4096]);
    // The answer is short and ends with its body.
    while !said.ends_with(b"\r\n\r\nok\n") {
        match stream.read(&mut part).await {
            Ok(read @ 1..) => said.extend_from_slice(&part[..read]),
            _ => return false,
        }
    }
    assert!(said.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&said));
    true
}

async fn metric(server: &Server, name: &str) -> u64 {
    // Makes the cryptography known that any client needs.
    drop(http_client());
    // From an address that this test leaves alone.
    let client = reqwest::Client::builder().no_proxy();
    let client = client.local_address(Some([127, 0, 0, 9].into())).build().expect("a client");
    let metrics = client.get(format!("{}/metrics", server.base)).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    let line = metrics.lines().find(|line| line.starts_with(name)).expect("the metric");
    line.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("a count")
}

async fn start(directory: &Path, settings: &[(&str, &str)]) -> Server {
    let log = File::create(directory.join("log")).expect("a file");
    let settings = [&[("RUST_LOG", "info"), ("LOG_FORMAT", "json")], settings].concat();
    Server::start_logging(directory, &settings, log.into()).await
}

/// The lines about refusals, once the service has ended.
async fn refusals(server: Server, directory: &Path) -> Vec<Value> {
    assert!(server.terminate().await, "a clean end");
    let log = std::fs::read_to_string(directory.join("log")).expect("UTF-8");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.filter(|line| line["message"] == "refused").collect()
}

#[tokio::test]
async fn one_client_cannot_take_the_connections_of_others() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = [("MAX_CONNECTIONS_PER_CLIENT", "3"), ("TRUSTED_PROXIES", "127.0.0.3")];
    let server = start(directory.path(), &settings).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = connect_from(&server, "127.0.0.1").await;
        assert!(is_answered(&mut stream).await);
        held.push(stream);
    }
    for _ in 0..2 {
        assert!(!is_answered(&mut connect_from(&server, "127.0.0.1").await).await);
    }
    assert!(is_answered(&mut connect_from(&server, "127.0.0.2").await).await);
    // A proxy brings the connections of many.
    let mut proxied = Vec::new();
    for _ in 0..8 {
        let mut stream = connect_from(&server, "127.0.0.3").await;
        assert!(is_answered(&mut stream).await);
        proxied.push(stream);
    }
    assert!(is_answered(&mut held[0]).await, "those that it has are served on");
    assert_eq!(metric(&server, "http_connections_refused_total").await, 2);

    // Once one of them has ended there is room again.
    held.pop();
    while !is_answered(&mut connect_from(&server, "127.0.0.1").await).await {
        tokio::task::yield_now().await;
    }
    let lines = refusals(server, directory.path()).await;
    let first = lines.first().expect("a line");
    assert_eq!(first["client"], "127.0.0.1");
    assert_eq!(first["reason"], "it has MAX_CONNECTIONS_PER_CLIENT connections");
}

#[tokio::test]
async fn refusals_of_one_client_do_not_fill_the_log() {
    const TRIES: u64 = 600;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = [("RATE_LIMIT_RPS", "1"), ("RATE_LIMIT_BURST", "1")];
    let began = Instant::now();
    let server = start(directory.path(), &settings).await;
    let client = http_client();
    for _ in 0..TRIES {
        let answer = client.get(format!("{}/api/v1/bookings/1", server.base)).send().await;
        assert!(answer.expect("an answer").status().is_client_error());
    }
    // What is no HTTP is refused before it has a route.
    for _ in 0..TRIES / 4 {
        let mut stream = connect_from(&server, "127.0.0.1").await;
        stream.write_all(b"nonsense\r\n\r\n").await.expect("sent");
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    let lines = refusals(server, directory.path()).await;
    let seconds = began.elapsed().as_secs() + 2;
    for (status, tries) in [(429, TRIES), (400, TRIES / 4)] {
        let of_status: Vec<_> = lines.iter().filter(|line| line["status"] == status).collect();
        let count = of_status.len() as u64;
        assert!((1..=10 * seconds).contains(&count), "{count} lines of {status} in {seconds} s");
        let left_out = of_status.iter().filter_map(|line| line["left_out"].as_u64()).sum::<u64>();
        assert!(count + left_out <= tries, "{count} and {left_out} of {tries}");
    }
}
