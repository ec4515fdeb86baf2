//! Corrections, cancellations of passengers and erasures of one booking at the same moments: none is lost.

mod replicas;

use super::{cancel, mend, timeline};
use crate::support::TestApp;
use crate::support::people::{MARK, USER, all_bytes, count, party};
use airline_booking::clock::Clock as _;
use airline_booking::domain::UserId;
use airline_booking::people::erase::Erase;
use futures::future::join_all;
use serde_json::json;

/// Bookings that the rounds of a race are about.
const ROUNDS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn corrections_cancellations_and_an_erasure_of_one_booking_lose_nothing() {
    let app = TestApp::start().await;
    let flight = app.add_flight(400).await;
    let mut bookings = Vec::new();
    for number in 0..ROUNDS {
        let body = party(flight, 3, &format!("n{number}"));
        bookings.push(app.post("/api/v1/bookings", &body).await.booking_id());
    }
    app.run_until_idle().await;
    let race = async |id: i64| {
        let (email, phone, name) = (
            json!({"email": format!("{MARK}-a@example.com")}),
            json!({"phone": "5550100"}),
            json!({"name": format!("{MARK} corrected")}),
        );
        let changes =
            [mend(&app, id, 0, &email), mend(&app, id, 0, &phone), mend(&app, id, 1, &name)];
        let (changed, gone) =
            tokio::join!(join_all(changes), cancel(&app, id, json!({"passengers": [2]})));
        assert_eq!(gone.status, 200, "{gone:?}");
        changed.iter().map(|answer| answer.status.as_u16()).collect::<Vec<_>>()
    };
    let races = join_all(bookings.iter().map(|id| race(*id)));
    let erase = Erase { store: &*app.store, user: UserId(USER), all: true, now: app.clock.now() };
    let (answers, erased) = tokio::join!(races, async {
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        erase.run().await
    });
    assert_eq!(erased.expect("erased").bookings, ROUNDS);
    for (id, statuses) in bookings.iter().zip(answers) {
        let shown = app.booking(*id).await;
        assert!(statuses.iter().all(|status| [200, 409].contains(status)), "{statuses:?}");
        assert_eq!(shown["booking_metadata"].as_array().map(Vec::len), Some(3), "{shown}");
        for at in 0..3 {
            assert_eq!(shown["booking_metadata"][at]["name"], "Erased", "{shown}");
        }
        assert_eq!((&shown["seats_booked"], &shown["status"]), (&json!(2), &json!("completed")));
        assert_eq!(shown["booking_metadata"][2]["status"], "cancelled");
    }
    // What came between two of its pages is scrubbed by the next run.
    erase.run().await.expect("scrubbed again");
    app.run_until_idle().await;
    assert_eq!(count(&all_bytes(&app.database).await, MARK), 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn corrections_at_the_same_moment_are_all_made_and_all_in_the_history() {
    let app = TestApp::start().await;
    let flight = app.add_flight(400).await;
    let mut bookings = Vec::new();
    for _ in 0..ROUNDS {
        bookings.push(app.book(flight, 2).await.booking_id());
    }
    app.run_until_idle().await;
    let race = async |id: i64| {
        let bodies = [
            (0, json!({"name": "Corrected"})),
            (0, json!({"email": "corrected@example.com"})),
            (0, json!({"phone": "5550100"})),
            (1, json!({"phone": "5550199"})),
        ];
        let answers = join_all(bodies.iter().map(|(at, body)| mend(&app, id, *at, body))).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        let shown = app.booking(id).await["booking_metadata"].clone();
        for (at, body) in bodies {
            for (field, value) in body.as_object().expect("an object") {
                assert_eq!(shown[at as usize][field], *value, "{shown}");
            }
        }
        let events = timeline::of(&app, id).await;
        let changes = events.iter().filter(|event| event["type"] == "passenger.changed");
        assert_eq!(changes.count(), 4);
    };
    join_all(bookings.iter().map(|id| race(*id))).await;
    app.finish().await;
}
