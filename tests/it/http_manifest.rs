//! `GET /flights/{id}/bookings`: a flight's bookings, as JSON.

mod csv;

use crate::support::{Answer, TestApp, booking};
use serde_json::{Value, json};

fn path(flight: i64) -> String {
    format!("/api/v1/flights/{flight}/bookings")
}

async fn manifest(app: &TestApp, flight: i64, query: &str) -> Answer {
    let answer = app.get(&format!("{}?{query}", path(flight))).await;
    assert_eq!(answer.status, 200, "{query} {answer:?}");
    assert_eq!(answer.json["count"], answer.json["bookings"].as_array().expect("bookings").len());
    answer
}

fn ids(answer: &Answer) -> Vec<i64> {
    let bookings = answer.json["bookings"].as_array().expect("bookings");
    bookings.iter().map(|booking| booking["id"].as_i64().expect("an id")).collect()
}

/// Books seats for passengers of these names.
async fn book(app: &TestApp, flight: i64, names: &[&str]) -> i64 {
    let mut body = booking(flight, i32::try_from(names.len()).expect("a party"));
    for (place, name) in names.iter().enumerate() {
        body["passenger_details"][place]["name"] = json!(name);
    }
    app.post("/api/v1/bookings", &body).await.booking_id()
}

async fn cancel(app: &TestApp, booking: i64, body: &Value) {
    let answer = app.post(&format!("/api/v1/bookings/{booking}/cancel"), body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    app.run_until_idle().await;
}

#[tokio::test]
async fn a_manifest_has_a_flights_bookings_by_id_and_marks_cancelled_passengers() {
    let app = TestApp::start().await;
    let (flight, other) = (app.add_flight(50).await, app.add_flight(50).await);
    let whole = book(&app, flight, &["Asha", "Ravi"]).await;
    book(&app, other, &["Elsewhere"]).await;
    let part = book(&app, flight, &["Mira", "Dev", "Lila"]).await;
    let declined = app.book_paid_by(flight, 1, "pm_card_declined").await.booking_id();
    let gone = book(&app, flight, &["Nobody"]).await;
    app.run_until_idle().await;
    cancel(&app, part, &json!({"passengers": [1]})).await;
    cancel(&app, gone, &json!({})).await;

    let all = manifest(&app, flight, "").await;
    assert_eq!(ids(&all), [whole, part, declined, gone]);
    assert!(all.json["next_cursor"].is_null());
    let shown = &all.json["bookings"][1];
    let passengers = shown["booking_metadata"].as_array().expect("passengers");
    let told: Vec<_> = passengers.iter().map(|one| (&one["name"], &one["status"])).collect();
    let names = [json!("Mira"), json!("Dev"), json!("Lila")];
    let marked = [Value::Null, json!("cancelled"), Value::Null];
    assert_eq!(told, names.iter().zip(&marked).collect::<Vec<_>>());
    assert_eq!(shown["seats_booked"], 2);

    for (status, expected) in [
        ("completed", &[whole, part][..]),
        ("failed", &[declined]),
        ("cancelled", &[gone]),
        ("pending", &[]),
        ("", &[whole, part, declined, gone]),
    ] {
        assert_eq!(ids(&manifest(&app, flight, &format!("status={status}")).await), expected);
    }
    assert_eq!(all.header("cache-control"), Some("no-store"));
    assert_eq!(all.header("vary"), Some("accept, accept-encoding"));
    app.finish().await;
}

#[tokio::test]
async fn pages_have_no_gap_and_no_repeat_while_seats_are_booked() {
    let app = TestApp::start().await;
    let (flight, other) = (app.add_flight(200).await, app.add_flight(200).await);
    let mut booked = Vec::new();
    for user in [9, 3, 7, 1, 5] {
        let mut body = booking(flight, 1);
        body["user_id"] = json!(user);
        booked.push(app.post("/api/v1/bookings", &body).await.booking_id());
        app.book(other, 1).await.booking_id();
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = manifest(&app, flight, &format!("limit=2&cursor={cursor}")).await;
        assert!(ids(&page).len() <= 2, "{page:?}");
        seen.extend(ids(&page));
        let Some(more) = page.json["next_cursor"].as_str() else { break };
        cursor = more.to_owned();
        if booked.len() < 8 {
            booked.push(app.book(flight, 1).await.booking_id());
        }
    }
    assert_eq!(seen, booked);
    app.finish().await;
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_names_the_parameter() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    assert_eq!(manifest(&app, flight, "").await.text, r#"{"bookings":[],"count":0}"#);
    for (query, pointers) in [
        ("limit=x&cursor=y", &["/limit", "/cursor"][..]),
        ("cursor=-1", &["/cursor"]),
        ("cursor=%2b1", &["/cursor"]),
        ("cursor=99999999999999999999", &["/cursor"]),
        ("passenger=Asha&format=csv", &["/passenger", "/format"]),
    ] {
        let answer = app.get(&format!("{}?{query}", path(flight))).await;
        answer.assert_problem(400, "malformed_request");
        assert_eq!(answer.pointers(), pointers, "{query}");
    }
    let hinted = app.get(&format!("{}?state=failed", path(flight))).await;
    assert_eq!(hinted.pointers(), ["/state"]);
    for (query, pointers) in
        [("limit=0&status=gone", &["/limit", "/status"][..]), ("limit=1001", &["/limit"])]
    {
        let answer = app.get(&format!("{}?{query}", path(flight))).await;
        answer.assert_problem(422, "validation_failed");
        assert_eq!(answer.pointers(), pointers, "{query}");
    }
    for (flight, status, code) in
        [("999", 404, "not_found"), ("-1", 404, "not_found"), ("one", 400, "malformed_request")]
    {
        let answer = app.get(&format!("/api/v1/flights/{flight}/bookings")).await;
        answer.assert_problem(status, code);
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{flight}");
    }
    app.finish().await;
}

#[tokio::test]
async fn an_unreadable_booking_is_left_out_and_counted() {
    let app = TestApp::start().await;
    let flight = app.add_flight(50).await;
    let mut booked = Vec::new();
    for _ in 0..5 {
        booked.push(app.book(flight, 1).await.booking_id());
    }
    app.run_until_idle().await;
    for id in [booked[0], booked[2]] {
        let damage = format!("UPDATE bookings SET status = 'odd' WHERE id = {id}");
        assert_eq!(app.database.plant(&damage).await, 1);
    }
    for limit in [1, 2, 9] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = manifest(&app, flight, &format!("limit={limit}&cursor={cursor}")).await;
            seen.extend(ids(&page));
            let Some(more) = page.json["next_cursor"].as_str() else { break };
            cursor = more.to_owned();
        }
        assert_eq!(seen, [booked[1], booked[3], booked[4]], "pages of {limit}");
    }
    assert_eq!(app.store.unreadable()["bookings"], 2);
    app.database.plant("UPDATE bookings SET status = 'completed'").await;
    app.finish().await;
}
