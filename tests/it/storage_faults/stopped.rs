//! A clean stop leaves one file: SQLite's log is folded into it.

use super::{Database, FILE, answer, get, post, upcoming};
use crate::support::booking;
use crate::support::process::{Server, http_client};
use serde_json::{Value, json};
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnectOptions;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest stop of an idle service: the bounds of its parts, on a machine that is busy.
const STOP_MAX: Duration = Duration::from_secs(30);

const BOOKINGS: usize = 25;

fn log_bytes(folder: &Path) -> u64 {
    folder.join(format!("{FILE}-wal")).metadata().map_or(0, |file| file.len())
}

/// Books; gives the completed bookings.
async fn book(server: &Server) -> Vec<Value> {
    let flight = post(server, "/flights", &upcoming()).await.1["id"].as_i64().expect("an id");
    let mut booked = Vec::new();
    for _ in 0..BOOKINGS {
        let (status, shown) = post(server, "/bookings", &booking(flight, 2)).await;
        assert_eq!((status, &shown["status"]), (201, &json!("completed")), "{shown}");
        booked.push(shown);
    }
    booked
}

async fn stop(server: Server) {
    let began = Instant::now();
    assert!(server.terminate().await, "a clean end");
    assert!(began.elapsed() < STOP_MAX, "{:?}", began.elapsed());
}

/// A copy of the file alone has these bookings, and its audit is clean.
async fn assert_copied(database: &Database, booked: &[Value]) {
    let copy = tempfile::tempdir().expect("a directory");
    fs::copy(database.file(), copy.path().join(FILE)).expect("copied");
    let (code, told) = crate::support::process::run(copy.path(), &["audit"]).await;
    assert_eq!(code, 0, "{told}");
    let server = Server::start(copy.path(), &[]).await;
    for expected in booked {
        let shown = get(&server, &format!("/bookings/{}", expected["booking_id"])).await.1;
        assert_eq!(shown["payment_reference_id"], expected["payment_reference_id"], "{shown}");
        assert_eq!(shown["status"], "completed");
    }
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_a_copy_of_the_file_alone_has_every_booking() {
    let database = Database::create().await;
    let folder = database.directory.path();
    assert_eq!(log_bytes(folder), 0, "the first stop leaves a log");
    let server = Server::start(folder, &[("PAYMENT_LATENCY", "0s")]).await;
    let booked = book(&server).await;
    assert!(log_bytes(folder) > 0, "bookings are in the log while the service runs");
    stop(server).await;
    assert_eq!(log_bytes(folder), 0);
    assert_copied(&database, &booked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_command_a_copy_of_the_file_alone_has_what_it_wrote() {
    let database = Database::create().await;
    let folder = database.directory.path();
    let search = "/flights/search?source=Delhi&destination=Mumbai&date=2030-01-20";
    for command in [&["import", "flights.csv"][..], &["import", "--update", "flights.csv"]] {
        let (code, told) = database.run(command).await;
        assert_eq!(code, Some(0), "{told}");
        assert_eq!(log_bytes(folder), 0, "{command:?}");
    }
    let copy = tempfile::tempdir().expect("a directory");
    fs::copy(database.file(), copy.path().join(FILE)).expect("copied");
    let server = Server::start(copy.path(), &[]).await;
    let (status, found) = get(&server, search).await;
    assert_eq!((status, &found["count"]), (200, &json!(1)), "{found}");
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_beside_another_process_that_uses_the_file_is_quick_and_loses_nothing() {
    let database = Database::create().await;
    for lock in ["BEGIN; SELECT count(*) FROM bookings", "BEGIN IMMEDIATE"] {
        let server = Server::start(database.directory.path(), &[("PAYMENT_LATENCY", "0s")]).await;
        let booked = book(&server).await;
        let mut other = database.connect(SqliteConnectOptions::new()).await;
        sqlx::raw_sql(lock).execute(&mut other).await.expect("begun");
        stop(server).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("ended");
        // The last connection folds the log.
        other.close().await.expect("closed");
        assert_copied(&database, &booked).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_amid_bookings_keeps_every_acknowledged_one_in_the_file() {
    let database = Database::create().await;
    let server = Server::start(database.directory.path(), &[("PAYMENT_LATENCY", "0s")]).await;
    let flight = post(&server, "/flights", &upcoming()).await.1["id"].as_i64().expect("an id");
    let url = format!("{}/api/v1/bookings", server.base);
    let callers = (0..8).map(|_| {
        let (client, url) = (http_client(), url.clone());
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            while let Ok(sent) = client.post(&url).json(&booking(flight, 1)).send().await {
                if sent.status() == 201 {
                    let Ok(shown) = sent.json::<Value>().await else { break };
                    acknowledged.push(shown["booking_id"].clone());
                }
            }
            acknowledged
        })
    });
    let callers: Vec<_> = callers.collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop(server).await;
    assert_eq!(log_bytes(database.directory.path()), 0);
    let copy = tempfile::tempdir().expect("a directory");
    fs::copy(database.file(), copy.path().join(FILE)).expect("copied");
    let server = Server::start(copy.path(), &[]).await;
    let mut count = 0;
    for caller in callers {
        for id in caller.await.expect("a task") {
            let sent = http_client().get(format!("{}/api/v1/bookings/{id}", server.base));
            assert_eq!(answer(sent).await.0, 200, "booking {id}");
            count += 1;
        }
    }
    assert!(count > 0, "no booking was acknowledged");
    stop(server).await;
}
