//! Earlier values are personal data: an export has them, an erasure and the retention clear them.

use super::{mend, path, timeline};
use crate::support::people::{MARK, USER, all_bytes, count, party};
use crate::support::{TestApp, eventually};
use airline_booking::clock::Clock as _;
use airline_booking::domain::UserId;
use airline_booking::people::erase::Erase;
use airline_booking::people::export;
use chrono::TimeDelta;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

async fn exported(app: &TestApp) -> Value {
    let mut out = Vec::new();
    let written = export::export(&*app.store, UserId(USER), app.clock.now(), &mut out).await;
    written.expect("written");
    serde_json::from_slice(&out).expect("JSON")
}

/// A booking of the user's, paid, whose second passenger was corrected twice.
async fn corrected(app: &TestApp) -> i64 {
    let flight = app.add_flight(9).await;
    let id = app.post("/api/v1/bookings", &party(flight, 2, "first")).await.booking_id();
    app.run_until_idle().await;
    let email = format!("{MARK}-second@example.com");
    assert_eq!(mend(app, id, 1, &json!({"email": email})).await.status, 200);
    let body = json!({"email": "third@example.com", "name": format!("{MARK} third")});
    let key = format!("{MARK}-key");
    let headers = [("idempotency-key", key.as_str())];
    let keyed = app.send_json_with(Method::PATCH, &path(id, 1), &body, &headers).await;
    assert_eq!(keyed.status, 200, "{keyed:?}");
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_values_are_exported_and_erased_with_the_key() {
    let app = TestApp::start().await;
    let id = corrected(&app).await;
    let document = exported(&app).await;
    let changes = &document["bookings"][0]["passenger_changes"];
    let was = |at: usize| (&changes[at]["passenger"], &changes[at]["was"]);
    let first = json!({"email": format!("{MARK}-first@example.com")});
    let second =
        json!({"email": format!("{MARK}-second@example.com"), "name": format!("{MARK} first 1")});
    assert_eq!((was(0), was(1)), ((&json!(1), &first), (&json!(1), &second)));
    assert_eq!(document["idempotency_keys"].as_array().map(Vec::len), Some(1));

    let erase = Erase { store: &*app.store, user: UserId(USER), all: true, now: app.clock.now() };
    let erased = erase.run().await.expect("erased");
    assert_eq!((erased.bookings, erased.keys), (1, 1));
    assert_eq!(count(&all_bytes(&app.database).await, MARK), 0);
    let refused = mend(&app, id, 1, &json!({"name": format!("{MARK} again")})).await;
    refused.assert_problem(409, "passenger_not_changeable");
    assert_eq!(app.booking(id).await["booking_metadata"][1]["name"], "Erased");
    assert_eq!(count(&all_bytes(&app.database).await, MARK), 0);
    let document = exported(&app).await;
    assert_eq!(document["bookings"][0]["passenger_changes"], json!([]));
    let told = timeline::of(&app, id).await;
    assert!(told.iter().all(|event| event["type"] != "passenger.changed"), "{told:?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_values_go_when_the_retention_of_passengers_ends() {
    let app = TestApp::with(|config| {
        config.passenger_retention = Some(Duration::from_secs(86_400));
    })
    .await;
    let id = corrected(&app).await;
    app.clock.advance(TimeDelta::days(30));
    eventually("earlier values that are gone", async || {
        app.pass(Duration::from_secs(3_600)).await;
        let held = exported(&app).await["bookings"][0]["passenger_changes"].clone();
        if held == json!([]) { Ok(()) } else { Err(held) }
    })
    .await;
    assert_eq!(app.booking(id).await["booking_metadata"][1]["name"], "Erased");
    app.finish().await;
}
