//! Itineraries cancelled in part and whole: seats, refunds and prices of what is left.

use super::{PATH, all, at_rest, cancel, each, journey, minor, paid, read, sum};
use crate::support::TestApp;
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

async fn available(app: &TestApp, flights: &[i64]) -> Vec<i64> {
    let mut seats = Vec::new();
    for flight in flights {
        seats.push(app.flight(*flight).await["available_seats"].as_i64().expect("seats"));
    }
    seats
}

/// What was paid is what is left and what went back.
fn assert_conserved(itinerary: &Value) {
    let bookings = itinerary["bookings"].as_array().expect("bookings");
    let kept = bookings.iter().filter(|booking| booking["status"] == "completed");
    let kept = sum(kept.map(|booking| &booking["booking_price"]));
    let refunds = itinerary["refunds"].as_array().expect("refunds");
    let refunded = sum(refunds.iter().map(|refund| &refund["amount"]));
    assert_eq!(kept + refunded, minor(&itinerary["total_price"]), "{itinerary}");
}

#[tokio::test]
async fn a_segment_is_cancelled_and_its_price_goes_back() {
    let app = TestApp::start().await;
    let flights = journey(&app, 3, 9).await;
    let id = paid(&app, &flights, 2).await;
    app.gateway.close_refunds();
    let cancelled = cancel(&app, id, &json!({"segments": [2]})).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    assert_eq!(cancelled.json, read(&app, id).await);
    assert_eq!(cancelled.json["status"], "completed");
    assert_eq!(each(&cancelled.json, "status"), ["completed", "cancelled", "completed"]);
    assert_eq!(cancelled.json["payment"]["status"], "captured");
    let second = each(&cancelled.json, "booking_id")[1];
    let refund = &cancelled.json["refunds"][0];
    let refund_id = refund["id"].as_str().expect("an id");
    assert!(refund_id.len() == 36 && refund_id.starts_with("REF-"), "{refund_id}");
    let expected = json!([{
        "id": refund_id, "booking_id": second, "amount": 4000.04, "status": "requested",
        "reason": "traveller", "created_at": "2025-01-01T00:00:00Z"
    }]);
    assert_eq!(cancelled.json["refunds"], expected);
    assert_eq!(available(&app, &flights).await, [7, 9, 7]);
    assert_conserved(&cancelled.json);

    app.run_until_idle().await;
    let before = at_rest(&app, &flights).await;
    let again = cancel(&app, id, &json!({"segments": [2]})).await;
    assert_eq!((again.status.as_u16(), &again.json), (200, &cancelled.json));
    assert_eq!(all(&app, &flights).await, before);

    app.gateway.open();
    app.run_until_idle().await;
    let done = read(&app, id).await;
    assert_eq!(done["refunds"][0]["status"], "done");
    let shown = app.booking(second.as_i64().expect("an id")).await;
    assert_eq!(shown["refunds"], done["refunds"]);
    assert_eq!(app.booking(id).await["refunds"], json!([]));
    app.finish().await;
}

#[tokio::test]
async fn a_passenger_is_cancelled_on_all_segments_or_on_one() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 9).await;
    let id = paid(&app, &flights, 3).await;
    let one = cancel(&app, id, &json!({"segments": [1], "passengers": [1]})).await;
    assert_eq!(one.status, 200, "{one:?}");
    assert_eq!(available(&app, &flights).await, [7, 6]);
    assert_eq!(minor(&one.json["refunds"][0]["amount"]), 100_001);
    assert_conserved(&one.json);
    let two = cancel(&app, id, &json!({"passengers": [2, 1]})).await;
    assert_eq!(two.status, 200, "{two:?}");
    assert_eq!(available(&app, &flights).await, [8, 8]);
    let amounts: Vec<_> = two.json["refunds"].as_array().expect("refunds").iter().collect();
    let amounts: Vec<_> = amounts.iter().map(|refund| minor(&refund["amount"])).collect();
    assert_eq!(amounts, [100_001, 100_001, 400_004]);
    assert_eq!(sum(each(&two.json, "booking_price")), 100_001 + 200_002);
    assert_conserved(&two.json);

    // Those who stay at home keep their places in the list.
    for (booking, seats) in each(&two.json, "booking_id").into_iter().zip([1, 1]) {
        let shown = app.booking(booking.as_i64().expect("an id")).await;
        assert_eq!(
            (&shown["status"], &shown["seats_booked"]),
            (&json!("completed"), &json!(seats))
        );
        let passengers = shown["booking_metadata"].as_array().expect("passengers");
        let states: Vec<_> = passengers.iter().map(|passenger| &passenger["status"]).collect();
        assert_eq!(states, [&Value::Null, &json!("cancelled"), &json!("cancelled")]);
    }
    app.run_until_idle().await;
    app.finish().await;
}

