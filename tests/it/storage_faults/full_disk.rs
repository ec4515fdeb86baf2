//! A full disk, at the start, while the service runs, and at the stop.

use super::{PATIENCE, assert_one_line, get, post, upcoming};
use crate::support::process::{Server, binary, http_client, run};
use crate::support::{booking, equal, within};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::Command;

/// A file system of a few megabytes over a folder, until this is dropped.
pub(super) struct Mounted(PathBuf);

impl Mounted {
    /// `None` if this user may not mount one.
    pub(super) async fn over(folder: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs"]).arg(folder);
        let mounted = mount.stderr(Stdio::null()).status().await;
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("left out: a full or read-only disk; this user may not mount a tmpfs");
            return None;
        }
        Some(Self(folder.to_owned()))
    }

    /// Makes it read-only.
    pub(super) async fn protect(&self) {
        let done = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status().await;
        assert!(done.expect("mount runs").success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A small file system, and its folder, which is removed last.
struct SmallDisk {
    _mounted: Mounted,
    folder: TempDir,
}

impl SmallDisk {
    /// `None` if this user may not mount one.
    async fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a directory");
        Some(Self { _mounted: Mounted::over(folder.path()).await?, folder })
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn filler(&self) -> PathBuf {
        self.folder().join("filler")
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.filler()).expect("a file");
        while std::io::Write::write_all(&mut file, &[0; 4_096]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.filler()).expect("removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_bookings_and_loses_none_that_was_acknowledged() {
    let Some(disk) = SmallDisk::mount().await else { return };
    let server = Server::start(disk.folder(), &[("PAYMENT_LATENCY", "0s")]).await;
    let created = post(&server, "/flights", &upcoming()).await.1;
    let flight = created["id"].as_i64().expect("an id");
    disk.fill();
    let mut accepted = Vec::new();
    within(PATIENCE, "a refusal", async || {
        let (status, shown) = post(&server, "/bookings", &booking(flight, 1)).await;
        if status == 201 {
            accepted.push(shown["booking_id"].clone());
        }
        equal(status, 503)
    })
    .await;
    server.kill().await;
    let mut refused = binary(disk.folder(), &[("SERVER_PORT", "0")]);
    let serving = tokio::time::timeout(Duration::from_secs(5), refused.output()).await;
    if let Ok(output) = serving {
        let output = output.expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_one_line(&String::from_utf8(output.stderr).expect("UTF-8"), "free space");
    }
    disk.free();
    let server = Server::start(disk.folder(), &[]).await;
    for id in accepted {
        assert_eq!(get(&server, &format!("/bookings/{id}")).await.0, 200, "{id}");
    }
    assert_eq!(post(&server, "/bookings", &booking(flight, 1)).await.0, 201);
    assert!(server.terminate().await);
}

/// Books until it is refused; gives the accepted bookings.
async fn book_until_refused(server: &Server, flight: i64) -> Vec<Value> {
    let mut accepted = Vec::new();
    within(PATIENCE, "a refusal", async || {
        let (status, shown) = post(server, "/bookings", &booking(flight, 1)).await;
        match status {
            201 => accepted.push(shown["booking_id"].clone()),
            _ => assert_eq!((status, &shown["code"]), (503, &json!("unavailable")), "{shown}"),
        }
        equal(status, 503)
    })
    .await;
    accepted
}

async fn assert_completed(server: &Server, accepted: &[Value]) {
    for id in accepted {
        within(PATIENCE, format!("booking {id} completed"), async || {
            let (status, shown) = get(server, &format!("/bookings/{id}")).await;
            assert_eq!(status, 200, "{shown}");
            equal(shown["status"].clone(), json!("completed"))
        })
        .await;
    }
}

async fn database_is(server: &Server, condition: &str) {
    within(PATIENCE, format!("a database that is {condition}"), async || {
        let health = http_client().get(format!("{}/api/v1/health", server.base)).send().await;
        let health: Value = health.expect("an answer").json().await.expect("JSON");
        equal(health["checks"]["database"]["status"].clone(), json!(condition))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_searches_go_on_and_bookings_do_once_there_is_space_again() {
    let Some(disk) = SmallDisk::mount().await else { return };
    let server = Server::start(disk.folder(), &[("PAYMENT_LATENCY", "0s")]).await;
    let created = post(&server, "/flights", &upcoming()).await.1;
    let flight = created["id"].as_i64().expect("an id");
    let search = "/flights/search?source=Delhi&destination=Mumbai&date=2100-01-20";
    let mut accepted =
        vec![post(&server, "/bookings", &booking(flight, 1)).await.1["booking_id"].clone()];
    for _ in 0..2 {
        disk.fill();
        accepted.extend(book_until_refused(&server, flight).await);
        for _ in 0..5 {
            let (status, problem) = post(&server, "/bookings", &booking(flight, 1)).await;
            assert_eq!((status, &problem["code"]), (503, &json!("unavailable")), "{problem}");
            let (status, problem) = post(&server, "/flights", &upcoming()).await;
            assert_eq!((status, &problem["code"]), (503, &json!("unavailable")), "{problem}");
            let (status, found) = get(&server, search).await;
            assert_eq!((status, &found["count"]), (200, &json!(1)), "{found}");
            let (status, shown) = get(&server, &format!("/bookings/{}", accepted[0])).await;
            assert_eq!((status, &shown["status"]), (200, &json!("completed")), "{shown}");
        }
        database_is(&server, "down").await;
        disk.free();
        within(PATIENCE, "bookings again", async || {
            let (status, shown) = post(&server, "/bookings", &booking(flight, 1)).await;
            if status == 201 {
                accepted.push(shown["booking_id"].clone());
            }
            equal(status, 201)
        })
        .await;
        database_is(&server, "ok").await;
        assert_completed(&server, &accepted).await;
        let shown = get(&server, &format!("/flights/{flight}")).await.1;
        assert_eq!(shown["available_seats"], json!(1_000 - accepted.len()), "{shown}");
    }
    assert!(server.terminate().await);
    let (code, told) = run(disk.folder(), &["audit"]).await;
    assert_eq!(code, 0, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_on_a_full_disk_is_clean_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount().await else { return };
    let server = Server::start(disk.folder(), &[("PAYMENT_LATENCY", "0s")]).await;
    let created = post(&server, "/flights", &upcoming()).await.1;
    let flight = created["id"].as_i64().expect("an id");
    disk.fill();
    let accepted = book_until_refused(&server, flight).await;
    let began = Instant::now();
    assert!(server.terminate().await, "a clean end");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    disk.free();
    let server = Server::start(disk.folder(), &[("PAYMENT_LATENCY", "0s")]).await;
    assert_completed(&server, &accepted).await;
    assert_eq!(post(&server, "/bookings", &booking(flight, 1)).await.0, 201);
    assert!(server.terminate().await);
    let (code, told) = run(disk.folder(), &["audit"]).await;
    assert_eq!(code, 0, "{told}");
}
