//! A find needs no token even with `AUTH=jwt`; it is in the audit log all the same.

use super::FIND;
use crate::logs::log_of;
use crate::support::jwt::token;
use crate::support::process::http_client;
use crate::support::{booking, flight};
use airline_booking::clock::{Clock as _, SystemClock};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

const SECRET: &str = "a marked secret of thirty-two bytes or more";

fn token_of(user: i64, scope: &str) -> String {
    let expires = SystemClock.now().timestamp() + 300;
    let claims = json!({"sub": user.to_string(), "exp": expires, "scope": scope});
    token(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_find_needs_no_token_and_is_audited_with_the_one_that_it_has() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings =
        [("AUTH", "jwt"), ("JWT_SECRET", SECRET), ("RUST_LOG", "info"), ("LOG_FORMAT", "json")];
    let log = log_of(directory.path(), &settings, async |base: &str| {
        let client = http_client();
        let post = async |who: Option<&str>, path: &str, body: &Value| {
            let request = client.post(format!("{base}{path}")).json(body);
            let request = match who {
                Some(token) => request.bearer_auth(token),
                None => request,
            };
            let answer = request.send().await.expect("an answer");
            let status = answer.status().as_u16();
            (status, answer.json::<Value>().await.expect("JSON"))
        };
        let (owner, staff) = (token_of(123, ""), token_of(1, "flights:write bookings:admin"));
        let mut far = flight(9);
        far["timestamp"] = json!("2099-01-20T10:00:00Z");
        let (_, flight) = post(Some(&staff), "/api/v1/flights", &far).await;
        let flight = flight["id"].as_i64().expect("an id");
        let (_, placed) = post(Some(&owner), "/api/v1/bookings", &booking(flight, 1)).await;
        let asked = json!({"reference": placed["reference"], "last_name": "Rao"});
        for who in [None, Some("nonsense"), Some(owner.as_str()), Some(staff.as_str())] {
            let (status, found) = post(who, FIND, &asked).await;
            assert_eq!((status, &found["id"]), (200, &placed["booking_id"]), "{who:?}");
        }
        let missed = json!({"reference": placed["reference"], "last_name": "Marked"});
        assert_eq!(post(None, FIND, &missed).await.0, 404);
    })
    .await;
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let lines: Vec<Value> = lines.collect();
    let found: Vec<_> = lines
        .iter()
        .filter(|line| line["target"] == "audit" && line["action"] == "booking.find")
        .map(|line| (line["subject"].as_i64(), line["user"].as_i64(), line["booking"].as_i64()))
        .collect();
    let of = (Some(123), Some(1));
    assert_eq!(found, [(None, of.0, of.1), (None, of.0, of.1), (Some(1), of.0, of.1)]);
    let refused = lines.iter().find(|line| line["message"] == "refused").expect("a miss");
    assert_eq!(
        (&refused["route"], &refused["reason"]),
        (&json!(FIND), &json!("it finds no booking"))
    );
    assert_eq!(refused["client"], "127.0.0.1");
    for mark in ["Rao", "rao", "Marked", "nonsense"] {
        assert!(!log.contains(mark), "{mark} is in the log");
    }
}
