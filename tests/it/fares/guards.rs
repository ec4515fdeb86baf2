//! The price that a caller has seen.

use super::add;
use crate::support::{TestApp, booking};
use serde_json::{Value, json};

#[tokio::test]
async fn a_price_that_has_changed_is_refused_with_the_price_of_now() {
    let app = TestApp::start().await;
    app.gateway.close();
    let flight = add(&app, "free").await;
    let ask = |expected: Value| {
        let mut body = booking(flight, 2);
        body["expected_price"] = expected;
        body
    };
    let placed = app.post("/api/v1/bookings", &ask(json!("5000.00"))).await;
    assert_eq!(placed.status, 201, "{placed:?}");
    let put = app.put(&format!("/api/v1/flights/{flight}"), &json!({"price": 2600})).await;
    assert_eq!(put.status, 200);
    let refused = app.post("/api/v1/bookings", &ask(json!(5000))).await;
    refused.assert_problem(409, "price_changed");
    assert_eq!(refused.json["price"], 5200.0);
    assert_eq!(app.flight(flight).await["held_seats"], 2, "nothing is held");
    assert_eq!(app.post("/api/v1/bookings", &ask(json!(5200))).await.status, 201);
    let mistyped = app.post("/api/v1/bookings", &ask(json!("dear"))).await;
    mistyped.assert_problem(422, "validation_failed");
    assert_eq!(mistyped.pointers(), ["/expected_price"]);
    for senseless in [json!(-1), json!(10_000_000_000_i64)] {
        let refused = app.post("/api/v1/bookings", &ask(senseless.clone())).await;
        refused.assert_problem(422, "validation_failed");
        assert_eq!(refused.pointers(), ["/expected_price"]);
        for of in ["bookings", "itineraries"] {
            let path = format!("/api/v1/{of}/{}/cancel", placed.booking_id());
            let refused = app.post(&path, &json!({"expected_refund": senseless})).await;
            refused.assert_problem(422, "validation_failed");
            assert_eq!(refused.pointers(), ["/expected_refund"]);
        }
    }
    let mut order = ask(json!(1));
    order.as_object_mut().expect("an object").remove("flight_id");
    order["segments"] = json!([{"flight_id": flight}]);
    let refused = app.post("/api/v1/itineraries", &order).await;
    refused.assert_problem(409, "price_changed");
    app.finish().await;
}
