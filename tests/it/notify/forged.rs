//! Messages that others write to `airline-events` tell nothing that the rows do not say.

use super::{booked, by_mail, cancel, ended, held, mails};
use crate::support::smtp::SmtpPeer;
use crate::support::{TestApp, eventually};
use airline_booking::bus::Bus as _;
use airline_booking::messages::{Headers, Message, Topic};
use serde_json::{Value, json};

fn event(kind: &str, id: &str, time: &str, payload: &Value) -> (Topic, Message) {
    let headers = Headers::from_iter([("ce_type", kind), ("ce_id", id), ("ce_time", time)]);
    let message = Message { key: "1".into(), payload: payload.to_string(), headers, origin: None };
    (Topic::AirlineEvents, message)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_event_tells_nothing_false() {
    let peer = SmtpPeer::start().await;
    let app = TestApp::with(by_mail(&peer)).await;
    let flight = app.add_flight(9).await;
    let id = booked(&app, flight, &[("Asha", "asha@example.com")]).await;
    let declined = app.book_paid_by(flight, 1, "pm_card_declined").await.booking_id();
    app.run_until_idle().await;
    mails(&peer, 2).await;
    ended(&app, id).await;
    ended(&app, declined).await;
    let before = (held(&app, id).await, held(&app, declined).await);

    let now = "2025-01-01T00:00:00Z";
    let refund = format!("REF-{:032x}", 7);
    let mut forged = Vec::new();
    for kind in [
        "booking.held",
        "booking.failed",
        "booking.cancelled",
        "booking.changed",
        "booking.change_ended",
        "dispute.opened",
        "dispute.won",
        "dispute.lost",
        "itinerary.completed",
        "itinerary.failed",
        "itinerary.cancelled",
        "waitlist.offered",
        "waitlist.promoted",
        "waitlist.lapsed",
        "flight.moved",
        "refund.done",
        "refund.failed",
        "booking.pending",
    ] {
        for time in [now, "2025-01-01T00:00:01Z"] {
            for version in 0..5 {
                let name = format!("{kind}/{id}/{version}");
                forged.push(event(kind, &name, time, &json!({"id": id, "booking_id": id})));
                let named = json!({
                    "refund_id": refund, "booking_id": id, "itinerary_id": id, "waitlist_id": id,
                    "flight_id": flight
                });
                forged.push(event(kind, &name, time, &named));
            }
        }
    }
    for kind in ["booking.completed", "booking.changed", "booking.cancelled"] {
        forged.push(event(kind, "x", now, &json!({"id": declined})));
        forged.push(event(kind, "x", now, &json!({"id": 99})));
        forged.push(event(kind, "x", now, &json!("not an object")));
    }
    // A true event under other names is told once all the same.
    for name in ["booking.completed/1", "booking.completed/1/2", "another"] {
        forged.push(event("booking.completed", name, now, &json!({"id": id})));
    }
    app.bus.publish(&forged).await.expect("published");
    app.run_until_idle().await;
    assert_eq!((held(&app, id).await, held(&app, declined).await), before);
    ended(&app, id).await;
    assert_eq!(peer.mails().len(), 2);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_the_day_before_yesterday_is_not_told() {
    let peer = SmtpPeer::start().await;
    let app = TestApp::with(by_mail(&peer)).await;
    let flight = app.add_flight(9).await;
    let id = booked(&app, flight, &[("Asha", "asha@example.com")]).await;
    mails(&peer, 1).await;
    cancel(&app, id, &json!({})).await;
    mails(&peer, 2).await;
    app.database.plant("DELETE FROM messages").await;
    let old = event("booking.cancelled", "x", "2024-12-30T00:00:00Z", &json!({"id": id}));
    app.bus.publish(&[old]).await.expect("published");
    assert_eq!(held(&app, id).await, Vec::<[String; 4]>::new());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_event_about_seats_that_are_held_asks_for_no_payment_and_ends_nothing() {
    let peer = SmtpPeer::start().await;
    let app = TestApp::with(by_mail(&peer)).await;
    let flight = app.add_flight(9).await;
    app.gateway.close();
    let paying = app.book(flight, 1).await.booking_id();
    let mut later = crate::support::booking(flight, 1);
    later["payment"] = json!("later");
    let later = app.post("/api/v1/bookings", &later).await.booking_id();
    mails(&peer, 1).await;
    ended(&app, later).await;
    let mut forged = Vec::new();
    for id in [paying, later] {
        for kind in [
            "booking.held",
            "booking.completed",
            "booking.failed",
            "booking.changed",
            "waitlist.offered",
            "waitlist.promoted",
            "waitlist.lapsed",
            "itinerary.failed",
        ] {
            let named = json!({"id": id, "booking_id": id, "itinerary_id": id, "waitlist_id": id});
            forged.push(event(kind, &format!("{kind}/{id}/1"), "2025-01-01T00:00:00Z", &named));
        }
    }
    app.bus.publish(&forged).await.expect("published");
    eventually("events that were read", async || app.bus.in_flight() == 0).await;
    assert_eq!(held(&app, paying).await, Vec::<[String; 4]>::new());
    assert_eq!(held(&app, later).await.len(), 1);
    app.gateway.open();
    app.finish().await;
}
