//! Webhooks and deliveries.

use super::Fixture;
use airline_booking::domain::{
    BookingId, Delivery, DeliveryId, DeliveryStatus, FlightId, NewDelivery, NewWebhook,
    SigningSecret, Timestamp, UserId, WEBHOOKS_MAX, WebhookId, WebhookStatus, WebhookUrl,
};
use airline_booking::rules::{Claim, Command, IdempotencyKey, RequestKey};
use airline_booking::store::{Attempt, AttemptOutcome, WebhookChange, WebhookCounts};
use chrono::TimeDelta;
use std::sync::Arc;

on_each_store! {
    a_webhook_is_read_as_it_was_made
    a_change_with_a_key_is_made_once
    an_owner_has_no_more_than_the_maximum
    an_event_is_queued_once_for_each_active_webhook
    of_each_flight_the_first_delivery_alone_is_due
    a_webhook_that_failed_for_long_is_disabled_and_what_waits_fails
    a_success_makes_a_webhook_active_again
    deliveries_are_forgotten_with_their_age_and_with_their_webhook
    the_rows_of_events_are_read_by_their_ids
}

fn new(owner: i64, number: u8) -> NewWebhook {
    NewWebhook {
        owner: UserId(owner),
        url: WebhookUrl::stored(&format!("https://partner.example/{number}")),
        types: Arc::from([Arc::from("flight.updated"), Arc::from("booking.completed")]),
        secret: SigningSecret::of(&[number; 32]),
    }
}

async fn change(
    on: &Fixture,
    change: WebhookChange,
    key: Option<&RequestKey>,
) -> Claim<Option<i64>> {
    on.store.change_webhooks(&change, key, on.now).await.expect("a change")
}

async fn made(on: &Fixture, owner: i64, number: u8) -> WebhookId {
    let claim = change(on, WebhookChange::Create(new(owner, number)), None).await;
    let Claim::New(Some(id)) = claim else { panic!("{claim:?}") };
    WebhookId(id)
}

fn event(webhook: WebhookId, flight: i64, version: i64) -> NewDelivery {
    NewDelivery {
        webhook,
        event_id: format!("flight.updated/{flight}/{version}").into(),
        kind: "flight.updated".into(),
        flight: Some(FlightId(flight)),
        payload: format!("{{\"version\":{version}}}").into(),
    }
}

async fn add(on: &Fixture, events: &[NewDelivery]) {
    on.store.add_deliveries(events, on.now).await.expect("added");
}

/// The ids of the events that are due.
async fn due(on: &Fixture, at: Timestamp) -> Vec<String> {
    let due = on.store.due_deliveries(at, &[], 64).await.expect("what is due");
    let mut ids: Vec<String> = due.into_iter().map(|its| its.event_id.to_string()).collect();
    ids.sort_unstable();
    ids
}

async fn log(on: &Fixture, webhook: WebhookId) -> Vec<Delivery> {
    let mut log = on.store.deliveries(webhook, None, 100).await.expect("a log");
    log.reverse();
    log
}

/// Notes an attempt at a delivery at this time; returns the webhooks that it disabled.
async fn ended(
    on: &Fixture,
    delivery: &Delivery,
    outcome: AttemptOutcome,
    now: Timestamp,
) -> Vec<WebhookId> {
    let status = if outcome == AttemptOutcome::Delivered { 200 } else { 500 };
    let attempt = Attempt {
        delivery: delivery.id,
        webhook: delivery.webhook,
        flight: delivery.flight,
        response_status: Some(status),
        outcome,
    };
    on.store.note_attempts(&[attempt], now, now - TimeDelta::days(3)).await.expect("noted")
}

async fn status(on: &Fixture, webhook: WebhookId) -> WebhookStatus {
    on.store.webhook(webhook).await.expect("an answer").expect("a webhook").status
}

async fn a_webhook_is_read_as_it_was_made(on: Fixture) {
    let id = made(&on, 7, 1).await;
    let read = on.store.webhook(id).await.expect("an answer").expect("a webhook");
    assert_eq!((read.id, read.owner), (id, UserId(7)));
    assert_eq!(read.url.as_str(), "https://partner.example/1");
    assert_eq!(read.secret, SigningSecret::of(&[1; 32]));
    assert!(read.takes("flight.updated") && !read.takes("flight.created"));
    assert_eq!((read.status, read.old_secret.clone()), (WebhookStatus::Active, None));
    assert_eq!(read.created_at, on.now);
    let until = on.now + TimeDelta::hours(24);
    let rotate = WebhookChange::Rotate { webhook: id, secret: SigningSecret::of(&[2; 32]), until };
    assert_eq!(change(&on, rotate, None).await, Claim::New(Some(id.0)));
    let rotated = on.store.webhook(id).await.expect("an answer").expect("a webhook");
    assert_eq!(rotated.secret, SigningSecret::of(&[2; 32]));
    let old = rotated.old_secret.clone().expect("the old secret");
    assert_eq!((old.secret, old.until), (read.secret, until));
    let other = made(&on, 8, 3).await;
    let list = async |owner, after| {
        let found = on.store.webhooks_of(owner, after, 10).await.expect("a list");
        found.into_iter().map(|webhook| webhook.id).collect::<Vec<_>>()
    };
    assert_eq!(list(Some(UserId(7)), None).await, [id]);
    assert_eq!(list(None, None).await, [id, other]);
    assert_eq!(list(None, Some(id)).await, [other]);
}

