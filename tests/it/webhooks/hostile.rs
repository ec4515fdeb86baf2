//! Receivers that fail, hang, restart, redirect and flood: they slow no other, and lose nothing.

use super::{Receiver, deliveries, of, open, told};
use crate::support::receiver::Deed;
use crate::support::{equal, eventually};
use chrono::TimeDelta;
use serde_json::json;
use std::time::{Duration, Instant};

const COMPLETED: [&str; 1] = ["booking.completed"];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_refuses_comes_again_and_what_follows_waits_for_it() {
    let app = open().await;
    let (receiver, made) = told(&app, &COMPLETED).await;
    receiver.plan([Deed::Answer(500), Deed::Answer(429)]);
    let flight = app.add_flight(9).await;
    let first = app.book(flight, 1).await.booking_id();
    app.run_until_idle().await;
    let second = app.book(flight, 1).await.booking_id();
    eventually("the first attempt fails", async || {
        let log = deliveries(&app, &made).await;
        log.len() == 2 && log[1]["attempts"] == 1 && log[1]["response_status"] == 500
    })
    .await;
    assert_eq!(deliveries(&app, &made).await[0]["attempts"], 0);
    assert!(app.get(&of(&made, "")).await.json["failing_since"].is_string());
    app.clock.advance(TimeDelta::seconds(6));
    eventually("the second fails", async || equal(receiver.ids().len(), 2)).await;
    eventually("it is noted", async || {
        equal(deliveries(&app, &made).await[1]["attempts"].clone(), 2)
    })
    .await;
    app.clock.advance(TimeDelta::seconds(67));
    eventually("all arrive", async || equal(receiver.ids().len(), 4)).await;
    let id = |booking| format!("booking.completed/{booking}");
    assert_eq!(receiver.ids(), [id(first), id(first), id(first), id(second)]);
    eventually("it is well again", async || {
        app.get(&of(&made, "")).await.json.get("failing_since").is_none()
    })
    .await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_slows_no_other_and_no_booking() {
    let app = open().await;
    let (hanging, _) = told(&app, &COMPLETED).await;
    hanging.always(Deed::Hang);
    let (well, _) = told(&app, &COMPLETED).await;
    let began = Instant::now();
    for _ in 0..5 {
        let flight = app.add_flight(9).await;
        app.book(flight, 1).await.booking_id();
    }
    eventually("the other gets all", async || equal(well.ids().len(), 5)).await;
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    assert_eq!(hanging.ids().len(), 1, "one at a time until it answers");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let app = open().await;
    let elsewhere = Receiver::start().await;
    let (receiver, made) = told(&app, &COMPLETED).await;
    receiver.plan([Deed::Redirect(elsewhere.url.clone())]);
    let flight = app.add_flight(9).await;
    app.book(flight, 1).await.booking_id();
    eventually("the redirect is noted", async || {
        let log = deliveries(&app, &made).await;
        log.first().is_some_and(|first| first["response_status"] == 307)
    })
    .await;
    assert_eq!(deliveries(&app, &made).await[0]["status"], "pending");
    assert_eq!(elsewhere.ids(), Vec::<String>::new());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_is_not_read_to_its_end() {
    let app = open().await;
    let (receiver, made) = told(&app, &COMPLETED).await;
    receiver.plan([Deed::Flood, Deed::Stall]);
    let flight = app.add_flight(9).await;
    let began = Instant::now();
    for _ in 0..3 {
        app.book(flight, 1).await.booking_id();
    }
    eventually("all are delivered", async || {
        let log = deliveries(&app, &made).await;
        log.len() == 3 && log.iter().all(|its| its["status"] == "delivered")
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    assert_eq!(receiver.ids().len(), 3);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_restarts_gets_what_it_missed() {
    let app = open().await;
    let (receiver, made) = told(&app, &COMPLETED).await;
    let address = receiver.url.trim_start_matches("http://").split('/').next().expect("one");
    let address = address.to_owned();
    drop(receiver);
    let flight = app.add_flight(9).await;
    let missed = app.book(flight, 1).await.booking_id();
    eventually("there is no answer", async || {
        let log = deliveries(&app, &made).await;
        log.first().is_some_and(|its| its["attempts"] == 1 && its["response_status"].is_null())
    })
    .await;
    let receiver = Receiver::at(&address).await;
    app.clock.advance(TimeDelta::seconds(6));
    eventually("it arrives", async || equal(receiver.ids().len(), 1)).await;
    assert_eq!(receiver.ids(), [format!("booking.completed/{missed}")]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_disabled_and_a_ping_that_succeeds_enables_it() {
    let app = open().await;
    let (receiver, made) = told(&app, &COMPLETED).await;
    receiver.plan([Deed::Answer(410)]);
    let flight = app.add_flight(9).await;
    app.book(flight, 1).await.booking_id();
    let status = async || app.get(&of(&made, "")).await.json["status"].clone();
    eventually("it is disabled", async || equal(status().await, "disabled")).await;
    assert_eq!(deliveries(&app, &made).await[0]["status"], "failed");
    app.book(flight, 1).await.booking_id();
    app.run_until_idle().await;
    assert_eq!(deliveries(&app, &made).await.len(), 1, "events pass it by");
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains("webhooks_disabled_total 1"), "{metrics}");
    assert_eq!(app.post(&of(&made, "/ping"), &json!({})).await.status, 202);
    eventually("it is active", async || equal(status().await, "active")).await;
    let third = app.book(flight, 1).await.booking_id();
    eventually("events come", async || {
        receiver.ids().last().is_some_and(|id| *id == format!("booking.completed/{third}"))
    })
    .await;
    app.finish().await;
}
