//! Each thing that happens is told in one mail, though several events may say it.

use super::{booked, by_mail, cancel, parts};
use crate::support::smtp::{Mail, SmtpPeer};
use crate::support::{TestApp, booking, eventually, flight};
use chrono::TimeDelta;
use serde_json::json;

/// The one mail whose subject begins and goes on with these texts.
pub(super) async fn mail_about(peer: &SmtpPeer, begins: &str, goes_on: &str) -> Mail {
    let is_its = |mail: &Mail| {
        let subject = mail.header("Subject");
        subject.starts_with(begins) && subject.contains(goes_on)
    };
    let found = async || {
        let mut its: Vec<_> = peer.mails().into_iter().filter(is_its).collect();
        if its.len() == 1 { Ok(its.remove(0)) } else { Err(its.len()) }
    };
    eventually(format!("a mail about: {begins} … {goes_on}"), found).await
}

/// The subjects of all mails.
pub(super) fn subjects(peer: &SmtpPeer) -> Vec<String> {
    peer.mails().iter().map(|mail| mail.header("Subject")).collect()
}

/// A flight that departs so many hours after ten o'clock, for this price.
async fn add(app: &TestApp, hours: u32, seats: i32, price: f64) -> i64 {
    let mut body = flight(seats);
    body["timestamp"] = json!(format!("2025-01-20T{:02}:00:00Z", 10 + hours));
    body["arrival_timestamp"] = json!(format!("2025-01-20T{:02}:30:00Z", 10 + hours));
    body["price"] = json!(price);
    app.post("/api/v1/flights", &body).await.json["id"].as_i64().expect("an id")
}

#[tokio::test(flavor = "multi_thread")]
async fn flights_of_an_itinerary_are_told_in_one_mail() {
    let peer = SmtpPeer::start().await;
    let app = TestApp::with(by_mail(&peer)).await;
    let flights = [add(&app, 0, 9, 2500.0).await, add(&app, 3, 9, 2500.0).await];
    let mut body = booking(0, 1);
    body.as_object_mut().expect("an object").remove("flight_id");
    body["segments"] = flights.iter().map(|id| json!({"flight_id": id})).collect();
    let placed = app.post("/api/v1/itineraries", &body).await;
    let id = placed.json["itinerary_id"].as_i64().unwrap_or_else(|| panic!("{placed:?}"));
    app.run_until_idle().await;
    let mail = mail_about(&peer, "Your journey", "is confirmed").await;
    let decoded = parts(&mail);
    for number in [10, 13] {
        assert!(decoded[0].contains(&format!("Mon 20 Jan 2025, {number}:00 UTC")), "{decoded:?}");
    }
    assert!(decoded[0].contains("5000.00 INR"), "{}", decoded[0]);
    assert_eq!(decoded[2].matches("BEGIN:VEVENT").count(), 2);

    let path = format!("/api/v1/itineraries/{id}/cancel");
    app.clock.advance(TimeDelta::hours(1));
    assert_eq!(app.post(&path, &json!({"segments": [2]})).await.status, 200);
    app.run_until_idle().await;
    let mail = mail_about(&peer, "Your booking", "is cancelled").await;
    let decoded = parts(&mail);
    assert!(!decoded[0].contains("10:00 UTC") && decoded[2].contains("-2@airline.example"));
    app.clock.advance(TimeDelta::hours(1));
    assert_eq!(app.post(&path, &json!({})).await.status, 200);
    app.run_until_idle().await;
    let mail = mail_about(&peer, "Your journey", "is cancelled").await;
    assert_eq!(parts(&mail)[2].matches("STATUS:CANCELLED").count(), 2);
    // The journey, the second flight, and the rest; and a refund of each flight.
    let (refunds, others) = eventually("five mails", async || {
        let all = subjects(&peer);
        if all.len() == 5 {
            Ok(all.into_iter().partition::<Vec<_>, _>(|its| its.contains("refund")))
        } else {
            Err(all)
        }
    })
    .await;
    assert_eq!((refunds.len(), others.len()), (2, 3), "{others:?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_flight_and_a_refund_are_told() {
    let peer = SmtpPeer::start().await;
    let app = TestApp::with(by_mail(&peer)).await;
    let flight = add(&app, 0, 9, 2500.0).await;
    let id = booked(&app, flight, &[("A", "a@b.example"), ("B", "b@b.example")]).await;
    cancel(&app, id, &json!({"passengers": [1]})).await;
    app.clock.advance(TimeDelta::hours(1));
    let moved =
        json!({"timestamp": "2025-01-20T12:00:00Z", "arrival_timestamp": "2025-01-20T13:00:00Z"});
    assert_eq!(app.put(&format!("/api/v1/flights/{flight}"), &moved).await.status, 200);
    app.run_until_idle().await;
    let mail = mail_about(&peer, "Your flight", "another time").await;
    assert_eq!(mail.to, "a@b.example", "who does not travel is not told");
    let decoded = parts(&mail);
    assert!(
        decoded[0].contains("12:00 UTC") && decoded[0].contains("Before:    Mon 20 Jan 2025, 10")
    );
    assert!(decoded[2].contains("DTSTART:20250120T120000Z"), "{}", decoded[2]);

    let refund = app.booking(id).await["refunds"][0].clone();
    assert_eq!(refund["status"], "done");
    eventually("a mail to each", async || {
        let all = subjects(&peer);
        all.iter().filter(|its| its.contains("refund")).count() == 2
    })
    .await;
    let mails = peer.mails();
    let mail = mails.iter().find(|its| its.header("Subject").contains("refund")).expect("a mail");
    assert!(parts(mail)[0].contains("2500.00 INR went back"), "{}", mail.text);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_without_its_payment_is_told() {
    let peer = SmtpPeer::start().await;
    let app = TestApp::with(by_mail(&peer)).await;
    let (full, dear) = (add(&app, 0, 1, 2500.0).await, add(&app, 5, 9, 4000.0).await);
    let id = booked(&app, full, &[("A", "a@b.example")]).await;
    let change = json!({"flight_id": dear, "payment_method": "pm_card_declined"});
    let answer = app.post(&format!("/api/v1/bookings/{id}/change"), &change).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    app.run_until_idle().await;
    let mail = mail_about(&peer, "Your booking", "not moved to another flight").await;
    assert!(parts(&mail)[0].contains("10:00 UTC"), "{}", mail.text);

    app.finish().await;
}