#[tokio::test]
async fn all_that_is_left_can_be_cancelled_after_parts() {
    let app = TestApp::start().await;
    let flights = journey(&app, 4, 9).await;
    let id = paid(&app, &flights, 3).await;
    for part in [json!({"segments": [4]}), json!({"passengers": [0]}), json!({"segments": [1, 4]})]
    {
        let cancelled = cancel(&app, id, &part).await;
        assert_eq!(
            (cancelled.status.as_u16(), &cancelled.json["status"]),
            (200, &json!("completed"))
        );
        assert_conserved(&cancelled.json);
        app.run_until_idle().await;
    }
    assert_eq!(available(&app, &flights).await, [9, 7, 7, 9]);
    // Without a body or a content type.
    let request = Request::post(format!("{PATH}/{id}/cancel")).body(Body::empty());
    let whole = app.send(request.expect("a request")).await;
    assert_eq!((whole.status.as_u16(), &whole.json["status"]), (200, &json!("cancelled")));
    assert_conserved(&whole.json);
    app.run_until_idle().await;
    let done = read(&app, id).await;
    let refunds = done["refunds"].as_array().expect("refunds");
    assert!(refunds.iter().all(|refund| refund["status"] == "done"), "{done}");
    assert_eq!(sum(refunds.iter().map(|refund| &refund["amount"])), minor(&done["total_price"]));
    assert_eq!(available(&app, &flights).await, [9; 4]);
    let again = cancel(&app, id, &json!({})).await;
    assert_eq!((again.status.as_u16(), &again.json), (200, &done));
    app.finish().await;
}

#[tokio::test]
async fn a_booking_is_cancelled_passenger_by_passenger() {
    let app = TestApp::start().await;
    let flight = app.add_flight(9).await;
    let id = app.book(flight, 3).await.booking_id();
    app.run_until_idle().await;
    let path = format!("/api/v1/bookings/{id}/cancel");
    app.gateway.close_refunds();
    let first = app.post(&path, &json!({"passengers": [1]})).await;
    assert_eq!((first.status.as_u16(), &first.json["status"]), (200, &json!("completed")));
    assert_eq!(first.text, app.get(&format!("/api/v1/bookings/{id}")).await.text);
    assert_eq!(
        (&first.json["seats_booked"], &first.json["booking_price"]),
        (&json!(2), &json!(5000.0))
    );
    assert_eq!(first.json["refunds"][0]["amount"], 2500.0);
    assert_eq!(first.json["booking_metadata"][1]["status"], "cancelled");
    app.gateway.open();
    app.run_until_idle().await;
    let rest = app.post(&path, &json!({"passengers": [0, 2]})).await;
    assert_eq!((rest.status.as_u16(), &rest.json["status"]), (200, &json!("cancelled")));
    assert_eq!(rest.json["refunds"].as_array().map(Vec::len), Some(2));
    assert_eq!(rest.json["payment"]["status"], "captured");
    assert_eq!(available(&app, &[flight]).await, [9]);
    for place in [json!([3]), json!([-1]), json!([0, 0]), json!([])] {
        let refused = app.post(&path, &json!({"passengers": place})).await;
        refused.assert_problem(422, "validation_failed");
    }
    app.finish().await;
}

#[tokio::test]
async fn of_a_departed_flight_the_taxes_alone_come_back_and_of_the_rest_the_price() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 9).await;
    let id = paid(&app, &flights, 1).await;
    app.clock.advance(chrono::TimeDelta::days(19) + chrono::TimeDelta::hours(7));
    app.run_until_idle().await;
    let quote = app.get(&format!("{PATH}/{id}/cancellation")).await.json;
    assert_eq!(quote["rule"], "no-show, free/1");
    let rest = cancel(&app, id, &json!({})).await;
    assert_eq!((rest.status.as_u16(), &rest.json["status"]), (200, &json!("cancelled")));
    let refunds = rest.json["refunds"].as_array().expect("refunds");
    assert_eq!(sum(refunds.iter().map(|refund| &refund["amount"])), minor(&quote["refund"]));
    let seats = [app.flight(flights[0]).await, app.flight(flights[1]).await];
    assert_eq!(seats.map(|flight| flight["available_seats"].clone()), [8, 9]);
    app.finish().await;
}

#[tokio::test]
async fn a_failed_itinerary_is_not_cancelled() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 9).await;
    let mut body = super::itinerary(&flights, 1);
    body["payment_method"] = json!("pm_card_declined");
    let id = super::id_of(&app.post(PATH, &body).await);
    app.run_until_idle().await;
    for part in [json!({}), json!({"segments": [2]})] {
        cancel(&app, id, &part).await.assert_problem(409, "booking_not_cancellable");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_cancelled_flight_gives_its_segment_back_and_the_others_stay() {
    let app = TestApp::start().await;
    let flights = journey(&app, 2, 9).await;
    let id = paid(&app, &flights, 2).await;
    let put = json!({"flight_status": "cancelled"});
    assert_eq!(app.put(&format!("/api/v1/flights/{}", flights[1]), &put).await.status, 200);
    app.pass(std::time::Duration::ZERO).await;
    app.run_until_idle().await;
    let shown = read(&app, id).await;
    assert_eq!(each(&shown, "status"), ["completed", "cancelled"]);
    assert_eq!(shown["refunds"][0]["reason"], "airline");
    assert_conserved(&shown);
    app.finish().await;
}
