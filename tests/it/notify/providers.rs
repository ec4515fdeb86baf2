//! SMTP servers that refuse, hang, cut and die: no mail is lost, and no booking waits.

use super::{booked, by_mail, ended, held, mails, timeline};
use crate::support::smtp::{Fault, SmtpPeer};
use crate::support::{TestApp, eventually};
use chrono::TimeDelta;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_recipient_fails_at_once_and_delays_no_other() {
    let peer = SmtpPeer::start().await;
    let app = TestApp::with(by_mail(&peer)).await;
    let flight = app.add_flight(9).await;
    peer.plan([Fault::Recipient(550)]);
    let id = booked(&app, flight, &[("A", "gone@b.example"), ("B", "b@b.example")]).await;
    let mut statuses = ended(&app, id).await;
    statuses.sort();
    assert_eq!(statuses, ["failed", "sent"]);
    assert_eq!(peer.mails().len(), 1);
    let failed = timeline(&app, id).await;
    let failed = failed.iter().find(|event| event["type"] == "message.failed").expect("it is told");
    assert_eq!(
        (&failed["channel"], &failed["told"]),
        (&json!("mail"), &json!("booking.completed"))
    );
    let metrics = app.app.metrics.render();
    assert!(metrics.contains(r#"messages_total{channel="mail",outcome="failed"} 1"#), "{metrics}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_tried_again_later_and_after_a_day_given_up() {
    let peer = SmtpPeer::start().await;
    let app = TestApp::with(by_mail(&peer)).await;
    let flight = app.add_flight(9).await;
    peer.plan([Fault::Recipient(450), Fault::Text(451)]);
    let id = booked(&app, flight, &[("A", "a@b.example")]).await;
    eventually("a mail that arrives at the third attempt", async || {
        app.clock.advance(TimeDelta::seconds(20));
        peer.mails().len() == 1
    })
    .await;
    assert_eq!(ended(&app, id).await, ["sent"]);

    peer.plan([Fault::Recipient(450); 200]);
    let other = booked(&app, flight, &[("B", "b@b.example")]).await;
    eventually("a mail that is given up", async || {
        app.clock.advance(TimeDelta::minutes(30));
        held(&app, other).await[0][3] == "failed"
    })
    .await;
    assert_eq!(peer.mails().len(), 1);
    app.abandon();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_whose_answer_is_lost_goes_out_again_as_the_same_mail() {
    let peer = SmtpPeer::start().await;
    let app = TestApp::with(by_mail(&peer)).await;
    let flight = app.add_flight(9).await;
    peer.plan([Fault::CutAfterData]);
    let id = booked(&app, flight, &[("A", "a@b.example")]).await;
    eventually("the mail again", async || {
        app.clock.advance(TimeDelta::seconds(20));
        peer.mails().len() == 2
    })
    .await;
    let [first, second] = &peer.mails()[..] else { panic!("two mails") };
    assert_eq!(first.header("Message-ID"), second.header("Message-ID"));
    assert_eq!(first, second);
    assert_eq!(ended(&app, id).await, ["sent"]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_slows_no_booking_and_gets_all_mails_once_it_is_back() {
    let peer = SmtpPeer::start().await;
    let settings = by_mail(&peer);
    let app = TestApp::with(|config| {
        settings(config);
        config.messages.timeout = Duration::from_millis(200);
    })
    .await;
    let flight = app.add_flight(50).await;
    peer.set_silent(true);
    let mut ids = Vec::new();
    let began = Instant::now();
    for number in 0..20 {
        let address = format!("p{number}@b.example");
        ids.push(booked(&app, flight, &[("A", &address)]).await);
    }
    let took = began.elapsed();
    for id in &ids {
        assert_eq!(app.booking(*id).await["status"], "completed");
    }
    // One after the other, each call to the server would have taken its time.
    assert!(took < Duration::from_secs(10), "{took:?}");
    let circuit = r#"circuit_breaker_state{target="smtp"} 1"#;
    eventually("an open circuit", async || {
        app.clock.advance(TimeDelta::seconds(20));
        app.app.metrics.render().contains(circuit)
    })
    .await;
    let health = app.get("/api/v1/health").await;
    assert_eq!((health.status.as_u16(), &health.json["status"]), (200, &json!("degraded")));
    assert_eq!(health.json["checks"]["smtp"]["status"], "down");
    peer.set_silent(false);
    eventually("all mails", async || {
        app.clock.advance(TimeDelta::seconds(20));
        peer.mails().len() >= ids.len()
    })
    .await;
    let mut to: Vec<_> = peer.mails().into_iter().map(|mail| mail.to).collect();
    to.sort();
    to.dedup();
    assert_eq!((to.len(), peer.mails().len()), (ids.len(), ids.len()));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_share_a_connection() {
    let peer = SmtpPeer::start().await;
    let app = TestApp::with(by_mail(&peer)).await;
    let flight = app.add_flight(50).await;
    let addresses: Vec<String> = (0..9).map(|number| format!("p{number}@b.example")).collect();
    let party: Vec<_> = addresses.iter().map(|address| ("A", address.as_str())).collect();
    booked(&app, flight, &party).await;
    mails(&peer, 9).await;
    assert_eq!(peer.connections(), 1);
    app.finish().await;
}
