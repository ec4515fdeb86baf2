//! Strict reading of requests: unknown fields and parameters are refused, numbers count by value.

use crate::support::{Answer, TestApp, booking, flight};
use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

const FLIGHTS: &str = "/api/v1/flights";
const BOOKINGS: &str = "/api/v1/bookings";

async fn send(app: &TestApp, method: Method, path: &str, body: impl Into<Body>) -> Answer {
    send_with(app, method, path, body, &[("content-type", "application/json")]).await
}

async fn send_with(
    app: &TestApp,
    method: Method,
    path: &str,
    body: impl Into<Body>,
    headers: &[(&str, &str)],
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(body.into()).expect("a request")).await
}

/// A problem's pointers and details.
fn faults(answer: &Answer) -> Vec<(&str, &str)> {
    let errors = answer.json["errors"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
    errors
        .iter()
        .map(|error| {
            let pointer = error["pointer"].as_str().expect("a pointer");
            (pointer, error["detail"].as_str().expect("a detail"))
        })
        .collect()
}

#[tokio::test]
async fn an_unknown_field_is_refused_by_name() {
    let app = TestApp::start().await;
    let id = app.add_flight(9).await;
    let path = format!("{FLIGHTS}/{id}");
    let price = [("/prize", "is not a field here; did you mean \"price\"?")];
    let put = app.put(&path, &json!({"prize": 5})).await;
    put.assert_problem(422, "validation_failed");
    assert_eq!(faults(&put), price);
    let mut body = flight(9);
    body["prize"] = json!(5);
    let post = app.post(FLIGHTS, &body).await;
    post.assert_problem(422, "validation_failed");
    assert_eq!(faults(&post), price);

    let mut body = booking(id, 1);
    body["max_price"] = json!(5);
    body["passenger_details"][0]["mail"] = json!("a@example.com");
    let placed = app.post(BOOKINGS, &body).await;
    placed.assert_problem(422, "validation_failed");
    let pointers = placed.pointers();
    assert_eq!(pointers.len(), 2, "{placed:?}");
    assert!(pointers.contains(&"/max_price"));
    let email = "is not a field here; did you mean \"email\"?";
    assert!(faults(&placed).contains(&("/passenger_details/0/mail", email)), "{placed:?}");
    let unknown = format!("{{\"{}\": 1}}", "x/~".repeat(10_000));
    let long = send(&app, Method::PUT, &path, unknown).await;
    long.assert_problem(422, "validation_failed");
    assert!(long.text.len() < 2_000, "a long name is not repeated whole");
    assert_eq!(app.flight(id).await["version"], 1);
    app.finish().await;
}

#[tokio::test]
async fn a_flight_can_be_read_changed_and_sent_back_whole() {
    let app = TestApp::start().await;
    let mut new = flight(9);
    new["flight_number"] = json!("AB101");
    new["arrival_timestamp"] = json!("2025-01-20T12:00:00Z");
    let created = app.post(FLIGHTS, &new).await;
    let path = created.header("location").expect("a location").to_owned();
    let mut read = app.get(&path).await.json;
    read["price"] = json!(2600);
    let changed = app.put(&path, &read).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(changed.json["flight"]["price"], 2600.0);
    let again = app.post(FLIGHTS, &app.get(&path).await.json).await;
    assert_eq!(again.status, 201, "{again:?}");
    assert_ne!(again.json["id"], created.json["id"]);
    assert_eq!(again.json["version"], 1);
    app.finish().await;
}

#[tokio::test]
async fn clients_of_the_existing_service_send_their_whole_flight() {
    let app = TestApp::start().await;
    // As Go marshals it, with the zero values of what was not set.
    let whole = r#"{"id":0,"source":"Delhi","destination":"Mumbai","timestamp":"2025-01-20T10:00:00Z",
        "available_seats":150,"total_seats":180,"flight_status":"","price":2500,"version":0,
        "created_at":"0001-01-01T00:00:00Z","updated_at":"0001-01-01T00:00:00Z"}"#;
    let created = send(&app, Method::POST, FLIGHTS, whole).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.json["flight_status"], "scheduled");
    let path = created.header("location").expect("a location").to_owned();
    let change = whole.replace("\"version\":0", "\"version\":1").replace("2500", "2400.5");
    let changed = send(&app, Method::PUT, &path, change).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(changed.json["flight"]["flight_status"], "scheduled");
    assert_eq!(changed.json["flight"]["price"], 2400.5);
    app.finish().await;
}

