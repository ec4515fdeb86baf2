//! Refunds, as the payment worker reads them.

use super::Fixture;
use crate::support::TestDatabase;
use airline_booking::domain::{Money, RefundId, RefundStatus, Timestamp};
use airline_booking::rules::{Command, Hold};
use airline_booking::store::RefundAsked;
use std::collections::HashMap;

on_each_store! {
    refunds_are_read_by_id_with_their_payment_s_currency
    unknown_and_unreadable_refunds_are_left_out
    unanswered_refunds_are_counted_with_the_age_of_the_oldest
}

/// A booking's row and its payment's.
async fn held(on: &Fixture) -> Hold {
    let hold = on.hold(on.flight(9).await.id, 2).await;
    on.commit(&on.decide(&[Command::Hold(hold.clone())]).await).await;
    hold
}

/// Inserts the row of a refund of 12.34.
async fn owe(on: &Fixture, hold: &Hold, number: u128, status: &str) -> RefundId {
    let (amount, at) = match on.database {
        TestDatabase::Sqlite(_) => ("1234", "0"),
        TestDatabase::Postgres(_) => ("12.34", "timestamp 'epoch'"),
    };
    let (id, payment, booking) = (RefundId::from_bits(number), hold.reference, hold.order_id());
    let row = format!(
        "INSERT INTO refunds (id, payment_reference_id, booking_id, amount, reason, status,
                created_at, updated_at)
         VALUES ('{id}', '{payment}', {booking}, {amount}, 'traveller', '{status}', {at}, {at})"
    );
    assert_eq!(on.database.plant(&row).await, 1);
    id
}

async fn refunds_are_read_by_id_with_their_payment_s_currency(on: Fixture) {
    let hold = held(&on).await;
    let mut expected = HashMap::new();
    for (number, status) in
        [(1, RefundStatus::Requested), (2, RefundStatus::Done), (3, RefundStatus::Failed)]
    {
        let id = owe(&on, &hold, number, status.as_str()).await;
        let refund = RefundAsked {
            payment: hold.reference,
            booking_id: hold.order_id(),
            amount: Money::from_minor(1_234),
            currency: "INR".parse().expect("a currency"),
            status,
            is_disputed: false,
        };
        expected.insert(id, refund);
    }
    let ids: Vec<_> = expected.keys().copied().collect();
    let read = on.store.refunds_asked(&ids).await.expect("refunds");
    assert_eq!(read, expected);
    let one = on.store.refunds_asked(&ids[..1]).await.expect("refunds");
    assert_eq!(one.into_keys().collect::<Vec<_>>(), ids[..1]);
    assert!(on.store.refunds_asked(&[]).await.expect("none").is_empty());
}

async fn unknown_and_unreadable_refunds_are_left_out(on: Fixture) {
    let hold = held(&on).await;
    let sound = owe(&on, &hold, 1, "requested").await;
    let odd = owe(&on, &hold, 2, "odd").await;
    let ids = [sound, odd, RefundId::from_bits(3)];
    let read = on.store.refunds_asked(&ids).await.expect("refunds");
    assert_eq!(read.into_keys().collect::<Vec<_>>(), [sound]);
    assert_eq!(on.store.unreadable()["refunds"], 1);
}

async fn unanswered_refunds_are_counted_with_the_age_of_the_oldest(on: Fixture) {
    let hold = held(&on).await;
    let look = async |asked| {
        let backlog = on.store.backlog(on.now, asked).await.expect("a backlog");
        (backlog.unanswered_refunds, backlog.unanswered_refunds_since)
    };
    owe(&on, &hold, 1, "done").await;
    owe(&on, &hold, 2, "failed").await;
    assert_eq!(look(on.now).await, (0, None));
    owe(&on, &hold, 3, "requested").await;
    owe(&on, &hold, 4, "requested").await;
    // A repeated request makes it no younger.
    let later = match on.database {
        TestDatabase::Sqlite(_) => "9999999999999999",
        TestDatabase::Postgres(_) => "timestamp '2200-01-01'",
    };
    on.database.plant(&format!("UPDATE refunds SET updated_at = {later}")).await;
    let epoch = Timestamp::UNIX_EPOCH;
    assert_eq!(look(on.now).await, (2, Some(epoch)));
    assert_eq!(look(epoch).await, (0, None), "too young");
}
