//! Bodies about itineraries are read strictly, and a refusal names every fault.

use super::{PATH, all, at_rest, cancel, itinerary, journey, paid};
use crate::support::{Answer, TestApp};
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

async fn send(app: &TestApp, path: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post(path).header("content-type", "application/json");
    app.send(request.body(body.into()).expect("a request")).await
}

#[tokio::test]
async fn unreadable_fields_are_all_named_and_nothing_changes() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 9).await;
    let with = |field: &str, value: Value| {
        let mut body = itinerary(&flights, 1);
        body[field] = value;
        body
    };
    let first = json!({"flight_id": flights[0]});
    app.run_until_idle().await;
    let before = at_rest(&app, &flights).await;
    for (body, pointers) in [
        (with("segments", json!([first, {"flight_id": "2"}])), &["/segments/1/flight_id"][..]),
        (with("segments", json!([first, 2])), &["/segments/1"]),
        (with("segments", json!([first, null])), &["/segments/1"]),
        (with("segments", json!({"flight_id": 1})), &["/segments"]),
        (with("segments", json!("1,2")), &["/segments"]),
        (with("segments", Value::Null), &["/segments"]),
        (with("segments", json!([first, {"flight_id": 1.5}])), &["/segments/1/flight_id"]),
        (with("segments", json!([{"id": 7, "flight_id": 7}])), &["/segments/0/id"]),
        (
            with("segments", json!([{"flight": 7}])),
            &["/segments/0/flight", "/segments/0/flight_id"],
        ),
        (with("user_id", json!("123")), &["/user_id"]),
        (with("payment", json!("never")), &["/payment"]),
        (with("payment", json!(1)), &["/payment"]),
        (with("price_expected", json!(5)), &["/price_expected"]),
        (with("flight_id", json!(1)), &["/flight_id"]),
        (with("itinerary_id", json!(1)), &["/itinerary_id"]),
    ] {
        let refused = app.post(PATH, &body).await;
        refused.assert_problem(422, "validation_failed");
        assert_eq!(refused.pointers(), pointers, "{body} {refused:?}");
    }
    let mut many = with("segment", json!([]));
    many["segments"] = json!([{"flight_id": "x"}, {"flight_id": 0}]);
    many["user_id"] = json!(-1);
    many["passenger_details"][0]["age"] = json!(200);
    let refused = app.post(PATH, &many).await;
    let mut pointers = refused.pointers();
    pointers.sort_unstable();
    let expected = [
        "/passenger_details/0/age",
        "/segment",
        "/segments/0/flight_id",
        "/segments/1/flight_id",
        "/user_id",
    ];
    assert_eq!(pointers, expected, "{refused:?}");
    assert!(refused.text.contains("did you mean \\\"segments\\\"?"), "{refused:?}");
    assert_eq!(all(&app, &flights).await, before);
    app.finish().await;
}

#[tokio::test]
async fn duplicate_fields_and_unusual_numbers_are_read_as_elsewhere() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 9).await;
    let sound = itinerary(&flights, 1).to_string();
    let twice = sound.replace("\"seats_booked\":1", "\"seats_booked\":2,\"seats_booked\":1");
    let refused = send(&app, PATH, twice).await;
    refused.assert_problem(422, "validation_failed");
    assert!(refused.pointers().contains(&"/seats_booked"), "{refused:?}");
    let twice = sound.replacen("\"flight_id\":1", "\"flight_id\":1,\"flight_id\":2", 1);
    let refused = send(&app, PATH, twice).await;
    assert_eq!(refused.pointers(), ["/segments/0/flight_id"], "{refused:?}");
    let plain = sound.replacen("\"flight_id\":1", "\"flight_id\":1.0", 1);
    assert_eq!(send(&app, PATH, plain.replace(":123", ":123e0")).await.status, 201);
    app.finish().await;
}

