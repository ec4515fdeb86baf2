//! How often one may guess.

use super::{FIND, find_as, placed, reference};
use crate::support::TestApp;
use airline_booking::config::RateLimit;
use futures::future::join_all;
use serde_json::json;

#[tokio::test]
async fn a_client_misses_five_times_a_minute_and_finds_as_often_as_it_likes() {
    let app = TestApp::start().await;
    let reference = reference(&placed(&app, &["Asha Rao"]).await);
    for _ in 0..20 {
        assert_eq!(find_as(&app, 1, &reference, "Rao").await.status, 200);
        app.post(FIND, &json!({"reference": ""})).await.assert_problem(422, "validation_failed");
    }
    for _ in 0..5 {
        find_as(&app, 1, &reference, "Iyer").await.assert_problem(404, "not_found");
    }
    for name in ["Iyer", "Rao"] {
        let refused = find_as(&app, 1, &reference, name).await;
        refused.assert_problem(429, "rate_limited");
        let wait: u64 = refused.header("retry-after").expect("a time").parse().expect("seconds");
        assert!((1..=12).contains(&wait), "{wait}");
    }
    // Others are not concerned, nor are other paths.
    assert_eq!(find_as(&app, 2, &reference, "Rao").await.status, 200);
    assert_eq!(app.get("/api/v1/bookings/1").await.status, 200);
    app.finish().await;
}

#[tokio::test]
async fn misses_at_the_same_moment_are_as_many_as_misses_one_after_the_other() {
    let app = TestApp::start().await;
    let reference = reference(&placed(&app, &["Asha Rao"]).await);
    let asked = (0..50).map(|_| find_as(&app, 1, &reference, "Iyer"));
    let answers = join_all(asked).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 404).count(), 5);
    assert_eq!(answers.iter().filter(|answer| answer.status == 429).count(), 45);
    app.finish().await;
}

#[tokio::test]
async fn all_clients_together_miss_a_hundred_times_a_minute() {
    let app = TestApp::start().await;
    let reference = reference(&placed(&app, &["Asha Rao"]).await);
    let asked = (0..130).map(|client| find_as(&app, client, &reference, "Iyer"));
    let answers = join_all(asked).await;
    let missed = answers.iter().filter(|answer| answer.status == 404).count();
    assert!((100..105).contains(&missed), "{missed}");
    let refused = find_as(&app, 999, &reference, "Rao").await;
    if refused.status == 429 {
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    assert_eq!(app.get("/api/v1/bookings/1").await.status, 200);
    app.finish().await;
}

#[tokio::test]
async fn a_find_counts_as_a_request_too() {
    let app = TestApp::with(|config| {
        config.rate_limit = Some(RateLimit { per_second: 1, burst: 3 });
    })
    .await;
    for _ in 0..3 {
        find_as(&app, 1, "ABCDEF", "Rao").await.assert_problem(404, "not_found");
    }
    let refused = find_as(&app, 1, "ABCDEF", "Rao").await;
    refused.assert_problem(429, "rate_limited");
    assert_eq!(refused.header("ratelimit-policy"), Some("\"client\";q=3;w=3"));
    app.finish().await;
}