async fn a_change_with_a_key_is_made_once(on: Fixture) {
    let key = |hash: &str| RequestKey {
        route: "/api/v1/webhooks",
        owner: UserId(7),
        key: IdempotencyKey { key: "k1".into(), request_hash: hash.into() },
    };
    let create = || WebhookChange::Create(new(7, 1));
    let Claim::New(Some(id)) = change(&on, create(), Some(&key("a"))).await else { panic!() };
    assert_eq!(change(&on, create(), Some(&key("a"))).await, Claim::Made(id));
    assert_eq!(change(&on, create(), Some(&key("b"))).await, Claim::Reused);
    let unknown = WebhookChange::Redeliver { webhook: WebhookId(id), delivery: DeliveryId(99) };
    let other = RequestKey { route: "/other", ..key("a") };
    for _ in 0..2 {
        // What was not done keeps no key.
        assert_eq!(change(&on, unknown.clone(), Some(&other)).await, Claim::New(None));
    }
}

async fn an_owner_has_no_more_than_the_maximum(on: Fixture) {
    for _ in 0..WEBHOOKS_MAX {
        made(&on, 7, 1).await;
    }
    assert_eq!(change(&on, WebhookChange::Create(new(7, 1)), None).await, Claim::New(None));
    made(&on, 8, 1).await;
}

async fn an_event_is_queued_once_for_each_active_webhook(on: Fixture) {
    let (one, two, gone) = (made(&on, 1, 1).await, made(&on, 1, 2).await, made(&on, 1, 3).await);
    assert!(on.store.delete_webhook(gone).await.expect("deleted"));
    assert!(!on.store.delete_webhook(gone).await.expect("deleted"));
    let both = [event(one, 5, 1), event(two, 5, 1), event(gone, 5, 1)];
    add(&on, &both).await;
    add(&on, &both).await;
    assert_eq!(log(&on, one).await.len(), 1);
    assert_eq!(log(&on, two).await.len(), 1);
    assert_eq!(log(&on, gone).await.len(), 0);
    let first = log(&on, one).await.remove(0);
    assert_eq!((&*first.kind, first.flight), ("flight.updated", Some(FlightId(5))));
    assert_eq!((&*first.payload, first.attempts), ("{\"version\":1}", 0));
    assert_eq!(on.store.webhook(gone).await.expect("an answer"), None);
    let named = on.store.webhooks_named(&[one, gone, WebhookId(999)]).await.expect("some");
    assert_eq!(named.into_iter().map(|webhook| webhook.id).collect::<Vec<_>>(), [one]);
    assert_eq!(on.store.active_webhooks().await.expect("some").len(), 2);
}

async fn of_each_flight_the_first_delivery_alone_is_due(on: Fixture) {
    let webhook = made(&on, 1, 1).await;
    add(&on, &[event(webhook, 5, 1), event(webhook, 5, 2), event(webhook, 6, 1)]).await;
    add(&on, &[event(webhook, 5, 3)]).await;
    let id = |flight, version| format!("flight.updated/{flight}/{version}");
    assert_eq!(due(&on, on.now).await, [id(5, 1), id(6, 1)]);
    let again = on.now + TimeDelta::minutes(5);
    let all = log(&on, webhook).await;
    ended(&on, &all[0], AttemptOutcome::Again(again), on.now).await;
    assert_eq!(due(&on, on.now).await, [id(6, 1)]);
    assert_eq!(due(&on, again).await, [id(5, 1), id(6, 1)]);
    on.store.hasten_deliveries(webhook, on.now).await.expect("hastened");
    assert_eq!(due(&on, on.now).await, [id(5, 1), id(6, 1)]);
    ended(&on, &all[0], AttemptOutcome::Delivered, on.now).await;
    assert_eq!(due(&on, on.now).await, [id(5, 2), id(6, 1)]);
    // Of a webhook that is busy, nothing; of the others, so many.
    assert!(on.store.due_deliveries(on.now, &[webhook], 9).await.expect("some").is_empty());
    assert_eq!(on.store.due_deliveries(on.now, &[], 1).await.expect("some").len(), 1);
    // What is sent once more waits for none, and none for it.
    let redeliver = WebhookChange::Redeliver { webhook, delivery: all[0].id };
    assert_eq!(change(&on, redeliver, None).await, Claim::New(Some(all[0].id.0)));
    assert_eq!(due(&on, on.now).await, [id(5, 1), id(5, 2), id(6, 1)]);
    ended(&on, &all[1], AttemptOutcome::UsedUp, on.now).await;
    assert_eq!(due(&on, on.now).await, [id(5, 1), id(5, 3), id(6, 1)]);
    let now = log(&on, webhook).await;
    assert_eq!((now[1].status, now[1].attempts), (DeliveryStatus::Failed, 1));
}

