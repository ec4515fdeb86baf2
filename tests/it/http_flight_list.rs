//! `GET /flights`: operators list flights, on sale and not.

use crate::support::{Answer, TestApp, flight};
use serde_json::{Value, json};

const PATH: &str = "/api/v1/flights";

async fn list(app: &TestApp, query: &str) -> Answer {
    let answer = app.get(&format!("{PATH}?{query}")).await;
    assert_eq!(answer.status, 200, "{query} {answer:?}");
    assert_eq!(answer.json["count"], answer.json["flights"].as_array().expect("flights").len());
    answer
}

fn ids(answer: &Answer) -> Vec<i64> {
    let flights = answer.json["flights"].as_array().expect("flights");
    flights.iter().map(|flight| flight["id"].as_i64().expect("an id")).collect()
}

fn next(answer: &Answer) -> Option<&str> {
    answer.json["next_cursor"].as_str()
}

async fn add(app: &TestApp, timestamp: &str, change: impl FnOnce(&mut Value)) -> i64 {
    let mut body = flight(9);
    body["timestamp"] = json!(timestamp);
    change(&mut body);
    let answer = app.post(PATH, &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json["id"].as_i64().expect("an id")
}

#[tokio::test]
async fn a_list_has_every_flight_by_departure_and_then_by_id() {
    let app = TestApp::start().await;
    assert_eq!(app.get(PATH).await.text, r#"{"flights":[],"count":0}"#);
    let late = add(&app, "2025-03-01T10:00:00Z", |_| {}).await;
    let sold_out = add(&app, "2025-01-20T10:00:00Z", |body| body["available_seats"] = json!(0));
    let sold_out = sold_out.await;
    let same_time = add(&app, "2025-01-20T10:00:00Z", |body| body["source"] = json!("Pune")).await;
    let gone = add(&app, "1999-12-31T23:59:59Z", |body| body["flight_status"] = json!("departed"));
    let gone = gone.await;
    let off = add(&app, "2025-02-01T10:00:00Z", |_| {}).await;
    let cancel = json!({"flight_status": "cancelled"});
    assert_eq!(app.put(&format!("{PATH}/{off}"), &cancel).await.status, 200);
    let all = app.get(PATH).await;
    assert_eq!(ids(&all), [gone, sold_out, same_time, off, late]);
    assert_eq!((&all.json["count"], next(&all)), (&json!(5), None));
    assert_eq!(all.json["flights"][3], app.flight(off).await, "as it is shown alone");
    app.finish().await;
}

#[tokio::test]
async fn each_filter_narrows_the_list_alone_and_with_the_others() {
    let app = TestApp::with(|config| {
        config.schedule_timezone =
            airline_booking::domain::ScheduleZone("Asia/Kolkata".parse().expect("a zone"));
    })
    .await;
    let mut made = Vec::new();
    for (timestamp, source, destination, status) in [
        ("2025-01-19T18:29:59Z", "Delhi", "Mumbai", "departed"),
        ("2025-01-19T18:30:00Z", "Delhi", "Mumbai", "scheduled"),
        ("2025-01-20T18:29:59Z", "DELHI ", "São Paulo", "delayed"),
        ("2025-01-20T18:30:00Z", "Pune", "Mumbai", "scheduled"),
        ("2025-01-20T18:30:00Z", "Mumbai", "Delhi", "on_time"),
        ("2025-01-21T10:00:00Z", "A#B", "C", "cancelled"),
    ] {
        let fill = |body: &mut Value| {
            body["source"] = json!(source);
            body["destination"] = json!(destination);
            body["flight_status"] = json!(status);
        };
        made.push(add(&app, timestamp, fill).await);
    }
    assert_eq!(made, [1, 2, 3, 4, 5, 6]);
    for (query, expected) in [
        ("", &[1, 2, 3, 4, 5, 6][..]),
        ("source=&destination=&status=&cursor=", &[1, 2, 3, 4, 5, 6]),
        ("source=%20&destination=+", &[1, 2, 3, 4, 5, 6]),
        ("date=2025-01-20", &[2, 3]),
        ("date=2025-01-21", &[4, 5, 6]),
        ("date=2025-01-22", &[]),
        ("date=0001-01-01", &[]),
        ("date=9999-12-31", &[]),
        ("source=delhi", &[1, 2, 3]),
        ("source=a%23b", &[6]),
        ("source=a", &[]),
        ("destination=MUMBAI", &[1, 2, 4]),
        ("destination=sao+paulo", &[3]),
        ("status=scheduled", &[2, 4]),
        ("status=cancelled", &[6]),
        ("source=Delhi&destination=Mumbai", &[1, 2]),
        ("source=Delhi&date=2025-01-20", &[2, 3]),
        ("source=Delhi&status=delayed", &[3]),
        ("destination=Mumbai&date=2025-01-21", &[4]),
        ("destination=Mumbai&status=scheduled", &[2, 4]),
        ("status=scheduled&date=2025-01-20", &[2]),
        ("source=Delhi&destination=Mumbai&date=2025-01-20&status=scheduled", &[2]),
        ("source=Delhi&destination=Mumbai&date=2025-01-20&status=departed", &[]),
    ] {
        assert_eq!(ids(&list(&app, query).await), expected, "{query}");
    }
    app.finish().await;
}

#[tokio::test]
async fn pages_have_no_gap_and_no_repeat_while_flights_are_added() {
    let app = TestApp::start().await;
    let times = ["2025-01-20T10:00:00Z", "2025-01-20T10:00:00Z", "2025-01-21T10:00:00.000001Z"];
    for filter in ["", "status=scheduled", "source=Delhi", "destination=Mumbai"]
        .into_iter()
        .chain(["source=Delhi&destination=Mumbai"])
    {
        let mut before = Vec::new();
        for time in times {
            before.push(add(&app, time, |_| {}).await);
        }
        let known = ids(&list(&app, filter).await);
        let (mut seen, mut added, mut cursor) = (Vec::new(), Vec::new(), String::new());
        loop {
            let page = list(&app, &format!("{filter}&limit=2&cursor={cursor}")).await;
            assert!(ids(&page).len() <= 2, "{page:?}");
            seen.extend(ids(&page));
            let Some(more) = next(&page) else { break };
            cursor = more.to_owned();
            if added.len() < 6 {
                for time in ["2025-01-01T00:00:00Z", "2025-01-20T10:00:00Z", "2025-12-31T10:00:00Z"]
                {
                    added.push(add(&app, time, |_| {}).await);
                }
            }
        }
        let kept: Vec<_> = seen.iter().copied().filter(|id| known.contains(id)).collect();
        assert_eq!(kept, known, "{filter}");
        assert!(added.len() == 6 && seen.contains(&added[5]), "{filter}: what departs last");
        let all = ids(&list(&app, &format!("{filter}&limit=1000")).await);
        let in_order: Vec<_> = all.into_iter().filter(|id| seen.contains(id)).collect();
        assert_eq!(seen, in_order, "{filter}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_cursor_of_an_earlier_day_shows_nothing_of_that_day() {
    let app = TestApp::start().await;
    for day in [19, 19, 20, 20] {
        add(&app, &format!("2025-01-{day}T10:00:00Z"), |_| {}).await;
    }
    let first = list(&app, "limit=1").await;
    let cursor = next(&first).expect("more");
    assert_eq!(ids(&list(&app, &format!("cursor={cursor}")).await), [2, 3, 4]);
    assert_eq!(ids(&list(&app, &format!("date=2025-01-20&cursor={cursor}")).await), [3, 4]);
    let last = list(&app, "date=2025-01-20&limit=1").await;
    let cursor = next(&last).expect("more");
    assert_eq!(ids(&list(&app, &format!("date=2025-01-19&cursor={cursor}")).await), [0; 0]);
    app.finish().await;
}

#[tokio::test]
async fn a_list_that_cannot_be_read_names_the_parameter() {
    let app = TestApp::start().await;
    app.add_flight(9).await;
    app.add_flight(9).await;
    let page = list(&app, "limit=1").await;
    let cursor = next(&page).expect("more");
    let (short, long) = (&cursor[1..], format!("{cursor}0"));
    for (query, pointers) in [
        ("date=2025-02-30", &["/date"][..]),
        ("date=20-01-2025&limit=x", &["/date", "/limit"]),
        ("limit=-1", &["/limit"]),
        // What a variable that is not set leaves.
        ("date=&limit=&cursor=", &["/date", "/limit"]),
        ("cursor=1", &["/cursor"]),
        (&format!("cursor={short}"), &["/cursor"]),
        (&format!("cursor={long}"), &["/cursor"]),
        (&format!("cursor=%2b{short}"), &["/cursor"]),
        ("cursor=ffffffffffffffff0000000000000001", &["/cursor"]),
        ("flight_status=scheduled&seats=1", &["/flight_status", "/seats"]),
    ] {
        let answer = app.get(&format!("{PATH}?{query}")).await;
        answer.assert_problem(400, "malformed_request");
        assert_eq!(answer.pointers(), pointers, "{query}");
    }
    let hinted = app.get(&format!("{PATH}?Status=scheduled")).await;
    let hint = "is not a parameter here; did you mean \"status\"?";
    assert_eq!(hinted.json["errors"][0], json!({"pointer": "/Status", "detail": hint}));
    for (query, pointers) in [
        ("limit=0&status=flying", &["/status", "/limit"][..]),
        ("limit=1001", &["/limit"]),
        ("source=Delhi&destination=%20DELHI", &["/destination"]),
        ("source=A%00", &["/source"]),
        (&format!("destination={}", "x".repeat(101)), &["/destination"]),
    ] {
        let answer = app.get(&format!("{PATH}?{query}")).await;
        answer.assert_problem(422, "validation_failed");
        assert_eq!(answer.pointers(), pointers, "{query}");
    }
    app.get(&format!("{PATH}?source=%ff")).await.assert_problem(400, "malformed_request");
    app.finish().await;
}

#[tokio::test]
async fn an_unreadable_flight_is_left_out_and_counted() {
    let app = TestApp::start().await;
    for _ in 0..5 {
        app.add_flight(9).await;
    }
    for id in [1, 3] {
        let damage = format!("UPDATE flights SET currency = 'none' WHERE id = {id}");
        assert_eq!(app.database.plant(&damage).await, 1);
    }
    for limit in [1, 2, 9] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = list(&app, &format!("limit={limit}&cursor={cursor}")).await;
            seen.extend(ids(&page));
            let Some(more) = next(&page) else { break };
            cursor = more.to_owned();
        }
        assert_eq!(seen, [2, 4, 5], "pages of {limit}");
    }
    assert_eq!(app.store.unreadable()["flights"], 2);
    app.database.plant("UPDATE flights SET currency = 'INR'").await;
    app.finish().await;
}
