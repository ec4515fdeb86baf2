//! Shutdown behind a load balancer, and the health command. On the real binary.

use crate::support::process::{Server, http_client, run_with};
use crate::support::{booking, flight};
use serde_json::Value;
use std::time::{Duration, Instant};

#[tokio::test]
async fn during_a_shutdown_readyz_fails_first_while_requests_are_still_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[("SHUTDOWN_DELAY", "1500ms")]).await;
    let client = http_client();
    let url = |path: &str| format!("{}{path}", server.base);
    let created = client.post(url("/api/v1/flights")).json(&flight(5)).send().await;
    let created: Value = created.expect("an answer").json().await.expect("JSON");
    assert_eq!(client.get(url("/readyz")).send().await.expect("an answer").status(), 200);

    let began = Instant::now();
    server.ask_to_stop().await;
    let not_ready = async {
        loop {
            let answer = client.get(url("/readyz")).send().await.expect("it is served");
            if answer.status() == 503 {
                return answer.text().await.expect("text");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(1), not_ready).await.expect("in time");
    assert_eq!(told, "stopping\n");
    let settings = [("SERVER_PORT", server.port())];
    let (code, printed) = run_with(directory.path(), &settings, &["health"]).await;
    assert_eq!((code, printed.as_str()), (1, "stopping\n"));
    // On a connection of its own: it still listens.
    let body = booking(created["id"].as_i64().expect("an id"), 1);
    let placed = http_client().post(url("/api/v1/bookings")).json(&body).send().await;
    assert_eq!(placed.expect("an answer").status(), 201);
    assert!(server.ended().await, "a clean end");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1_500) && took < Duration::from_secs(6), "{took:?}");
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
