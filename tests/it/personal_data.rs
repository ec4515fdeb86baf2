//! Export and erasure of a user's data, whatever their bookings' states: nothing is left.

use crate::support::people::{
    MARK, USER, all_bytes, count, files_below, party, rows_of_all_tables,
};
use crate::support::process::{Server, binary, http_client, run_with};
use crate::support::replicas::Replicas;
use crate::support::{TestApp, TestDatabase, equal, eventually, flight, kafka};
use airline_booking::clock::Clock as _;
use airline_booking::domain::{BookingId, UserId};
use airline_booking::people::erase::{Erase, NAMED_MAX, Why};
use airline_booking::people::{OTHER_COLUMNS, PERSONAL_COLUMNS, PersonalColumn, export};
use airline_booking::store::sqlite::SqliteStore;
use airline_booking::store::{Scrub, Scrubbed};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

/// The user's bookings in every state that commands lead to, by their names; the gateway is closed.
async fn in_every_state(app: &TestApp) -> Vec<(i64, &'static str)> {
    let place = async |flight: i64, name: &'static str, method: &str| {
        let mut body = party(flight, 2, name);
        body["payment_method"] = json!(method);
        let key = format!("{MARK}-key-{name}");
        let headers = [("idempotency-key", key.as_str())];
        let placed = app.send_json_with(http::Method::POST, "/api/v1/bookings", &body, &headers);
        (placed.await.booking_id(), name)
    };
    let cancel = async |(booking, name): (i64, &'static str)| {
        let key = format!("{MARK}-cancel-{name}");
        let path = format!("/api/v1/bookings/{booking}/cancel");
        let headers = [("idempotency-key", key.as_str())];
        let answer = app.send_json_with(http::Method::POST, &path, &Value::Null, &headers).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let mut soon = flight(50);
    soon["timestamp"] = json!("2025-01-02T10:00:00Z");
    let soon = app.post("/api/v1/flights", &soon).await.json["id"].as_i64().expect("an id");
    let later = app.add_flight(50).await;

    let flown = place(soon, "flown", "pm_card_visa").await;
    let declined = place(later, "declined", "pm_card_declined").await;
    let refunded = place(later, "refunded", "pm_card_visa").await;
    let yet_to_fly = place(later, "yet-to-fly", "pm_card_visa").await;
    let reversing = place(later, "reversing", "pm_card_visa").await;
    app.run_until_idle().await;
    cancel(refunded).await;
    app.run_until_idle().await;
    app.gateway.close();
    let voided = place(later, "voided", "pm_card_visa").await;
    app.run_until_idle().await;
    app.pass(Duration::from_secs(2 * 86_400)).await;
    app.gateway.open();
    app.run_until_idle().await;
    app.gateway.close();
    let lapsed = place(later, "lapsed", "pm_card_visa").await;
    app.run_until_idle().await;
    app.pass(Duration::from_secs(310)).await;
    cancel(reversing).await;
    let pending = place(later, "pending", "pm_card_visa").await;
    app.run_until_idle().await;
    vec![flown, declined, refunded, yet_to_fly, reversing, voided, lapsed, pending]
}

fn erase(app: &TestApp, all: bool) -> Erase<'_> {
    Erase { store: &*app.store, user: UserId(USER), all, now: app.clock.now() }
}

async fn exported(app: &TestApp) -> Value {
    let mut out = Vec::new();
    let written = export::export(&*app.store, UserId(USER), app.clock.now(), &mut out).await;
    let document: Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(document["bookings"].as_array().map(Vec::len), Some(written.expect("written")));
    document
}

