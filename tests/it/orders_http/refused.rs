//! Itineraries that are refused: each with its code and its place in the request, and nothing changes.

use super::{PATH, add, all, at_rest, each, itinerary, journey, leg, place, read};
use crate::support::TestApp;
use airline_booking::domain::{FlightStatus, NewFlight};
use chrono::TimeDelta;
use serde_json::{Value, json};

#[tokio::test]
async fn broken_rules_are_named_at_their_place() {
    let app = TestApp::start().await;
    let mut legs: Vec<_> = (0..4).map(|at| leg(at, 9)).collect();
    // 4: departs 44 minutes after the first arrives; 5: has no arrival.
    let soon = legs[0].departs_at + TimeDelta::minutes(164);
    legs.push(NewFlight { departs_at: soon, ..leg(1, 9) });
    legs.push(NewFlight { arrives_at: None, ..leg(0, 9) });
    let ids = add(&app, &legs).await;
    let with =
        |flights: &[usize]| itinerary(&flights.iter().map(|at| ids[*at]).collect::<Vec<_>>(), 2);
    let field = |field: &str, value: Value| {
        let mut body = with(&[0, 1]);
        body[field] = value;
        body
    };
    app.run_until_idle().await;
    let before = at_rest(&app, &ids).await;
    for (body, pointers) in [
        (json!({}), &["/segments", "/user_id", "/seats_booked", "/passenger_details"][..]),
        (with(&[]), &["/segments"]),
        (with(&[0; 9]), &["/segments"]),
        (with(&[0, 1, 0]), &["/segments/2/flight_id"]),
        (with(&[0, 0, 0]), &["/segments/1/flight_id", "/segments/2/flight_id"]),
        (with(&[1, 0]), &["/segments/1/flight_id"]),
        (with(&[0, 4]), &["/segments/1/flight_id"]),
        (with(&[5, 1]), &["/segments/0/flight_id"]),
        (with(&[2, 1, 0]), &["/segments/1/flight_id", "/segments/2/flight_id"]),
        (
            field("segments", json!([{}, {"flight_id": null}])),
            &["/segments/0/flight_id", "/segments/1/flight_id"],
        ),
        (
            field("segments", json!([{"flight_id": 0}, {"flight_id": 0}])),
            &["/segments/0/flight_id", "/segments/1/flight_id"],
        ),
        (field("seats_booked", json!(3)), &["/passenger_details"]),
        (field("seats_booked", json!(10)), &["/seats_booked", "/passenger_details"]),
        (field("seats_booked", json!(0)), &["/seats_booked", "/passenger_details"]),
        (field("passenger_details", json!([])), &["/passenger_details"]),
        (field("user_id", json!(0)), &["/user_id"]),
        (field("payment_method", json!("no card")), &["/payment_method"]),
    ] {
        let refused = app.post(PATH, &body).await;
        refused.assert_problem(422, "validation_failed");
        assert_eq!(refused.pointers(), pointers, "{body} {refused:?}");
    }
    assert_eq!(all(&app, &ids).await, before);
    app.finish().await;
}

#[tokio::test]
async fn flights_of_two_currencies_are_refused() {
    let app = TestApp::start().await;
    let ids = add(&app, &[leg(0, 9)]).await;
    let dollars = "USD".parse().expect("a currency");
    let now = crate::support::start_of_test();
    app.store.import_flights(&[leg(1, 9)], dollars, now).await.expect("an import");
    let before = at_rest(&app, &[1, 2]).await;
    let refused = place(&app, &[ids[0], ids[0] + 1], 1).await;
    refused.assert_problem(422, "validation_failed");
    assert_eq!(refused.pointers(), ["/segments/1/flight_id"]);
    assert!(refused.json["detail"].as_str().expect("text").contains("INR"), "{refused:?}");
    assert_eq!(all(&app, &[1, 2]).await, before);
    app.finish().await;
}

