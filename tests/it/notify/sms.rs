//! SMS over an API like Twilio's.

use super::{booked, ended, held};
use crate::support::sms::{ACCOUNT, SmsPeer, TOKEN};
use crate::support::{TestApp, eventually};
use airline_booking::config::{Config, SmsSettings};
use chrono::TimeDelta;

fn by_sms(peer: &SmsPeer, country_code: Option<&str>) -> impl FnOnce(&mut Config) {
    let settings = SmsSettings {
        base: peer.base.clone(),
        account: ACCOUNT.into(),
        token: TOKEN.into(),
        from: "+15005550006".into(),
        country_code: country_code.map(Into::into),
    };
    |config| config.messages.sms = Some(settings)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_booking_is_told_once_to_each_number() {
    let peer = SmsPeer::start().await;
    let app = TestApp::with(by_sms(&peer, Some("91"))).await;
    let flight = app.add_flight(9).await;
    peer.plan([503, 429]);
    let id = booked(&app, flight, &[("A", "a@b.example"), ("B", "b@b.example")]).await;
    eventually("an SMS at the third attempt", async || {
        app.clock.advance(TimeDelta::seconds(20));
        peer.taken().len() == 1
    })
    .await;
    let form = &peer.taken()[0];
    assert_eq!((form["To"].as_str(), form["From"].as_str()), ("+911234567890", "+15005550006"));
    let reference = app.booking(id).await["reference"].as_str().expect("a word").to_owned();
    let text =
        format!("Booking {reference} is confirmed: Delhi to Mumbai, Mon 20 Jan 2025, 10:00 UTC.");
    assert_eq!(form["Body"], text);
    assert_eq!(ended(&app, id).await, ["sent"]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_without_a_country_gets_none_and_a_refused_one_fails() {
    let peer = SmsPeer::start().await;
    let app = TestApp::with(by_sms(&peer, None)).await;
    let flight = app.add_flight(9).await;
    let id = booked(&app, flight, &[("A", "a@b.example")]).await;
    assert_eq!(held(&app, id).await, Vec::<[String; 4]>::new());
    app.finish().await;

    let app = TestApp::with(by_sms(&peer, Some("91"))).await;
    let flight = app.add_flight(9).await;
    peer.plan([400]);
    let id = booked(&app, flight, &[("A", "a@b.example")]).await;
    assert_eq!(ended(&app, id).await, ["failed"]);
    assert!(peer.taken().is_empty());
    app.finish().await;
}