#[tokio::test(flavor = "multi_thread")]
async fn bookings_in_every_state_are_exported_and_erased_completely() {
    let app = TestApp::start().await;
    let bookings = in_every_state(&app).await;
    let other = app.book(app.add_flight(9).await, 1).await.booking_id();

    let document = exported(&app).await;
    assert_eq!(document["user_id"], USER);
    assert_eq!(document["idempotency_keys"].as_array().map(Vec::len), Some(10));
    for ((id, name), held) in bookings.iter().zip(document["bookings"].as_array().expect("a list"))
    {
        assert_eq!(held["id"], *id);
        assert_eq!(held["booking_metadata"][1]["name"], format!("{MARK} {name} 1"));
        assert_eq!(held["flight"]["source"], "Delhi");
        assert_eq!(held["payment"]["payment_reference_id"], held["payment_reference_id"]);
        assert_eq!(held["erased_at"], Value::Null);
    }

    let kept = ["yet-to-fly", "pending"];
    let held = erase(&app, false).look().await.expect("a look");
    assert_eq!((held.due, held.kept, held.erased, held.keys), (6, 2, 0, 10));
    for (named, name) in held.named.iter().zip(kept) {
        let its = bookings.iter().find(|(_, its)| *its == name).expect("a booking").0;
        assert_eq!(named.booking, BookingId(its));
        assert!(matches!(named.why, Why::YetToFly { .. }));
    }
    let erased = erase(&app, false).run().await.expect("erased");
    assert_eq!((erased.bookings, erased.keys), (6, 10));
    let left = all_bytes(&app.database).await;
    for (id, name) in &bookings {
        let is_kept = kept.contains(name);
        assert_eq!(count(&left, &format!("{MARK} {name}")) > 0, is_kept, "{name}");
        assert_eq!(count(&left, &format!("{MARK}-key-{name}")), 0, "{name}");
        let shown = app.booking(*id).await;
        assert_eq!(shown["booking_metadata"].as_array().map(Vec::len), Some(2), "{shown}");
        assert_eq!(shown["booking_metadata"][0]["name"] == "Erased", !is_kept, "{shown}");
    }

    let again = erase(&app, false).run().await.expect("nothing to do");
    assert_eq!((again.bookings, again.keys), (0, 0));
    let all = erase(&app, true).run().await.expect("all is erased");
    assert_eq!(all.bookings, 2);
    assert_eq!(count(&all_bytes(&app.database).await, MARK), 0);
    assert_eq!(app.booking(other).await["booking_metadata"][0]["name"], "Asha Rao");
    let document = exported(&app).await;
    assert_eq!(document["idempotency_keys"], json!([]));
    let erasures = document["erasures"].as_array().expect("a list");
    let did: Vec<_> =
        erasures.iter().map(|e| (&e["bookings"], &e["idempotency_keys"], &e["kept"])).collect();
    assert_eq!(did, [(&json!(6), &json!(10), &json!(2)), (&json!(2), &json!(0), &json!(0))]);
    assert!(erasures.iter().all(|erasure| erasure["ended_at"].is_string()));

    // Payments that were under way end, and bring no passenger back.
    app.gateway.open();
    app.run_until_idle().await;
    let (pending, _) = bookings[bookings.len() - 1];
    assert_eq!(app.booking(pending).await["status"], "completed");
    assert_eq!(count(&all_bytes(&app.database).await, MARK), 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_itinerary_is_exported_with_its_refunds_and_erased_with_its_keys() {
    let app = TestApp::start().await;
    let mut flights = Vec::new();
    for hour in [6, 12] {
        let mut body = flight(9);
        body["timestamp"] = json!(format!("2025-01-20T{hour:02}:00:00Z"));
        body["arrival_timestamp"] = json!(format!("2025-01-20T{:02}:00:00Z", hour + 2));
        flights.push(app.post("/api/v1/flights", &body).await.json["id"].clone());
    }
    let mut body = party(0, 2, "journey");
    body.as_object_mut().expect("an object").remove("flight_id");
    body["segments"] = json!([{"flight_id": flights[0]}, {"flight_id": flights[1]}]);
    let path = "/api/v1/itineraries";
    let keyed = async |path: &str, body: &Value, key: &str| {
        let key = format!("{MARK}-{key}");
        let headers = [("idempotency-key", key.as_str())];
        app.send_json_with(http::Method::POST, path, body, &headers).await.json
    };
    let id = keyed(path, &body, "placed").await["itinerary_id"].clone();
    app.run_until_idle().await;
    let part = json!({"segments": [2], "passengers": [1]});
    let cancelled = keyed(&format!("{path}/{id}/cancel"), &part, "cancelled").await;
    app.run_until_idle().await;

    let document = exported(&app).await;
    let bookings = document["bookings"].as_array().expect("a list");
    assert_eq!(bookings.len(), 2);
    assert_eq!(bookings[0]["refunds"], json!([]));
    let refund = &bookings[1]["refunds"][0];
    assert_eq!(refund["id"], cancelled["refunds"][0]["id"]);
    assert_eq!((&refund["amount"], &refund["status"]), (&json!(2500.0), &json!("done")));
    assert_eq!(document["idempotency_keys"].as_array().map(Vec::len), Some(2));

    let erased = erase(&app, true).run().await.expect("erased");
    assert_eq!((erased.bookings, erased.keys), (2, 2));
    assert_eq!(count(&all_bytes(&app.database).await, MARK), 0);
    let shown = app.booking(id.as_i64().expect("an id") + 1).await;
    let names: Vec<_> = (0..2).map(|at| &shown["booking_metadata"][at]["name"]).collect();
    assert_eq!(names, ["Erased", "Erased"]);
    assert_eq!(shown["booking_metadata"][1]["status"], "cancelled");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bookings_that_end_during_an_erasure_stay_erased() {
    let app = TestApp::start().await;
    app.gateway.close();
    let flight = app.add_flight(1_000).await;
    let mut bookings = Vec::new();
    for number in 0..120 {
        let body = party(flight, 1, &format!("n{number}"));
        bookings.push(app.post("/api/v1/bookings", &body).await.booking_id());
    }
    app.run_until_idle().await;
    let settle = async {
        app.gateway.open();
        for booking in bookings.iter().step_by(3) {
            app.post(&format!("/api/v1/bookings/{booking}/cancel"), &Value::Null).await;
        }
        app.run_until_idle().await;
    };
    let erasure = erase(&app, true);
    let (erased, ()) = tokio::join!(erasure.run(), settle);
    assert_eq!(erased.expect("erased").bookings, bookings.len());
    for booking in &bookings {
        let shown = app.booking(*booking).await;
        assert_eq!(shown["booking_metadata"][0]["name"], "Erased", "{shown}");
        assert_ne!(shown["status"], "pending");
    }
    erase(&app, true).run().await.expect("scrubbed again");
    assert_eq!(count(&all_bytes(&app.database).await, MARK), 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_erasure_continues_under_the_same_record() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9_000).await;
    let mut bookings = Vec::new();
    for number in 0..300 {
        // More than a page of the file, so that what is cut off has pages of its own.
        let body = party(flight, 9, &format!("{number}-{}", "long".repeat(12)));
        bookings.push(BookingId(app.post("/api/v1/bookings", &body).await.booking_id()));
    }
    app.run_until_idle().await;
    let (user, now) = (UserId(USER), app.clock.now());
    let step = app.store.erase_passengers(&bookings[..40], Some(user), now).await.expect("a step");
    assert_eq!(step.len(), 40);

    let held = erase(&app, true).look().await.expect("a look");
    assert_eq!((held.due, held.erased), (260, 40));
    let named = erase(&app, false).look().await.expect("a look");
    assert_eq!((named.kept, named.named.len()), (260, NAMED_MAX));
    let erased = erase(&app, true).run().await.expect("erased");
    assert_eq!(erased.bookings, 260);
    let records = app.store.erasures_of(user, 9).await.expect("records");
    assert_eq!(records.iter().map(|record| record.bookings).collect::<Vec<_>>(), [300]);
    assert!(records[0].ended_at.is_some());
    assert_eq!(count(&all_bytes(&app.database).await, MARK), 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_booking_is_reported_and_the_others_are_erased() {
    let app = TestApp::start().await;
    let (flight, ill) = (app.add_flight(9).await, app.add_flight(9).await);
    let body = party(ill, 1, "ill");
    let unreadable = app.post("/api/v1/bookings", &body).await.booking_id();
    let mut past = flight;
    for name in ["one", "two"] {
        past = app.post("/api/v1/bookings", &party(flight, 1, name)).await.booking_id();
    }
    app.run_until_idle().await;
    let cancelled = app.post(&format!("/api/v1/bookings/{past}/cancel"), &Value::Null).await;
    assert_eq!(cancelled.status, 200);
    app.run_until_idle().await;
    app.database.plant(&format!("UPDATE flights SET flight_status = '?' WHERE id = {ill}")).await;

    let held = erase(&app, false).look().await.expect("a look");
    assert_eq!((held.due, held.kept), (1, 2));
    assert_eq!(held.named[0].booking, BookingId(unreadable));
    assert_eq!(held.named[0].why, Why::Unreadable);
    assert_eq!(erase(&app, false).run().await.expect("erased").bookings, 1);
    assert_eq!(erase(&app, true).run().await.expect("all").bookings, 2);
    assert_eq!(count(&all_bytes(&app.database).await, MARK), 0);
    app.abandon();
}

#[tokio::test(flavor = "multi_thread")]
async fn export_and_erase_work_beside_a_running_service_and_leave_nothing_in_files_or_logs() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = TestDatabase::create().await;
    let url = database.url();
    let log_file = directory.path().join("service.log");
    let log = std::fs::File::create(&log_file).expect("a log");
    let settings =
        [("DATABASE_URL", url.as_str()), ("PAYMENT_LATENCY", "0s"), ("RUST_LOG", "trace")];
    let server = Server::start_logging(directory.path(), &settings, log.into()).await;
    let client = http_client();
    let post = async |path: &str, body: &Value| -> Value {
        let post = client.post(format!("{}{path}", server.base)).json(body);
        let post = post.header("prefer", "wait=30").header("idempotency-key", format!("{MARK}-1"));
        post.send().await.expect("sent").json().await.expect("JSON")
    };
    let mut later = flight(9);
    later["timestamp"] = json!("2999-01-20T10:00:00Z");
    let flight = post("/api/v1/flights", &later).await["id"].as_i64().expect("an id");
    let placed = post("/api/v1/bookings", &party(flight, 2, "beside")).await;
    assert_eq!(placed["status"], "completed", "{placed}");

    let settings = [("DATABASE_URL", url.as_str())];
    let user = USER.to_string();
    let run = async |arguments: &[&str]| {
        let (code, printed) = run_with(directory.path(), &settings, arguments).await;
        assert_eq!(code, 0, "{printed}");
        printed
    };
    let document: Value =
        serde_json::from_str(&run(&["export", "--user", &user]).await).expect("JSON");
    assert_eq!(document["bookings"][0]["id"], placed["booking_id"]);
    let printed = run(&["export", "--user", &user, "--output", "user.json"]).await;
    assert!(printed.contains("1 bookings of user 777"), "{printed}");
    let file = directory.path().join("user.json");
    let mode = file.metadata().expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let written = std::fs::read_to_string(&file).expect("text");
    let written: Value = serde_json::from_str(&written).expect("JSON");
    assert_eq!(written["bookings"], document["bookings"]);
    std::fs::remove_file(file).expect("removed");

    let printed = run(&["erase", "--user", &user]).await;
    for told in ["1 bookings kept", "Delhi to Mumbai", "2999-01-20", "nothing was erased", "--yes"]
    {
        assert!(printed.contains(told), "{told}: {printed}");
    }
    let printed = run(&["erase", "--user", &user, "--all", "--yes"]).await;
    assert!(
        printed.contains("erased: the passengers of 1 bookings, 1 idempotency keys"),
        "{printed}"
    );
    let id = &placed["booking_id"];
    let shown = client.get(format!("{}/api/v1/bookings/{id}", server.base)).send().await;
    let shown: Value = shown.expect("sent").json().await.expect("JSON");
    assert_eq!(shown["booking_metadata"][1]["name"], "Erased", "{shown}");
    assert!(run(&["audit"]).await.contains("clean"));
    server.kill().await;
    let mut left = all_bytes(&database).await;
    assert!(count(&left, "Erased") > 0);
    left.extend(files_below(directory.path()));
    assert!(count(&left, "answered") > 0, "the log is among them");
    // The key named the flight as well, which is no personal data.
    assert_eq!(count(&left, &format!("{MARK} ")) + count(&left, &format!("{MARK}-beside")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_topic_holds_anything_of_a_passenger() {
    let replicas = Replicas::new().await.start(1).await;
    let flight = replicas.add_flight(30).await;
    for number in 0..6 {
        let mut body = party(flight, 2, &format!("n{number}"));
        body["payment_method"] = json!(["pm_card_visa", "pm_card_declined"][number % 2]);
        let post = replicas.client.post(replicas.url(0, "/api/v1/bookings")).json(&body);
        let post = post.header("idempotency-key", format!("{MARK}-{number}"));
        let placed: Value = post.send().await.expect("sent").json().await.expect("JSON");
        if number == 4 {
            let path = format!("/api/v1/bookings/{}/cancel", placed["booking_id"]);
            replicas.client.post(replicas.url(0, &path)).send().await.expect("sent");
        }
    }
    replicas.settled().await;
    replicas.outbox_is_empty().await;
    let brokers = replicas.setting("KAFKA_BROKERS");
    let mut all = Vec::new();
    for name in ["PAYMENT_REQUESTS", "PAYMENTS", "BOOKINGS", "EVENTS"] {
        let topic = replicas.setting(&format!("KAFKA_TOPIC_{name}"));
        let messages = kafka::count(brokers, topic).await;
        assert!(messages > 0, "{topic}");
        for message in kafka::stored(brokers, topic, messages as usize).await {
            all.extend(format!("{:?}", message.headers).into_bytes());
            all.extend([message.key, message.payload].into_iter().flatten().flatten());
        }
    }
    assert!(count(&all, "booking.completed") > 0);
    assert_eq!(count(&all, MARK), 0);
    let arguments = ["erase", "--user", "777", "--all", "--yes"];
    let directory = tempfile::tempdir().expect("a directory");
    let (code, printed) = run_with(directory.path(), &replicas.settings(), &arguments).await;
    assert_eq!(code, 0, "{printed}");
    let left = rows_of_all_tables(replicas.setting("DATABASE_URL")).await;
    assert_eq!(count(&left, MARK), 0);
    replicas.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_row_delays_only_its_own_erasure() {
    let app = TestApp::start().await;
    let TestDatabase::Postgres(url) = &app.database else {
        // A file has one writer, for which an erasure waits.
        app.finish().await;
        return;
    };
    let flight = app.add_flight(9).await;
    let mut bookings = Vec::new();
    for name in ["one", "two", "three"] {
        bookings.push(app.post("/api/v1/bookings", &party(flight, 1, name)).await.booking_id());
    }
    app.run_until_idle().await;
    let mut other = PgConnection::connect(url).await.expect("a connection");
    let keep = AssertSqlSafe(format!(
        "BEGIN; SELECT 1 FROM bookings WHERE id = {} FOR UPDATE",
        bookings[1]
    ));
    sqlx::raw_sql(keep).execute(&mut other).await.expect("it keeps the row");
    let erasure = erase(&app, true);
    let let_go = async {
        for booking in [bookings[0], bookings[2]] {
            eventually("an erased booking", async || {
                equal(app.booking(booking).await["booking_metadata"][0]["name"].clone(), "Erased")
            })
            .await;
        }
        assert_ne!(app.booking(bookings[1]).await["booking_metadata"][0]["name"], "Erased");
        sqlx::raw_sql("COMMIT").execute(&mut other).await.expect("it lets go");
    };
    let (erased, ()) = tokio::join!(erasure.run(), let_go);
    assert_eq!(erased.expect("erased").bookings, 3);
    let records = app.store.erasures_of(UserId(USER), 9).await.expect("records");
    assert_eq!(records.iter().map(|record| record.bookings).collect::<Vec<_>>(), [3]);
    app.finish().await;
}

#[tokio::test]
async fn export_and_erase_do_not_create_a_missing_database() {
    let directory = tempfile::tempdir().expect("a directory");
    for command in ["export", "erase"] {
        let arguments = [command, "--user", "1"];
        let output = binary(directory.path(), &[]).args(arguments).output().await.expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("there is no database airline_booking.db"), "{told}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0);
}

#[tokio::test]
async fn without_a_service_an_erasure_rewrites_the_file_and_empties_its_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = TestDatabase::Sqlite(directory);
    let clock = std::sync::Arc::new(airline_booking::clock::SystemClock);
    let opened = database.open(Duration::ZERO, clock).await;
    assert_eq!(opened.store.scrub(Scrub::RewriteAndWait).await.expect("scrubbed"), Scrubbed::Whole);
    let TestDatabase::Sqlite(directory) = &database else { unreachable!() };
    let log = directory.path().join("test.db-wal").metadata().expect("a log");
    assert_eq!(log.len(), 0);
}

#[tokio::test]
async fn a_large_file_is_not_rewritten_while_a_service_uses_it() {
    let database = TestDatabase::sqlite();
    let clock = std::sync::Arc::new(airline_booking::clock::SystemClock);
    let opened = database.open(Duration::ZERO, clock).await;
    let TestDatabase::Sqlite(directory) = &database else { unreachable!() };
    let service = SqliteStore::claim(&directory.path().join("test.db")).expect("a claim");
    assert_eq!(opened.store.scrub(Scrub::Rewrite).await.expect("small"), Scrubbed::Whole);
    // More than 64 MiB.
    database.plant("CREATE TABLE large AS SELECT zeroblob(70000000) AS bytes").await;
    assert_eq!(opened.store.scrub(Scrub::Log).await.expect("scrubbed"), Scrubbed::LogAlone);
    assert_eq!(opened.store.scrub(Scrub::Rewrite).await.expect("large"), Scrubbed::LogAlone);
    drop(service);
    assert_eq!(opened.store.scrub(Scrub::Rewrite).await.expect("alone"), Scrubbed::Whole);
}

#[tokio::test]
async fn each_column_of_both_databases_is_listed_as_personal_or_not() {
    let listed: BTreeSet<(String, String)> = PERSONAL_COLUMNS
        .iter()
        .map(|column| (column.table, column.column))
        .chain(
            OTHER_COLUMNS
                .iter()
                .flat_map(|(table, columns)| columns.iter().map(move |column| (*table, *column))),
        )
        .map(|(table, column)| (table.to_owned(), column.to_owned()))
        .collect();
    let times: usize = OTHER_COLUMNS.iter().map(|(_, columns)| columns.len()).sum();
    assert_eq!(listed.len(), PERSONAL_COLUMNS.len() + times, "a column is listed twice");

    let sqlite = TestDatabase::sqlite();
    let clock = std::sync::Arc::new(airline_booking::clock::SystemClock);
    sqlite.open(Duration::ZERO, clock).await.close.close().await;
    let file = sqlite.url();
    let mut connection = SqliteConnection::connect(&file).await.expect("a connection");
    let columns = "SELECT m.name, c.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS c
                    WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE '\\_%'
                          ESCAPE '\\'";
    let of_sqlite: Vec<(String, String)> =
        sqlx::query_as(columns).fetch_all(&mut connection).await.expect("columns");
    let url = TestDatabase::postgres().await.url();
    let mut connection = PgConnection::connect(&url).await.expect("a connection");
    let columns = "SELECT table_name::text, column_name::text FROM information_schema.columns
                    WHERE table_schema = 'public' AND table_name NOT LIKE '\\_%'";
    let of_postgres: Vec<(String, String)> =
        sqlx::query_as(columns).fetch_all(&mut connection).await.expect("columns");
    let there: BTreeSet<_> = of_sqlite.into_iter().chain(of_postgres).collect();
    let unlisted: Vec<_> = there.difference(&listed).collect();
    assert!(unlisted.is_empty(), "list these in src/people/columns.rs: {unlisted:?}");
    let gone: Vec<_> = listed.difference(&there).collect();
    assert!(gone.is_empty(), "these are in no database: {gone:?}");
}

#[test]
fn the_data_map_has_each_personal_column_and_what_an_erasure_does_with_it() {
    let security = include_str!("../../SECURITY.md");
    for PersonalColumn { table, column, holds, on_erasure } in PERSONAL_COLUMNS {
        let line = format!("| `{table}.{column}` | {holds} | {} |", on_erasure.words());
        assert!(security.contains(&line), "SECURITY.md lacks: {line}");
    }
    let lines = security.lines().filter(|line| {
        let cell = line.strip_prefix("| `").and_then(|rest| rest.split_once("` |"));
        cell.is_some_and(|(cell, _)| {
            PERSONAL_COLUMNS.iter().any(|column| cell.starts_with(&format!("{}.", column.table)))
        })
    });
    assert_eq!(lines.count(), PERSONAL_COLUMNS.len(), "SECURITY.md has others");
}
