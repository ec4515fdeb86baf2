//! Shutdown behind a load balancer, and the health command. On the real binary.

use crate::support::process::{Server, http_client, run_with};
use crate::support::{booking, eventually, flight};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Time for all that this test does between the signal and the end, also on a busy machine.
const DELAY: Duration = Duration::from_secs(4);

#[tokio::test]
async fn during_a_shutdown_readyz_fails_first_while_requests_are_still_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[("SHUTDOWN_DELAY", "4s")]).await;
    let client = http_client();
    let url = |path: &str| format!("{}{path}", server.base);
    let created = client.post(url("/api/v1/flights")).json(&flight(5)).send().await;
    let created: Value = created.expect("an answer").json().await.expect("JSON");
    assert_eq!(client.get(url("/readyz")).send().await.expect("an answer").status(), 200);

    let began = Instant::now();
    server.ask_to_stop().await;
    let not_ready = eventually("503 from /readyz", async || {
        let answer = client.get(url("/readyz")).send().await.expect("it is served");
        if answer.status() == 503 { Ok(answer) } else { Err(answer.status()) }
    });
    assert_eq!(not_ready.await.text().await.expect("text"), "stopping\n");
    let settings = [("SERVER_PORT", server.port())];
    let (code, printed) = run_with(directory.path(), &settings, &["health"]).await;
    assert_eq!((code, printed.as_str()), (1, "stopping\n"));
    // On a new connection: the server still listens.
    let body = booking(created["id"].as_i64().expect("an id"), 1);
    let placed = http_client().post(url("/api/v1/bookings")).json(&body).send().await;
    assert_eq!(placed.expect("an answer").status(), 201);
    assert!(server.ended().await, "a clean end");
    assert!(began.elapsed() >= DELAY, "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_health_command_reports_whether_the_local_service_is_ready() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[]).await;
    let port = server.port().to_owned();
    for host in ["127.0.0.1", "0.0.0.0"] {
        let settings = [("SERVER_PORT", port.as_str()), ("SERVER_HOST", host)];
        let (code, printed) = run_with(directory.path(), &settings, &["health"]).await;
        assert_eq!((code, printed.as_str()), (0, "ok\n"), "{host}");
    }
    assert!(server.terminate().await);
    let settings = [("SERVER_PORT", port.as_str())];
    let (code, printed) = run_with(directory.path(), &settings, &["health"]).await;
    assert_eq!(code, 1);
    assert!(printed.contains("nothing answers on 127.0.0.1"), "{printed}");
}
