//! Export and erasure reach the messages.

use super::{by_mail, held, mails};
use crate::support::people::{MARK, USER, all_bytes, count, party};
use crate::support::smtp::SmtpPeer;
use crate::support::{TestApp, eventually};
use airline_booking::clock::Clock as _;
use airline_booking::domain::UserId;
use airline_booking::people::erase::Erase;
use airline_booking::people::export;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_exported_and_erased_with_their_booking() {
    let peer = SmtpPeer::start().await;
    let app = TestApp::with(by_mail(&peer)).await;
    let flight = app.add_flight(9).await;
    let id = app.post("/api/v1/bookings", &party(flight, 2, "told")).await.booking_id();
    app.run_until_idle().await;
    mails(&peer, 1).await;
    eventually("a note of it", async || held(&app, id).await[0][3] == "sent").await;
    let mut out = Vec::new();
    let now = app.clock.now();
    export::export(&*app.store, UserId(USER), now, &mut out).await.expect("written");
    let document: Value = serde_json::from_slice(&out).expect("JSON");
    let message = &document["bookings"][0]["messages"][0];
    assert_eq!(message["recipient"], format!("{MARK}-told@example.com"));
    assert_eq!((&message["channel"], &message["status"]), (&"mail".into(), &"sent".into()));

    let erase = Erase { store: &*app.store, user: UserId(USER), all: true, now };
    erase.run().await.expect("erased");
    assert_eq!(held(&app, id).await, Vec::<[String; 4]>::new());
    assert_eq!(count(&all_bytes(&app.database).await, MARK), 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_an_address_that_nobody_has_any_more_is_not_sent() {
    let peer = SmtpPeer::start().await;
    peer.set_dead(true);
    let app = TestApp::with(by_mail(&peer)).await;
    let flight = app.add_flight(9).await;
    let id = super::booked(&app, flight, &[("Asha", "old@b.example")]).await;
    eventually("an attempt", async || peer.connections() > 0).await;
    let path = format!("/api/v1/bookings/{id}/passengers/0");
    let mended = serde_json::json!({"email": "new@b.example"});
    let answer = app.send_json(http::Method::PATCH, &path, &mended).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    app.run_until_idle().await;
    peer.set_dead(false);
    eventually("the mail of the correction alone", async || {
        app.clock.advance(chrono::TimeDelta::seconds(20));
        let all = held(&app, id).await;
        if all.len() == 1 && all[0][3] == "sent" { Ok(()) } else { Err(all) }
    })
    .await;
    let told = peer.mails();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].to, "new@b.example");
    app.finish().await;
}
