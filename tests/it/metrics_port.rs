//! `METRICS_PORT` moves `/metrics` to a port that callers do not reach.

use crate::support::process::{Server, http_client, run_with};
use serde_json::Value;

async fn ask(base: &str, path: &str) -> (u16, String) {
    let answer = http_client().get(format!("{base}{path}")).send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.text().await.expect("text"))
}

#[tokio::test]
async fn metrics_move_from_the_public_port_to_their_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(directory.path(), &[("METRICS_PORT", "0")]).await;
    let line = server.said("metrics:").await;
    let own = line.trim().trim_start_matches("metrics:").trim().to_owned();
    let own = own.strip_suffix("/metrics").expect("an address of metrics");
    assert_ne!(own, server.base);

    let (status, refused) = ask(&server.base, "/metrics").await;
    let refused: Value = serde_json::from_str(&refused).expect("JSON");
    assert_eq!((status, refused["code"].as_str()), (404, Some("not_found")));
    for path in ["/livez", "/readyz", "/api/v1/health"] {
        assert_eq!(ask(&server.base, path).await.0, 200, "{path}");
        assert_eq!(ask(own, path).await.0, 200, "{path}");
    }
    let (_, document) = ask(&server.base, "/openapi.json").await;
    assert!(!document.contains("\"/metrics\""), "the document names what is not there");

    let (status, metrics) = ask(own, "/metrics").await;
    assert_eq!(status, 200);
    assert!(metrics.contains("http_requests_total"), "what callers asked is counted: {metrics}");
    for path in ["/", "/docs", "/openapi.json", "/api/v1/flights/1", "/api/v1/bookings/1"] {
        assert_eq!(ask(own, path).await.0, 404, "{path}");
    }
    assert!(server.terminate().await, "a clean end");
}

#[tokio::test]
async fn a_metrics_port_in_use_is_reported_by_its_setting() {
    let directory = tempfile::tempdir().expect("a directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let settings = [("SERVER_PORT", "0"), ("METRICS_PORT", port.as_str())];
    let (code, printed) = run_with(directory.path(), &settings, &["serve", "--no-sample"]).await;
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("METRICS_PORT") && printed.contains("is taken"), "{printed}");
}
