//! Events arrive signed, once by their id, in the order of each flight.

use super::{deliveries, of, open, told};
use crate::support::{TestApp, equal, eventually};
use airline_booking::bus::Bus as _;
use airline_booking::clock::Clock as _;
use airline_booking::messages::{Headers, Message, Topic};
use chrono::TimeDelta;
use http::Method;
use serde_json::json;
use std::collections::BTreeSet;

const BOOKINGS: [&str; 3] = ["booking.completed", "booking.failed", "booking.cancelled"];

async fn arrive(receiver: &super::Receiver, events: usize) {
    eventually("events arrive", async || equal(receiver.ids().len(), events)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_arrives_signed_with_what_the_rows_say_and_nothing_of_passengers() {
    let app = open().await;
    let (receiver, made) = told(&app, &BOOKINGS).await;
    let flight = app.add_flight(9).await;
    let booking = app.book(flight, 2).await.booking_id();
    arrive(&receiver, 1).await;
    let received = receiver.received().remove(0);
    assert_eq!(received.id, format!("booking.completed/{booking}"));
    assert!(received.is_signed_by(made["secret"].as_str().expect("a secret")));
    let body = received.json();
    assert_eq!(body["type"], "booking.completed");
    assert_eq!(body["data"]["id"], booking);
    assert_eq!(body["data"]["seats_booked"], 2);
    assert!(!received.body.contains("Asha") && !received.body.contains("example.com"));
    eventually("the log says so", async || {
        let log = deliveries(&app, &made).await;
        let first = log.first()?;
        (first["status"] == "delivered").then(|| {
            assert_eq!((&first["attempts"], &first["response_status"]), (&json!(1), &json!(200)));
            assert_eq!(first["event_id"], received.id);
        })
    })
    .await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_flight_arrive_in_their_order_and_each_once_although_messages_repeat() {
    let app = open().await;
    let (receiver, _) = told(&app, &["flight.updated", "flight.created", "flight.cancelled"]).await;
    let flights = [app.add_flight(9).await, app.add_flight(9).await];
    for price in 1..=20 {
        for flight in flights {
            let body = json!({"price": f64::from(price) * 100.0});
            assert_eq!(app.put(&format!("/api/v1/flights/{flight}"), &body).await.status, 200);
        }
    }
    arrive(&receiver, 42).await;
    let id = format!("flight.updated/{}/2", flights[0]);
    let headers = Headers::from_iter([("ce_type", "flight.updated"), ("ce_id", &*id)]);
    let key = flights[0].to_string();
    let again = Message { key, payload: "{}".into(), headers, origin: None };
    app.bus.publish(&[(Topic::AirlineEvents, again)]).await.expect("published");
    app.run_until_idle().await;
    let ids = receiver.ids();
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "{ids:?}");
    for flight in flights {
        let version = |id: &String| {
            let mut parts = id.split('/').skip(1);
            let is_its = parts.next() == Some(&flight.to_string());
            is_its.then(|| parts.next().and_then(|v| v.parse::<i64>().ok()).expect("a version"))
        };
        let versions: Vec<i64> = ids.iter().filter_map(version).collect();
        assert!(versions.is_sorted() && versions.len() == 21, "{versions:?}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_message_tells_nothing_false() {
    let app = open().await;
    let (receiver, _) = told(&app, &BOOKINGS).await;
    let flight = app.add_flight(9).await;
    let failed = app.book_paid_by(flight, 1, "pm_card_declined").await.booking_id();
    arrive(&receiver, 1).await;
    for (kind, id) in [
        ("booking.completed", format!("booking.completed/{failed}")),
        ("booking.cancelled", format!("booking.cancelled/{failed}")),
        ("booking.completed", "booking.completed/999".to_owned()),
        ("booking.failed", format!("booking.failed/{failed}/7")),
        ("booking.failed", format!("booking.failed/0{failed}")),
    ] {
        let headers = Headers::from_iter([("ce_type", kind), ("ce_id", &*id)]);
        let payload = json!({"id": failed, "status": "completed"}).to_string();
        let forged = Message { key: flight.to_string(), payload, headers, origin: None };
        app.bus.publish(&[(Topic::AirlineEvents, forged)]).await.expect("published");
    }
    app.run_until_idle().await;
    let booking = app.book(flight, 1).await.booking_id();
    arrive(&receiver, 2).await;
    let expected = [format!("booking.failed/{failed}"), format!("booking.completed/{booking}")];
    assert_eq!(receiver.ids(), expected);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_rotation_both_secrets_sign_and_after_a_day_the_new_one_alone() {
    let app = open().await;
    let (receiver, made) = told(&app, &BOOKINGS).await;
    let flight = app.add_flight(9).await;
    let old = made["secret"].as_str().expect("a secret").to_owned();
    app.book(flight, 1).await.booking_id();
    arrive(&receiver, 1).await;
    let rotated = app.post(&of(&made, "/rotate"), &json!({})).await;
    let new = rotated.json["secret"].as_str().expect("a secret").to_owned();
    app.book(flight, 1).await.booking_id();
    arrive(&receiver, 2).await;
    app.clock.advance(TimeDelta::hours(25));
    app.book(flight, 1).await.booking_id();
    arrive(&receiver, 3).await;
    let signed: Vec<_> = receiver
        .received()
        .iter()
        .map(|received| (received.is_signed_by(&old), received.is_signed_by(&new)))
        .collect();
    assert_eq!(signed, [(true, false), (true, true), (false, true)]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_arrives_and_a_delivery_is_sent_once_more_on_request() {
    let app = open().await;
    let (receiver, made) = told(&app, &BOOKINGS).await;
    let key = [("idempotency-key", "p1")];
    let ping =
        async || app.send_json_with(Method::POST, &of(&made, "/ping"), &json!({}), &key).await;
    let (first, again) = (ping().await, ping().await);
    assert_eq!((first.status.as_u16(), first.json["status"].as_str()), (202, Some("pending")));
    assert_eq!(again.json["id"], first.json["id"]);
    arrive(&receiver, 1).await;
    let received = receiver.received().remove(0);
    assert_eq!(received.json()["type"], "webhook.ping");
    let path = of(&made, &format!("/deliveries/{}/redeliver", first.json["id"]));
    eventually("it is delivered", async || {
        equal(deliveries(&app, &made).await[0]["status"].clone(), "delivered")
    })
    .await;
    let sent = app.post(&path, &json!({})).await;
    assert_eq!((sent.status.as_u16(), sent.json["attempts"].as_i64()), (202, Some(0)));
    arrive(&receiver, 2).await;
    assert_eq!(receiver.received().remove(1).id, received.id);
    let unknown = of(&made, "/deliveries/999/redeliver");
    app.post(&unknown, &json!({})).await.assert_problem(404, "not_found");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_newest_first_in_pages_and_deleted_with_their_age() {
    let app = open().await;
    let (receiver, made) = told(&app, &BOOKINGS).await;
    let flight = app.add_flight(9).await;
    for _ in 0..3 {
        app.book(flight, 1).await.booking_id();
        app.run_until_idle().await;
    }
    arrive(&receiver, 3).await;
    let page = app.get(&of(&made, "/deliveries?limit=2")).await.json;
    let cursor = page["next_cursor"].as_str().expect("more");
    let rest = app.get(&of(&made, &format!("/deliveries?cursor={cursor}"))).await.json;
    let ids = |page: &serde_json::Value| -> Vec<i64> {
        let list = page["deliveries"].as_array().expect("a list");
        list.iter().map(|delivery| delivery["id"].as_i64().expect("an id")).collect()
    };
    let all = [ids(&page), ids(&rest)].concat();
    assert!(all.is_sorted_by(|one, next| one > next) && all.len() == 3, "{all:?}");
    eventually("they are delivered", async || {
        deliveries(&app, &made).await.iter().all(|its| its["status"] == "delivered")
    })
    .await;
    kept(&app, &made, TimeDelta::days(29), 3).await;
    kept(&app, &made, TimeDelta::days(2), 0).await;
    app.finish().await;
}

/// So many deliveries are there after so long.
async fn kept(app: &TestApp, webhook: &serde_json::Value, after: TimeDelta, expected: usize) {
    app.clock.advance(after);
    assert!(app.app.sweeper.forget_deliveries(app.clock.now()).await);
    assert_eq!(deliveries(app, webhook).await.len(), expected);
}
