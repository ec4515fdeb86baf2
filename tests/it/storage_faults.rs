//! The embedded database damaged, read-only, locked, foreign, or on a full disk: the real binary refuses with one
//! line that says what to do, changes no byte of a file that it refuses, and continues once the cause is gone.

mod at_start;
mod full_disk;
mod stopped;

use crate::support::process::{Server, binary, http_client};
use crate::support::{booking, equal, flight, within};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;

const FILE: &str = "airline_booking.db";

/// How long what must happen may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// Commands that open the database.
const COMMANDS: [&[&str]; 6] = [
    &["serve", "--no-sample"],
    &["import", "flights.csv"],
    &["migrate"],
    &["erase", "--user", "123", "--all", "--yes"],
    &["audit"],
    &["export", "--user", "123"],
];

const CSV: &str = "source,destination,timestamp,total_seats,price\n\
                   Delhi,Mumbai,2030-01-20T10:00:00Z,180,2500.00\n";

/// A database with one completed booking, and a copy of it.
struct Database {
    directory: TempDir,
    sound: Vec<u8>,
    booking: Value,
}

impl Database {
    async fn create() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let server = Server::start(directory.path(), &[("PAYMENT_LATENCY", "0s")]).await;
        let flight = post(&server, "/flights", &upcoming()).await.1["id"].as_i64().expect("an id");
        let (status, booking) = post(&server, "/bookings", &booking(flight, 2)).await;
        assert_eq!((status, &booking["status"]), (201, &json!("completed")), "{booking}");
        assert!(server.terminate().await);
        fs::write(directory.path().join("flights.csv"), CSV).expect("a file");
        let mut database = Self { directory, sound: Vec::new(), booking };
        database.fold().await;
        database.sound = fs::read(database.file()).expect("a file");
        database
    }

    /// Moves everything from the write-ahead log into the file.
    async fn fold(&self) {
        let mut connection = self.connect(SqliteConnectOptions::new()).await;
        let fold = "PRAGMA wal_checkpoint(TRUNCATE)";
        sqlx::raw_sql(fold).execute(&mut connection).await.expect("folded");
        connection.close().await.expect("closed");
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join(FILE)
    }

    /// Every command refuses the file: exit code 1, one line that has these words, and not a byte changed.
    async fn assert_refused(&self, what: &str, words: &str) {
        self.assert_refused_by(&COMMANDS, what, words).await;
    }

    async fn assert_refused_by(&self, commands: &[&[&str]], what: &str, words: &str) {
        let before = fs::read(self.file()).expect("a file");
        for command in commands {
            let (code, told) = self.run(command).await;
            assert_eq!(code, Some(1), "{what}: {command:?}: {told}");
            assert_one_line(&told, words);
            assert!(fs::read(self.file()).expect("a file") == before, "{what}: {command:?} wrote");
        }
    }

    /// Runs a command that obeys permissions, also as root; its exit code and what it wrote to stderr. A server
    /// that starts is stopped, and counts as a success.
    async fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = obeying_permissions(self.directory.path());
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
        let ended = tokio::time::timeout(PATIENCE, command.output()).await;
        let output = ended.unwrap_or_else(|_| panic!("{arguments:?} goes on")).expect("it runs");
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    }

    /// Puts the sound file back: the booking is there, and the audit is clean.
    async fn restore(&self) {
        for ending in ["-wal", "-shm"] {
            let _ = fs::remove_file(self.directory.path().join(format!("{FILE}{ending}")));
        }
        fs::write(self.file(), &self.sound).expect("written");
        self.assert_whole().await;
    }

    async fn assert_whole(&self) {
        let server = Server::start(self.directory.path(), &[]).await;
        let shown = get(&server, &format!("/bookings/{}", self.booking["booking_id"])).await.1;
        assert_eq!(shown["payment_reference_id"], self.booking["payment_reference_id"], "{shown}");
        assert_eq!(shown["status"], "completed");
        assert!(server.terminate().await);
        let (code, told) = self.run(&["audit"]).await;
        assert_eq!(code, Some(0), "{told}");
    }

    async fn connect(&self, options: SqliteConnectOptions) -> SqliteConnection {
        options.filename(self.file()).connect().await.expect("a connection")
    }
}

/// One line for a person, and nothing that only a programmer reads.
fn assert_one_line(told: &str, words: &str) {
    let lines: Vec<_> = told.lines().filter(|line| line.starts_with("airline-booking: ")).collect();
    assert_eq!(lines.len(), 1, "{told}");
    assert!(lines[0].contains(words), "{words}: {told}");
    assert!(lines[0].contains(FILE), "the file is named: {told}");
    assert!(!told.contains("panicked"), "{told}");
}