#[tokio::test]
async fn a_price_in_another_currency_is_refused() {
    let app = TestApp::start().await;
    let mut body = flight(9);
    for currency in [json!("USD"), json!("inr"), json!("")] {
        body["currency"] = currency;
        let answer = app.post(FLIGHTS, &body).await;
        answer.assert_problem(422, "validation_failed");
        assert_eq!(faults(&answer), [("/currency", "must be INR: prices are in no other")]);
    }
    body["currency"] = json!(356);
    assert_eq!(app.post(FLIGHTS, &body).await.pointers(), ["/currency"]);
    body["currency"] = json!("INR");
    let created = app.post(FLIGHTS, &body).await;
    assert_eq!(created.status, 201);
    let path = created.header("location").expect("a location").to_owned();
    let other = app.put(&path, &json!({"price": 30, "currency": "USD"})).await;
    other.assert_problem(422, "validation_failed");
    assert_eq!(other.pointers(), ["/currency"]);
    assert_eq!(app.put(&path, &json!({"price": 30, "currency": "INR"})).await.status, 200);
    app.finish().await;
}

#[tokio::test]
async fn null_clears_only_optional_fields() {
    let app = TestApp::start().await;
    let mut new = flight(9);
    new["flight_number"] = json!("AB101");
    new["arrival_timestamp"] = json!("2025-01-20T12:00:00Z");
    let path = app.post(FLIGHTS, &new).await.header("location").expect("a location").to_owned();
    let later = json!({"arrival_timestamp": null, "timestamp": "2025-01-21T10:00:00Z"});
    let moved = app.put(&path, &later).await;
    assert_eq!(moved.status, 200, "{moved:?}");
    assert_eq!(moved.json["flight"]["arrival_timestamp"], Value::Null);
    assert_eq!(moved.json["flight"]["flight_number"], "AB101");
    let nameless = app.put(&path, &json!({"flight_number": null})).await;
    assert_eq!(nameless.json["flight"].get("flight_number"), None);
    for name in [
        "source",
        "destination",
        "timestamp",
        "available_seats",
        "total_seats",
        "flight_status",
        "price",
        "currency",
        "version",
    ] {
        let refused = app.put(&path, &json!({ name: null })).await;
        refused.assert_problem(422, "validation_failed");
        assert_eq!(faults(&refused), [(&*format!("/{name}"), "must not be null")]);
    }
    // What is new has nothing to take away.
    for name in ["flight_number", "arrival_timestamp", "flight_status", "version", "currency"] {
        let mut body = flight(9);
        body[name] = Value::Null;
        assert_eq!(app.post(FLIGHTS, &body).await.status, 201, "{name}");
    }
    let mut body = flight(9);
    body["price"] = Value::Null;
    assert_eq!(faults(&app.post(FLIGHTS, &body).await), [("/price", "is required")]);
    app.finish().await;
}

#[tokio::test]
async fn a_duplicate_field_is_refused_by_name() {
    let app = TestApp::start().await;
    let id = app.add_flight(9).await;
    let sound = booking(id, 1).to_string();
    let twice = sound.replace("\"seats_booked\":1", "\"seats_booked\":2,\"seats_booked\":1");
    let answer = send(&app, Method::POST, BOOKINGS, twice).await;
    answer.assert_problem(422, "validation_failed");
    assert!(faults(&answer).contains(&("/seats_booked", "is given more than once")), "{answer:?}");
    let twice = sound.replace("\"age\":30", "\"age\":30,\"age\":31");
    let answer = send(&app, Method::POST, BOOKINGS, twice).await;
    answer.assert_problem(422, "validation_failed");
    assert_eq!(faults(&answer), [("/passenger_details/0/age", "is given more than once")]);
    app.finish().await;
}

