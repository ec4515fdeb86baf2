//! The outbox.

use super::{Fixture, messages};
use airline_booking::domain::Invalidation;
use airline_booking::messages::{Message, Topic};
use airline_booking::rules::Command;
use airline_booking::store::{Backlog, Lane};

on_each_store! {
    the_outbox_keeps_the_order_of_events
    only_the_named_rows_leave_the_outbox
    sent_rows_leave_the_outbox_while_others_wait
    an_unreadable_outbox_row_delays_no_other
    waiting_outbox_rows_are_counted
}

async fn the_outbox_keeps_the_order_of_events(on: Fixture) {
    let flight = on.flight(1_000).await.id;
    // Of each commit one row, and a look takes whole rows.
    for holds in [300, 1] {
        let mut commands = Vec::new();
        for _ in 0..holds {
            commands.push(Command::Hold(on.hold(flight, 1).await));
        }
        on.commit(&on.decide(&commands).await).await;
    }
    let entries = on.outbox(Lane::Requests).await;
    assert_eq!(entries.len(), 2);
    assert!(entries.is_sorted_by_key(|entry| entry.id));
    let requested = |(topic, message): (Topic, Message)| {
        (topic == Topic::PaymentRequests).then(|| message.key.parse().expect("a number"))
    };
    let keys: Vec<i64> = messages(entries.clone()).into_iter().filter_map(requested).collect();
    assert_eq!(keys.len(), 301);
    assert!(keys.is_sorted());
    let look = async |messages| on.store.outbox(Lane::Requests, &[], messages).await;
    assert_eq!(look(300).await.expect("the outbox"), entries[..1]);
    assert_eq!(look(301).await.expect("the outbox"), entries[..2]);
    // The flight's creation is nothing that a booking waits for.
    let facts = messages(on.outbox(Lane::Facts).await);
    assert_eq!(facts.iter().map(|(topic, _)| *topic).collect::<Vec<_>>(), [Topic::AirlineEvents]);
}

async fn only_the_named_rows_leave_the_outbox(on: Fixture) {
    for _ in 0..3 {
        on.flight(1).await;
    }
    let entries = on.outbox(Lane::Facts).await;
    assert_eq!(entries.len(), 3);
    let sent = [entries[0].id, entries[2].id];
    let left = on.store.outbox(Lane::Facts, &sent, 9).await.expect("the outbox");
    assert_eq!(left, entries[1..2]);
    assert_eq!(on.outbox(Lane::Facts).await, entries[1..2]);

    let ended = on.store.invalidations(9).await.expect("ends of answers");
    assert_eq!(ended.len(), 3, "each creation ends its day's answers");
    assert_eq!(on.store.invalidations(2).await.expect("ends of answers"), ended[..2]);
    on.store.forget_invalidations(&[ended[0].0], false).await.expect("forgotten");
    assert_eq!(on.store.invalidations(9).await.expect("ends of answers"), ended[1..]);
    on.store.forget_invalidations(&[ended[1].0, ended[2].0], true).await.expect("replaced");
    let all: Vec<_> = on.store.invalidations(9).await.expect("ends of answers");
    assert_eq!(all.into_iter().map(|(_, ended)| ended).collect::<Vec<_>>(), [Invalidation::All]);
}

async fn sent_rows_leave_the_outbox_while_others_wait(on: Fixture) {
    for _ in 0..40 {
        on.flight(1).await;
    }
    let ids: Vec<i64> = on.outbox(Lane::Facts).await.iter().map(|entry| entry.id).collect();
    let (sent, waiting) = ids.split_at(35);
    let left = on.store.outbox(Lane::Facts, sent, 99).await.expect("the outbox");
    assert_eq!(left.iter().map(|entry| entry.id).collect::<Vec<_>>(), waiting);
    let backlog = on.store.backlog(on.now, on.now).await.expect("a backlog");
    assert_eq!(backlog.outbox, 5);
}

async fn waiting_outbox_rows_are_counted(on: Fixture) {
    let flight = on.flight(10).await.id;
    let ids: Vec<i64> = on.outbox(Lane::Facts).await.iter().map(|entry| entry.id).collect();
    assert_eq!(on.store.outbox(Lane::Facts, &ids, 99).await.expect("the outbox"), []);
    let later = on.now + chrono::TimeDelta::minutes(5);
    let nothing = on.store.backlog(later, later).await.expect("a backlog");
    assert_eq!(nothing, Backlog::default());

    for _ in 0..2 {
        let hold = on.hold(flight, 1).await;
        on.commit(&on.decide(&[Command::Hold(hold)]).await).await;
    }
    let waiting = on.store.backlog(on.now, on.now).await.expect("a backlog");
    assert_eq!((waiting.stuck_bookings, waiting.unanswered_payments), (0, 0));
    let late = on.store.backlog(later, later).await.expect("a backlog");
    assert_eq!((late.stuck_bookings, late.unanswered_payments, late.outbox), (2, 2, 2));
    let since = late.outbox_since.expect("a message waits");
    assert!((since - on.now).abs() < chrono::TimeDelta::milliseconds(1), "{since}");
}

async fn an_unreadable_outbox_row_delays_no_other(on: Fixture) {
    for _ in 0..4 {
        on.flight(1).await;
    }
    let ids: Vec<i64> = on.outbox(Lane::Facts).await.iter().map(|entry| entry.id).collect();
    let later = r#"[["a-topic-of-a-later-release",{"key":"1","payload":"{}"}]]"#;
    on.database.plant(&format!("UPDATE outbox SET body = '{later}' WHERE id = {}", ids[0])).await;
    on.database.plant(&format!("UPDATE outbox SET body = 'damaged' WHERE id = {}", ids[1])).await;
    let readable = async |messages| {
        let look = on.store.outbox(Lane::Facts, &[], messages).await.expect("the outbox");
        look.iter().map(|entry| entry.id).collect::<Vec<_>>()
    };
    assert_eq!(readable(99).await, ids[2..]);
    assert_eq!(readable(1).await, ids[2..3], "more unreadable messages than a look takes");
    assert_eq!(on.store.outbox(Lane::Facts, &ids[2..], 99).await.expect("the outbox"), []);
    assert_eq!(on.store.unreadable()["outbox"], 2);
    let backlog = on.store.backlog(on.now, on.now).await.expect("a backlog");
    assert_eq!(backlog.outbox, 2, "the rows are still there");

    on.database.plant("UPDATE outdated_answers SET body = 'damaged'").await;
    let outdated = on.store.invalidations(99).await.expect("ends of answers");
    assert!(!outdated.is_empty());
    assert!(outdated.iter().all(|(_, ended)| *ended == Invalidation::All), "{outdated:?}");
}
