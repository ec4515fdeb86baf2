//! Events that name rows arrive with what the rows say, and forged ones do not.

use super::{open, told};
use crate::support::{booking, equal, eventually};
use airline_booking::bus::Bus as _;
use airline_booking::messages::{Headers, Message, Topic};
use serde_json::json;

const TYPES: [&str; 9] = [
    "itinerary.completed",
    "itinerary.cancelled",
    "refund.requested",
    "refund.done",
    "waitlist.joined",
    "waitlist.left",
    "waitlist.promoted",
    "dispute.lost",
    "booking.change_ended",
];

#[tokio::test(flavor = "multi_thread")]
async fn refunds_itineraries_and_entries_arrive_with_what_their_rows_say_and_forged_ones_do_not() {
    let app = open().await;
    let (receiver, _) = told(&app, &TYPES).await;
    let flights = app.add_flights_of_two_days().await;
    let order = app.post_order(flights).await;
    let id = order["itinerary_id"].as_i64().expect("an id");
    let mut party = booking(0, 1);
    party.as_object_mut().expect("an object").remove("flight_id");
    party["user_id"] = json!(9);
    let joined = app.post(&format!("/api/v1/flights/{}/waitlist", flights[0]), &party).await;
    let entry = joined.json["waitlist_id"].as_i64().unwrap_or_else(|| panic!("{joined:?}"));
    let payment = order["payment_reference_id"].as_str().expect("a reference");
    let unknown = format!("REF-{:032x}", 1);
    for (kind, named) in [
        ("refund.done", format!("{unknown}/1")),
        ("itinerary.cancelled", id.to_string()),
        ("itinerary.completed", (id + 1).to_string()),
        ("waitlist.left", entry.to_string()),
        ("waitlist.promoted", entry.to_string()),
        ("dispute.lost", format!("{payment}/1")),
        ("booking.change_ended", format!("{id}/{entry}")),
    ] {
        let ce_id = format!("{kind}/{named}");
        let headers = Headers::from_iter([("ce_type", kind), ("ce_id", &*ce_id)]);
        let payload = json!({"booking_id": id, "amount": 9.5}).to_string();
        let forged = Message { key: flights[0].to_string(), payload, headers, origin: None };
        app.bus.publish(&[(Topic::AirlineEvents, forged)]).await.expect("published");
    }
    app.run_until_idle().await;
    let path = format!("/api/v1/itineraries/{id}/cancel");
    assert_eq!(app.post(&path, &json!({"segments": [2]})).await.status, 200);
    app.run_until_idle().await;

    eventually("events arrive", async || equal(receiver.ids().len(), 4)).await;
    let received = receiver.received();
    let named = |kind: &str| {
        let its = received.iter().find(|received| received.id.starts_with(kind));
        its.unwrap_or_else(|| panic!("{kind} of {:?}", receiver.ids())).json()["data"].clone()
    };
    assert_eq!(named("itinerary.completed")["itinerary_id"], id);
    let joined = named("waitlist.joined");
    assert_eq!((&joined["waitlist_id"], &joined["status"]), (&json!(entry), &json!("waiting")));
    named("refund.requested");
    let done = named("refund.done");
    let second = order["bookings"][1]["booking_id"].clone();
    assert_eq!((&done["booking_id"], &done["status"]), (&second, &json!("done")));
    assert_eq!((&done["flight_id"], &done["reason"]), (&json!(flights[1]), &json!("traveller")));
    app.finish().await;
}
