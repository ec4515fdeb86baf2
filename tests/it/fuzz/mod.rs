//! Inputs of any bytes: none causes a panic or a 5xx, a refused one changes nothing, and each refusal says what is
//! wrong. The inputs are made by `tests/fuzzing`; the embedded deployment reads them.

mod events;
mod messages;
mod requests;
mod sockets;
mod tokens;

use crate::support::deployment::is_shared;
use crate::support::{TestApp, TestDatabase, flight};
use airline_booking::config::Config;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, SqliteConnection};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Longest time for one input. Machines that test are busy; an input that takes longer is a hang.
const TIME_MAX: Duration = Duration::from_secs(20);

/// Inputs that one flight and one booking serve.
const INPUTS_PER_FLIGHT: usize = 25;

/// Stand in inputs for the ids of a flight and a booking that exist.
const FLIGHT: &str = "77701";
const BOOKING: &str = "77702";

/// Stand for the ids of a flight that connects to [`FLIGHT`], and of an itinerary on both.
const NEXT: &str = "77703";
const ITINERARY: &str = "77704";

/// The service, and what inputs refer to.
struct Subject {
    runtime: Runtime,
    app: TestApp,
    watch: SqliteConnection,
    flight: i64,
    booking: i64,
    next: i64,
    itinerary: i64,
    inputs: usize,
}

impl Subject {
    /// `None` on the shared deployment: it reads with the same code.
    fn start(change: impl FnOnce(&mut Config)) -> Option<Self> {
        if is_shared() {
            return None;
        }
        let runtime = Runtime::new().expect("a runtime");
        let (app, watch) = runtime.block_on(async {
            let app = TestApp::with(change).await;
            let TestDatabase::Sqlite(directory) = &app.database else { unreachable!() };
            let options = SqliteConnectOptions::new().filename(directory.path().join("test.db"));
            let watch = options.read_only(true).connect().await.expect("a connection");
            (app, watch)
        });
        Some(Self { runtime, app, watch, flight: 0, booking: 0, next: 0, itinerary: 0, inputs: 0 })
    }

    /// Counts an input. Every so often creates flights and bookings, which must still be possible.
    fn refresh(&mut self) {
        if self.inputs.is_multiple_of(INPUTS_PER_FLIGHT) {
            [self.flight, self.booking, self.next, self.itinerary] =
                self.runtime.block_on(fresh(&self.app));
        }
        self.inputs += 1;
    }

    /// An input with the ids of the present flights and bookings.
    fn with_ids(&self, input: &[u8]) -> Vec<u8> {
        let input = replaced(input, FLIGHT, self.flight);
        let input = replaced(&input, BOOKING, self.booking);
        let input = replaced(&input, NEXT, self.next);
        replaced(&input, ITINERARY, self.itinerary)
    }

    /// A number that changes with each commit of the service.
    fn data_version(&mut self) -> i64 {
        let asked = sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut self.watch);
        self.runtime.block_on(asked).expect("a number")
    }

    /// What the tables hold.
    fn digest(&mut self) -> Vec<u8> {
        self.runtime.block_on(digest(&mut self.watch))
    }

    /// A sound request still works, no invariant is broken, and no task has panicked.
    fn finish(self) {
        self.runtime.block_on(async {
            fresh(&self.app).await;
            self.app.bus.take_dead_letters();
            let metrics = self.app.get("/metrics").await.text;
            let panics = metrics.lines().filter(|line| line.starts_with("panics_total{"));
            let panics: Vec<_> = panics.filter(|line| !line.ends_with(" 0")).collect();
            assert_eq!(panics, Vec::<&str>::new());
            self.app.finish().await;
        });
    }
}

/// A digest of every row of every table but SQLite's own, and the log, which has whatever is published.
async fn digest(watch: &mut SqliteConnection) -> Vec<u8> {
    let tables = "SELECT name FROM sqlite_master
                   WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'event_log' ORDER BY name";
    let tables: Vec<String> =
        sqlx::query_scalar(tables).fetch_all(&mut *watch).await.expect("names");
    assert!(tables.len() > 5, "{tables:?}");
    let mut digest = Sha256::new();
    for table in tables {
        let columns = "SELECT group_concat('quote(\"' || name || '\")', ' || '','' || ')
                         FROM pragma_table_info(?1)";
        let columns: String =
            sqlx::query_scalar(columns).bind(&table).fetch_one(&mut *watch).await.expect("columns");
        let rows = format!("SELECT {columns} FROM \"{table}\" ORDER BY 1");
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(rows)).fetch_all(&mut *watch).await.expect("rows");
        digest.update(format!("{table}\n{}\n", rows.join("\n")));
    }
    digest.finalize().to_vec()
}

/// A flight and a completed booking on it, a flight that connects to it and a completed itinerary on both.
async fn fresh(app: &TestApp) -> [i64; 4] {
    let mut first = flight(10_000);
    first["arrival_timestamp"] = json!("2025-01-20T12:00:00Z");
    let mut second = flight(10_000);
    second["timestamp"] = json!("2025-01-20T14:00:00Z");
    let mut flights = Vec::new();
    for body in [first, second] {
        let answer = app.post("/api/v1/flights", &body).await;
        flights.push(answer.json["id"].as_i64().unwrap_or_else(|| panic!("{answer:?}")));
    }
    let booking = app.book(flights[0], 1).await.booking_id();
    let mut body = crate::support::booking(0, 3);
    body.as_object_mut().expect("an object").remove("flight_id");
    body["segments"] = json!([{"flight_id": flights[0]}, {"flight_id": flights[1]}]);
    let placed = app.post("/api/v1/itineraries", &body).await;
    let itinerary = placed.json["itinerary_id"].as_i64().unwrap_or_else(|| panic!("{placed:?}"));
    app.run_until_idle().await;
    for id in [booking, itinerary] {
        assert_eq!(app.booking(id).await["status"], json!("completed"));
    }
    [flights[0], booking, flights[1], itinerary]
}

fn replaced(input: &[u8], name: &str, id: i64) -> Vec<u8> {
    let (mut output, mut rest) = (Vec::new(), input);
    while let Some(at) = rest.windows(name.len()).position(|part| part == name.as_bytes()) {
        output.extend_from_slice(&rest[..at]);
        output.extend_from_slice(id.to_string().as_bytes());
        rest = &rest[at + name.len()..];
    }
    output.extend_from_slice(rest);
    output
}
