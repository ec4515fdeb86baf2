//! Processes with different `ROLES`: together they make one service, and each answers only for its part.

use crate::support::booking;
use crate::support::eventually;
use crate::support::process::binary;
use crate::support::replicas::Replicas;
use crate::support::smtp::SmtpPeer;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};

const ROLES: [&str; 6] = ["api", "relay", "payments", "settlement", "sweeper", "notify"];

/// A process for each role, whose mails go to a peer.
async fn apart(peer: &SmtpPeer) -> Replicas {
    let mut replicas = Replicas::new().await.with("LOCK_TTL", "4s");
    replicas = replicas.with("SMTP_URL", &peer.url()).with("MAIL_FROM", "tickets@airline.example");
    for role in ROLES {
        replicas = replicas.with("ROLES", role).start(1).await;
    }
    replicas
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_per_role_makes_a_complete_service() {
    let peer = SmtpPeer::start().await;
    let replicas = apart(&peer).await;
    let flight = replicas.add_flight(9).await;
    let mut placed = Vec::new();
    for method in ["pm_card_visa", "pm_card_declined", "pm_card_error"] {
        let mut body = booking(flight, 2);
        body["payment_method"] = json!(method);
        let post = replicas.client.post(replicas.url(0, "/api/v1/bookings")).json(&body);
        let answer = post.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::CREATED);
        placed.push(answer.json::<Value>().await.expect("JSON"));
    }
    let lapsed = placed.pop().expect("three");
    replicas.expect_ended(&placed).await;
    let ends = replicas.settled().await;
    let (_, status, why) = &ends[&lapsed["booking_id"].as_i64().expect("a number")];
    assert_eq!((status.as_str(), why.as_deref()), ("failed", Some("hold_expired")));
    let shown = replicas.get(0, &format!("/api/v1/flights/{flight}")).await;
    assert_eq!((&shown["available_seats"], &shown["held_seats"]), (&json!(7), &json!(0)));
    eventually("a mail about each end", async || peer.mails().len() == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_api_role_a_process_serves_only_health_and_metrics() {
    let peer = SmtpPeer::start().await;
    let replicas = apart(&peer).await;
    for replica in 1..ROLES.len() {
        let ask = async |path| replicas.client.get(replicas.url(replica, path)).send().await;
        for path in ["/livez", "/readyz", "/metrics", "/api/v1/health"] {
            assert_eq!(ask(path).await.expect("an answer").status(), StatusCode::OK, "{path}");
        }
        for path in [
            "/api/v1/flights/1",
            "/api/v1/bookings/1",
            "/api/v1/users/1/bookings",
            "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20",
            "/openapi.json",
            "/docs",
        ] {
            let answer = ask(path).await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
            assert_eq!(answer.json::<Value>().await.expect("JSON")["code"], "not_found");
        }
        let post = replicas.client.post(replicas.url(replica, "/api/v1/bookings"));
        let answer = post.json(&booking(1, 1)).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn only_the_api_role_creates_sample_flights() {
    let replicas = Replicas::new().await.with("ROLES", "relay,sweeper").with("SERVER_PORT", "0");
    let directory = tempfile::tempdir().expect("a directory");
    let mut process = binary(directory.path(), &replicas.settings())
        .arg("serve")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
    let started = lines.next_line().await.expect("UTF-8").expect("a start message");
    assert!(started.contains("is ready on"), "{started}");
    process.kill().await.expect("it runs");
    replicas.execute("DO $$ BEGIN ASSERT (SELECT count(*) = 0 FROM flights); END $$").await;
}
