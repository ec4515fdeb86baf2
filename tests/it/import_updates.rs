//! `import --update` changes stored flights beside a running service.

use crate::support::process::{Server, binary, http_client, run_with};
use crate::support::{TestDatabase, booking, equal, eventually};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::Stdio;
use tempfile::TempDir;

const HEAD: &str = "flight_number,source,destination,timestamp,total_seats,available_seats,price";

/// A service on a database of its own, and files to import there.
struct Desk {
    directory: TempDir,
    url: String,
    /// Its file goes with it.
    _database: TestDatabase,
    server: Server,
    client: reqwest::Client,
}

impl Desk {
    async fn open() -> Self {
        let database = TestDatabase::create().await;
        let directory = tempfile::tempdir().expect("a directory");
        let url = database.url();
        let settings = [("DATABASE_URL", url.as_str()), ("PAYMENT_LATENCY", "0s")];
        let server = Server::start(directory.path(), &settings).await;
        Self { directory, url, _database: database, server, client: http_client() }
    }

    fn write(&self, head: &str, lines: &[&str]) {
        let text = format!("{head}\n{}\n", lines.join("\n"));
        std::fs::write(self.directory.path().join("flights.csv"), text).expect("a file");
    }

    async fn run(&self, arguments: &[&str]) -> (i32, String) {
        run_with(self.directory.path(), &[("DATABASE_URL", &self.url)], arguments).await
    }

    async fn import(&self, lines: &[&str]) -> (i32, String) {
        self.write(HEAD, lines);
        self.run(&["import", "flights.csv"]).await
    }

    async fn update(&self, lines: &[&str]) -> (i32, String) {
        self.update_under(HEAD, lines).await
    }

    async fn update_under(&self, head: &str, lines: &[&str]) -> (i32, String) {
        self.write(head, lines);
        self.run(&["import", "--update", "flights.csv"]).await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(format!("{}/api/v1/{path}", self.server.base)).send().await;
        answer.expect("an answer").json().await.expect("JSON")
    }

    async fn flight(&self, id: i64) -> Value {
        self.get(&format!("flights/{id}")).await
    }

    /// Books seats and waits until they are paid.
    async fn book(&self, flight: i64, seats: i32) {
        let post = self.client.post(format!("{}/api/v1/bookings", self.server.base));
        let placed = post.header("prefer", "wait=60").json(&booking(flight, seats)).send().await;
        let placed: Value = placed.expect("an answer").json().await.expect("JSON");
        assert_eq!(placed["status"], "completed", "{placed}");
    }

    /// Until a search of Delhi to Mumbai on that day shows these prices.
    async fn shows(&self, day: &str, prices: &[f64]) {
        let path = format!("flights/search?source=Delhi&destination=Mumbai&date={day}");
        eventually(format!("a search that shows {prices:?}"), async || {
            let found = self.get(&path).await;
            let flights = found["flights"].as_array().expect("a list").iter();
            equal(flights.filter_map(|flight| flight["price"].as_f64()).collect::<Vec<_>>(), prices)
        })
        .await;
    }

    async fn close(self) {
        let (code, printed) = self.run(&["audit"]).await;
        assert_eq!(code, 0, "{printed}");
        assert!(self.server.terminate().await);
    }
}

#[tokio::test]
async fn an_update_changes_stored_flights_and_searches_show_it() {
    let desk = Desk::open().await;
    let old = [
        "AI101,Delhi,Mumbai,2030-01-20T10:00:00Z,180,150,2500",
        "AI102,Delhi,Mumbai,2030-01-20T12:00:00Z,180,180,2600",
        ",Delhi,Mumbai,2030-01-20T14:00:00Z,180,180,2700",
    ];
    let (_, printed) = desk.import(&old).await;
    assert!(printed.contains("3 imported"), "{printed}");
    desk.book(1, 4).await;
    desk.shows("2030-01-20", &[2500.0, 2600.0, 2700.0]).await;

    let new = [
        "ai 101,DELHI,mumbai,2030-01-20T10:00:00Z,200,160,2400.50",
        "AI102,Delhi,Mumbai,2030-01-20T13:30:00Z,180,,2600",
        ",Delhi,Mumbai,2030-01-20T14:00:00Z,180,180,2700",
        "AI103,Delhi,Mumbai,2030-01-20T16:00:00Z,180,180,2800",
    ];
    let (_, printed) = desk.import(&new[..1]).await;
    assert!(printed.contains("0 imported, 1 already there"), "{printed}");
    let (code, printed) = desk.update(&new).await;
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("1 inserted, 2 updated, 1 unchanged, 0 refused"), "{printed}");
    desk.shows("2030-01-20", &[2400.5, 2600.0, 2700.0, 2800.0]).await;
    let first = desk.flight(1).await;
    assert_eq!(first["total_seats"], 200, "{first}");
    assert_eq!((&first["available_seats"], &first["blocked_seats"]), (&json!(156), &json!(40)));
    assert_eq!(first["source"], "Delhi", "a known route says nothing new: {first}");
    assert_eq!(desk.flight(2).await["timestamp"], "2030-01-20T13:30:00Z");

    let (code, printed) = desk.update(&new).await;
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("0 inserted, 0 updated, 4 unchanged, 0 refused"), "{printed}");
    desk.close().await;
}

