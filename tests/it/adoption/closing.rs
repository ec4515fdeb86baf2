//! Adopted flights without a time of creation close when they depart.

use super::{execute, rows, run};
use crate::support::TestDatabase;
use crate::support::process::{Server, http_client};

/// One that has departed, one that will, and one that is history since it was entered after it departed.
const FLIGHTS_OF_ALL_TIMES: &str = "
INSERT INTO flights (source, destination, timestamp, available_seats, total_seats, price, created_at,
                     updated_at) VALUES
    ('Delhi', 'Mumbai', '2025-01-15 10:00', 9, 9, 2500, NULL, NULL),
    ('Delhi', 'Mumbai', '2999-01-15 10:00', 9, 9, 2500, NULL, '2025-01-01'),
    ('Delhi', 'Mumbai', '2025-01-15 12:00', 9, 9, 2500, '2025-02-01', '2025-02-01')";

/// What a booking of each of these flights is answered.
async fn bookings_of_all_times(url: &str) -> [u16; 3] {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = [("DATABASE_URL", url), ("PAYMENT_LATENCY", "0s")];
    let server = Server::start(directory.path(), &settings).await;
    let client = http_client();
    let mut statuses = [0; 3];
    for (flight, status) in (1..).zip(&mut statuses) {
        let post = client.post(format!("{}/api/v1/bookings", server.base));
        let answer = post.json(&crate::support::booking(flight, 1)).send().await.expect("sent");
        *status = answer.status().as_u16();
    }
    let search = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-15";
    let found = client.get(format!("{}{search}", server.base)).send().await.expect("sent");
    let found: serde_json::Value = found.json().await.expect("JSON");
    assert_eq!((&found["count"], &found["flights"][0]["id"]), (&1.into(), &3.into()), "{found}");
    assert!(server.terminate().await);
    statuses
}

#[tokio::test]
async fn adopted_flights_without_a_time_of_creation_close_when_they_depart() {
    let url = TestDatabase::empty_postgres().await.url();
    let specified = include_str!("../../../migrations/postgres/0001_specified.sql");
    execute(&url, specified).await;
    execute(&url, FLIGHTS_OF_ALL_TIMES).await;
    assert_eq!(run(&url, "migrate").await.0, 0);
    assert_eq!(bookings_of_all_times(&url).await, [409, 201, 201]);
}

#[tokio::test]
async fn flights_that_an_earlier_release_adopted_without_a_time_of_creation_close_too() {
    let url = TestDatabase::postgres().await.url();
    execute(
        &url,
        "INSERT INTO flights (source, destination, route, timestamp, available_seats, total_seats,
                              price, currency, flight_status, version, created_at, updated_at)
         SELECT 'Delhi', 'Mumbai', 'delhi#mumbai', departs, 9, 9, 2500, 'INR', 'scheduled', 1,
                created, created
           FROM (VALUES ('2025-01-15 10:00'::timestamp, '2025-01-15 10:00'::timestamp),
                        ('2999-01-15 10:00', '2999-01-15 10:00'),
                        ('2025-01-15 12:00', '2025-02-01')) AS t (departs, created);
         DELETE FROM _sqlx_migrations WHERE version = 12; DELETE FROM outdated_answers",
    )
    .await;
    assert_eq!(run(&url, "migrate").await.0, 0);
    let dates =
        "SELECT concat_ws(' ', id, created_at::date, updated_at::date) FROM flights ORDER BY id";
    let expected =
        ["1 1970-01-01 1970-01-01", "2 1970-01-01 1970-01-01", "3 2025-02-01 2025-02-01"];
    assert_eq!(rows(&url, dates).await, expected);
    assert_eq!(rows(&url, "SELECT body FROM outdated_answers").await, ["\"all\""]);
    assert_eq!(bookings_of_all_times(&url).await, [409, 201, 201]);
}
