//! Amounts have their currency's own decimals: on the wire, in both databases, in every event.

use crate::support::process::{binary, run_with};
use crate::support::{Answer, TestApp, TestDatabase, flight};
use airline_booking::bus::Bus as _;
use airline_booking::messages::Topic;
use serde_json::{Value, json};
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};
use std::path::Path;

async fn in_currency(code: &str) -> TestApp {
    let currency = code.parse().expect("a currency");
    TestApp::with(|config| config.currency = currency).await
}

/// Tries to create a flight whose price is exactly this JSON text.
async fn priced(app: &TestApp, price: &str) -> Answer {
    let mut body = flight(10);
    body["price"] = json!("PRICE");
    let body = body.to_string().replace("\"PRICE\"", price);
    let request = http::Request::post("/api/v1/flights").header("content-type", "application/json");
    app.send(request.body(body.into()).expect("a request")).await
}

/// The JSON text of an answer, in which `2500` and `2500.00` differ.
async fn text_of(app: &TestApp, path: &str) -> String {
    let request = http::Request::get(path).body(axum::body::Body::empty()).expect("a request");
    let (bytes, _) = app.send_raw(request).await;
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn assert_refused_price(answer: &Answer, price: &str) {
    assert_eq!(answer.status, 422, "{price}: {answer:?}");
    assert_eq!(answer.json["errors"][0]["pointer"], "/price", "{price}: {answer:?}");
}

#[tokio::test]
async fn a_price_with_more_decimals_than_its_currency_is_refused_and_never_rounded() {
    for (code, taken, refused) in [
        (
            "JPY",
            &["2500", "2500.0", "\"2500\"", "9999999999"][..],
            &["2500.5", "0.01", "\"2500.00\"", "10000000000", "0"][..],
        ),
        (
            "KWD",
            &["2.505", "\"2.505\"", "\"1.000\"", "0.001", "9999999.999"],
            &["2.5055", "\"2.5050\"", "10000000", "0.0001"],
        ),
        (
            "INR",
            &["2500.50", "1.000", "\"2500.5\"", "0.01", "99999999.99"],
            &["2.505", "\"1.000\"", "\"1,000\"", "100000000", "0.001"],
        ),
    ] {
        let app = in_currency(code).await;
        for price in taken {
            let answer = priced(&app, price).await;
            assert_eq!(answer.status, 201, "{code} {price}: {answer:?}");
        }
        for price in refused {
            assert_refused_price(&priced(&app, price).await, price);
        }
        let id = app.add_flight(10).await;
        let path = format!("/api/v1/flights/{id}");
        for price in refused.iter().filter(|price| price.starts_with('"')) {
            let price: Value = serde_json::from_str(price).expect("JSON");
            let answer = app.put(&path, &json!({ "price": price })).await;
            assert_refused_price(&answer, &price.to_string());
        }
        app.finish().await;
    }
}

#[tokio::test]
async fn answers_and_events_show_exactly_the_decimals_of_the_currency() {
    for (code, price, one, three, zero) in [
        ("JPY", "2500", "2500", "7500", "0"),
        ("KWD", "2.505", "2.505", "7.515", "0.000"),
        ("INR", "2500.5", "2500.50", "7501.50", "0.00"),
    ] {
        let app = in_currency(code).await;
        let mut events = app.bus.listen(Topic::AirlineEvents).await.expect("a listener");
        let id = priced(&app, price).await.json["id"].as_i64().expect("an id");
        let booked = app.book(id, 3).await;
        assert_eq!(booked.status, 201, "{booked:?}");
        let booking = booked.json["booking_id"].as_i64().expect("an id");
        app.run_until_idle().await;

        assert_eq!(app.booking(booking).await["status"], "completed");
        let search = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20";
        let shown = format!(
            "\"price\":{one},\"taxes\":{zero},\"fare_rules\":\"free\",\"currency\":\"{code}\""
        );
        for path in [format!("/api/v1/flights/{id}"), search.into(), format!("{search}&sort=price")]
        {
            let text = text_of(&app, &path).await;
            assert!(text.contains(&shown), "{path}: {text}");
        }
        let shown = format!("\"booking_price\":{three},");
        for path in [format!("/api/v1/bookings/{booking}"), "/api/v1/users/123/bookings".into()] {
            let text = text_of(&app, &path).await;
            assert!(text.contains(&shown), "{path}: {text}");
        }
        let told: Vec<String> =
            events.receive(100).await.expect("events").into_iter().map(|m| m.payload).collect();
        assert!(told.iter().any(|text| text.contains(&shown)), "{told:?}");
        app.finish().await;
    }
}

#[tokio::test]
async fn a_currency_that_iso_4217_does_not_list_as_money_stops_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    for code in ["ABC", "XXX", "XTS", "XAU", "XDR", "CHE", "CLF", "inr", "IN", "INRR"] {
        let output =
            binary(directory.path(), &[("CURRENCY", code)]).output().await.expect("it runs");
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{code}: {printed}");
        assert!(printed.contains("CURRENCY") && printed.contains("ISO 4217"), "{printed}");
    }
}

