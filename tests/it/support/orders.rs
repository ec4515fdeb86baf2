//! Orders of several flights, placed and cancelled by the use cases.

use super::{TestApp, booking, flight};
use airline_booking::booking::PlaceOrder;
use airline_booking::domain::{BookingId, FlightId, Order, Passenger, PaymentMethod, UserId};
use airline_booking::rules::{Cancel, CancelledBy, OrderPart, Segments};
use chrono::TimeDelta;
use serde_json::{Value, json};

/// The body of `POST /flights` for one of a row of flights: each departs two hours after the one before it and
/// flies for one, so that any of them in ascending order make an order.
pub fn flight_of_row(number: usize, seats: i32) -> Value {
    let departs = super::start_of_test() + TimeDelta::days(9) + TimeDelta::hours(2 * number as i64);
    let mut body = flight(seats);
    body["timestamp"] = json!(departs);
    body["arrival_timestamp"] = json!(departs + TimeDelta::hours(1));
    body
}

impl TestApp {
    /// Adds flights that any order may connect, in this order.
    pub async fn add_row_of_flights<const N: usize>(&self, seats: i32) -> [i64; N] {
        let mut ids = [0; N];
        for (number, id) in ids.iter_mut().enumerate() {
            let answer = self.post("/api/v1/flights", &flight_of_row(number, seats)).await;
            *id = answer.json["id"].as_i64().unwrap_or_else(|| panic!("{answer:?}"));
        }
        ids
    }

    /// Adds two flights of one seat, on the 20th and the 21st of January 2025.
    pub async fn add_flights_of_two_days(&self) -> [i64; 2] {
        let mut made = [0; 2];
        for (made, day) in made.iter_mut().zip([20, 21]) {
            let mut body = flight(1);
            body["timestamp"] = json!(format!("2025-01-{day}T10:00:00Z"));
            body["arrival_timestamp"] = json!(format!("2025-01-{day}T12:00:00Z"));
            *made = self.post("/api/v1/flights", &body).await.json["id"].as_i64().expect("an id");
        }
        made
    }

    /// Posts an order of a seat on each flight, and waits until all that follows is done. Returns the answer.
    pub async fn post_order(&self, flights: [i64; 2]) -> Value {
        let mut body = booking(0, 1);
        body.as_object_mut().expect("an object").remove("flight_id");
        body["segments"] = json!(flights.map(|flight| json!({"flight_id": flight})));
        let made = self.post("/api/v1/itineraries", &body).await;
        assert_eq!(made.status, 201, "{made:?}");
        self.run_until_idle().await;
        made.json
    }

    /// Holds that many seats on each flight for one order.
    pub async fn order(&self, flights: &[i64], seats: i32, method: &str) -> Order {
        let passenger = json!({
            "name": "Asha", "email": "a@b.example", "phone": "1", "age": 30, "gender": "female"
        });
        let passenger: Passenger = serde_json::from_value(passenger).expect("a passenger");
        let place = PlaceOrder {
            flights: flights.iter().map(|id| FlightId(*id)).collect(),
            user_id: UserId(123),
            seats,
            passengers: vec![passenger; seats as usize],
            method: Some(PaymentMethod::new(method).expect("a token")),
            idempotency: None,
            request: None,
            pending_max: None,
            expected_price: None,
        };
        self.app.bookings.place(place, false).await.expect("an order").order
    }

    /// Cancels a segment of an order.
    pub async fn cancel_segment(&self, order: BookingId, segment: i32) {
        let booking = self.app.bookings.booking(order).await.expect("a booking");
        let segments = Segments::Only([segment].into_iter().collect());
        let part = OrderPart { segments, passengers: None };
        let (booking_id, by) = (booking.id, CancelledBy::Traveller);
        let cancel = Cancel { booking_id, part, by, expected_refund: None, request: None };
        let cancelled = self.app.bookings.cancel(&booking, cancel);
        cancelled.await.expect("a cancelled segment");
    }
}
