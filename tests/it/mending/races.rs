//! Corrections, cancellations of passengers and erasures of one booking at the same moments: none is lost.

use super::{cancel, mend, timeline};
use crate::support::people::{MARK, USER, all_bytes, count, party};
use crate::support::replicas::Replicas;
use crate::support::{TestApp, booking};
use airline_booking::clock::Clock as _;
use airline_booking::domain::UserId;
use airline_booking::people::erase::Erase;
use futures::future::join_all;
use serde_json::{Value, json};

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

#[tokio::test(flavor = "multi_thread")]
async fn replicas_lose_no_correction_and_no_cancellation() {
    let replicas = Replicas::new().await.start(2).await;
    let mut body = crate::support::flight(900);
    body["timestamp"] = json!("2099-01-20T10:00:00Z");
    let made = replicas.client.post(replicas.url(0, "/api/v1/flights")).json(&body).send().await;
    let made: Value = made.expect("an answer").json().await.expect("JSON");
    let flight = made["id"].as_i64().unwrap_or_else(|| panic!("no flight: {made}"));
    let mut placed: Vec<Value> = Vec::new();
    for at in 0..ROUNDS {
        let post = replicas.client.post(replicas.url(at % 2, "/api/v1/bookings"));
        let answer = post.json(&booking(flight, 3)).send().await.expect("an answer");
        placed.push(answer.json().await.expect("JSON"));
    }
    replicas.expect_ended(&placed).await;
    let race = async |at: usize, id: i64| {
        let mend = async |replica: usize, place: usize, body: Value| {
            let path = format!("/api/v1/bookings/{id}/passengers/{place}");
            let answer = replicas.client.patch(replicas.url(replica % 2, &path)).json(&body);
            answer.send().await.expect("an answer").status().as_u16()
        };
        let cancel = async {
            let url = replicas.url(at % 2, &format!("/api/v1/bookings/{id}/cancel"));
            let answer = replicas.client.post(url).json(&json!({"passengers": [2]})).send().await;
            answer.expect("an answer").status().as_u16()
        };
        let told = tokio::join!(
            mend(at, 0, json!({"name": "Corrected"})),
            mend(at + 1, 0, json!({"email": "corrected@example.com"})),
            mend(at + 1, 1, json!({"phone": "5550100"})),
            cancel
        );
        assert_eq!(told, (200, 200, 200, 200), "booking {id}");
        let shown = replicas.get(at % 2, &format!("/api/v1/bookings/{id}")).await;
        let passengers = &shown["booking_metadata"];
        assert_eq!(passengers[0]["name"], "Corrected", "{shown}");
        assert_eq!(passengers[0]["email"], "corrected@example.com", "{shown}");
        assert_eq!(passengers[1]["phone"], "5550100", "{shown}");
        assert_eq!(
            (&passengers[2]["status"], &shown["seats_booked"]),
            (&json!("cancelled"), &json!(2))
        );
    };
    let ids = placed.iter().map(|placed| placed["booking_id"].as_i64().expect("an id"));
    join_all(ids.enumerate().map(|(at, id)| race(at, id))).await;
}
