//! `GET /events`: the log of events, page by page.

mod on_kafka;
mod told;

use crate::support::TestApp;
use airline_booking::bus::Bus as _;
use airline_booking::clock::Clock as _;
use airline_booking::messages::{Headers, Message, Topic};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const PATH: &str = "/api/v1/events";

/// Ids, types and flights of a page's events.
fn shown(page: &Value) -> Vec<(&str, &str, i64)> {
    let events = page["events"].as_array().expect("events").iter();
    events
        .map(|event| {
            let text = |name: &str| event[name].as_str().expect("a text");
            (text("id"), text("type"), event["flight_id"].as_i64().expect("a number"))
        })
        .collect()
}

async fn page(app: &TestApp, query: &str) -> Value {
    let answer = app.get(&format!("{PATH}?{query}")).await;
    assert_eq!(answer.status, 200, "{query} {answer:?}");
    answer.json
}

/// The `next` of a page.
fn next(page: &Value) -> &str {
    page["next"].as_str().expect("a cursor")
}

/// The version in an event's id.
fn version(event: &Value) -> i64 {
    let id = event["id"].as_str().expect("an id");
    id.rsplit('/').next().and_then(|version| version.parse().ok()).expect("a version")
}

/// Two flights, of which the first is booked and then delayed.
async fn some_events(app: &TestApp) -> (i64, i64) {
    let (first, second) = (app.add_flight(9).await, app.add_flight(9).await);
    app.run_until_idle().await;
    assert_eq!(app.book(first, 2).await.status, 201);
    app.run_until_idle().await;
    let delayed = json!({"flight_status": "delayed"});
    assert_eq!(app.put(&format!("/api/v1/flights/{first}"), &delayed).await.status, 200);
    app.run_until_idle().await;
    (first, second)
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_at_the_same_time_wait_for_one_another() {
    let app = TestApp::start().await;
    let headers =
        Headers::from_iter([("ce_type", "flight.updated"), ("ce_id", "flight.updated/7/1")]);
    let event = Message { key: "7".to_owned(), payload: "{}".to_owned(), headers, origin: None };
    let published = [(Topic::AirlineEvents, event)];
    let at_once = (0..16).map(|_| app.bus.publish(&published));
    for published in futures::future::join_all(at_once).await {
        published.expect("published");
    }
    app.finish().await;
}

#[tokio::test]
async fn amounts_of_events_have_the_decimals_of_their_currency() {
    let app = TestApp::start().await;
    some_events(&app).await;
    let text = app.get(&format!("{PATH}?types=booking.completed")).await.text;
    assert!(text.contains(r#""booking_price":5000.00,"#), "{text}");
    app.finish().await;
}

#[tokio::test]
async fn pages_have_every_event_once_and_the_last_repeats_its_cursor() {
    let app = TestApp::start().await;
    let (first, second) = some_events(&app).await;
    let all = page(&app, "").await;
    let kinds: Vec<_> = shown(&all).into_iter().map(|(_, kind, of)| (kind, of)).collect();
    assert_eq!(
        kinds,
        [
            ("flight.created", first),
            ("flight.created", second),
            ("booking.completed", first),
            ("flight.updated", first),
        ]
    );
    let delayed = &all["events"][3];
    assert_eq!(delayed["data"], app.flight(first).await);
    assert_eq!(delayed["time"], "2025-01-01T00:00:00Z");
    let booked = &all["events"][2]["data"];
    assert_eq!((&booked["seats_booked"], &booked["booking_metadata"]), (&json!(2), &Value::Null));
    let (mut after, mut seen) = (String::new(), Vec::new());
    loop {
        let one = page(&app, &format!("limit=1&after={after}")).await;
        if next(&one) == after {
            assert_eq!(one["events"], json!([]));
            break;
        }
        seen.extend(shown(&one).into_iter().map(|(id, ..)| id.to_owned()));
        after = next(&one).to_owned();
    }
    assert_eq!(seen, shown(&all).into_iter().map(|(id, ..)| id).collect::<Vec<_>>());
    assert_eq!(next(&page(&app, &format!("after={after}")).await), after);
    app.finish().await;
}

#[tokio::test]
async fn types_and_a_flight_narrow_a_page_and_its_cursor_moves_on_all_the_same() {
    let app = TestApp::start().await;
    let (first, second) = some_events(&app).await;
    for (query, kinds) in [
        ("types=booking.completed".to_owned(), &["booking.completed"][..]),
        (
            "types=booking.*,%20flight.created".to_owned(),
            &["flight.created", "flight.created", "booking.completed"],
        ),
        (format!("flight={second}"), &["flight.created"]),
        (format!("flight={first}&types=flight.*"), &["flight.created", "flight.updated"]),
        ("types=flight.unheard_of".to_owned(), &[]),
    ] {
        let found = page(&app, &query).await;
        let shown: Vec<_> = shown(&found).into_iter().map(|(_, kind, _)| kind).collect();
        assert_eq!(shown, kinds, "{query}");
        let rest = page(&app, &format!("after={}", next(&found))).await;
        assert_eq!(rest["events"], json!([]), "{query}");
    }
    app.finish().await;
}

#[tokio::test]
async fn what_is_no_cursor_or_breaks_a_rule_is_refused() {
    let app = TestApp::start().await;
    for (query, status, pointer) in [
        ("after=7", 400, "/after"),
        ("after=AQAA=", 400, "/after"),
        ("flight=one", 400, "/flight"),
        ("limit=many", 400, "/limit"),
        ("before=AQAA", 400, "/before"),
        ("limit=0", 422, "/limit"),
        ("limit=1001", 422, "/limit"),
        ("flight=0", 422, "/flight"),
        ("flight=", 400, "/flight"),
        ("types=booking", 422, "/types"),
        ("types=Booking.completed", 422, "/types"),
    ] {
        let answer = app.get(&format!("{PATH}?{query}")).await;
        assert_eq!(answer.status, status, "{query} {answer:?}");
        assert_eq!(answer.json["errors"][0]["pointer"], pointer, "{query}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_cursor_behind_deleted_events_is_410_with_the_way_on_and_a_later_one_stays() {
    let app = TestApp::start().await;
    some_events(&app).await;
    let early = page(&app, "limit=1").await;
    let late = page(&app, "").await;
    let week = chrono::TimeDelta::days(7);
    app.clock.advance(week / 2);
    let flight = app.add_flight(5).await;
    app.run_until_idle().await;
    app.clock.advance(week / 2 + chrono::TimeDelta::seconds(1));
    assert!(app.app.sweeper.forget_events(app.clock.now()).await);
    let gone = app.get(&format!("{PATH}?after={}", next(&early))).await;
    gone.assert_problem(410, "cursor_expired");
    let oldest = gone.json["oldest"].as_str().expect("a cursor");
    let rest = page(&app, &format!("after={oldest}")).await;
    assert_eq!(shown(&rest).len(), 1, "{rest}");
    assert_eq!(rest["events"][0]["flight_id"], flight);
    let gone = app.get(&format!("{PATH}?after={}", next(&late))).await;
    assert_eq!(gone.status, 410, "it was seen too long ago to know that nothing is missing");
    let last = page(&app, &format!("after={}", next(&rest))).await;
    assert_eq!(last["events"], json!([]));
    app.finish().await;
}

#[tokio::test]
async fn events_of_a_flight_stay_in_order_while_it_is_booked() {
    let app = TestApp::start().await;
    let flights = [app.add_flight(40).await, app.add_flight(40).await];
    for round in 1..=20 {
        for flight in flights {
            assert_eq!(app.book(flight, 1).await.status, 201);
            let price = json!({"price": 2_000 + round});
            assert_eq!(app.put(&format!("/api/v1/flights/{flight}"), &price).await.status, 200);
        }
    }
    app.run_until_idle().await;
    let mut versions: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    let all = page(&app, "limit=1000").await;
    for event in all["events"].as_array().expect("events") {
        if event["type"].as_str().is_some_and(|kind| kind.starts_with("flight.")) {
            let flight = event["flight_id"].as_i64().expect("a number");
            versions.entry(flight).or_default().push(version(event));
        }
    }
    assert_eq!(versions.values().map(Vec::len).collect::<Vec<_>>(), [21, 21]);
    assert!(
        versions.values().all(|of_one| of_one.is_sorted_by(|one, next| one < next)),
        "{versions:?}"
    );
    app.finish().await;
}
