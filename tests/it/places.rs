//! Places are found in any spelling, and shown as they were entered.

use crate::support::{TestApp, eventually, flight};
use airline_booking::clock::Clock as _;
use airline_booking::domain::route_key;
use http::Uri;
use serde_json::json;
use std::time::Duration;

async fn add(app: &TestApp, source: &str, destination: &str) -> crate::support::Answer {
    let mut body = flight(10);
    body["source"] = json!(source);
    body["destination"] = json!(destination);
    app.post("/api/v1/flights", &body).await
}

/// How many flights a search from a place finds.
async fn found(app: &TestApp, source: &str, destination: &str) -> u64 {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("source", source)
        .append_pair("destination", destination)
        .append_pair("date", "2025-01-20")
        .finish();
    let path: Uri = format!("/api/v1/flights/search?{query}").parse().expect("a path");
    let answer = app.get(&path.to_string()).await;
    answer.json["count"].as_u64().unwrap_or_else(|| panic!("{answer:?}"))
}

#[tokio::test]
async fn a_city_is_found_in_any_spelling() {
    let app = TestApp::start().await;
    for (given, asked) in [
        ("São Paulo", &["Sa\u{303}o Paulo", "sao paulo", "SAO\u{a0}PAULO", "São  Paulo"][..]),
        ("İstanbul", &["istanbul", "Istanbul", "ISTANBUL", "İSTANBUL"]),
        ("Παρος", &["ΠΑΡΟΣ", "παροσ"]),
        ("Straße", &["STRASSE", "strasse"]),
        ("New\u{202f}York", &["New York", "new  york"]),
        ("O’Hare", &["O'Hare"]),
        ("पुणे", &["पुणे"]),
    ] {
        let created = add(&app, given, "Lima").await;
        assert_eq!(created.status, 201, "{created:?}");
        assert_eq!(created.json["source"], given, "names are shown as they were given");
        for place in asked.iter().chain([&given]) {
            assert_eq!(found(&app, place, "LIMA").await, 1, "{given} as {place}");
        }
    }
    assert_eq!(found(&app, "पणे", "Lima").await, 0);
    app.finish().await;
}

#[tokio::test]
async fn a_route_between_two_spellings_of_one_city_is_refused() {
    let app = TestApp::start().await;
    for (source, destination) in [("São", "Sa\u{303}o"), ("İzmir", "izmir"), ("Straße", "STRASSE")]
    {
        let refused = add(&app, source, destination).await;
        assert_eq!(refused.status, 422, "{refused:?}");
        assert_eq!(refused.json["errors"][0]["pointer"], "/destination", "{refused:?}");
    }
    let refused = add(&app, "\u{200b}", "Lima").await;
    assert_eq!(refused.status, 422, "{refused:?}");
    app.finish().await;
}

#[tokio::test]
async fn route_keys_of_an_earlier_release_are_rewritten_at_the_start() {
    let app = TestApp::start().await;
    let id = add(&app, "São Paulo", "Lima").await.json["id"].as_i64().expect("an id");
    let plain = add(&app, "Quito", "Lima").await.json["id"].as_i64().expect("an id");
    for (id, key) in [(id, "são paulo#lima"), (plain, "as it was#lima")] {
        let old = format!("UPDATE flights SET route = '{key}' WHERE id = {id}");
        assert_eq!(app.database.plant(&old).await, 1);
    }
    app.database.plant("DELETE FROM route_keys").await;
    assert_eq!(found(&app, "sao paulo", "lima").await, 0, "an answer that is kept");

    let opened = app.database.open(Duration::ZERO, app.clock.clone()).await;
    let from = app.clock.now();
    let until = from + chrono::TimeDelta::days(30);
    let key = route_key("sao paulo", "lima");
    let flights = opened.store.search(&key, from, until).await.expect("found");
    assert_eq!(flights.iter().map(|flight| flight.id.0).collect::<Vec<_>>(), [id]);
    let kept = opened.store.search("as it was#lima", from, until).await.expect("found");
    assert_eq!(kept.len(), 1, "a key that is ASCII stays as it is");
    // Answers cached under the earlier keys end.
    eventually("a search that finds it", async || found(&app, "sao paulo", "lima").await > 0).await;
    opened.close.close().await;
    app.finish().await;
}