/// Root may write everywhere, unless it gives that right up.
fn obeying_permissions(directory: &Path) -> Command {
    let settings = [("SERVER_PORT", "0"), ("RUST_LOG", "error")];
    if fs::metadata("/proc/self").expect("a process").uid() != 0 {
        return binary(directory, &settings);
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-dac_override", "--inh-caps", "-all"]);
    command.arg(env!("CARGO_BIN_EXE_airline-booking"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).envs(settings).current_dir(directory).kill_on_drop(true);
    command
}

fn upcoming() -> Value {
    let mut flight = flight(1_000);
    flight["timestamp"] = json!("2100-01-20T10:00:00Z");
    flight
}

async fn post(server: &Server, path: &str, body: &Value) -> (u16, Value) {
    let post = http_client().post(format!("{}/api/v1{path}", server.base)).json(body);
    answer(post.header("prefer", "wait=10")).await
}

async fn get(server: &Server, path: &str) -> (u16, Value) {
    answer(http_client().get(format!("{}/api/v1{path}", server.base))).await
}

/// The answer's status and JSON; a failure must be a problem that may be repeated.
async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let kind = response.headers()["content-type"].to_str().expect("text").to_owned();
    let retry = response.headers().contains_key("retry-after");
    let json: Value = response.json().await.expect("JSON");
    if status >= 400 && json.get("dependencies").is_none() {
        assert_eq!(kind, "application/problem+json", "{json}");
        assert_eq!(status == 503, retry, "{json}");
    }
    (status, json)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_refused_and_kept_as_it_is() {
    let database = Database::create().await;
    let sound = &database.sound;
    let half = sound.len() / 2 / 4_096 * 4_096;
    let headless = [&[0_u8; 100][..], &sound[100..]].concat();
    let scribbled = [&sound[..4_096], &vec![0x55; sound.len() - 4_096][..]].concat();
    for (what, bytes, words) in [
        ("text", b"no database\n".repeat(1_000), "is not a SQLite database"),
        ("a destroyed header", headless, "is not a SQLite database"),
        ("half of it", sound[..half].to_vec(), "is damaged"),
        ("all but the first page overwritten", scribbled, "is damaged"),
    ] {
        fs::write(database.file(), bytes).expect("written");
        database.assert_refused(what, words).await;
    }
    database.restore().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_program_is_refused_and_kept_as_it_is() {
    let database = Database::create().await;
    fs::remove_file(database.file()).expect("removed");
    let mut other = database.connect(SqliteConnectOptions::new().create_if_missing(true)).await;
    sqlx::raw_sql("CREATE TABLE notes (n)").execute(&mut other).await.expect("a table");
    other.close().await.expect("closed");
    database.assert_refused("another program's", "a database of another program").await;
    database.restore().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_taken_while_the_service_runs_delays_bookings_and_loses_none() {
    let database = Database::create().await;
    let server = Server::start(database.directory.path(), &[]).await;
    let created = post(&server, "/flights", &upcoming()).await.1;
    let flight = created["id"].as_i64().expect("an id");
    let mut other = database.connect(SqliteConnectOptions::new()).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.expect("locked");
    let (status, problem) = post(&server, "/bookings", &booking(flight, 1)).await;
    assert_eq!((status, &problem["code"]), (503, &json!("unavailable")), "{problem}");
    let (status, shown) = get(&server, &format!("/flights/{flight}")).await;
    assert_eq!((status, &shown["available_seats"]), (200, &json!(1_000)), "{shown}");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("free");
    within(PATIENCE, "bookings again", async || {
        equal(post(&server, "/bookings", &booking(flight, 1)).await.0, 201)
    })
    .await;
    other.close().await.expect("closed");
    assert!(server.terminate().await);
    database.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_overwritten_while_the_service_runs_are_an_outage_and_no_wrong_answer() {
    let database = Database::create().await;
    let server = Server::start(database.directory.path(), &[]).await;
    let scribbled = [&database.sound[..4_096], &vec![0x55; database.sound.len() - 4_096]].concat();
    fs::write(database.file(), scribbled).expect("written");
    for _ in 0..20 {
        let path = format!("/bookings/{}", database.booking["booking_id"]);
        let (status, shown) = get(&server, &path).await;
        let is_right = status == 200
            && shown["payment_reference_id"] == database.booking["payment_reference_id"];
        assert!(is_right || status == 503, "{status} {shown}");
        let (status, problem) = post(&server, "/flights", &upcoming()).await;
        assert!(status == 201 || status == 503, "{status} {problem}");
    }
    server.kill().await;
    database.restore().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_left_by_a_crash_is_read_and_its_torn_end_dropped() {
    let database = Database::create().await;
    let server = Server::start(database.directory.path(), &[]).await;
    let created = post(&server, "/flights", &upcoming()).await.1;
    server.kill().await;
    let log = database.directory.path().join(format!("{FILE}-wal"));
    let mut bytes = fs::read(&log).expect("a log");
    assert!(!bytes.is_empty());
    // A frame that the crash cut off, and rubbish in place of another.
    bytes.extend([0x55; 6_000]);
    fs::write(&log, bytes).expect("written");
    let server = Server::start(database.directory.path(), &[]).await;
    let (status, shown) = get(&server, &format!("/flights/{}", created["id"])).await;
    assert_eq!((status, &shown["id"]), (200, &created["id"]), "{shown}");
    assert!(server.terminate().await);
    database.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_a_newer_release_is_served_and_a_changed_one_refused() {
    let database = Database::create().await;
    let newer =
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'newer', TRUE, x'00', 0)";
    let changed = "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1";
    let mut other = database.connect(SqliteConnectOptions::new()).await;
    sqlx::raw_sql(newer).execute(&mut other).await.expect("written");
    other.close().await.expect("closed");
    database.assert_whole().await;
    let mut other = database.connect(SqliteConnectOptions::new()).await;
    sqlx::raw_sql(changed).execute(&mut other).await.expect("written");
    other.close().await.expect("closed");
    database.fold().await;
    database.assert_refused_by(&COMMANDS[..3], "a changed step", "migration 1").await;
    database.restore().await;
}
