//! The `Host` header: HTTP/1.1 requires exactly one.

use crate::support::process::Server;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends a head unchanged; returns the status, the answer's head in lower case, and its body.
async fn ask(server: &Server, head: &str) -> (u16, String, String) {
    let address = server.base.strip_prefix("http://").expect("a URL");
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let head = format!("{head}Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut said = String::new();
    stream.read_to_string(&mut said).await.expect("UTF-8");
    let (head, body) = said.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    (status, head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn a_missing_duplicate_or_malformed_host_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[]).await;
    for path in ["/livez", "/api/v1/flights/search", "/nowhere"] {
        for hosts in [
            "",
            "Host: localhost\r\nHost: localhost\r\n",
            "Host: localhost\r\nHost: evil.example\r\n",
            "Host: a b\r\n",
            "Host: \r\n",
            "Host: localhost, evil.example\r\n",
            "Host: user@localhost\r\n",
            "Host: localhost:port\r\n",
            "Host: <script>\r\n",
        ] {
            let (status, head, body) =
                ask(&server, &format!("GET {path} HTTP/1.1\r\n{hosts}")).await;
            assert_eq!(status, 400, "{path} {hosts:?}: {body}");
            assert!(head.contains("content-type: application/problem+json"), "{head}");
            let body: Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!(body["code"], "malformed_request", "{hosts:?}");
            assert!(body["detail"].as_str().expect("text").contains("Host"), "{body}");
        }
    }
    for head in [
        "GET /livez HTTP/1.0\r\n",
        "GET /livez HTTP/1.0\r\nHost: localhost\r\n",
        "GET /livez HTTP/1.1\r\nHost: localhost:8080\r\n",
        "GET /livez HTTP/1.1\r\nHost: [::1]:8080\r\n",
        "GET /livez HTTP/1.1\r\nHost: 10.0.0.7\r\n",
    ] {
        assert_eq!(ask(&server, head).await.0, 200, "{head}");
    }
}
