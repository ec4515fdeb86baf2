//! Itineraries: what is found, how it is asked for, and how fresh it is.

use crate::support::{Answer, TestApp, booking};
use airline_booking::domain::{FlightStatus, Money, NewFlight, Timestamp};
use chrono::TimeDelta;
use serde_json::{Value, json};

mod fresh;
mod oracle;
mod refused;

const SEARCH: &str = "/api/v1/itineraries/search";

/// A flight on 2025-01-20, in minutes after midnight; `arrives` 0: unknown.
fn flight(route: (&str, &str), departs: i64, arrives: i64, price: i64) -> NewFlight {
    let midnight: Timestamp = "2025-01-20T00:00:00Z".parse().expect("an instant");
    let at = |minutes| midnight + TimeDelta::minutes(minutes);
    NewFlight {
        flight_number: Some(format!("T{departs}X{price}").into()),
        source: route.0.into(),
        destination: route.1.into(),
        departs_at: at(departs),
        arrives_at: (arrives > 0).then(|| at(arrives)),
        available_seats: 2,
        total_seats: 2,
        flight_status: FlightStatus::Scheduled,
        price: Money::from_minor(price * 100),
        taxes: Money::from_minor(0),
        fare_rules: airline_booking::domain::FareName::default(),
    }
}

async fn import(app: &TestApp, flights: &[NewFlight]) {
    let currency = "INR".parse().expect("a currency");
    let now = crate::support::start_of_test();
    app.store.import_flights(flights, currency, now).await.expect("an import");
    app.run_until_idle().await;
}

