//! What the log tells of: orders, refunds, lines and moves too, each as its rows say, and nothing that they contradict.

use super::{page, shown};
use crate::support::{TestApp, booking};
use airline_booking::bus::Bus as _;
use airline_booking::messages::{Headers, Message, Topic};
use serde_json::{Value, json};

/// Publishes a message that looks like an event.
async fn forge(app: &TestApp, flight: i64, kind: &str, named: &str, payload: &Value) {
    let id = format!("{kind}/{named}");
    let headers = [("ce_type", kind), ("ce_id", &*id), ("ce_time", "2030-01-01T00:00:00Z")];
    let (key, headers) = (flight.to_string(), Headers::from_iter(headers));
    let forged = Message { key, payload: payload.to_string(), headers, origin: None };
    app.bus.publish(&[(Topic::AirlineEvents, forged)]).await.expect("published");
}

#[tokio::test]
async fn orders_refunds_lines_and_moves_are_told_with_what_their_rows_say() {
    let app = TestApp::start().await;
    let flights = app.add_flights_of_two_days().await;
    let order = app.post_order(flights).await["itinerary_id"].as_i64().expect("an id");
    let mut party = booking(0, 1);
    party.as_object_mut().expect("an object").remove("flight_id");
    party["user_id"] = json!(9);
    let joined = app.post(&format!("/api/v1/flights/{}/waitlist", flights[0]), &party).await;
    assert_eq!(joined.status, 201, "{joined:?}");
    let path = format!("/api/v1/itineraries/{order}/cancel");
    assert_eq!(app.post(&path, &json!({"segments": [2]})).await.status, 200);
    let moved =
        json!({"timestamp": "2025-01-21T15:00:00Z", "arrival_timestamp": "2025-01-21T17:00:00Z"});
    let path = format!("/api/v1/flights/{}", flights[1]);
    assert_eq!(app.put(&path, &moved).await.status, 200);
    app.run_until_idle().await;
    let all = page(&app, "").await;
    let named = |kind: &str| {
        let mut events = all["events"].as_array().expect("events").iter();
        let its = events.find(|event| event["type"] == kind);
        its.unwrap_or_else(|| panic!("{kind} of {all}")).clone()
    };
    assert_eq!(named("itinerary.completed")["data"]["itinerary_id"], order);
    assert_eq!(named("waitlist.joined")["data"]["status"], "waiting");
    let done = named("refund.done");
    assert_eq!((&done["flight_id"], &done["data"]["status"]), (&json!(flights[1]), &json!("done")));
    assert_eq!(named("flight.moved")["data"]["timestamp"], moved["timestamp"]);
    let refunds = page(&app, "types=refund.*").await;
    let kinds: Vec<_> = shown(&refunds).into_iter().map(|(_, kind, _)| kind).collect();
    assert_eq!(kinds, ["refund.requested", "refund.done"]);
    app.finish().await;
}

#[tokio::test]
async fn a_forged_message_tells_nothing_that_the_rows_do_not_say() {
    let app = TestApp::start().await;
    let [first, second] = app.add_flights_of_two_days().await;
    let order = app.post_order([first, second]).await["itinerary_id"].as_i64().expect("an id");
    let before = page(&app, "").await;
    let unknown = format!("REF-{:032x}/1", 1);
    let about = json!({"booking_id": order, "id": order, "amount": 9.5});
    for (kind, named) in [
        ("refund.done", unknown.as_str()),
        ("itinerary.cancelled", &order.to_string()),
        ("booking.failed", &order.to_string()),
        ("booking.completed", "999"),
        ("flight.cancelled", &format!("{first}/1")),
        ("flight.updated", &format!("{first}/999")),
        // Among the events of another flight.
        ("flight.updated", &format!("{second}/1")),
        ("payment.captured", &order.to_string()),
    ] {
        forge(&app, first, kind, named, &about).await;
    }
    // The one that is true.
    forge(&app, first, "booking.completed", &order.to_string(), &about).await;
    let after = before["next"].as_str().expect("a cursor");
    let told = page(&app, &format!("after={after}")).await;
    let id = format!("booking.completed/{order}");
    assert_eq!(shown(&told), [(id.as_str(), "booking.completed", first)]);
    let event = &told["events"][0];
    assert_eq!((&event["data"]["id"], &event["data"]["amount"]), (&json!(order), &Value::Null));
    assert_ne!(event["time"], "2030-01-01T00:00:00Z");
    app.finish().await;
}
