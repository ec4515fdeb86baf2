//! Holds and waiting lists: what asks for a payment, and how it ends, is told once.

use super::told::{mail_about, subjects};
use super::{booked, by_mail, cancel, ended, held, parts};
use crate::support::smtp::SmtpPeer;
use crate::support::{TestApp, booking, eventually};
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// A full flight, its only booking, and the entry of a party that waits for it.
async fn waiting(app: &TestApp, fields: &[(&str, &str)]) -> (i64, i64) {
    let flight = app.add_flight(1).await;
    let sold = booked(app, flight, &[("A", "a@b.example")]).await;
    let mut party = booking(flight, 1);
    party.as_object_mut().expect("an object").remove("flight_id");
    party["user_id"] = json!(9);
    party["passenger_details"][0]["email"] = json!("w@b.example");
    for (field, value) in fields {
        party[*field] = json!(value);
    }
    let joined = app.post(&format!("/api/v1/flights/{flight}/waitlist"), &party).await;
    let entry = joined.json["waitlist_id"].as_i64().unwrap_or_else(|| panic!("{joined:?}"));
    (sold, entry)
}

async fn until(app: &TestApp, entry: i64, status: &str) {
    eventually("an entry's status", async || {
        let shown = app.get(&format!("/api/v1/waitlist/{entry}")).await.json;
        if shown["status"] == status { Ok(()) } else { Err(shown) }
    })
    .await;
    app.run_until_idle().await;
}

/// The types of the messages about a booking, once none waits.
async fn kinds(app: &TestApp, id: i64) -> Vec<String> {
    ended(app, id).await;
    let mut kinds: Vec<_> = held(app, id).await.into_iter().map(|[_, kind, ..]| kind).collect();
    kinds.sort();
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_told_with_its_end_and_the_seats_that_it_became_once() {
    let peer = SmtpPeer::start().await;
    let app = TestApp::with(by_mail(&peer)).await;
    let (sold, entry) = waiting(&app, &[]).await;
    cancel(&app, sold, &json!({})).await;
    until(&app, entry, "offered").await;
    let offer = mail_about(&peer, "Seats for you", "").await;
    assert_eq!(offer.to, "w@b.example");
    assert!(parts(&offer)[0].contains("until Wed 1 Jan 2025, 00:30 UTC"), "{}", offer.text);

    let path = format!("/api/v1/waitlist/{entry}/accept");
    let card = json!({"payment_method": "pm_card_visa"});
    app.send_json_with(Method::POST, &path, &card, &[("prefer", "wait=30")]).await;
    app.run_until_idle().await;
    let seats = mail_about(&peer, "You have your seats", "").await;
    assert!(parts(&seats)[2].contains("STATUS:CONFIRMED"), "{}", seats.text);
    // The line's own event comes with the next look at it.
    app.pass(Duration::from_secs(1)).await;
    until(&app, entry, "promoted").await;
    assert_eq!(kinds(&app, entry).await, ["waitlist.offered", "waitlist.promoted"]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_lapses_is_told_once() {
    let peer = SmtpPeer::start().await;
    let app = TestApp::with(by_mail(&peer)).await;
    let (sold, entry) = waiting(&app, &[]).await;
    cancel(&app, sold, &json!({})).await;
    until(&app, entry, "offered").await;
    mail_about(&peer, "Seats for you", "").await;
    app.pass(Duration::from_secs(31 * 60)).await;
    until(&app, entry, "lapsed").await;
    app.pass(Duration::from_secs(1)).await;
    app.run_until_idle().await;
    mail_about(&peer, "The seats of booking", "no longer kept").await;
    assert_eq!(kinds(&app, entry).await, ["waitlist.lapsed", "waitlist.offered"]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_that_are_bought_by_themselves_are_not_offered() {
    let peer = SmtpPeer::start().await;
    let app = TestApp::with(by_mail(&peer)).await;
    let auto = [("mode", "auto"), ("payment_method", "pm_card_visa")];
    let (sold, entry) = waiting(&app, &auto).await;
    cancel(&app, sold, &json!({})).await;
    until(&app, entry, "promoted").await;
    app.pass(Duration::from_secs(1)).await;
    app.run_until_idle().await;
    mail_about(&peer, "You have your seats", "").await;
    assert_eq!(kinds(&app, entry).await, ["waitlist.promoted"]);

    let auto = [("mode", "auto"), ("payment_method", "pm_card_declined")];
    let (sold, entry) = waiting(&app, &auto).await;
    cancel(&app, sold, &json!({})).await;
    until(&app, entry, "declined").await;
    app.pass(Duration::from_secs(1)).await;
    app.run_until_idle().await;
    assert_eq!(kinds(&app, entry).await, ["booking.failed"]);
    app.finish().await;
}

async fn hold(app: &TestApp, path: &str, body: &Value) -> i64 {
    let mut body = body.clone();
    body["payment"] = json!("later");
    let placed = app.post(path, &body).await;
    app.run_until_idle().await;
    let id = placed.json["booking_id"].as_i64().or(placed.json["itinerary_id"].as_i64());
    id.unwrap_or_else(|| panic!("{placed:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_to_be_paid_is_told_once_a_deadline() {
    let peer = SmtpPeer::start().await;
    let app = TestApp::with(by_mail(&peer)).await;
    let flight = app.add_flight(9).await;
    let id = hold(&app, "/api/v1/bookings", &booking(flight, 1)).await;
    let pay_by = |shown: &Value| {
        let end = shown["hold_expires_at"].as_str().expect("a time").to_owned();
        end[11..16].to_owned()
    };
    let first = pay_by(&app.booking(id).await);
    let mail = mail_about(&peer, "Seats are kept for you", "").await;
    let [text, html] = &parts(&mail)[..] else { panic!("{}", mail.text) };
    assert!(text.contains(&first) && html.contains(&first), "{text}");
    app.clock.advance(chrono::TimeDelta::seconds(60));
    let extended = app.post(&format!("/api/v1/bookings/{id}/extend"), &json!({})).await;
    assert_eq!(extended.status, 200, "{extended:?}");
    app.run_until_idle().await;
    eventually("a mail with the new end", async || {
        let end = pay_by(&extended.json);
        peer.mails().iter().filter(|mail| parts(mail)[0].contains(&end)).count() == 1
    })
    .await;
    let path = format!("/api/v1/bookings/{id}/payment");
    app.post(&path, &json!({"payment_method": "pm_card_visa"})).await;
    app.run_until_idle().await;
    assert_eq!(kinds(&app, id).await, ["booking.completed", "booking.held", "booking.held"]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holds_of_an_itinerary_are_told_in_one_mail() {
    let peer = SmtpPeer::start().await;
    let app = TestApp::with(by_mail(&peer)).await;
    let flights: [i64; 2] = app.add_row_of_flights(9).await;
    let mut body = booking(0, 1);
    body.as_object_mut().expect("an object").remove("flight_id");
    body["segments"] = flights.iter().map(|id| json!({"flight_id": id})).collect();
    hold(&app, "/api/v1/itineraries", &body).await;
    let mail = mail_about(&peer, "Seats are kept for you", "").await;
    assert_eq!(parts(&mail)[0].matches("Departure:").count(), 2, "{}", mail.text);
    app.pass(Duration::from_secs(24 * 3600)).await;
    app.run_until_idle().await;
    mail_about(&peer, "Your journey", "was not completed").await;
    assert_eq!(subjects(&peer).len(), 2);
    app.finish().await;
}
