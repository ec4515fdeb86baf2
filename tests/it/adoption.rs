//! `doctor` and `migrate` on a database that the specified service left behind.

mod closing;

use crate::support::TestDatabase;
use crate::support::process::{Server, http_client, run_with};
use crate::support::{equal, eventually};
use sqlx::{Connection, PgConnection, Row};

/// The specified tables as the existing service makes them: checks, indexes and triggers too.
const EXISTING_SCHEMA: &str = "
CREATE TABLE flights (
    id BIGSERIAL PRIMARY KEY,
    source VARCHAR(100) NOT NULL,
    destination VARCHAR(100) NOT NULL,
    timestamp TIMESTAMP NOT NULL,
    available_seats INTEGER NOT NULL CHECK (available_seats >= 0),
    total_seats INTEGER NOT NULL CHECK (total_seats > 0),
    flight_status VARCHAR(50) NOT NULL DEFAULT 'scheduled',
    price DECIMAL(10,2) NOT NULL CHECK (price > 0),
    version INTEGER NOT NULL DEFAULT 1,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT chk_available_seats CHECK (available_seats <= total_seats),
    CONSTRAINT chk_source_destination CHECK (source != destination)
);
CREATE TABLE bookings (
    id BIGSERIAL PRIMARY KEY,
    flight_id BIGINT NOT NULL REFERENCES flights(id),
    user_id BIGINT NOT NULL,
    status VARCHAR(50) NOT NULL DEFAULT 'pending',
    payment_reference_id VARCHAR(255),
    booking_price DECIMAL(10,2) NOT NULL CHECK (booking_price > 0),
    seats_booked INTEGER NOT NULL CHECK (seats_booked > 0),
    booking_metadata JSONB,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX idx_flights_search ON flights (source, destination, DATE(timestamp));
CREATE INDEX idx_flights_timestamp ON flights (timestamp);
CREATE INDEX idx_flights_status ON flights (flight_status);
CREATE INDEX idx_bookings_flight_id ON bookings (flight_id);
CREATE INDEX idx_bookings_user_id ON bookings (user_id);
CREATE INDEX idx_bookings_status ON bookings (status);
CREATE INDEX idx_bookings_created_at ON bookings (created_at DESC);
CREATE FUNCTION update_updated_at_column() RETURNS TRIGGER AS $$
BEGIN NEW.updated_at = CURRENT_TIMESTAMP; RETURN NEW; END $$ LANGUAGE plpgsql;
CREATE TRIGGER update_flights_updated_at BEFORE UPDATE ON flights
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE TRIGGER update_bookings_updated_at BEFORE UPDATE ON bookings
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
";

/// Ten seats are gone of flight 1: 2 sold, 3 of a payment that never ran, 1 of one that failed, 4
/// that nothing tells of.
const ROWS: &str = "
INSERT INTO flights (source, destination, timestamp, available_seats, total_seats, price) VALUES
    ('Delhi', 'Mumbai', '2025-01-15 10:00', 170, 180, 2500),
    (' ÉVRY ', 'Łódź', '2025-01-15 14:00', 180, 180, 2500.50);
INSERT INTO bookings (flight_id, user_id, status, payment_reference_id, booking_price,
                      seats_booked, booking_metadata) VALUES
    (1, 7, 'completed', 'PAY-0123456789abcdef0123456789abcdef', 5000, 2,
     '[{\"name\":\"A\",\"email\":\"a@b.example\",\"phone\":\"1\",\"age\":3,\"gender\":\"f\"},
       {\"name\":\"B\",\"email\":\"b@b.example\",\"phone\":\"1\",\"age\":3,\"gender\":\"f\"}]'),
    (1, 7, 'pending', NULL, 7500, 3, NULL),
    (1, 8, 'failed', 'PAY-0123456789abcdef0123456789abcdef', 2500, 1, NULL);
";

/// A database with that schema and these rows; its URL.
async fn existing(rows: &str) -> String {
    let url = TestDatabase::empty_postgres().await.url();
    execute(&url, EXISTING_SCHEMA).await;
    execute(&url, rows).await;
    url
}

async fn execute(url: &str, statements: &str) {
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    let statements = sqlx::AssertSqlSafe(statements);
    sqlx::raw_sql(statements).execute(&mut connection).await.expect("statements");
}

/// All rows of a query, as PostgreSQL writes them.
async fn rows(url: &str, query: &'static str) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    let rows = sqlx::query(query).fetch_all(&mut connection).await.expect("rows");
    rows.iter().map(|row| row.get::<String, _>(0)).collect()
}

async fn run(url: &str, command: &str) -> (i32, String) {
    let directory = tempfile::tempdir().expect("a directory");
    run_with(directory.path(), &[("DATABASE_URL", url)], &[command]).await
}

#[tokio::test]
async fn adopting_the_existing_services_database_loses_no_row() {
    let url = existing(ROWS).await;

    let (code, printed) = run(&url, "serve").await;
    assert_eq!(code, 1);
    assert!(printed.contains("airline-booking doctor"), "{printed}");
    let (code, printed) = run(&url, "doctor").await;
    assert_eq!(code, 0, "{printed}");
    for told in [
        "1 bookings stuck in pending",
        "booking 2",
        "2 bookings whose payment reference",
        "1 flights with seats missing that no completed booking has",
        "those seats are blocked, as sold elsewhere",
    ] {
        assert!(printed.contains(told), "{told}: {printed}");
    }
    let (code, printed) = run(&url, "migrate").await;
    assert_eq!(code, 0, "{printed}");
    assert_eq!(run(&url, "migrate").await.0, 0, "again");
    let (code, printed) = run(&url, "audit").await;
    assert_eq!(code, 0, "{printed}");

    let flights = "SELECT concat_ws(' ', id, available_seats, held_seats, blocked_seats, route)
                     FROM flights ORDER BY id";
    assert_eq!(rows(&url, flights).await, ["1 170 0 8 delhi#mumbai", "2 180 0 0 evry#łodz"]);
    let bookings = "SELECT concat_ws(' ', b.id, b.status, b.failure_reason, p.status, p.method)
                      FROM bookings AS b
                      JOIN payments AS p ON p.reference = b.payment_reference_id ORDER BY b.id";
    assert_eq!(
        rows(&url, bookings).await,
        [
            "1 completed captured adopted",
            "2 failed adopted declined adopted",
            "3 failed payment_declined declined adopted",
        ]
    );

    let left = "SELECT tgname::text FROM pg_trigger
                 WHERE NOT tgisinternal AND tgname <> 'flights_note_cancelled'
                 UNION ALL
                SELECT indexname::text FROM pg_indexes
                 WHERE indexname IN ('idx_flights_search', 'idx_flights_status',
                       'idx_bookings_flight_id', 'idx_bookings_user_id', 'idx_bookings_status',
                       'idx_bookings_created_at')";
    assert_eq!(rows(&url, left).await, [""; 0], "of the other service's triggers and indexes");

    serves_adopted_bookings_and_takes_new_ones(&url).await;
    let (code, printed) = run(&url, "audit").await;
    assert_eq!(code, 0, "{printed}");
}

async fn serves_adopted_bookings_and_takes_new_ones(url: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = [("DATABASE_URL", url), ("PAYMENT_LATENCY", "0s")];
    let server = Server::start(directory.path(), &settings).await;
    let client = http_client();
    let get = async |path: &str| -> serde_json::Value {
        let answer = client.get(format!("{}{path}", server.base)).send().await.expect("sent");
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.expect("JSON")
    };
    let flight = get("/api/v1/flights/1").await;
    assert_eq!(flight["timestamp"], "2025-01-15T10:00:00Z", "TIMESTAMP columns hold UTC");
    let unpaid = get("/api/v1/bookings/2").await;
    assert_eq!(
        (&unpaid["status"], &unpaid["failure_reason"]),
        (&"failed".into(), &"adopted".into())
    );
    let of_user = get("/api/v1/users/7/bookings").await;
    let reasons: Vec<_> = [0, 1].map(|at| &of_user["bookings"][at]["failure_reason"]).into();
    assert_eq!(reasons, [&serde_json::json!("adopted"), &serde_json::Value::Null]);
    let adopted: serde_json::Value = client
        .post(format!("{}/api/v1/bookings/1/cancel", server.base))
        .send()
        .await
        .expect("sent")
        .json()
        .await
        .expect("JSON");
    assert_eq!(adopted["status"], "cancelled", "{adopted}");
    assert_eq!(adopted["booking_metadata"][1]["name"], "B");
    let placed: serde_json::Value = client
        .post(format!("{}/api/v1/bookings", server.base))
        .header("prefer", "wait=10")
        .json(&crate::support::booking(1, 2))
        .send()
        .await
        .expect("sent")
        .json()
        .await
        .expect("JSON");
    assert_eq!((&placed["status"], &placed["booking_id"]), (&"completed".into(), &4.into()));
    assert!(server.terminate().await);
}

/// A second booking whose payment never ran, for more seats than anybody took.
const NEVER_TAKEN: &str = "
INSERT INTO bookings (flight_id, user_id, status, booking_price, seats_booked)
VALUES (1, 9, 'pending', 22500, 9)";

#[tokio::test]
async fn seats_whose_payment_never_ran_return_to_sale_once_while_a_service_runs() {
    let url = existing(&format!("{ROWS}{NEVER_TAKEN}")).await;
    let directory = tempfile::tempdir().expect("a directory");
    let settings = [("DATABASE_URL", url.as_str()), ("PAYMENT_LATENCY", "0s")];
    let release = async |more: &[&str]| {
        let arguments = [&["migrate", "--release-stuck"], more].concat();
        let (code, printed) = run_with(directory.path(), &settings, &arguments).await;
        assert_eq!(code, 0, "{printed}");
        printed
    };
    let printed = release(&[]).await;
    for told in [
        "3 seats of 1 adopted bookings on 1 flights would be put back on sale",
        "flight 1: 3",
        "1 adopted bookings stay as they are",
        "add --yes to carry it out",
    ] {
        assert!(printed.contains(told), "{told}: {printed}");
    }
    let flight = "SELECT concat_ws(' ', available_seats, held_seats, blocked_seats) FROM flights
                   WHERE id = 1";
    assert_eq!(rows(&url, flight).await, ["170 0 8"], "nothing was changed");

    let server = Server::start(directory.path(), &settings).await;
    let client = http_client();
    let path = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-15";
    let found = async || -> serde_json::Value {
        let answer = client.get(format!("{}{path}", server.base)).send().await.expect("sent");
        answer.json().await.expect("JSON")
    };
    assert_eq!(found().await["flights"][0]["available_seats"], 170);
    let printed = release(&["--yes"]).await;
    assert!(
        printed.contains("3 seats of 1 adopted bookings on 1 flights are on sale"),
        "{printed}"
    );
    assert_eq!(rows(&url, flight).await, ["173 0 5"]);
    let reasons = "SELECT concat_ws(' ', id, status, failure_reason) FROM bookings ORDER BY id";
    let after = rows(&url, reasons).await;
    assert_eq!(
        after[1..],
        ["2 failed hold_expired", "3 failed payment_declined", "4 failed adopted"]
    );
    eventually("a search that shows 173 seats", async || {
        equal(found().await["flights"][0]["available_seats"].clone(), 173)
    })
    .await;

    let printed = release(&["--yes"]).await;
    assert!(printed.contains("0 seats of 0 adopted bookings"), "{printed}");
    assert_eq!(rows(&url, flight).await, ["173 0 5"], "once");
    let audit = run_with(directory.path(), &settings, &["audit"]).await;
    assert_eq!(audit.0, 0, "{}", audit.1);
    assert!(server.terminate().await);
}

#[tokio::test]
async fn rows_that_break_a_rule_are_listed_and_the_adoption_changes_nothing() {
    let oversold = format!("{ROWS} UPDATE bookings SET status = 'completed', seats_booked = 99");
    for (ill, told) in [
        (oversold.as_str(), "flights that sold more seats than are missing: flight 1"),
        (
            "ALTER TABLE bookings DROP CONSTRAINT bookings_flight_id_fkey;
             INSERT INTO bookings (flight_id, user_id, booking_price, seats_booked)
             VALUES (9, 1, 1, 1)",
            "bookings without a flight: booking 1",
        ),
        (
            "ALTER TABLE bookings ALTER COLUMN flight_id DROP NOT NULL;
             INSERT INTO bookings (flight_id, user_id, booking_price, seats_booked)
             VALUES (NULL, 1, 1, 1)",
            "bookings without a flight: booking 1",
        ),
        (
            "ALTER TABLE flights DROP CONSTRAINT flights_available_seats_check;
             INSERT INTO flights (source, destination, timestamp, available_seats, total_seats, price)
             VALUES ('A', 'B', '2025-01-01', -1, 10, 1)",
            "flights whose seats are negative or more than there are: flight 1",
        ),
        (
            "INSERT INTO flights (source, destination, timestamp, available_seats, total_seats,
                                  price, flight_status)
             VALUES ('A', 'B', '2025-01-01', 1, 10, 1, 'boarding')",
            "flights of unknown status: flight 1",
        ),
    ] {
        let url = existing(ill).await;
        let before = "SELECT concat_ws(' ', (SELECT string_agg(f::text, ',') FROM flights AS f),
                                            (SELECT string_agg(b::text, ',') FROM bookings AS b))";
        let rows_before = rows(&url, before).await;
        let (code, printed) = run(&url, "migrate").await;
        assert_eq!(code, 1, "{printed}");
        assert!(printed.contains(told), "{printed}");
        assert_eq!(rows(&url, before).await, rows_before);
        let (code, printed) = run(&url, "doctor").await;
        assert_eq!(code, 1);
        assert!(printed.contains("IN THE WAY"), "{printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adoption_waits_for_open_transactions_and_checks_what_they_wrote() {
    let url = existing(ROWS).await;
    let mut other = PgConnection::connect(&url).await.expect("a connection");
    let oversells = "BEGIN; UPDATE bookings SET status = 'completed', seats_booked = 99";
    sqlx::raw_sql(oversells).execute(&mut other).await.expect("it writes");
    let waits = "SELECT mode FROM pg_locks
                  WHERE NOT granted AND database =
                        (SELECT oid FROM pg_database WHERE datname = current_database())";
    let commits = async {
        eventually("a migration that waits for a lock", async || {
            equal(rows(&url, waits).await, ["AccessExclusiveLock"])
        })
        .await;
        sqlx::raw_sql("COMMIT").execute(&mut other).await.expect("it commits");
    };
    let ((code, printed), ()) = tokio::join!(run(&url, "migrate"), commits);
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("flights that sold more seats than are missing"), "{printed}");
}

#[tokio::test]
async fn the_bare_tables_of_the_specification_are_adopted_too() {
    let url = TestDatabase::empty_postgres().await.url();
    let specified = include_str!("../../migrations/postgres/0001_specified.sql");
    execute(&url, specified).await;
    execute(
        &url,
        "INSERT INTO flights (source, destination, timestamp, available_seats, total_seats, price,
                              flight_status, version, created_at)
         VALUES ('Delhi', 'Mumbai', '2025-01-15 10:00', 100, 180, 2500, NULL, NULL, NULL)",
    )
    .await;
    let (code, printed) = run(&url, "doctor").await;
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("1 flights without a time of creation"), "{printed}");
    let (code, printed) = run(&url, "migrate").await;
    assert_eq!(code, 0, "{printed}");
    let flight = "SELECT concat_ws(' ', flight_status, version, blocked_seats, created_at)
                    FROM flights";
    assert_eq!(rows(&url, flight).await, ["scheduled 1 80 1970-01-01 00:00:00"]);
    assert_eq!(run(&url, "audit").await.0, 0);
}

#[tokio::test]
async fn adopting_from_an_unreachable_server_names_the_server() {
    let (code, printed) = run("postgres://someone:hush@127.0.0.1:1/nothing", "audit").await;
    assert_eq!(code, 1);
    assert!(printed.contains("PostgreSQL, nothing on 127.0.0.1:1"), "{printed}");
    assert!(!printed.contains("hush"), "{printed}");
}