#[tokio::test]
async fn huge_and_deep_bodies_are_refused_at_once() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 9).await;
    let id = paid(&app, &flights, 1).await;
    let before = at_rest(&app, &flights).await;
    let many = |element: &str, times: usize| vec![element; times].join(",");
    let with = |segments: String| {
        let sound = itinerary(&[], 1).to_string();
        sound.replace("\"segments\":[]", &format!("\"segments\":[{segments}]"))
    };
    let huge = send(&app, PATH, with(many(r#"{"flight_id":1}"#, 100_000))).await;
    huge.assert_problem(413, "body_too_large");
    for element in [r#"{"flight_id":1}"#, "{}"] {
        let long = send(&app, PATH, with(many(element, 4_000))).await;
        long.assert_problem(422, "validation_failed");
        assert_eq!(long.pointers(), ["/segments"], "{}", &long.text[..200]);
    }
    for element in ["1", r#"{"flight_id":"x"}"#, r#"{"x":1}"#] {
        let long = send(&app, PATH, with(many(element, 3_000))).await;
        long.assert_problem(422, "validation_failed");
        assert!(long.text.len() < 32 * 1024, "{}", long.text.len());
    }
    for (open, close) in [("[", "]"), ("{\"segments\":[", "]}")] {
        let deep = [open.repeat(4_000), close.repeat(4_000)].concat();
        for body in [deep.clone(), format!("{{\"segments\":[{deep}]}}"), open.repeat(4_000)] {
            let refused = send(&app, PATH, body).await;
            assert!([400, 422].contains(&refused.status.as_u16()), "{refused:?}");
        }
    }
    let numbers = format!("{{\"segments\":[{}]}}", many("1", 30_000));
    let long = send(&app, &format!("{PATH}/{id}/cancel"), numbers).await;
    long.assert_problem(422, "validation_failed");
    assert_eq!(long.pointers(), ["/segments"]);
    assert_eq!(all(&app, &flights).await, before);
    app.finish().await;
}

#[tokio::test]
async fn parts_to_cancel_are_named_where_they_are_wrong() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 9).await;
    let id = paid(&app, &flights, 2).await;
    let before = at_rest(&app, &flights).await;
    for (part, pointers) in [
        (json!({"segments": []}), &["/segments"][..]),
        (json!({"passengers": []}), &["/passengers"]),
        (json!({"segments": [0]}), &["/segments/0"]),
        (json!({"segments": [1, 3]}), &["/segments/1"]),
        (json!({"segments": [1, 1]}), &["/segments/1"]),
        (json!({"segments": [1, 1, 1]}), &["/segments"]),
        (json!({"segments": [-1], "passengers": [2]}), &["/segments/0", "/passengers/0"]),
        (json!({"passengers": [70_000, -1]}), &["/passengers/0", "/passengers/1"]),
        (json!({"segments": ["1"], "passengers": [0.5]}), &["/passengers/0", "/segments/0"]),
        (json!({"segments": [null]}), &["/segments/0"]),
        (json!({"segments": 1}), &["/segments"]),
        (json!({"segments": [4_000_000_000_i64]}), &["/segments/0"]),
        (json!({"segment": [1]}), &["/segment"]),
        (json!({"refund_expected": 5}), &["/refund_expected"]),
    ] {
        let refused = cancel(&app, id, &part).await;
        refused.assert_problem(422, "validation_failed");
        assert_eq!(refused.pointers(), pointers, "{part} {refused:?}");
    }
    for (path, body) in [
        (format!("{PATH}/{id}/cancel"), "[]"),
        (format!("{PATH}/{id}/cancel"), "7"),
        (format!("/api/v1/bookings/{id}/cancel"), "[1]"),
        (format!("/api/v1/bookings/{id}/cancel"), r#"{"segments":[1]}"#),
        (format!("/api/v1/bookings/{id}/cancel"), r#"{"passenger":[1]}"#),
    ] {
        send(&app, &path, body).await.assert_problem(422, "validation_failed");
    }
    assert_eq!(all(&app, &flights).await, before);
    app.finish().await;
}

#[tokio::test]
async fn an_empty_body_needs_no_content_type_and_another_does() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 9).await;
    let id = paid(&app, &flights, 1).await;
    let bare = async |path: &str, body: &'static str| {
        let request = Request::post(path).body(Body::from(body)).expect("a request");
        app.send(request).await
    };
    for path in [format!("{PATH}/{id}/cancel"), format!("/api/v1/bookings/{id}/cancel")] {
        bare(&path, "{}").await.assert_problem(415, "unsupported_media_type");
        send(&app, &path, "{").await.assert_problem(400, "malformed_request");
        assert_eq!(app.booking(id).await["status"], "completed");
        let unknown = app.send_json(http::Method::POST, &format!("{path}?all=1"), &json!({})).await;
        unknown.assert_problem(400, "malformed_request");
    }
    for (path, body) in
        [(format!("/api/v1/bookings/{id}/cancel"), ""), (format!("{PATH}/{id}/cancel"), " \n")]
    {
        let cancelled = bare(&path, body).await;
        assert_eq!(cancelled.status, 200, "{cancelled:?}");
    }
    for body in ["", "null", "{}"] {
        assert_eq!(send(&app, &format!("{PATH}/{id}/cancel"), body).await.status, 200, "{body}");
    }
    app.finish().await;
}

#[tokio::test]
async fn parameters_are_refused_by_name() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 9).await;
    let id = paid(&app, &flights, 1).await;
    let before = at_rest(&app, &flights).await;
    for (method, path, body) in [
        (http::Method::POST, PATH.to_owned(), itinerary(&flights, 1)),
        (http::Method::GET, format!("{PATH}/{id}"), json!({})),
        (http::Method::POST, format!("{PATH}/{id}/cancel"), json!({})),
    ] {
        let refused = app.send_json(method, &format!("{path}?segments=1"), &body).await;
        refused.assert_problem(400, "malformed_request");
        assert_eq!(refused.pointers(), ["/segments"]);
    }
    assert_eq!(all(&app, &flights).await, before);
    app.finish().await;
}

#[tokio::test]
async fn other_methods_are_refused_by_name() {
    let app = TestApp::start().await;
    for (method, path, allowed) in [
        (http::Method::GET, PATH.to_owned(), "POST"),
        (http::Method::PUT, format!("{PATH}/1"), "GET,HEAD"),
        (http::Method::DELETE, format!("{PATH}/1/cancel"), "POST"),
    ] {
        let refused = app.send_json(method, &path, &json!({})).await;
        refused.assert_problem(405, "method_not_allowed");
        assert_eq!(refused.header("allow"), Some(allowed), "{path}");
    }
    app.finish().await;
}
