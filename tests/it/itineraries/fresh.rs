//! Itineraries follow every change of a flight, in this process and in others.

use super::{SEARCH, app_with_connections, found, legs};
use crate::support::process::run_with;
use crate::support::replicas::Replicas;
use crate::support::{TestApp, within};
use serde_json::{Value, json};
use std::time::Duration;

const DAY: &str = "source=Delhi&destination=Mumbai&date=2025-01-20";

fn posted(source: &str, destination: &str, departs: &str, arrives: &str) -> Value {
    json!({
        "source": source, "destination": destination, "timestamp": departs,
        "arrival_timestamp": arrives, "available_seats": 5, "total_seats": 5, "price": 100.0,
        "taxes": 12.5
    })
}

#[tokio::test]
async fn every_change_is_seen_at_once_in_the_process_that_makes_it() {
    let app = app_with_connections().await;
    let all = [vec![1], vec![3, 4], vec![3, 5, 6], vec![2]];
    assert_eq!(found(&app, DAY).await, all);
    let put = async |app: &TestApp, flight: i64, change: Value| {
        let answer = app.put(&format!("/api/v1/flights/{flight}"), &change).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    // A price, a route, a time on another day, a status, an arrival, and back.
    put(&app, 4, json!({"price": 5_000})).await;
    assert_eq!(found(&app, DAY).await, [vec![1], vec![3, 5, 6], vec![2]]);
    put(&app, 4, json!({"price": 2_000})).await;
    put(&app, 5, json!({"destination": "Kochi"})).await;
    assert_eq!(found(&app, DAY).await, [vec![1], vec![3, 4], vec![2]]);
    put(&app, 5, json!({"destination": "goa"})).await;
    put(&app, 2, json!({"timestamp": "2025-01-21T10:00:00Z"})).await;
    assert_eq!(found(&app, DAY).await, [vec![1], vec![3, 4], vec![3, 5, 6]]);
    put(&app, 2, json!({"timestamp": "2025-01-20T11:00:00Z"})).await;
    put(&app, 3, json!({"flight_status": "departed"})).await;
    assert_eq!(found(&app, DAY).await, [[1], [2]]);
    put(&app, 3, json!({"flight_status": "on_time"})).await;
    put(&app, 3, json!({"arrival_timestamp": null})).await;
    assert_eq!(found(&app, DAY).await, [[1], [2]]);
    put(&app, 3, json!({"arrival_timestamp": "2025-01-20T11:30:00Z"})).await;
    assert_eq!(found(&app, DAY).await, all);
    let new = posted("Delhi", "Mumbai", "2025-01-20T09:59:00Z", "2025-01-20T12:01:00Z");
    assert_eq!(app.post("/api/v1/flights", &new).await.json["id"], 9);
    assert_eq!(found(&app, DAY).await[0], [9]);
    app.finish().await;
}

#[tokio::test]
async fn a_flight_of_a_later_day_joins_the_connections_of_the_day_before() {
    let app = app_with_connections().await;
    let night = "source=Mumbai&destination=Kochi&date=2025-01-20";
    let out = posted("Mumbai", "Goa", "2025-01-20T22:00:00Z", "2025-01-20T23:30:00Z");
    let on = posted("Goa", "Kochi", "2025-01-21T00:15:00Z", "2025-01-21T01:30:00Z");
    app.post("/api/v1/flights", &out).await;
    assert!(found(&app, night).await.is_empty());
    app.post("/api/v1/flights", &on).await;
    assert_eq!(found(&app, night).await, [[9, 10]]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_seen_by_other_replicas() {
    let replicas = Replicas::new().await.start(2).await;
    let post = async |body: Value| {
        let sent = replicas.client.post(replicas.url(0, "/api/v1/flights")).json(&body).send();
        sent.await.expect("an answer").json::<Value>().await.expect("JSON")["id"].clone()
    };
    let sees = async |expected: Vec<Vec<i64>>| {
        let what = format!("{expected:?} at the other replica");
        within(Duration::from_secs(10), what, async || {
            let answer = replicas.get(1, &format!("{SEARCH}?{DAY}")).await;
            let found = legs(&answer["itineraries"]);
            if found == expected { Ok(()) } else { Err(found) }
        })
        .await;
    };
    sees(vec![]).await;
    post(posted("Delhi", "Pune", "2025-01-20T10:00:00Z", "2025-01-20T11:00:00Z")).await;
    post(posted("Pune", "Mumbai", "2025-01-20T12:00:00Z", "2025-01-20T13:00:00Z")).await;
    sees(vec![vec![1, 2]]).await;
    let url = replicas.url(0, "/api/v1/flights/2");
    let put = replicas.client.put(url).json(&json!({"timestamp": "2025-01-20T11:44:00Z"}));
    assert_eq!(put.send().await.expect("an answer").status(), 200);
    sees(vec![]).await;
    let directory = tempfile::tempdir().expect("a directory");
    let head = "source,destination,timestamp,arrival_timestamp,total_seats,price,taxes";
    let line = "Delhi,Mumbai,2025-01-20T10:00:00Z,2025-01-20T12:00:00Z,9,500,60";
    let file = directory.path().join("flights.csv");
    std::fs::write(file, format!("{head}\n{line}\n")).expect("a file");
    let arguments = ["import", "flights.csv"];
    let (code, printed) = run_with(directory.path(), &replicas.settings(), &arguments).await;
    assert_eq!(code, 0, "{printed}");
    sees(vec![vec![3]]).await;
}
