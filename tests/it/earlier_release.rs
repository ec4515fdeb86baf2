//! The upgrade from a release that knows no orders of several flights: no row is lost, and the two do not serve
//! side by side.

use crate::support::process::{Server, http_client, run_with};
use crate::support::{TestDatabase, equal, eventually};
use serde_json::{Value, json};
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use std::path::Path;
use tempfile::TempDir;

/// The last migration of that release.
const LAST: i64 = 15;

/// The migrations of that release.
async fn steps(folder: &str) -> Migrator {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
    let all = Migrator::new(folder).await.expect("migrations");
    Migrator::with_migrations(all.iter().filter(|step| step.version <= LAST).cloned().collect())
}

/// One flight with each kind of end: paid; cancelled once paid, with its money back or not yet; declined; lapsed,
/// voided at the gateway; pending; one of an adopted database; and one that was captured after it had lapsed.
fn rows(database: &TestDatabase) -> String {
    let (time, rupees) = match database {
        TestDatabase::Sqlite(_) => ("1735689600000000", "00"),
        TestDatabase::Postgres(_) => ("timestamp '2025-01-01'", ""),
    };
    let later = match database {
        TestDatabase::Sqlite(_) => "4102444800000000",
        TestDatabase::Postgres(_) => "timestamp '2100-01-01'",
    };
    let mut statements = vec![format!(
        "INSERT INTO flights (id, source, destination, route, timestamp, available_seats, held_seats, total_seats,
                              price, currency, created_at, updated_at)
         VALUES (1, 'Delhi', 'Mumbai', 'delhi#mumbai', {later}, 7, 1, 10, 25{rupees}, 'INR', {time}, {time});"
    )];
    for (id, status, reason, payment, method, ledger) in [
        (1, "completed", "NULL", "captured", "pm_card_visa", Some("captured")),
        (2, "cancelled", "NULL", "reversed", "pm_card_visa", Some("refunded")),
        (3, "cancelled", "NULL", "reversal_requested", "pm_card_visa", Some("captured")),
        (4, "failed", "'payment_declined'", "declined", "pm_card_declined", Some("declined")),
        (5, "failed", "'hold_expired'", "reversed", "pm_card_visa", Some("voided")),
        (6, "pending", "NULL", "requested", "pm_card_visa", None),
        (7, "completed", "NULL", "captured", "adopted", None),
        (8, "failed", "'hold_expired'", "reversed", "pm_card_visa", Some("refunded")),
    ] {
        let (seats, reference) = (if id == 1 { 2 } else { 1 }, format!("PAY-{id:032x}"));
        let price = format!("{}{rupees}", 25 * seats);
        statements.push(format!(
            "INSERT INTO payments (reference, amount, currency, method, status, created_at, updated_at)
             VALUES ('{reference}', {price}, 'INR', '{method}', '{payment}', {time}, {time});
             INSERT INTO bookings (id, flight_id, user_id, status, failure_reason, payment_reference_id,
                                   booking_price, seats_booked, hold_expires_at, created_at, updated_at)
             VALUES ({id}, 1, 7, '{status}', {reason}, '{reference}', {price}, {seats}, {later}, {time}, {time});"
        ));
        if let Some(state) = ledger {
            let amount = if state == "voided" { "NULL" } else { &price };
            statements.push(format!(
                "INSERT INTO gateway_ledger (reference, amount, method, state, updated_at)
                 VALUES ('{reference}', {amount}, '{method}', '{state}', {time});"
            ));
        }
    }
    if let TestDatabase::Postgres(_) = database {
        statements.push(
            "UPDATE payments SET hold_expires_at = timestamp '2100-01-01'
                        WHERE method <> 'adopted';
                       SELECT setval(pg_get_serial_sequence('bookings', 'id'), 8);
                       SELECT setval(pg_get_serial_sequence('flights', 'id'), 1);"
                .to_owned(),
        );
    }
    statements.concat()
}

/// A database that release has served.
async fn of_earlier_release() -> TestDatabase {
    if crate::support::deployment::is_shared() {
        let database = TestDatabase::empty_postgres().await;
        let mut connection = PgConnection::connect(&database.url()).await.expect("a connection");
        let currency = "SELECT set_config('airline_booking.currency', 'INR', false)";
        connection.execute(currency).await.expect("a session");
        steps("postgres").await.run(&mut connection).await.expect("the earlier schema");
        let rows = AssertSqlSafe(rows(&database));
        sqlx::raw_sql(rows).execute(&mut connection).await.expect("rows");
        return database;
    }
    let database = TestDatabase::sqlite();
    let options = SqliteConnectOptions::new().filename(file(&database)).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("a connection");
    steps("sqlite").await.run(&mut connection).await.expect("the earlier schema");
    let rows = AssertSqlSafe(rows(&database));
    sqlx::raw_sql(rows).execute(&mut connection).await.expect("rows");
    connection.close().await.expect("closed");
    database
}

fn file(database: &TestDatabase) -> String {
    database.url().replacen("sqlite:", "", 1)
}

/// Every row of that release, by the columns that it knew.
async fn seen(database: &TestDatabase) -> Vec<String> {
    let query = "
        SELECT 'booking ' || id || ' ' || flight_id || ' ' || user_id || ' ' || status || ' '
               || coalesce(failure_reason, '') || ' ' || payment_reference_id || ' '
               || CAST(booking_price AS BIGINT) || ' ' || seats_booked FROM bookings
        UNION ALL
        SELECT 'payment ' || reference || ' ' || CAST(amount AS BIGINT) || ' ' || method || ' ' || status
          FROM payments
        UNION ALL
        SELECT 'ledger ' || reference || ' ' || coalesce(CAST(CAST(amount AS BIGINT) AS TEXT), '') || ' ' || state
          FROM gateway_ledger
        UNION ALL
        SELECT 'flight ' || id || ' ' || available_seats || ' ' || held_seats FROM flights
         ORDER BY 1";
    match database {
        TestDatabase::Sqlite(_) => {
            let options = SqliteConnectOptions::new().filename(file(database));
            let mut connection =
                SqliteConnection::connect_with(&options).await.expect("a connection");
            sqlx::query_scalar(query).fetch_all(&mut connection).await.expect("rows")
        }
        TestDatabase::Postgres(url) => {
            let mut connection = PgConnection::connect(url).await.expect("a connection");
            sqlx::query_scalar(query).fetch_all(&mut connection).await.expect("rows")
        }
    }
}

