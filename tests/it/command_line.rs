//! The real binary as an operator uses it: import, migrate, audit, settings, help.

use crate::support::process::{Server, binary, http_client, run};
use crate::support::{equal, within};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;

const HEAD: &str =
    "flight_number,source,destination,timestamp,arrival_timestamp,total_seats,price\n";

/// A file of that many flights, the given line of it bad.
fn write_flights(directory: &Path, count: usize, bad_line: Option<usize>) {
    let mut text = HEAD.to_owned();
    for line in 2..count + 2 {
        let seats = if Some(line) == bad_line { "many" } else { "100" };
        let time = format!("2013-07-04T{:02}:{:02}:00Z", line / 60 % 24, line % 60);
        writeln!(text, "UA{line},JFK,LAX,{time},,{seats},199.00").expect("written to memory");
    }
    std::fs::write(directory.join("flights.csv"), text).expect("a file");
}

#[tokio::test]
async fn importing_twice_changes_nothing_and_the_audit_is_clean() {
    let directory = tempfile::tempdir().expect("a directory");
    write_flights(directory.path(), 1_000, None);
    let (code, printed) = run(directory.path(), &["import", "flights.csv"]).await;
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("1000 imported, 0 already there"), "{printed}");
    let (_, printed) = run(directory.path(), &["import", "flights.csv"]).await;
    assert!(printed.contains("0 imported, 1000 already there"), "{printed}");
    let (code, printed) = run(directory.path(), &["audit"]).await;
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("1000") && printed.contains("clean"), "{printed}");
}

#[tokio::test]
async fn one_bad_line_in_the_middle_is_named_and_nothing_is_imported() {
    let directory = tempfile::tempdir().expect("a directory");
    write_flights(directory.path(), 1_000, Some(501));
    let (code, printed) = run(directory.path(), &["import", "flights.csv"]).await;
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("501") && printed.contains("total_seats"), "{printed}");
    assert!(printed.contains("nothing was imported"), "{printed}");
    write_flights(directory.path(), 1_000, None);
    let (_, printed) = run(directory.path(), &["import", "flights.csv"]).await;
    assert!(printed.contains("1000 imported"), "{printed}");
}

#[tokio::test]
async fn a_running_service_finds_imported_flights_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[]).await;
    let client = http_client();
    let url =
        format!("{}/api/v1/flights/search?source=JFK&destination=LAX&date=2013-07-04", server.base);
    let count = || async {
        let found: Value = client.get(&url).send().await.expect("sent").json().await.expect("JSON");
        found["count"].as_u64().expect("a count")
    };
    assert_eq!(count().await, 0);
    write_flights(directory.path(), 30, None);
    run(directory.path(), &["import", "flights.csv"]).await;
    // The relay looks at the outbox four times a second.
    let bound = std::time::Duration::from_secs(10);
    within(bound, "a search that finds all 30 flights", async || equal(count().await, 30)).await;
    assert!(server.terminate().await);
}

#[tokio::test]
async fn the_real_schedule_is_imported_whole_and_sold() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/nyc-2013.csv.gz");
    if !file.exists() {
        eprintln!("left out: there is no {}", file.display());
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let (code, printed) = run(directory.path(), &["import", file.to_str().expect("UTF-8")]).await;
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("336776 imported"), "{printed}");
    let server = Server::start(directory.path(), &[("PAYMENT_LATENCY", "0s")]).await;
    let client = http_client();
    let query = "source=JFK&destination=LAX&date=2013-07-04";
    let url = format!("{}/api/v1/flights/search?{query}", server.base);
    let found: Value = client.get(url).send().await.expect("sent").json().await.expect("JSON");
    let flight = found["flights"][0]["id"].as_i64().expect("a flight");
    let placed: Value = client
        .post(format!("{}/api/v1/bookings", server.base))
        .header("prefer", "wait=10")
        .json(&crate::support::booking(flight, 2))
        .send()
        .await
        .expect("sent")
        .json()
        .await
        .expect("JSON");
    assert_eq!(placed["status"], "completed", "{placed}");
    assert!(server.terminate().await);
    let (code, printed) = run(directory.path(), &["audit"]).await;
    assert_eq!(code, 0, "{printed}");
}

#[tokio::test]
async fn an_invalid_setting_stops_the_start_and_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, value) in [
        ("SERVER_PORT", "http"),
        ("LOCK_TTL", "5"),
        ("DB_HOST", "db"),
        ("CURRENCY", "rupees"),
        ("RUST_LOG", "info=debug=warn"),
    ] {
        let output = binary(directory.path(), &[(name, value)]).output().await.expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{name}");
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(printed.contains(name), "{printed}");
    }
    let left: Vec<_> = std::fs::read_dir(directory.path()).expect("a directory").collect();
    assert!(left.is_empty(), "a refused start leaves nothing behind: {left:?}");
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_named_with_the_cause_once_and_the_setting() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("notes.db"), "not a database").expect("a file");
    for (url, cause) in [
        ("sqlite:notes.db", "file is not a database"),
        ("sqlite:missing/flights.db", "No such file or directory"),
        ("postgres://nobody@127.0.0.1:1/flights", "Connection refused"),
    ] {
        let settings = [("DATABASE_URL", url), ("SERVER_PORT", "0")];
        let output = binary(directory.path(), &settings).output().await.expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{url}");
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        let printed = printed.lines().last().expect("a line");
        assert_eq!(printed.matches(cause).count(), 1, "{printed}");
        assert!(printed.contains("DATABASE_URL"), "{printed}");
        let name = url.rsplit([':', '@']).next().expect("a name");
        assert!(url.starts_with("postgres") || printed.contains(name), "{printed}");
    }
}

#[tokio::test]
async fn a_misspelt_setting_is_reported_with_the_likely_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let told = std::fs::File::create(&log).expect("a file");
    let settings = [("JWT_ISUER", "secret-value"), ("SERVER_PROT", "4711")];
    let server = Server::start_logging(directory.path(), &settings, told.into()).await;
    assert!(server.terminate().await);
    let told = std::fs::read_to_string(&log).expect("a log");
    for setting in ["JWT_ISSUER", "SERVER_PORT"] {
        assert!(told.contains(&format!("did you mean {setting}?")), "{told}");
    }
    assert!(!told.contains("secret-value"), "{told}");
}

#[tokio::test]
async fn help_and_openapi_are_printed() {
    let directory = tempfile::tempdir().expect("a directory");
    let (code, printed) = run(directory.path(), &["--help"]).await;
    assert_eq!(code, 0);
    for word in [
        "serve",
        "import",
        "migrate",
        "audit",
        "export",
        "erase",
        "openapi",
        "SERVER_PORT",
        "LOCK_TTL",
    ] {
        assert!(printed.contains(word), "{word}");
    }
    let (_, printed) = run(directory.path(), &["openapi"]).await;
    let document: Value = serde_json::from_str(&printed).expect("JSON");
    assert!(document["openapi"].as_str().expect("a version").starts_with("3.1"));
    let (code, _) = run(directory.path(), &["audit"]).await;
    assert_eq!(code, 1, "there is no database to audit");
}
