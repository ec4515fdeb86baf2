//! `serve --services`: uses the services on this machine's usual ports, waits for them, and names the missing
//! ones. A unit test covers the default ports, which may be in use here.

use crate::support::deployment::TestDatabase;
use crate::support::process::{Server, binary, http_client};
use crate::support::replicas::Replicas;
use crate::support::{booking, eventually};
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;

/// A port of the loopback address that this test occupies, so that no service answers there.
async fn silent_port() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port().to_string();
    (listener, port)
}

#[tokio::test]
async fn serve_services_uses_all_three_services_and_reports_their_health() {
    let replicas = Replicas::new().await;
    let directory = tempfile::tempdir().expect("a directory");
    let arguments = ["serve", "--services"];
    let settings = replicas.settings();
    let server = Server::start_as(directory.path(), &settings, &arguments, Stdio::inherit()).await;

    let client = http_client();
    let health = eventually("a service in good health", async || {
        let health = client.get(format!("{}/api/v1/health", server.base)).send().await;
        let health: Value = health.expect("sent").json().await.expect("JSON");
        if health["status"] == "ok" { Ok(health) } else { Err(health) }
    })
    .await;
    assert!(!health.to_string().contains("embedded"), "{health}");

    let placed = client.post(format!("{}/api/v1/bookings", server.base)).json(&booking(1, 2));
    let placed = placed.header("prefer", "wait=20").send().await.expect("sent");
    let placed: Value = placed.json().await.expect("JSON");
    assert_eq!(placed["status"], "completed", "{placed}");
    assert!(server.terminate().await);
}

#[tokio::test]
async fn a_missing_service_is_awaited_and_named_with_its_start_command() {
    let replicas = Replicas::new().await;
    let directory = tempfile::tempdir().expect("a directory");
    // It takes connections, as Docker does for a container that has not come up, and says nothing.
    let (listener, port) = silent_port().await;
    let redis = format!("redis://127.0.0.1:{port}");
    let replicas = replicas.with("REDIS_URL", &redis).with("SERVER_PORT", "0");
    let mut process = binary(directory.path(), &replicas.settings())
        .args(["serve", "--services"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");

    let mut told = BufReader::new(process.stderr.take().expect("piped")).lines();
    let mut printed = String::new();
    while !printed.contains("docker-compose up -d redis\n") {
        let line = told.next_line().await.expect("UTF-8");
        printed += &line.unwrap_or_else(|| panic!("no advice in {printed:?}"));
        printed.push('\n');
    }
    assert!(printed.contains(&format!("Redis at {redis}")), "{printed}");
    assert!(!printed.contains("PostgreSQL") && !printed.contains("Kafka"), "{printed}");

    // Redis comes up: what was waited for goes on, through a proxy on the port that was silent.
    let real = crate::support::deployment::required("TEST_REDIS_URL");
    let real = real.trim_start_matches("redis://").to_owned();
    let forwarding = tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.expect("a connection");
            let real = real.clone();
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(real).await.expect("Redis");
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    let mut said = BufReader::new(process.stdout.take().expect("piped")).lines();
    let ready = said.next_line().await.expect("UTF-8").expect("a start message");
    assert!(ready.contains("is ready on http://127.0.0.1:"), "{ready}");
    process.kill().await.expect("it was running");
    forwarding.abort();
}

#[tokio::test]
async fn a_missing_database_is_reported_without_waiting() {
    let TestDatabase::Postgres(url) = TestDatabase::empty_postgres().await else { unreachable!() };
    let (server, _) = url.rsplit_once('/').expect("a URL");
    let missing = format!("{server}/no_such_database");
    let replicas = Replicas::new().await.with("DATABASE_URL", &missing);
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = binary(directory.path(), &replicas.settings());
    // Within the time for which a silent service would be waited for.
    let output = tokio::time::timeout(Duration::from_secs(25), command.arg("--services").output());
    let output = output.await.expect("it ends at once").expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(printed.contains("database \"no_such_database\" does not exist"), "{printed}");
    assert!(printed.contains("DB_NAME") && !printed.contains("docker-compose"), "{printed}");
}