#[tokio::test]
async fn refused_lines_are_reported_by_number_and_the_others_are_imported() {
    let desk = Desk::open().await;
    desk.import(&[
        "AI101,Delhi,Mumbai,2030-01-20T10:00:00Z,180,180,2500",
        "AI102,Delhi,Mumbai,2030-01-20T12:00:00Z,180,180,2500",
        "AI103,Delhi,Mumbai,2030-01-20T13:00:00Z,180,180,2500",
        "AI103,Delhi,Mumbai,2030-01-20T17:00:00Z,180,180,2500",
    ])
    .await;
    desk.book(1, 3).await;
    let head = format!("{HEAD},flight_status");
    let cancelled = "AI102,Delhi,Mumbai,2030-01-20T12:00:00Z,180,180,2500,Cancelled";
    let (code, printed) = desk.update_under(&head, &[cancelled]).await;
    assert_eq!(code, 0, "{printed}");
    assert_eq!(desk.flight(2).await["flight_status"], "cancelled");

    let lines = [
        "AI101,Delhi,Mumbai,2030-01-20T10:00:00Z,2,,2500,",
        "",
        "AI102,Delhi,Mumbai,2030-01-20T12:00:00Z,180,180,2600,",
        "AI103,Delhi,Mumbai,2030-01-20T15:00:00Z,180,180,2500,",
        "AI104,Delhi,Mumbai,2030-01-20T18:00:00Z,180,180,2500,on time",
    ];
    let (code, printed) = desk.update_under(&head, &lines).await;
    assert_eq!(code, 1, "{printed}");
    for words in [
        "line 2: flight 1 has 3 seats sold",
        "line 4: flight 2 is cancelled, which is final",
        "line 5: flights 3, 4 match",
        "1 inserted, 0 updated, 0 unchanged, 3 refused",
    ] {
        assert!(printed.contains(words), "{words}: {printed}");
    }
    assert_eq!(desk.flight(5).await["flight_status"], "on_time");
    let bad = desk.update_under(&head, &[cancelled, &cancelled.replace("Cancelled", "gone")]).await;
    assert!(bad.0 == 1 && bad.1.contains("line 3: flight_status must be one of"), "{}", bad.1);
    assert!(bad.1.contains("nothing was imported"), "{}", bad.1);
    desk.close().await;
}

#[tokio::test]
async fn an_update_finds_a_flight_by_id_and_checks_its_version() {
    let desk = Desk::open().await;
    desk.import(&["AI101,Delhi,Mumbai,2030-01-20T10:00:00Z,180,180,2500"]).await;
    let head = format!("id,version,{HEAD}");
    let moved = "1,1,AI101,Delhi,Goa,2030-02-01T10:00:00Z,180,170,2500";
    let (code, printed) = desk.update_under(&head, &[moved]).await;
    assert_eq!(code, 0, "{printed}");
    let flight = desk.flight(1).await;
    assert_eq!((&flight["destination"], &flight["version"]), (&json!("Goa"), &json!(2)));
    // Imported again, it is as the line says; a further change was made from an older version.
    let (_, printed) = desk.update_under(&head, &[moved]).await;
    assert!(printed.contains("0 updated, 1 unchanged, 0 refused"), "{printed}");
    let stale = moved.replace("2500", "2600");
    let unknown = "9,,AI109,Delhi,Goa,2030-02-01T10:00:00Z,180,170,2500";
    let (code, printed) = desk.update_under(&head, &[&stale, unknown]).await;
    assert_eq!(code, 1, "{printed}");
    for words in ["line 2: flight 1 is at version 2", "line 3: there is no flight 9", "2 refused"] {
        assert!(printed.contains(words), "{words}: {printed}");
    }
    // Without --update the two columns mean nothing.
    desk.write(&head, &[moved]);
    let (_, printed) = desk.run(&["import", "flights.csv"]).await;
    assert!(printed.contains("columns ignored: \"id\", \"version\""), "{printed}");
    desk.close().await;
}

#[tokio::test]
async fn an_update_that_is_killed_is_imported_again_while_seats_are_sold() {
    const FLIGHTS: usize = 12_000;
    let desk = Desk::open().await;
    let lines = |price: usize| {
        let mut lines = Vec::with_capacity(FLIGHTS);
        for number in 0..FLIGHTS {
            let mut line = String::new();
            let (day, hour) = (number / 480 + 1, number % 24);
            write!(line, "AI{number},Delhi,Mumbai,2030-01-{day:02}T{hour:02}:00:00Z,180,,{price}")
                .expect("a string");
            lines.push(line);
        }
        lines
    };
    let old = lines(2500);
    desk.import(&old.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let new = lines(2600);
    desk.write(HEAD, &new.iter().map(String::as_str).collect::<Vec<_>>());
    let settings = [("DATABASE_URL", desk.url.as_str())];
    let mut command = binary(desk.directory.path(), &settings);
    let command = command.args(["import", "--update", "flights.csv"]).stdout(Stdio::null());
    let mut import = command.stderr(Stdio::null()).spawn().expect("it starts");
    // The first flight is changed among the first.
    eventually("the first flight, changed", async || {
        equal(desk.flight(1).await["price"].clone(), 2600.0)
    })
    .await;
    import.kill().await.expect("killed, or ended before");

    let (again, ()) = tokio::join!(desk.run(&["import", "--update", "flights.csv"]), async {
        for flight in 1..=20 {
            desk.book(flight, 2).await;
        }
    });
    assert_eq!(again.0, 0, "{}", again.1);
    assert!(again.1.contains("0 inserted") && again.1.contains("0 refused"), "{}", again.1);
    let (_, printed) = desk.run(&["import", "--update", "flights.csv"]).await;
    assert!(printed.contains(&format!("0 updated, {FLIGHTS} unchanged")), "{printed}");
    for flight in [1, 20, 21, FLIGHTS as i64] {
        assert_eq!(desk.flight(flight).await["price"], 2600.0);
    }
    desk.close().await;
}
