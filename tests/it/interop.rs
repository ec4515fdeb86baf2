//! The topics as a contract with other teams: what they read is documented, what they write is applied or
//! becomes a dead letter, and nothing that they write stops the service.

use crate::support::booking;
use crate::support::kafka::{Stored, count, stored, write};
use crate::support::replicas::Replicas;
use crate::support::{equal, eventually};
use rdkafka::message::OwnedHeaders;
use serde_json::{Value, json};

fn json_of(stored: &Stored) -> Value {
    serde_json::from_slice(stored.payload.as_deref().expect("a payload")).expect("JSON")
}

fn key_of(stored: &Stored) -> String {
    String::from_utf8(stored.key.clone().expect("a key")).expect("a number")
}

async fn read(replicas: &Replicas, topic: &str, count: usize) -> Vec<Stored> {
    let name = replicas.setting(topic);
    stored(replicas.setting("KAFKA_BROKERS"), name, count).await
}

async fn book(replicas: &Replicas, flight: i64) -> Value {
    let post = replicas.client.post(replicas.url(0, "/api/v1/bookings")).json(&booking(flight, 2));
    post.send().await.expect("sent").json().await.expect("JSON")
}

async fn ends_as(replicas: &Replicas, booking: &Value, status: &str) {
    let path = format!("/api/v1/bookings/{}", booking["booking_id"]);
    eventually(format!("{booking}, {status}"), async || {
        equal(replicas.get(0, &path).await["status"].clone(), status)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_teams_payment_provider_can_settle_bookings() {
    // Without our own payment worker.
    let roles = "api,relay,settlement,sweeper";
    let replicas = Replicas::new().await.with("ROLES", roles).start(1).await;
    let flight = replicas.add_flight(10).await;
    let placed = book(&replicas, flight).await;
    let (id, reference) = (&placed["booking_id"], &placed["payment_reference_id"]);

    let requests = read(&replicas, "KAFKA_TOPIC_PAYMENT_REQUESTS", 1).await;
    assert_eq!(key_of(&requests[0]), id.to_string());
    let request = json_of(&requests[0]);
    assert_eq!(
        request,
        json!({
            "booking_id": id, "payment_reference_id": reference, "amount": 5000.0,
            "currency": "INR", "payment_method": "pm_card_visa", "action": "capture",
            "timestamp": request["timestamp"]
        })
    );
    let headers = &requests[0].headers;
    assert_eq!(headers.get("ce_specversion"), Some("1.0"));
    assert_eq!(headers.get("ce_source"), Some("/airline-booking"));
    assert_eq!(headers.get("ce_holdexpiresat"), placed["hold_expires_at"].as_str());

    let brokers = replicas.setting("KAFKA_BROKERS");
    let events = replicas.setting("KAFKA_TOPIC_PAYMENTS");
    let key = id.to_string();
    let say = async |payload: &[u8]| {
        write(brokers, events, Some(key.as_bytes()), Some(payload), OwnedHeaders::new()).await;
    };
    // Garbage, an unknown payment and a wrong amount come first, and stop nothing.
    let completed = json!({
        "booking_id": id, "payment_reference_id": reference, "amount": 5000, "status": "completed",
        "timestamp": "2025-01-01T00:00:00Z"
    });
    let (mut unknown, mut wrong) = (completed.clone(), completed.clone());
    unknown["payment_reference_id"] = json!("PAY-00000000000000000000000000000000");
    let mut last = unknown.clone();
    last["payment_reference_id"] = json!("PAY-ffffffffffffffffffffffffffffffff");
    wrong["amount"] = json!(1);
    say(b"\xff\xfe not JSON").await;
    say(unknown.to_string().as_bytes()).await;
    say(wrong.to_string().as_bytes()).await;
    // The same twice, and what shows, once it is a dead letter, that both were decided on.
    say(completed.to_string().as_bytes()).await;
    say(completed.to_string().as_bytes()).await;
    say(last.to_string().as_bytes()).await;

    let dead = format!("{events}.dlq");
    let letters = stored(brokers, &dead, 4).await;
    let reasons: Vec<_> = letters.iter().map(|letter| letter.headers.get("dlq_reason")).collect();
    assert_eq!(letters.len(), 4, "{reasons:?}");
    assert_eq!(json_of(&letters[3]), last);
    ends_as(&replicas, &placed, "completed").await;
    for letter in &letters {
        assert_eq!(letter.headers.get("dlq_topic"), Some(events));
        for header in ["dlq_reason", "dlq_partition", "dlq_offset"] {
            assert!(letter.headers.get(header).is_some_and(|value| !value.is_empty()), "{header}");
        }
    }
    let shown = replicas.get(0, &format!("/api/v1/flights/{flight}")).await;
    assert_eq!((&shown["available_seats"], &shown["held_seats"]), (&json!(8), &json!(0)));
    replicas.outbox_is_empty().await;
    assert_eq!(count(brokers, replicas.setting("KAFKA_TOPIC_BOOKINGS")).await, 1);
    // The other team's books, in the place of the simulated gateway's.
    replicas
        .execute(
            "INSERT INTO gateway_ledger (reference, amount, method, state, updated_at)
             SELECT reference, amount, method, 'captured', updated_at FROM payments",
        )
        .await;
    replicas.audit().await;
}

/// The lines that kcat prints of a topic; `None`: it is not installed.
async fn kcat(replicas: &Replicas, topic: &str) -> Option<Vec<Value>> {
    let (brokers, topic) = (replicas.setting("KAFKA_BROKERS"), replicas.setting(topic));
    let mut kcat = tokio::process::Command::new("kcat");
    // To the end of the topic, a message a line, as an envelope of JSON.
    kcat.args(["-C", "-q", "-e", "-J", "-b", brokers, "-t", topic]).kill_on_drop(true);
    let output = match kcat.output().await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        output => output.expect("kcat runs"),
    };
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    Some(printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_reads_both_topics() {
    let replicas = Replicas::new().await.start(1).await;
    let flight = replicas.add_flight(10).await;
    let placed = book(&replicas, flight).await;
    ends_as(&replicas, &placed, "completed").await;
    replicas.outbox_is_empty().await;
    let Some(sold) = kcat(&replicas, "KAFKA_TOPIC_BOOKINGS").await else {
        eprintln!("left out: kcat is not installed (Debian: apt-get install -y kcat)");
        return;
    };
    let paid = kcat(&replicas, "KAFKA_TOPIC_PAYMENTS").await.expect("it is installed");
    let payload = |envelope: &Value| -> Value {
        serde_json::from_str(envelope["payload"].as_str().expect("text")).expect("JSON")
    };
    let id = &placed["booking_id"];
    // Messages go out at least once: a repeat has the same id.
    let is_one = |all: &[Value]| all.iter().all(|one| one["headers"][3] == all[0]["headers"][3]);
    assert!(is_one(&sold) && is_one(&paid), "{sold:?} {paid:?}");
    let (sold, paid) = (&sold[0], &paid[0]);
    assert_eq!((&sold["key"], &paid["key"]), (&json!(flight.to_string()), &json!(id.to_string())));
    let (sold, paid) = (payload(sold), payload(paid));
    assert_eq!(
        sold,
        json!({
            "flight_id": flight, "seats_booked": 2, "booking_id": id,
            "timestamp": sold["timestamp"]
        })
    );
    assert_eq!(
        paid,
        json!({
            "booking_id": id, "payment_reference_id": placed["payment_reference_id"],
            "amount": 5000.0, "status": "completed", "timestamp": paid["timestamp"]
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inventory_topic_shows_sold_and_returned_seats() {
    let replicas = Replicas::new().await.start(1).await;
    let flight = replicas.add_flight(10).await;
    let placed = book(&replicas, flight).await;
    ends_as(&replicas, &placed, "completed").await;
    let id = &placed["booking_id"];
    let cancel = replicas.url(0, &format!("/api/v1/bookings/{id}/cancel"));
    replicas.client.post(cancel).send().await.expect("an answer");

    let moved = read(&replicas, "KAFKA_TOPIC_BOOKINGS", 2).await;
    let seats: Vec<_> = moved.iter().map(json_of).collect();
    for (message, expected) in seats.iter().zip([2, -2]) {
        assert_eq!(
            *message,
            json!({
                "flight_id": flight, "seats_booked": expected, "booking_id": id,
                "timestamp": message["timestamp"]
            })
        );
    }
    assert!(moved.iter().all(|message| key_of(message) == flight.to_string()));

    let told = read(&replicas, "KAFKA_TOPIC_EVENTS", 3).await;
    let kinds: Vec<_> = told.iter().map(|message| message.headers.get("ce_type")).collect();
    let expected = ["flight.created", "booking.completed", "booking.cancelled"].map(Some);
    assert_eq!(kinds, expected);
    let versions: Vec<i64> = told
        .iter()
        .map(|message| message.headers.get("ce_flightversion").expect("a version"))
        .map(|version| version.parse().expect("a number"))
        .collect();
    assert!(versions.is_sorted(), "{versions:?}");
    assert!(told.iter().all(|message| json_of(message).get("booking_metadata").is_none()));
    replicas.settled().await;
    replicas.audit().await;
}
