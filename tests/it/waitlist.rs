//! Parties that wait for seats of a flight: who gets them, when, and what becomes of the offers.

mod line;
mod offers;
mod requests;
mod told;

use crate::support::{Answer, TestApp, booking, eventually};
use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

/// The body of a request to wait: a party of a user's.
fn party(user: i64, seats: i32) -> Value {
    let mut body = booking(0, seats);
    let fields = body.as_object_mut().expect("an object");
    fields.remove("flight_id");
    fields.insert("user_id".to_owned(), json!(user));
    body
}

impl TestApp {
    async fn wait_as(&self, flight: i64, body: &Value) -> Answer {
        self.post(&format!("/api/v1/flights/{flight}/waitlist"), body).await
    }

    /// A party of a user's joins the line; gives its entry.
    async fn join(&self, flight: i64, user: i64, seats: i32) -> i64 {
        let joined = self.wait_as(flight, &party(user, seats)).await;
        assert_eq!(
            (joined.status.as_u16(), &joined.json["status"]),
            (201, &json!("waiting")),
            "{joined:?}"
        );
        joined.json["waitlist_id"].as_i64().expect("an id")
    }

    async fn entry(&self, id: i64) -> Value {
        self.get(&format!("/api/v1/waitlist/{id}")).await.json
    }

    async fn answer(&self, id: i64, what: &str, body: &Value) -> Answer {
        let path = format!("/api/v1/waitlist/{id}/{what}");
        self.send_json_with(Method::POST, &path, body, &[("prefer", "wait=30")]).await
    }

    async fn leave(&self, id: i64) -> Answer {
        let request = Request::delete(format!("/api/v1/waitlist/{id}")).body(Body::empty());
        self.send(request.expect("a request")).await
    }

    /// Until an entry has this status.
    async fn until_entry_is(&self, id: i64, status: &str) -> Value {
        eventually("an entry's status", async || {
            let entry = self.entry(id).await;
            if entry["status"] == status { Ok(entry) } else { Err(entry) }
        })
        .await
    }

    /// A flight of which all seats are sold; gives its id and the bookings of one seat each.
    async fn sold_out(&self, seats: i32) -> (i64, Vec<i64>) {
        let flight = self.add_flight(seats).await;
        let mut bookings = Vec::new();
        for _ in 0..seats {
            let placed = self.book(flight, 1).await;
            assert_eq!(placed.status, 201, "{placed:?}");
            bookings.push(placed.json["booking_id"].as_i64().expect("an id"));
        }
        self.run_until_idle().await;
        (flight, bookings)
    }

    async fn give_up(&self, booking: i64) {
        let path = format!("/api/v1/bookings/{booking}/cancel");
        assert_eq!(self.post(&path, &json!({})).await.status, 200);
    }
}