async fn run(directory: &TempDir, url: &str, command: &str) -> (i32, String) {
    run_with(directory.path(), &[("DATABASE_URL", url)], &[command]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_loses_no_row_and_ends_what_the_earlier_release_began() {
    let (database, directory) =
        (of_earlier_release().await, tempfile::tempdir().expect("a directory"));
    let url = database.url();
    let before = seen(&database).await;
    assert_eq!(before.len(), 8 + 8 + 6 + 1);
    let (code, printed) = run(&directory, &url, "migrate").await;
    assert_eq!(code, 0, "{printed}");
    assert_eq!(seen(&database).await, before);
    let (code, printed) = run(&directory, &url, "audit").await;
    assert_eq!(code, 0, "{printed}");

    let settings =
        [("DATABASE_URL", url.as_str()), ("PAYMENT_LATENCY", "0s"), ("SWEEP_INTERVAL", "100ms")];
    let server = Server::start(directory.path(), &settings).await;
    let client = http_client();
    let cancel = format!("{}/api/v1/bookings/1/cancel", server.base);
    let cancelled = client.post(cancel).send().await.expect("sent");
    let cancelled: Value = cancelled.json().await.expect("JSON");
    assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
    for (id, reasons) in [(2, &["traveller"][..]), (4, &[]), (5, &[]), (8, &["late_capture"])] {
        let order = format!("{}/api/v1/itineraries/{id}", server.base);
        let order: Value =
            client.get(order).send().await.expect("sent").json().await.expect("JSON");
        let refunds = order["refunds"].as_array().expect("a list");
        let shown: Vec<_> = refunds.iter().map(|refund| &refund["reason"]).collect();
        assert_eq!(shown, *reasons, "{order}");
        for refund in refunds {
            assert_eq!(refund["id"], format!("REF-{id:032x}"), "{order}");
            assert_eq!((&refund["amount"], &refund["status"]), (&json!(25.0), &json!("done")));
        }
    }
    let reference = |id: i64| format!("payment PAY-{id:032x}");
    let expected = [(1, "captured"), (3, "reversed"), (6, "captured"), (7, "captured")];
    eventually("an end of what was begun", async || {
        let now = seen(&database).await;
        let of = |id| now.iter().find(|row| row.starts_with(&reference(id))).expect("a payment");
        let status = |id| of(id).rsplit(' ').next().expect("a status").to_owned();
        equal(expected.map(|(id, _)| status(id)), expected.map(|(_, status)| status.to_owned()))
    })
    .await;
    let refund = "UPDATE refunds SET attempts = attempts WHERE status = 'done' AND booking_id = 1";
    eventually("the refund of a payment from before", async || {
        equal(database.plant(refund).await, 1)
    })
    .await;
    assert!(server.terminate().await);
    let (code, printed) = run(&directory, &url, "audit").await;
    assert_eq!(code, 0, "{printed}");
}

/// What a process of the earlier release holds while it serves.
enum Served {
    File(std::fs::File),
    Session(PgConnection),
}

impl Served {
    async fn start(database: &TestDatabase) -> Self {
        match database {
            TestDatabase::Sqlite(_) => {
                let lock = std::fs::File::create(format!("{}.lock", file(database)));
                let lock = lock.expect("a lock file");
                lock.try_lock().expect("free");
                Self::File(lock)
            }
            TestDatabase::Postgres(url) => {
                let mut session = PgConnection::connect(url).await.expect("a connection");
                // The lease of the sweep.
                let lease = "SELECT pg_advisory_lock(x'616972'::int, 4)";
                session.execute(lease).await.expect("a lease");
                Self::Session(session)
            }
        }
    }

    async fn stop(self) {
        match self {
            Self::File(lock) => drop(lock),
            Self::Session(session) => session.close().await.expect("closed"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_upgrade_begins_while_a_process_of_the_earlier_release_serves() {
    let (database, directory) =
        (of_earlier_release().await, tempfile::tempdir().expect("a directory"));
    let url = database.url();
    let served = Served::start(&database).await;
    let before = seen(&database).await;
    // A start on a file is refused by the claim on it.
    let is_shared = matches!(database, TestDatabase::Postgres(_));
    for command in if is_shared { &["migrate", "serve"][..] } else { &["migrate"] } {
        let (code, printed) = run(&directory, &url, command).await;
        assert_eq!(code, 1, "{command}: {printed}");
        assert!(printed.contains("stop all its processes"), "{command}: {printed}");
    }
    let orders = "UPDATE _sqlx_migrations SET description = description WHERE version > 15";
    assert_eq!(database.plant(orders).await, 0, "a step was taken");
    assert_eq!(seen(&database).await, before);

    served.stop().await;
    let (code, printed) = run(&directory, &url, "migrate").await;
    assert_eq!(code, 0, "{printed}");
    assert_eq!(seen(&database).await, before);

    // This release upgrades beside itself.
    let served = Served::start(&database).await;
    let (code, printed) = run(&directory, &url, "migrate").await;
    assert_eq!(code, 0, "{printed}");
    served.stop().await;
}