#[tokio::test]
async fn numbers_are_read_by_value_not_by_notation() {
    let app = TestApp::start().await;
    let body = r#"{"source":"Delhi","destination":"Mumbai","timestamp":"2025-01-20T10:00:00Z",
                   "available_seats":1E+2,"total_seats":180.0,"price":25e2}"#;
    let created = send(&app, Method::POST, FLIGHTS, body).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.json["available_seats"], 100);
    assert!(created.text.contains(r#""price":2500.00,"#), "{}", created.text);
    let id = created.json["id"].as_i64().expect("an id");
    let sound = booking(id, 1).to_string();
    let written = sound.replace("\"seats_booked\":1", "\"seats_booked\":1.0");
    let written = written.replace("\"age\":30", "\"age\":3.0e1");
    let placed = send(&app, Method::POST, BOOKINGS, written).await;
    assert_eq!(placed.status, 201, "{placed:?}");
    for seats in ["1.5", "1e-1", "\"1\"", "true", "1e400", "1e999999999999", "2147483648"] {
        let body = sound.replace("\"seats_booked\":1", &format!("\"seats_booked\":{seats}"));
        let refused = send(&app, Method::POST, BOOKINGS, body).await;
        refused.assert_problem(422, "validation_failed");
        assert_eq!(refused.pointers(), ["/seats_booked"], "{seats}");
    }
    let path = format!("{FLIGHTS}/{id}");
    for (price, shown) in [(r#""1\u00300""#, 100.0), ("1e2", 100.0), ("12345e-2", 123.45)] {
        let changed = send(&app, Method::PUT, &path, format!("{{\"price\":{price}}}")).await;
        assert_eq!(changed.json["flight"]["price"], shown, "{price} {changed:?}");
    }
    for price in ["1e-3", "1e999999999", "1e-999999999999", "\"1e2\"", "true", "[]", "{}"] {
        let refused = send(&app, Method::PUT, &path, format!("{{\"price\":{price}}}")).await;
        refused.assert_problem(422, "validation_failed");
        assert_eq!(refused.pointers(), ["/price"], "{price}");
    }
    app.finish().await;
}

#[tokio::test]
async fn an_unknown_parameter_is_refused_by_name() {
    let app = TestApp::start().await;
    let id = app.add_flight(9).await;
    let booked = app.book(id, 1).await.booking_id();
    app.run_until_idle().await;
    let search = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20";
    let answer = app.get(&format!("{search}&maxPrice=60")).await;
    answer.assert_problem(400, "malformed_request");
    let hint = "is not a parameter here; did you mean \"max_price\"?";
    assert_eq!(faults(&answer), [("/maxPrice", hint)]);
    for known in ["seats=1", "max_price=9000", "sort=-price", "limit=5", "sort=", ""] {
        assert_eq!(app.get(&format!("{search}&{known}")).await.status, 200, "{known}");
    }
    let list = app.get("/api/v1/users/123/bookings?state=pending").await;
    list.assert_problem(400, "malformed_request");
    assert_eq!(list.pointers(), ["/state"]);
    let (flight_path, booking_path) = (format!("{FLIGHTS}/{id}"), format!("{BOOKINGS}/{booked}"));
    for (method, path, body) in [
        (Method::GET, flight_path.as_str(), json!({})),
        (Method::PUT, &flight_path, json!({"price": 7})),
        (Method::POST, FLIGHTS, flight(9)),
        (Method::GET, &booking_path, json!({})),
        (Method::POST, BOOKINGS, booking(id, 1)),
        (Method::POST, &format!("{booking_path}/cancel"), json!({})),
    ] {
        let refused = app.send_json(method.clone(), &format!("{path}?dry_run=1"), &body).await;
        refused.assert_problem(400, "malformed_request");
        assert_eq!(faults(&refused), [("/dry_run", "is not a parameter here")], "{method} {path}");
        let empty = app.send_json(method.clone(), &format!("{path}?"), &body).await;
        assert!(empty.status.is_success(), "{method} {path} {empty:?}");
    }
    assert_eq!(app.booking(booked).await["status"], "cancelled", "by the request that was sound");
    app.finish().await;
}

#[tokio::test]
async fn only_plain_utf_8_is_read() {
    let app = TestApp::start().await;
    let id = app.add_flight(9).await;
    let sound = booking(id, 1).to_string();
    let json = ("content-type", "application/json");
    for coding in ["gzip", "br", "identity, gzip", "x-unknown"] {
        let headers = [json, ("content-encoding", coding)];
        let answer = send_with(&app, Method::POST, BOOKINGS, sound.clone(), &headers).await;
        answer.assert_problem(415, "unsupported_media_type");
        assert_eq!(answer.header("accept-encoding"), Some("identity"), "{coding}");
    }
    let twice = [json, ("content-encoding", "identity"), ("content-encoding", "gzip")];
    let answer = send_with(&app, Method::POST, BOOKINGS, sound.clone(), &twice).await;
    answer.assert_problem(415, "unsupported_media_type");
    for charset in ["UTF-16", "\"utf-16le\"", "iso-8859-1"] {
        let media_type = format!("application/json; charset={charset}");
        let headers = [("content-type", media_type.as_str())];
        let answer = send_with(&app, Method::POST, BOOKINGS, sound.clone(), &headers).await;
        answer.assert_problem(415, "unsupported_media_type");
    }
    let mut bytes = sound.clone().into_bytes();
    let at = sound.find("Asha").expect("the name");
    bytes[at] = 0xff;
    send(&app, Method::POST, BOOKINGS, bytes).await.assert_problem(400, "malformed_request");
    let mut ignored = br#"{"id":""#.to_vec();
    ignored.extend([0xc3, 0x28]);
    ignored.extend(br#"","price":7}"#);
    let path = format!("{FLIGHTS}/{id}");
    send(&app, Method::PUT, &path, ignored).await.assert_problem(400, "malformed_request");
    for headers in [
        [json, ("content-encoding", "identity")],
        [json, ("content-encoding", " Identity ")],
        [("content-type", "Application/JSON; Charset=\"UTF-8\""), ("content-encoding", "")],
    ] {
        let answer = send_with(&app, Method::POST, BOOKINGS, sound.clone(), &headers).await;
        assert_eq!(answer.status, 201, "{headers:?} {answer:?}");
    }
    app.finish().await;
}

#[tokio::test]
async fn etags_are_read_from_lists_and_repeated_headers() {
    let app = TestApp::start().await;
    let id = app.add_flight(9).await;
    let path = format!("{FLIGHTS}/{id}");
    let known: [&[&str]; 5] =
        [&["\"7\"", "\"1\""], &["\"7\", W/\"1\""], &["\"a,b\",\"1\""], &["*"], &["", "\"1\","]];
    for lines in known {
        let headers: Vec<_> = lines.iter().map(|line| ("if-none-match", *line)).collect();
        let answer = send_with(&app, Method::GET, &path, "", &headers).await;
        assert_eq!(answer.status, 304, "{lines:?}");
    }
    for lines in [["\"7\"", "\"2\""], ["1", "\"1"]] {
        let headers = lines.map(|line| ("if-none-match", line));
        assert_eq!(send_with(&app, Method::GET, &path, "", &headers).await.status, 200);
    }
    let put = async |lines: &[&str]| {
        let mut headers: Vec<_> = lines.iter().map(|line| ("if-match", *line)).collect();
        headers.push(("content-type", "application/json"));
        send_with(&app, Method::PUT, &path, r#"{"available_seats":8}"#, &headers).await
    };
    let foreign: [&[&str]; 9] = [
        &["W/\"1\""],
        &["\"2\""],
        &["\"abc\""],
        &["one"],
        &["\"01\""],
        &["\"+1\""],
        &["\"99999999999999999999\""],
        &[""],
        &["\"2\", W/\"1\"", "\"3\""],
    ];
    for lines in foreign {
        put(lines).await.assert_problem(412, "precondition_failed");
    }
    assert_eq!(put(&["\"7\", \"1\""]).await.status, 200);
    assert_eq!(
        put(&["\"7\"", "\"2\""]).await.status,
        200,
        "nothing to change, and the tag is ours"
    );
    put(&["*"]).await.assert_problem(428, "version_required");
    app.finish().await;
}
