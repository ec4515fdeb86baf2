//! Messages to travellers: added once, taken by one sender at a time, gone with their passengers.

use super::Fixture;
use airline_booking::domain::{BookingId, Channel, MessageKind};
use airline_booking::rules::Command;
use airline_booking::store::{
    MessageDone, MessageOutcome, NewMessage, PendingMessages, TakenMessage,
};
use chrono::TimeDelta;

on_each_store! {
    a_message_is_added_once
    a_message_that_is_taken_is_nobody_else_s_for_a_while
    what_became_of_a_message_is_noted_with_the_next_take
    several_senders_never_take_the_same_message
    messages_go_with_their_passengers_and_are_not_added_behind_them
    pending_messages_are_counted_by_channel
}

/// A booking that is held.
async fn held(on: &Fixture) -> BookingId {
    let hold = on.hold(on.flight(9).await.id, 2).await;
    on.commit(&on.decide(&[Command::Hold(hold.clone())]).await).await;
    hold.order_id()
}

fn message(booking_id: BookingId, id: &str, recipient: &str) -> NewMessage {
    NewMessage {
        id: id.into(),
        event_id: format!("booking.completed/{booking_id}"),
        channel: Channel::Mail,
        recipient: recipient.into(),
        booking_id,
        kind: MessageKind::BookingCompleted,
        message_id: Some(format!("<{id}@a.example>")),
    }
}

impl Fixture {
    async fn take(&self, done: Option<&MessageDone>, after: i64) -> Option<TakenMessage> {
        let now = self.now + TimeDelta::seconds(after);
        let until = now + TimeDelta::seconds(10);
        self.store.take_message(Channel::Mail, done, now, until).await.expect("an answer")
    }

    async fn statuses(&self, booking: BookingId) -> Vec<String> {
        let held = self.store.messages_held(&[booking]).await.expect("messages");
        held.into_iter().map(|message| message.status).collect()
    }
}

async fn a_message_is_added_once(on: Fixture) {
    let booking = held(&on).await;
    let [one, again, other] = [("1", "a@b"), ("2", "a@b"), ("3", "c@b")]
        .map(|(id, recipient)| message(booking, id, recipient));
    let add = async |messages: &[NewMessage]| {
        on.store.add_messages(messages, on.now).await.expect("added")
    };
    assert_eq!(add(&[one.clone(), again.clone()]).await, 1);
    assert_eq!(add(&[again, other]).await, 1);
    assert_eq!(add(&[]).await, 0);
    let by_sms = NewMessage { id: "4".into(), channel: Channel::Sms, message_id: None, ..one };
    assert_eq!(add(&[by_sms]).await, 1);
    let read = on.store.bookings_with_passengers(&[booking, BookingId(9_999)]).await.expect("read");
    assert_eq!((read.len(), read[0].id), (1, booking));
    assert_eq!(read[0].passengers.as_ref().map(|all| all.len()), Some(2));
}

async fn a_message_that_is_taken_is_nobody_else_s_for_a_while(on: Fixture) {
    let booking = held(&on).await;
    on.store.add_messages(&[message(booking, "1", "a@b")], on.now).await.expect("added");
    assert_eq!(on.take(None, -1).await, None, "it is not due");
    let taken = on.take(None, 0).await.expect("it is due");
    assert_eq!((taken.attempts, taken.booking_id), (1, booking));
    assert_eq!(taken.message_id.as_deref(), Some("<1@a.example>"));
    assert_eq!(taken.created_at, on.now);
    assert_eq!(on.take(None, 9).await, None);
    let again = on.take(None, 10).await.expect("its sender did not note anything");
    assert_eq!(again, TakenMessage { attempts: 2, ..taken });
}

async fn what_became_of_a_message_is_noted_with_the_next_take(on: Fixture) {
    let booking = held(&on).await;
    let all: Vec<_> = ["1", "2", "3"].map(|id| message(booking, id, id)).into();
    on.store.add_messages(&all, on.now).await.expect("added");
    let done = |id: &str, outcome| MessageDone { id: id.into(), outcome };
    let first = on.take(None, 0).await.expect("a message");
    let sent = done(&first.id, MessageOutcome::Sent);
    let second = on.take(Some(&sent), 1).await.expect("a message");
    let failed = done(&second.id, MessageOutcome::Failed);
    let third = on.take(Some(&failed), 1).await.expect("a message");
    assert_eq!(on.statuses(booking).await, ["sent", "failed", "pending"]);
    let later = done(&third.id, MessageOutcome::Later(on.now + TimeDelta::seconds(60)));
    assert_eq!(on.take(Some(&later), 59).await, None);
    let third = on.take(None, 60).await.expect("it is due");
    assert_eq!(third.attempts, 2);
    let untried = done(&third.id, MessageOutcome::Untried(on.now + TimeDelta::seconds(70)));
    on.store.note_message(&untried, on.now).await.expect("noted");
    assert_eq!(on.take(None, 70).await.expect("it is due").attempts, 2);
    // A note that comes twice, or late, changes no ended message.
    let late = done(&first.id, MessageOutcome::Failed);
    on.store.note_message(&late, on.now).await.expect("noted");
    on.store.drop_message(&third.id).await.expect("dropped");
    assert_eq!(on.statuses(booking).await, ["sent", "failed"]);
    let life = on.store.life(booking).await.expect("a life").expect("a booking");
    let told: Vec<_> = life.messages.iter().map(|ended| (ended.channel, ended.is_sent)).collect();
    assert_eq!(told, [(Channel::Mail, true), (Channel::Mail, false)]);
    assert_eq!(life.messages[0].at, on.now + TimeDelta::seconds(1));
}

async fn several_senders_never_take_the_same_message(on: Fixture) {
    let booking = held(&on).await;
    let all: Vec<_> = (0..60)
        .map(|number| message(booking, &format!("{number:02}"), &number.to_string()))
        .collect();
    on.store.add_messages(&all, on.now).await.expect("added");
    let sender = || async {
        let mut taken = Vec::new();
        while let Some(message) = on.take(None, 0).await {
            taken.push(message.id);
        }
        taken
    };
    let (one, two, three) = tokio::join!(sender(), sender(), sender());
    let mut taken = [one, two, three].concat();
    taken.sort();
    let expected: Vec<_> = all.into_iter().map(|message| message.id).collect();
    assert_eq!(taken, expected);
}

async fn messages_go_with_their_passengers_and_are_not_added_behind_them(on: Fixture) {
    let booking = held(&on).await;
    on.store.add_messages(&[message(booking, "1", "a@b")], on.now).await.expect("added");
    on.store.erase_passengers(&[booking], None, on.now).await.expect("erased");
    assert!(on.statuses(booking).await.is_empty());
    let added = on.store.add_messages(&[message(booking, "2", "a@b")], on.now).await;
    assert_eq!(added.expect("an answer"), 0);
}

async fn pending_messages_are_counted_by_channel(on: Fixture) {
    assert_eq!(on.store.count_messages().await.expect("counts"), []);
    let booking = held(&on).await;
    on.store.add_messages(&[message(booking, "1", "a@b")], on.now).await.expect("added");
    let later = on.now + TimeDelta::seconds(5);
    on.store.add_messages(&[message(booking, "2", "c@b")], later).await.expect("added");
    let counts = on.store.count_messages().await.expect("counts");
    assert_eq!(counts, [PendingMessages { channel: Channel::Mail, count: 2, since: on.now }]);
}