async fn search(app: &TestApp, parameters: &str) -> Answer {
    let answer = app.get(&format!("{SEARCH}?{parameters}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json["count"], answer.json["itineraries"].as_array().expect("a list").len());
    answer
}

/// The flights of each itinerary.
fn legs(itineraries: &Value) -> Vec<Vec<i64>> {
    let id = |flight: &Value| flight["id"].as_i64().expect("an id");
    let flights =
        |it: &Value| it["segments"].as_array().expect("segments").iter().map(id).collect();
    itineraries.as_array().expect("itineraries").iter().map(flights).collect()
}

async fn found(app: &TestApp, parameters: &str) -> Vec<Vec<i64>> {
    legs(&search(app, parameters).await.json["itineraries"])
}

/// Direct 1 and 2 (arrival unknown), by Pune 3 and 4, by Pune and Goa 3, 5 and 6.
async fn app_with_connections() -> TestApp {
    let app = TestApp::start().await;
    let flights = [
        flight(("Delhi", "Mumbai"), 600, 720, 5_000),
        flight(("Delhi", "Mumbai"), 660, 0, 4_000),
        flight(("Delhi", "Pune"), 600, 690, 1_000),
        flight(("Pune", "Mumbai"), 735, 800, 2_000),
        flight(("PUNE", "Goa"), 750, 800, 500),
        flight(("Goa", "Mumbai"), 900, 990, 400),
        // Too late for a connection, and too early.
        flight(("Pune", "Mumbai"), 1_051, 1_100, 1),
        flight(("Pune", "Mumbai"), 734, 790, 1),
    ];
    import(&app, &flights).await;
    app
}

#[tokio::test]
async fn an_itinerary_shows_its_flights_price_duration_stops_and_seats() {
    let app = app_with_connections().await;
    app.book(5, 1).await.booking_id();
    app.run_until_idle().await;
    let day = "source=delhi&destination=MUMBAI&date=2025-01-20";
    let answer = search(&app, day).await;
    let itineraries = &answer.json["itineraries"];
    assert_eq!(legs(itineraries), [vec![1], vec![3, 4], vec![3, 5, 6], vec![2]]);
    let shown = |at: usize| {
        let it = &itineraries[at];
        let fields = ["stops", "duration_minutes", "price", "currency", "seats"];
        fields.map(|field| it[field].clone())
    };
    assert_eq!(shown(0), [json!(0), json!(120), json!(5_000.0), json!("INR"), json!(2)]);
    assert_eq!(shown(1), [json!(1), json!(200), json!(3_000.0), json!("INR"), json!(2)]);
    assert_eq!(shown(2), [json!(2), json!(390), json!(1_900.0), json!("INR"), json!(1)]);
    assert_eq!(shown(3), [json!(0), Value::Null, json!(4_000.0), json!("INR"), json!(2)]);
    assert_eq!(itineraries[0]["segments"][0], app.flight(1).await);

    for (parameters, expected) in [
        ("max_stops=0", vec![vec![1], vec![2]]),
        ("max_stops=1", vec![vec![1], vec![3, 4], vec![2]]),
        ("sort=price", vec![vec![3, 5, 6], vec![3, 4], vec![2], vec![1]]),
        ("sort=duration&limit=2", vec![vec![1], vec![3, 4]]),
        ("seats=2", vec![vec![1], vec![3, 4], vec![2]]),
        ("seats=3", vec![]),
    ] {
        assert_eq!(found(&app, &format!("{day}&{parameters}")).await, expected, "{parameters}");
    }
    assert!(found(&app, "source=Delhi&destination=Atlantis&date=2025-01-20").await.is_empty());
    assert!(found(&app, "source=Delhi&destination=Mumbai&date=2025-01-21").await.is_empty());
    app.finish().await;
}

#[tokio::test]
async fn a_leg_begins_after_the_earliest_arrival_of_the_leg_before_it() {
    let app = app_with_connections().await;
    import(
        &app,
        &[
            flight(("Mumbai", "Goa"), 719, 780, 700),
            flight(("Mumbai", "Goa"), 720, 790, 800),
            flight(("Goa", "Pune"), 1_500, 1_560, 900),
        ],
    )
    .await;
    let leg = |source, destination, date| json!({"source": source, "destination": destination, "date": date});
    let body = json!({"legs": [
        leg("Delhi", "Mumbai", "2025-01-20"),
        leg("Mumbai", "Goa", "2025-01-20"),
        leg("Goa", "Delhi", "2025-01-20"),
        leg("Goa", "Pune", "2025-01-21"),
    ]});
    let answer = app.post(SEARCH, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let all = answer.json["legs"].as_array().expect("legs");
    let found: Vec<_> = all.iter().map(|leg| legs(&leg["itineraries"])).collect();
    let first = vec![vec![1], vec![3, 4], vec![3, 5, 6], vec![2]];
    assert_eq!(found, [first, vec![vec![10]], vec![], vec![vec![11]]]);
    assert_eq!((&all[0]["source"], &all[0]["date"]), (&json!("Delhi"), &json!("2025-01-20")));

    let two = json!({"legs": [leg("Delhi", "Pune", "2025-01-20")], "seats": 2});
    assert_eq!(legs(&app.post(SEARCH, &two).await.json["legs"][0]["itineraries"]), [[3]]);
    let three = json!({"legs": [leg("Delhi", "Pune", "2025-01-20")], "seats": 3});
    assert!(legs(&app.post(SEARCH, &three).await.json["legs"][0]["itineraries"]).is_empty());
    app.finish().await;
}

#[tokio::test]
async fn flights_leave_itineraries_when_they_close_sell_out_or_are_cancelled() {
    let app = app_with_connections().await;
    let day = "source=Delhi&destination=Mumbai&date=2025-01-20";
    let cancelled = app.put("/api/v1/flights/1", &json!({"flight_status": "cancelled"})).await;
    assert_eq!(cancelled.status, 200);
    assert_eq!(found(&app, day).await, [vec![3, 4], vec![3, 5, 6], vec![2]]);
    app.post("/api/v1/bookings", &booking(4, 2)).await.booking_id();
    assert_eq!(found(&app, day).await, [vec![3, 5, 6], vec![2]], "held seats are not free");
    app.run_until_idle().await;
    let to_departure = TimeDelta::days(19) + TimeDelta::minutes(600);
    app.clock.advance(to_departure - TimeDelta::seconds(1));
    assert_eq!(found(&app, day).await, [vec![3, 5, 6], vec![2]]);
    app.clock.advance(TimeDelta::seconds(1));
    assert_eq!(found(&app, day).await, [[2]]);
    app.finish().await;
}

#[tokio::test]
async fn a_calendar_has_the_lowest_price_of_each_day_with_the_seats() {
    let app = app_with_connections().await;
    import(&app, &[flight(("Delhi", "Mumbai"), 16_000, 16_100, 3_000)]).await;
    app.book(2, 1).await.booking_id();
    app.run_until_idle().await;
    let calendar = async |parameters: &str| {
        let path = "/api/v1/flights/calendar?source=DELHI&destination=mumbai";
        let answer = app.get(&format!("{path}&{parameters}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json
    };
    let january = calendar("month=2025-01").await;
    assert_eq!(january["currency"], "INR");
    let days = january["days"].as_array().expect("days");
    assert_eq!(days.len(), 31);
    for (day, expected) in [
        (0, json!({"date": "2025-01-01", "price": null, "flights": 0})),
        (19, json!({"date": "2025-01-20", "price": 4_000.0, "flights": 2})),
        (30, json!({"date": "2025-01-31", "price": 3_000.0, "flights": 1})),
    ] {
        assert_eq!(days[day], expected);
    }
    let two = calendar("month=2025-01&seats=2").await;
    assert_eq!(two["days"][19], json!({"date": "2025-01-20", "price": 5_000.0, "flights": 1}));
    let february = calendar("month=2024-02").await;
    assert_eq!(february["days"].as_array().expect("days").len(), 29);
    assert!(february["days"].as_array().expect("days").iter().all(|day| day["price"].is_null()));
    app.finish().await;
}

#[tokio::test]
async fn days_and_months_are_those_of_the_schedules_time_zone() {
    let app = TestApp::with(|config| {
        config.schedule_timezone = airline_booking::domain::ScheduleZone(chrono_tz::Asia::Kolkata);
    })
    .await;
    // 23:30 of the 19th and 00:30 of the 20th in India.
    let (late, early) = (-360, -300);
    let flights =
        [flight(("Delhi", "Mumbai"), late, 1, 900), flight(("Delhi", "Mumbai"), early, 60, 800)];
    import(&app, &flights).await;
    let day =
        async |date| found(&app, &format!("source=Delhi&destination=Mumbai&date={date}")).await;
    assert_eq!((day("2025-01-19").await, day("2025-01-20").await), (vec![vec![1]], vec![vec![2]]));
    let path = "/api/v1/flights/calendar?source=Delhi&destination=Mumbai&month=2025-01";
    let days = app.get(path).await.json["days"].clone();
    assert_eq!((&days[18]["price"], &days[19]["price"]), (&json!(900.0), &json!(800.0)));
    app.finish().await;
}