#[tokio::test]
async fn a_currency_with_other_decimals_than_the_database_keeps_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = "source,destination,timestamp,total_seats,price\nDelhi,Mumbai,2031-01-20T10:00:00Z,10,2500.50\n";
    std::fs::write(directory.path().join("flights.csv"), file).expect("a file");
    let database = TestDatabase::create().await;
    let url = database.url();
    let inr = [("DATABASE_URL", url.as_str())];
    let (code, printed) = run_with(directory.path(), &inr, &["import", "flights.csv"]).await;
    assert_eq!(code, 0, "{printed}");
    for (currency, may_start) in [("JPY", false), ("KWD", false), ("USD", true)] {
        let settings = [("DATABASE_URL", url.as_str()), ("CURRENCY", currency)];
        let (code, printed) = run_with(directory.path(), &settings, &["audit"]).await;
        assert_eq!(code == 0, may_start, "{currency}: {printed}");
        assert!(may_start || printed.contains("CURRENCY is "), "{printed}");
    }
}

#[tokio::test]
async fn amounts_of_an_earlier_release_are_kept_exactly() {
    for (currency, price, stays) in [
        ("INR", 250_050, "2500.50"),
        ("JPY", 250_000, "2500"),
        ("KWD", 250_050, "2500.500"),
        ("JPY", 250_050, ""),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("airline_booking.db");
        migrated_before_money(&file, currency, price).await;
        let settings = [("CURRENCY", currency)];
        let (code, printed) = run_with(directory.path(), &settings, &["migrate"]).await;
        if stays.is_empty() {
            assert!(code == 1 && printed.contains("a fraction"), "{printed}");
            continue;
        }
        assert_eq!(code, 0, "{printed}");
        let server = crate::support::process::Server::start(directory.path(), &settings).await;
        let client = crate::support::process::http_client();
        let text = client.get(format!("{}/api/v1/flights/1", server.base)).send().await;
        let text = text.expect("sent").text().await.expect("a text");
        assert!(text.contains(&format!("\"price\":{stays},")), "{text}");
        assert!(server.terminate().await);
    }
}

/// A file as a release before the decimals left it, with one flight.
async fn migrated_before_money(file: &Path, currency: &str, price: i64) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut connection =
        sqlx::SqliteConnection::connect_with(&options).await.expect("a connection");
    let mut migrator = Migrator::new(Path::new("migrations/sqlite")).await.expect("its steps");
    migrator.migrations.to_mut().retain(|migration| migration.version < 10);
    migrator.run_direct(None, &mut connection, false).await.expect("migrated");
    sqlx::query(
        "INSERT INTO flights (source, destination, route, timestamp, available_seats, total_seats,
                price, currency, created_at, updated_at)
         VALUES ('A', 'B', 'a#b', 0, 1, 1, ?1, ?2, 0, 0)",
    )
    .bind(price)
    .bind(currency)
    .execute(&mut connection)
    .await
    .expect("a flight");
    connection.close().await.expect("closed");
}

#[tokio::test]
async fn postgres_widens_its_amounts_without_writing_a_row_again() {
    let TestDatabase::Postgres(url) = TestDatabase::empty_postgres().await else { unreachable!() };
    let mut connection = PgConnection::connect(&url).await.expect("a connection");
    let mut migrator = Migrator::new(Path::new("migrations/postgres")).await.expect("its steps");
    migrator.migrations.to_mut().retain(|migration| migration.version < 10);
    let currency = "SELECT set_config('airline_booking.currency', 'INR', false)";
    sqlx::query(currency).execute(&mut connection).await.expect("set");
    migrator.run_direct(None, &mut connection, false).await.expect("migrated");
    let insert = "INSERT INTO flights (source, destination, route, timestamp, available_seats,
            total_seats, price, currency, flight_status, version, created_at, updated_at)
         VALUES ('A', 'B', 'a#b', timestamp '2031-01-01', 1, 1, 2500.50, 'INR', 'scheduled', 1,
            timestamp '2030-01-01', timestamp '2030-01-01')";
    sqlx::query(insert).execute(&mut connection).await.expect("a flight");
    let files = "SELECT array_agg(pg_relation_filenode(t)::bigint ORDER BY t)
        FROM unnest(ARRAY['flights', 'bookings', 'payments', 'gateway_ledger']::regclass[]) AS t";
    let before: Vec<i64> =
        sqlx::query_scalar(files).fetch_one(&mut connection).await.expect("files");

    let directory = tempfile::tempdir().expect("a directory");
    let (code, printed) = run_with(directory.path(), &[("DATABASE_URL", &url)], &["migrate"]).await;
    assert_eq!(code, 0, "{printed}");

    let after: Vec<i64> =
        sqlx::query_scalar(files).fetch_one(&mut connection).await.expect("files");
    assert_eq!(after, before);
    let open: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_constraint WHERE NOT convalidated")
        .fetch_one(&mut connection)
        .await
        .expect("a count");
    assert_eq!(open, 0, "checks that nobody validated");
    let too_much = "UPDATE flights SET price = 10000000000";
    let error = sqlx::query(too_much).execute(&mut connection).await.expect_err("out of range");
    assert!(error.to_string().contains("flights_price_in_range"), "{error}");
}