async fn a_webhook_that_failed_for_long_is_disabled_and_what_waits_fails(on: Fixture) {
    let webhook = made(&on, 1, 1).await;
    let events: Vec<_> = (1..=5).map(|version| event(webhook, 5, version)).collect();
    add(&on, &events).await;
    let all = log(&on, webhook).await;
    let day = |days| on.now + TimeDelta::days(days);
    assert_eq!(ended(&on, &all[0], AttemptOutcome::Again(day(1)), on.now).await, []);
    assert_eq!(ended(&on, &all[0], AttemptOutcome::UsedUp, day(2)).await, []);
    let counts = on.store.count_webhooks().await.expect("counts");
    assert_eq!(counts, WebhookCounts { pending: 4, failing: 1, disabled: 0 });
    assert_eq!(ended(&on, &all[1], AttemptOutcome::UsedUp, day(4)).await, [webhook]);
    assert_eq!(status(&on, webhook).await, WebhookStatus::Disabled);
    assert_eq!(due(&on, day(9)).await, Vec::<String>::new());
    assert_eq!(on.store.fail_deliveries(2).await.expect("failed"), 2);
    assert_eq!(on.store.fail_deliveries(2).await.expect("failed"), 1);
    let all = log(&on, webhook).await;
    assert!(all.iter().all(|delivery| delivery.status == DeliveryStatus::Failed), "{all:?}");
    add(&on, &[event(webhook, 5, 6)]).await;
    assert_eq!(log(&on, webhook).await.len(), 5);
    let counts = on.store.count_webhooks().await.expect("counts");
    assert_eq!(counts, WebhookCounts { pending: 0, failing: 0, disabled: 1 });
}

async fn a_success_makes_a_webhook_active_again(on: Fixture) {
    let webhook = made(&on, 1, 1).await;
    add(&on, &[event(webhook, 5, 1)]).await;
    let first = log(&on, webhook).await.remove(0);
    assert_eq!(ended(&on, &first, AttemptOutcome::Gone, on.now).await, [webhook]);
    let ping = NewDelivery {
        webhook,
        event_id: "webhook.ping/1".into(),
        kind: "webhook.ping".into(),
        flight: None,
        payload: "{}".into(),
    };
    let Claim::New(Some(_)) = change(&on, WebhookChange::Ping(ping), None).await else { panic!() };
    assert_eq!(on.store.fail_deliveries(9).await.expect("failed"), 0, "a ping stays");
    assert_eq!(due(&on, on.now).await, ["webhook.ping/1"]);
    let ping = log(&on, webhook).await.remove(1);
    ended(&on, &ping, AttemptOutcome::Delivered, on.now).await;
    let read = on.store.webhook(webhook).await.expect("an answer").expect("a webhook");
    assert_eq!((read.status, read.failing_since), (WebhookStatus::Active, None));
}

async fn deliveries_are_forgotten_with_their_age_and_with_their_webhook(on: Fixture) {
    let (kept, gone) = (made(&on, 1, 1).await, made(&on, 1, 2).await);
    add(&on, &[event(kept, 5, 1), event(kept, 5, 2), event(gone, 5, 1), event(gone, 5, 2)]).await;
    let first = log(&on, kept).await.remove(0);
    ended(&on, &first, AttemptOutcome::Delivered, on.now).await;
    let later = on.now + TimeDelta::seconds(1);
    assert_eq!(on.store.forget_deliveries(on.now, 9).await.expect("forgotten"), 0);
    assert_eq!(on.store.forget_deliveries(later, 9).await.expect("forgotten"), 1);
    assert_eq!(log(&on, kept).await.len(), 1, "what is pending stays");
    on.store.delete_webhook(gone).await.expect("deleted");
    assert_eq!(on.store.forget_deliveries(on.now, 1).await.expect("forgotten"), 1);
    assert_eq!(on.store.forget_deliveries(on.now, 9).await.expect("forgotten"), 1);
    assert_eq!(on.store.forget_deliveries(on.now, 9).await.expect("forgotten"), 0);
    let left = "DELETE FROM webhooks WHERE status = 'deleted'";
    assert_eq!(on.database.plant(left).await, 0, "it went with its last delivery");
}

async fn the_rows_of_events_are_read_by_their_ids(on: Fixture) {
    let flight = on.flight(9).await.id;
    let hold = on.hold(flight, 2).await;
    on.commit(&on.decide(&[Command::Hold(hold.clone())]).await).await;
    let unknown = (FlightId(999), BookingId(999));
    let rows = on.store.event_rows(&[flight, unknown.0], &[hold.order_id(), unknown.1]).await;
    let rows = rows.expect("rows");
    assert_eq!(rows.flights.iter().map(|its| its.id).collect::<Vec<_>>(), [flight]);
    assert_eq!(rows.bookings.iter().map(|its| its.id).collect::<Vec<_>>(), [hold.order_id()]);
    assert_eq!(rows.bookings[0].passengers, None);
    assert!(on.store.event_rows(&[], &[]).await.expect("rows").flights.is_empty());
}
