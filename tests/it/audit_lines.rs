//! Log lines with the target `audit`: reading or changing the data of others writes one that names the
//! actor, and nothing about passengers.

use crate::logs::log_of;
use crate::support::jwt::token;
use crate::support::process::{http_client, run};
use crate::support::{booking, flight};
use airline_booking::clock::{Clock as _, SystemClock};
use jsonwebtoken::{EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

const SECRET: &str = "a marked secret of thirty-two bytes or more";

fn token_of(user: i64, scope: &str) -> String {
    let expires = SystemClock.now().timestamp() + 300;
    let claims = json!({"sub": user.to_string(), "exp": expires, "scope": scope});
    token(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()))
}

fn lines_of(log: &str) -> Vec<Value> {
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.filter(|line| line["target"] == "audit").collect()
}

/// Asks for all that owners, staff and strangers may ask for; gives the log.
async fn log_at(filter: &str, auth: bool) -> String {
    let directory = TempDir::new().expect("a directory");
    let flights =
        "source,destination,timestamp,total_seats,price\nDelhi,Mumbai,2099-01-20T10:00:00Z,99,1\n";
    std::fs::write(directory.path().join("flights.csv"), flights).expect("a file");
    let (code, printed) = run(directory.path(), &["import", "flights.csv"]).await;
    assert_eq!(code, 0, "{printed}");
    let settings = [("RUST_LOG", filter), ("LOG_FORMAT", "json")];
    let with_auth = [("AUTH", "jwt"), ("JWT_SECRET", SECRET)];
    let settings = [&settings[..], if auth { &with_auth } else { &[] }].concat();
    log_of(directory.path(), &settings, async |base: &str| {
        let client = http_client();
        let ask = async |who: &str, method: Method, path: &str, body: Option<Value>| {
            let request = client.request(method, format!("{base}/api/v1{path}")).bearer_auth(who);
            let request = request.header("x-request-id", path.replace('/', "."));
            let request = match &body {
                Some(body) => request.json(body),
                None => request,
            };
            request.send().await.expect("an answer").status().as_u16()
        };
        let (owner, stranger) = (token_of(123, ""), token_of(7, ""));
        let staff = token_of(1, "flights:write bookings:admin");
        let book = || Some(booking(1, 1));
        // One's own.
        ask(&owner, Method::POST, "/bookings", book()).await;
        ask(&owner, Method::GET, "/bookings/1", None).await;
        ask(&owner, Method::GET, "/users/123/bookings", None).await;
        // Staff's.
        ask(&staff, Method::GET, "/bookings/1", None).await;
        ask(&staff, Method::GET, "/users/123/bookings", None).await;
        ask(&staff, Method::POST, "/bookings", book()).await;
        ask(&staff, Method::POST, "/bookings/2/cancel", None).await;
        ask(&staff, Method::GET, "/bookings/99", None).await;
        ask(&staff, Method::GET, "/flights/1/bookings", None).await;
        ask(&staff, Method::GET, "/flights", None).await;
        ask(&staff, Method::PUT, "/flights/1", Some(json!({"price": 2}))).await;
        ask(&staff, Method::PUT, "/flights/1", Some(json!({"total_seats": 2}))).await;
        ask(&staff, Method::POST, "/flights", Some(flight(9))).await;
        let both = || {
            let mut body = booking(1, 1);
            body.as_object_mut().expect("an object").remove("flight_id");
            body["segments"] = json!([{"flight_id": 1}]);
            Some(body)
        };
        ask(&staff, Method::POST, "/itineraries", both()).await;
        ask(&staff, Method::GET, "/itineraries/3", None).await;
        ask(&staff, Method::POST, "/itineraries/3/cancel", None).await;
        // A stranger's.
        ask(&stranger, Method::GET, "/bookings/1", None).await;
        ask(&stranger, Method::GET, "/itineraries/1", None).await;
        ask(&stranger, Method::POST, "/itineraries", both()).await;
        ask(&stranger, Method::POST, "/bookings", book()).await;
        ask(&stranger, Method::GET, "/users/123/bookings", None).await;
        ask(&stranger, Method::POST, "/flights", Some(flight(9))).await;
        ask(&stranger, Method::GET, "/flights/1/bookings", None).await;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_access_and_flight_changes_are_written_to_the_audit_log() {
    let log = log_at("info", true).await;
    let lines = lines_of(&log);
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            let number = |name: &str| line[name].as_i64();
            (
                number("subject").expect("who"),
                line["action"].as_str().expect("what"),
                number("user"),
                number("booking"),
                number("flight"),
                line["outcome"].as_str().expect("how it ended"),
            )
        })
        .collect();
    let of = Some(123);
    assert_eq!(
        told,
        [
            (1, "booking.read", of, Some(1), None, "done"),
            (1, "bookings.list", of, None, None, "done"),
            (1, "booking.place", of, Some(2), Some(1), "done"),
            (1, "booking.cancel", of, Some(2), None, "done"),
            (1, "flight.bookings", None, None, Some(1), "done"),
            (1, "flight.change", None, None, Some(1), "done"),
            (1, "flight.change", None, None, Some(1), "version_required"),
            (1, "flight.create", None, None, Some(2), "done"),
            (1, "itinerary.place", of, Some(3), Some(1), "done"),
            (1, "itinerary.read", of, Some(3), None, "done"),
            (1, "itinerary.cancel", of, Some(3), None, "done"),
            (7, "booking.read", of, Some(1), None, "not_found"),
            (7, "itinerary.read", of, Some(1), None, "not_found"),
            (7, "itinerary.place", of, None, Some(1), "forbidden"),
            (7, "booking.place", of, None, Some(1), "forbidden"),
            (7, "bookings.list", of, None, None, "forbidden"),
            (7, "flight.write", None, None, None, "forbidden"),
            (7, "flight.bookings", None, None, Some(1), "forbidden"),
        ]
    );
    assert_eq!(lines[0]["request_id"], ".bookings.1");
    assert!(lines.iter().all(|line| line["level"] == "INFO" && line["message"] == "audit"));
    for mark in ["Asha", "asha@", "1234567890", SECRET] {
        assert!(!log.contains(mark), "{mark} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_lines_have_their_own_log_target_and_need_authentication() {
    let log = log_at("off,audit=info", true).await;
    assert_eq!(log.lines().count(), 18, "{log}");
    assert_eq!(lines_of(&log).len(), 18);
    assert_eq!(lines_of(&log_at("info", false).await), Vec::<Value>::new());
}
