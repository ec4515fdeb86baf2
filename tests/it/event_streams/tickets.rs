//! With `AUTH=jwt`: who may follow what, and tickets in place of tokens.

use crate::support::jwt::token;
use crate::support::replicas::Replicas;
use crate::support::streams::EventStream;
use crate::support::{booking, flight};
use airline_booking::clock::{Clock as _, SystemClock};
use jsonwebtoken::{EncodingKey, Header};
use reqwest::{Method, Response};
use serde_json::{Value, json};

const SECRET: &str = "a marked secret of thirty-two bytes or more";

fn token_of(user: i64, scope: &str) -> String {
    let expires = SystemClock.now().timestamp() + 300;
    let claims = json!({"sub": user.to_string(), "exp": expires, "scope": scope});
    token(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()))
}

struct Subject {
    replicas: Replicas,
    owner: String,
    stranger: String,
    staff: String,
}

impl Subject {
    async fn start() -> Self {
        let replicas = Replicas::new().await.with("AUTH", "jwt").with("JWT_SECRET", SECRET);
        let replicas = replicas.start(2).await;
        let (owner, stranger) = (token_of(123, ""), token_of(7, ""));
        Self { replicas, owner, stranger, staff: token_of(1, "flights:write bookings:admin") }
    }

    async fn ask(&self, replica: usize, who: &str, path: &str, body: Option<Value>) -> Response {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let url = self.replicas.url(replica, &format!("/api/v1{path}"));
        let request = self.replicas.client.request(method, url);
        let request = if who.is_empty() { request } else { request.bearer_auth(who) };
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        request.send().await.expect("an answer")
    }

    async fn post(&self, who: &str, path: &str, body: Value) -> Value {
        let answer = self.ask(0, who, path, Some(body)).await;
        assert!(answer.status().is_success(), "{path} {answer:?}");
        answer.json().await.expect("JSON")
    }

    async fn change_price(&self, flight: i64, price: i32) {
        let url = self.replicas.url(0, &format!("/api/v1/flights/{flight}"));
        let change = self.replicas.client.put(url).bearer_auth(&self.staff);
        let changed = change.json(&json!({"price": 2_000 + price})).send().await;
        assert_eq!(changed.expect("an answer").status(), 200);
    }

    /// A ticket's text.
    async fn ticket(&self, who: &str, resource: &str) -> String {
        let made = self.post(who, "/tickets", json!({"resource": resource})).await;
        made["ticket"].as_str().expect("a ticket").to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_its_stream_once_on_whichever_replica_and_no_other() {
    let subject = Subject::start().await;
    let flight = subject.post(&subject.staff, "/flights", flight(9)).await["id"].clone();
    let number = flight.as_i64().expect("an id");
    let booked = subject.post(&subject.owner, "/bookings", booking(number, 1)).await;
    let resource = format!("/bookings/{}", booked["booking_id"]);
    let stream = format!("{resource}/events");
    for (who, status) in [("", 401), (&*subject.stranger, 404), (&*subject.owner, 200)] {
        assert_eq!(subject.ask(0, who, &stream, None).await.status(), status);
        let asked = Some(json!({"resource": resource}));
        assert_eq!(subject.ask(0, who, "/tickets", asked).await.status(), status);
    }
    for resource in ["/users/7", "/bookings/", "/bookings/-1", "bookings/1", "/flights/1/events"] {
        let asked = Some(json!({"resource": resource}));
        assert_eq!(subject.ask(0, &subject.owner, "/tickets", asked).await.status(), 422);
    }
    let ticket = subject.ticket(&subject.owner, &resource).await;
    let with = |path: &str| format!("{path}?ticket={ticket}");
    let wrong = subject.ask(1, "", &with(&format!("/flights/{number}/events")), None).await;
    assert_eq!(wrong.status(), 401, "it is for another resource");
    let mut open = EventStream::received(subject.ask(1, "", &with(&stream), None).await);
    assert_eq!(open.expect().await.kind, "state");
    for replica in [0, 1] {
        let again = subject.ask(replica, "", &with(&stream), None).await;
        assert_eq!(again.status(), 401, "it was used");
    }
    assert_eq!(subject.ask(0, "", &format!("{stream}?ticket=x"), None).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flights_stream_has_its_bookings_events_for_staff_alone() {
    let subject = Subject::start().await;
    let flight = subject.post(&subject.staff, "/flights", flight(9)).await["id"].clone();
    let number = flight.as_i64().expect("an id");
    let stream = format!("/flights/{number}/events");
    let resource = format!("/flights/{number}");
    let for_all = [subject.ask(0, "", &stream, None).await, {
        subject.ask(0, &subject.owner, &stream, None).await
    }];
    let ticket = subject.ticket(&subject.staff, &resource).await;
    let for_staff = [subject.ask(0, &subject.staff, &stream, None).await, {
        subject.ask(1, "", &format!("{stream}?ticket={ticket}"), None).await
    }];
    let mut booking = booking(number, 2);
    booking["user_id"] = json!(123);
    subject.post(&subject.owner, "/bookings", booking).await;
    for (answers, expected) in [(for_staff, 1), (for_all, 0)] {
        for answer in answers {
            let mut stream = EventStream::received(answer);
            assert_eq!(stream.expect().await.kind, "state");
            for _ in 0..expected {
                assert_eq!(stream.expect().await.kind, "booking.completed");
            }
            subject.change_price(number, expected).await;
            assert_eq!(stream.expect().await.kind, "flight.updated");
        }
    }
    for (who, status) in [("", 401), (&*subject.owner, 403), (&*subject.staff, 200)] {
        assert_eq!(subject.ask(0, who, "/events", None).await.status(), status);
    }
}
