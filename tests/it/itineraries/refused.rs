//! Questions that are refused, each with the field and the rule that it breaks.

use super::{SEARCH, app_with_connections};
use crate::support::{Answer, TestApp};
use serde_json::{Value, json};

fn assert_named(answer: &Answer, status: u16, pointers: &[&str], asked: &str) {
    let code = if status == 400 { "malformed_request" } else { "validation_failed" };
    assert_eq!(answer.json["code"], code, "{asked}: {answer:?}");
    answer.assert_problem(status, code);
    assert_eq!(answer.pointers(), pointers, "{asked}");
}

#[tokio::test]
async fn a_search_that_breaks_a_rule_is_refused() {
    let app = TestApp::start().await;
    let sound = "source=Delhi&destination=Mumbai&date=2025-01-20";
    for (more, status, pointers) in [
        ("&max_stops=3", 422, &["/max_stops"][..]),
        ("&max_stops=-1", 422, &["/max_stops"]),
        ("&max_stops=x", 400, &["/max_stops"]),
        ("&seats=0", 422, &["/seats"]),
        ("&seats=x", 400, &["/seats"]),
        ("&limit=0", 422, &["/limit"]),
        ("&limit=201", 422, &["/limit"]),
        ("&sort=stops", 400, &["/sort"]),
        ("&stops=1", 400, &["/stops"]),
        ("&max_stops=3&seats=0&limit=0", 422, &["/max_stops", "/limit", "/seats"]),
    ] {
        let answer = app.get(&format!("{SEARCH}?{sound}{more}")).await;
        assert_named(&answer, status, pointers, more);
    }
    for (query, status, pointers) in [
        ("", 400, &["/source", "/destination", "/date"][..]),
        ("source=%20&destination=Mumbai&date=2025-01-20", 400, &["/source"]),
        ("source=Delhi&destination=Mumbai&date=2025-02-30", 400, &["/date"]),
        ("source=Delhi&destination=Mumbai&date=20250120", 400, &["/date"]),
        ("source=Delhi&destination=DELHI&date=2025-01-20", 422, &["/destination"]),
    ] {
        let answer = app.get(&format!("{SEARCH}?{query}")).await;
        assert_named(&answer, status, pointers, query);
    }
    app.finish().await;
}

#[tokio::test]
async fn a_calendar_that_breaks_a_rule_is_refused() {
    let app = TestApp::start().await;
    for (query, status, pointers) in [
        ("source=Delhi&destination=Mumbai", 400, &["/month"][..]),
        ("source=Delhi&destination=Mumbai&month=2025-13", 400, &["/month"]),
        ("source=Delhi&destination=Mumbai&month=2025-1", 400, &["/month"]),
        ("source=Delhi&destination=Mumbai&month=2025-01-01", 400, &["/month"]),
        ("source=Delhi&destination=Mumbai&month=2025-01&seats=x", 400, &["/seats"]),
        ("source=Delhi&destination=Mumbai&month=2025-01&date=1", 400, &["/date"]),
        ("source=Delhi&destination=Mumbai&month=2025-01&seats=0", 422, &["/seats"]),
        ("source=Delhi&destination=delhi&month=2025-01", 422, &["/destination"]),
    ] {
        let answer = app.get(&format!("/api/v1/flights/calendar?{query}")).await;
        assert_named(&answer, status, pointers, query);
    }
    app.finish().await;
}

#[tokio::test]
async fn legs_that_break_a_rule_are_refused() {
    let app = app_with_connections().await;
    let leg = |date: &str| json!({"source": "Delhi", "destination": "Mumbai", "date": date});
    let legs =
        |dates: &[&str]| json!({"legs": dates.iter().map(|date| leg(date)).collect::<Value>()});
    let changed = |field: &str, value: Value| {
        let mut body = legs(&["2025-01-20", "2025-01-21"]);
        body["legs"][1][field] = value;
        body
    };
    for (body, pointers) in [
        (json!({}), &["/legs"][..]),
        (json!({"legs": null}), &["/legs"]),
        (json!({"legs": []}), &["/legs"]),
        (legs(&["2025-01-20"; 9]), &["/legs"]),
        (json!({"legs": 1}), &["/legs"]),
        (json!({"legs": [1]}), &["/legs/0"]),
        (legs(&["2025-01-20", "2025-01-19"]), &["/legs/1/date"]),
        (changed("date", json!("2025-02-30")), &["/legs/1/date"]),
        (changed("date", json!(20_250_121)), &["/legs/1/date"]),
        (changed("date", Value::Null), &["/legs/1/date"]),
        (changed("source", json!(" ")), &["/legs/1/source"]),
        (changed("source", json!("mumbai")), &["/legs/1/destination"]),
        (changed("source", json!("x".repeat(101))), &["/legs/1/source"]),
        (changed("via", json!("Pune")), &["/legs/1/via"]),
        (json!({"legs": [leg("2025-01-20")], "seats": 0}), &["/seats"]),
        (json!({"legs": [leg("2025-01-20")], "seats": "two"}), &["/seats"]),
        (json!({"legs": [{}]}), &["/legs/0/source", "/legs/0/destination", "/legs/0/date"]),
    ] {
        let answer = app.post(SEARCH, &body).await;
        assert_named(&answer, 422, pointers, &body.to_string());
    }
    let eight = app.post(SEARCH, &legs(&["2025-01-20"; 8])).await;
    assert_eq!(eight.status, 200, "{eight:?}");
    assert_eq!(eight.json["legs"].as_array().map(Vec::len), Some(8));
    app.finish().await;
}
