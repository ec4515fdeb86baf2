//! What `airline-events` tells of those who wait.

use crate::support::TestApp;
use crate::told::news;
use airline_booking::bus::Bus as _;
use airline_booking::messages::Topic;
use serde_json::json;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn each_step_of_an_entry_is_told_once() {
    let app = TestApp::start().await;
    let mut events = app.bus.listen(Topic::AirlineEvents).await.expect("a listener");
    let (flight, sold) = app.sold_out(1).await;
    let mut line = Vec::new();
    for user in [7, 8, 9, 10] {
        line.push(app.join(flight, user, 1).await);
    }
    assert_eq!(app.leave(line[3]).await.json["status"], "left");
    app.give_up(sold[0]).await;
    app.until_entry_is(line[0], "offered").await;
    app.answer(line[0], "decline", &json!({})).await;
    app.until_entry_is(line[1], "offered").await;
    app.pass(Duration::from_secs(31 * 60)).await;
    app.until_entry_is(line[2], "offered").await;
    app.answer(line[2], "accept", &json!({})).await;
    app.pass(Duration::from_secs(1)).await;
    app.run_until_idle().await;

    let mut told = news(&mut *events).await;
    told.retain(|(id, ..)| id.starts_with("waitlist."));
    assert!(told.iter().all(|(_, key, _)| *key == flight.to_string()), "{told:?}");
    for (entry, words) in std::iter::zip(
        &line,
        [
            vec!["joined", "offered", "declined"],
            vec!["joined", "offered", "lapsed"],
            vec!["joined", "offered", "promoted"],
            vec!["joined", "left"],
        ],
    ) {
        let of_entry: Vec<_> =
            told.iter().filter(|(id, ..)| id.ends_with(&format!("/{entry}"))).collect();
        let ids: Vec<_> = of_entry.iter().map(|(id, ..)| id.clone()).collect();
        assert_eq!(
            ids,
            words.iter().map(|word| format!("waitlist.{word}/{entry}")).collect::<Vec<_>>()
        );
        if words.len() == 3 {
            let (offered, ended) = (&of_entry[1].2, &of_entry[2].2);
            assert_eq!(
                (&offered["booking_id"], &ended["booking_id"]),
                (&json!(entry), &json!(entry))
            );
            assert!(offered["pay_by"].is_string() && ended["pay_by"].is_null(), "{of_entry:?}");
        }
    }
    let lapsed = told.iter().find(|(id, ..)| id.starts_with("waitlist.lapsed")).expect("told");
    assert_eq!(lapsed.2["reason"], "offer_expired");
    app.finish().await;
}