#[tokio::test]
async fn one_flight_that_can_not_be_booked_refuses_all_and_is_named() {
    let app = TestApp::start().await;
    let legs = [
        leg(0, 9),
        leg(1, 1),
        NewFlight { flight_status: FlightStatus::Cancelled, ..leg(2, 9) },
        NewFlight { flight_status: FlightStatus::Departed, ..leg(3, 9) },
    ];
    let mut ids = Vec::new();
    for leg in &legs {
        let id = add(&app, std::slice::from_ref(leg)).await[0];
        let status = json!({"flight_status": leg.flight_status});
        app.put(&format!("/api/v1/flights/{id}"), &status).await;
        ids.push(id);
    }
    app.run_until_idle().await;
    let before = at_rest(&app, &ids).await;
    for (second, status, code) in [
        (ids[1], 409, "insufficient_seats"),
        (ids[2], 409, "flight_not_bookable"),
        (ids[3], 409, "flight_not_bookable"),
        (9_999, 404, "not_found"),
    ] {
        let refused = place(&app, &[ids[0], second], 2).await;
        refused.assert_problem(status, code);
        assert_eq!(refused.pointers(), ["/segments/1/flight_id"], "{refused:?}");
        assert_eq!(refused.json["errors"][0]["detail"], refused.json["detail"]);
        assert!(refused.json["detail"].as_str().expect("text").contains(&second.to_string()));
    }
    let refused = place(&app, &[9_999, ids[1]], 2).await;
    assert_eq!(refused.pointers(), ["/segments/0/flight_id"], "{refused:?}");
    assert_eq!(all(&app, &ids).await, before);
    app.finish().await;
}

#[tokio::test]
async fn a_users_unpaid_seats_are_limited_on_each_flight_of_an_itinerary() {
    let app = TestApp::with(|config| config.max_pending_per_user = Some(3)).await;
    let flights = journey(&app, 2, 50).await;
    app.gateway.close();
    app.book(flights[1], 2).await.booking_id();
    let refused = place(&app, &flights, 2).await;
    refused.assert_problem(409, "too_many_pending");
    assert_eq!(refused.pointers(), ["/segments/1/flight_id"]);
    assert_eq!(app.flight(flights[0]).await["held_seats"], 0);
    assert_eq!(place(&app, &flights, 1).await.status, 201);
    app.finish().await;
}

#[tokio::test]
async fn an_unpaid_itinerary_is_not_cancelled_in_part_and_the_refusal_says_what_to_do() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 9).await;
    app.gateway.close();
    let placed = place(&app, &flights, 2).await.json;
    let id = placed["itinerary_id"].as_i64().expect("an id");
    app.run_until_idle().await;
    let before = at_rest(&app, &flights).await;
    let second = &each(&placed, "booking_id")[1];
    for (path, part) in [
        (format!("{PATH}/{id}/cancel"), json!({"segments": [1]})),
        (format!("{PATH}/{id}/cancel"), json!({"passengers": [0]})),
        (format!("/api/v1/bookings/{id}/cancel"), json!({})),
        (format!("/api/v1/bookings/{second}/cancel"), json!({})),
        (format!("/api/v1/bookings/{second}/cancel"), json!({"passengers": [1]})),
    ] {
        let refused = app.post(&path, &part).await;
        refused.assert_problem(409, "booking_not_cancellable");
        let detail = refused.json["detail"].as_str().expect("text");
        let advice = format!("POST {PATH}/{id}/cancel");
        assert!(detail.contains("wait for its payment") && detail.contains(&advice), "{detail}");
    }
    assert_eq!(all(&app, &flights).await, before);
    // All of it can go, also if all of it is named.
    let whole = json!({"segments": [2, 1], "passengers": [1, 0]});
    let cancelled = app.post(&format!("{PATH}/{id}/cancel"), &whole).await;
    assert_eq!((cancelled.status.as_u16(), &cancelled.json["status"]), (200, &json!("cancelled")));
    assert_eq!(cancelled.json["payment"]["status"], "reversing");
    assert_eq!(cancelled.json["refunds"], json!([]));
    app.gateway.open();
    app.run_until_idle().await;
    assert_eq!(read(&app, id).await["payment"]["status"], "reversed");
    app.finish().await;
}
