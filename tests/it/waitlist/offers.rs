//! What becomes of a party that gets its seats.

use super::party;
use crate::support::TestApp;
use serde_json::json;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_freed_seat_is_offered_to_the_first_in_line_who_pays_it() {
    let app = TestApp::start().await;
    let (flight, sold) = app.sold_out(2).await;
    let first = app.join(flight, 7, 1).await;
    let second = app.join(flight, 8, 1).await;
    assert_eq!(app.entry(second).await["position"], json!({"parties": 1, "seats": 1}));

    app.give_up(sold[0]).await;
    let offered = app.until_entry_is(first, "offered").await;
    assert_eq!((&offered["position"], &offered["booking_id"]), (&json!(null), &json!(first)));
    assert_eq!(offered["offer_expires_at"], "2025-01-01T00:30:00Z");
    assert_eq!(offered["payment"]["status"], "awaiting_payment");
    assert_eq!(app.booking(first).await["status"], "pending");
    assert_eq!(app.entry(second).await["position"], json!({"parties": 0, "seats": 0}));

    let declined =
        app.answer(first, "accept", &json!({"payment_method": "pm_card_declined"})).await;
    assert_eq!((declined.status.as_u16(), &declined.json["status"]), (200, &json!("offered")));
    let accepted = app.answer(first, "accept", &json!({"payment_method": "pm_card_visa"})).await;
    assert_eq!((accepted.status.as_u16(), &accepted.json["status"]), (200, &json!("promoted")));
    assert_eq!(app.booking(first).await["status"], "completed");
    app.answer(first, "accept", &json!({})).await.assert_problem(409, "no_offer");
    app.answer(first, "decline", &json!({})).await.assert_problem(409, "no_offer");
    assert_eq!(app.booking(first).await["status"], "completed");
    // The row learns of it too, and the user may wait again.
    app.pass(Duration::from_secs(1)).await;
    assert_eq!(app.entry(first).await["status"], "promoted");
    app.join(flight, 7, 1).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_is_declined_or_lapses_goes_to_the_next() {
    let app = TestApp::start().await;
    let (flight, sold) = app.sold_out(1).await;
    let mut line = Vec::new();
    for user in [7, 8, 9] {
        line.push(app.join(flight, user, 1).await);
    }
    app.give_up(sold[0]).await;
    app.until_entry_is(line[0], "offered").await;
    let declined = app.answer(line[0], "decline", &json!({})).await;
    assert_eq!((declined.status.as_u16(), &declined.json["status"]), (200, &json!("declined")));
    app.answer(line[0], "decline", &json!({})).await.assert_problem(409, "no_offer");

    app.until_entry_is(line[1], "offered").await;
    app.pass(Duration::from_secs(31 * 60)).await;
    let lapsed = app.until_entry_is(line[1], "lapsed").await;
    assert_eq!(lapsed["reason"], "offer_expired");

    app.until_entry_is(line[2], "offered").await;
    assert_eq!(app.leave(line[2]).await.json["status"], "declined");
    app.run_until_idle().await;
    assert_eq!(app.flight(flight).await["held_seats"], 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_automatic_party_buys_its_seats_and_one_whose_card_fails_is_declined() {
    let app = TestApp::start().await;
    let (flight, sold) = app.sold_out(1).await;
    let mut ids = Vec::new();
    for (user, method) in [(7, "pm_card_declined"), (8, "pm_card_visa")] {
        let mut body = party(user, 1);
        body["mode"] = json!("auto");
        body["payment_method"] = json!(method);
        let joined = app.wait_as(flight, &body).await;
        ids.push(joined.json["waitlist_id"].as_i64().expect("an id"));
    }
    app.give_up(sold[0]).await;
    let declined = app.until_entry_is(ids[0], "declined").await;
    assert_eq!(declined["payment"]["status"], "declined");
    let promoted = app.until_entry_is(ids[1], "promoted").await;
    assert_eq!(promoted["payment"]["status"], "captured");
    assert_eq!(app.booking(ids[1]).await["status"], "completed");
    assert_eq!(app.flight(flight).await["available_seats"], 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_ends_no_later_than_the_departure_and_with_a_cancelled_flight() {
    let app = TestApp::start().await;
    let (flight, sold) = app.sold_out(1).await;
    let id = app.join(flight, 7, 1).await;
    let late = json!({"timestamp": "2025-01-01T00:10:00Z"});
    assert_eq!(app.put(&format!("/api/v1/flights/{flight}"), &late).await.status, 200);
    app.give_up(sold[0]).await;
    let offered = app.until_entry_is(id, "offered").await;
    assert_eq!(offered["offer_expires_at"], "2025-01-01T00:10:00Z");

    let waits = app.join(flight, 8, 1).await;
    let cancelled = json!({"flight_status": "cancelled"});
    assert_eq!(app.put(&format!("/api/v1/flights/{flight}"), &cancelled).await.status, 200);
    app.pass(Duration::from_secs(1)).await;
    for id in [id, waits] {
        let lapsed = app.until_entry_is(id, "lapsed").await;
        assert_eq!(lapsed["reason"], "flight_cancelled", "{lapsed}");
    }
    app.finish().await;
}
