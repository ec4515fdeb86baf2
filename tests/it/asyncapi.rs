//! `asyncapi.yaml` says of each message exactly what is written: every field, header and word.

use crate::support::{TestApp, flight};
use airline_booking::domain::{
    AirlineEvent, Booking, BookingStatus, ChangeEnded, Currency, DisputeChanged, DisputeStatus,
    EndReason, EntryChanged, EntryStatus, Event, FailureReason, Flight, FlightBooking, FlightMoved,
    OrderEnded, PaymentAction, PaymentEvent, PaymentMethod, PaymentOutcome, PaymentRequest,
    RefundChanged, RefundId, RefundReason, RefundStatus, WaitMode, WaitlistId,
};
use airline_booking::messages::{
    Headers, Message, SIGNATURE, Signatures, Topic, parse_payment_event, parse_payment_request,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use strum::VariantArray as _;

fn document() -> Value {
    let text = concat!(env!("CARGO_MANIFEST_DIR"), "/asyncapi.yaml");
    let text = std::fs::read_to_string(text).expect("the document");
    serde_yaml_ng::from_str(&text).expect("YAML")
}

fn followed<'a>(document: &'a Value, node: &'a Value) -> &'a Value {
    match node["$ref"].as_str() {
        Some(reference) => {
            let pointer = reference.strip_prefix('#').expect("a reference into the document");
            document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
        }
        None => node,
    }
}

/// Asserts that a value has the schema's fields, of their types, and no others.
fn assert_fits(schema: &Value, value: &Value, what: &str) {
    let properties = schema["properties"].as_object().expect("properties");
    let value = value.as_object().expect("an object");
    for name in schema["required"].as_array().expect("required") {
        assert!(value.contains_key(name.as_str().expect("a name")), "{what}: no {name}");
    }
    for (name, value) in value {
        let rule =
            properties.get(name).unwrap_or_else(|| panic!("{what}: {name} is not described"));
        let fits = match rule["type"].as_str().expect("a type") {
            "integer" => value.is_i64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            other => panic!("{other}"),
        };
        assert!(fits, "{what}: {name} is {value}");
        if let Some(words) = rule["enum"].as_array() {
            assert!(words.contains(value), "{what}: {name} is {value}");
        }
        assert!(rule["const"].is_null() || rule["const"] == *value, "{what}: {name} is {value}");
        if rule["format"] == "date-time" {
            let instant = value.as_str().map(chrono::DateTime::parse_from_rfc3339);
            assert!(instant.is_some_and(|instant| instant.is_ok()), "{what}: {name} is {value}");
        }
    }
}

/// The events that say little of their rows, with all that they can say.
fn named(booking: &Booking) -> [(&'static str, AirlineEvent); 6] {
    let Booking { id, order_id, flight_id, .. } = *booking;
    let (amount, payment) = (booking.booking_price, booking.payment_reference);
    let currency: Currency = "INR".parse().expect("a currency");
    let at = booking.created_at;
    let moved = FlightMoved {
        flight_id,
        departs_at: at,
        arrives_at: Some(at),
        previous_departure: at,
        previous_arrival: Some(at),
    };
    let ended = ChangeEnded {
        booking_id: id,
        order_id,
        flight_id,
        to_flight_id: flight_id,
        reason: Some(FailureReason::PaymentDeclined),
        amount,
        currency,
        replacement: id,
    };
    let order = OrderEnded {
        order_id,
        flight_id,
        status: BookingStatus::Completed,
        segments: 2,
        total_price: amount,
        currency,
        payment,
    };
    let refund = RefundChanged {
        refund_id: RefundId::of(id, 1, payment),
        booking_id: id,
        order_id,
        flight_id,
        payment,
        amount,
        currency,
        reason: RefundReason::Traveller,
        status: RefundStatus::Done,
    };
    let entry = EntryChanged {
        waitlist_id: WaitlistId(id.0),
        flight_id,
        seats: 1,
        mode: WaitMode::Ask,
        status: EntryStatus::Lapsed,
        reason: Some(EndReason::OfferExpired),
        booking_id: Some(id),
        pay_by: Some(at),
    };
    let dispute = DisputeChanged {
        payment,
        booking_id: id,
        order_id,
        flight_id,
        amount,
        currency,
        status: DisputeStatus::Open,
    };
    [
        ("move", AirlineEvent::FlightMoved(moved)),
        ("changeEnded", AirlineEvent::ChangeEnded(ended)),
        ("itinerary", AirlineEvent::OrderEnded(order)),
        ("refund", AirlineEvent::RefundChanged(refund)),
        ("waitlist", AirlineEvent::EntryChanged(entry)),
        ("dispute", AirlineEvent::DisputeChanged(dispute)),
    ]
}

/// One message of every kind, made by the code that makes them all.
async fn messages(app: &TestApp) -> Vec<(Topic, &'static str, Message)> {
    let mut body = flight(9);
    body["flight_number"] = json!("AB101");
    body["arrival_timestamp"] = json!("2025-01-20T12:00:00.5Z");
    let created = app.post("/api/v1/flights", &body).await.json;
    let placed = app.book(created["id"].as_i64().expect("an id"), 1).await.booking_id();
    let declined = app.book_paid_by(created["id"].as_i64().expect("an id"), 1, "pm_card_declined");
    let declined = declined.await.booking_id();
    app.run_until_idle().await;
    let read = |json: Value| serde_json::from_value::<Booking>(json).expect("a booking");
    let (placed, declined) = (read(app.booking(placed).await), read(app.booking(declined).await));
    let flown: Flight = serde_json::from_value(created).expect("a flight");
    let plain = Flight { flight_number: None, arrives_at: None, ..flown.clone() };
    let at = placed.created_at;
    let request = PaymentRequest {
        booking_id: placed.id,
        payment_reference_id: placed.payment_reference,
        refund_id: None,
        amount: placed.booking_price,
        currency: flown.currency,
        payment_method: PaymentMethod::default(),
        action: PaymentAction::Capture,
        timestamp: at,
        hold_expires_at: Some(at),
    };
    let reversal =
        PaymentRequest { action: PaymentAction::Reverse, hold_expires_at: None, ..request.clone() };
    let refund_id = Some(RefundId::of(placed.id, 1, placed.payment_reference));
    let refund = PaymentRequest { action: PaymentAction::Refund, refund_id, ..reversal.clone() };
    let moved = FlightBooking {
        flight_id: flown.id,
        seats_booked: -1,
        timestamp: at,
        booking_id: placed.id,
    };
    let airline = |event| Event::Airline(event, 2, at);
    let made = [
        ("paymentRequest", Event::PaymentRequested(request)),
        ("paymentRequest", Event::PaymentRequested(reversal)),
        ("paymentRequest", Event::PaymentRequested(refund)),
        ("seatsMoved", Event::SeatsMoved(moved, 2)),
        ("flight", airline(AirlineEvent::FlightCreated(flown))),
        ("flight", airline(AirlineEvent::FlightChanged(plain))),
        ("booking", airline(AirlineEvent::BookingEnded(placed.clone()))),
        ("booking", airline(AirlineEvent::BookingEnded(declined))),
        ("booking", airline(AirlineEvent::BookingHeld(placed.clone()))),
    ];
    let small = named(&placed).map(|(name, event)| (name, airline(event)));
    let mut messages: Vec<_> = made
        .iter()
        .chain(&small)
        .map(|(name, event)| {
            let (topic, message) = event.into();
            (topic, *name, message)
        })
        .collect();
    for &status in PaymentOutcome::VARIANTS {
        let event = PaymentEvent {
            booking_id: placed.id,
            payment_reference_id: placed.payment_reference,
            refund_id: refund_id.filter(|_| status.is_of_refund()),
            amount: placed.booking_price,
            status,
            timestamp: at,
        };
        messages.push((Topic::PaymentEvents, "paymentEvent", Message::from(&event)));
    }
    messages
}

#[tokio::test]
async fn messages_and_the_asyncapi_document_have_the_same_fields() {
    let app = TestApp::start().await;
    let document = document();
    let channels = document["channels"].as_object().expect("channels");
    let channel = |address: &str| {
        let found = channels.values().find(|channel| channel["address"] == address);
        found.unwrap_or_else(|| panic!("{address} is not described"))
    };
    let mut seen = BTreeSet::new();
    let example = &document["x-signature-example"];
    let text = |field: &str| example[field].as_str().expect("text").to_owned();
    let signatures = Signatures::new([text("secret").as_str()], true).expect("a secret");
    for (topic, name, mut message) in messages(&app).await {
        message.headers.set(SIGNATURE, signatures.sign(topic.as_str(), &message));
        let described = followed(&document, &channel(topic.as_str())["messages"][name]);
        let payload: Value = serde_json::from_str(&message.payload).expect("JSON");
        let headers = message.headers.iter().map(|(name, value)| (name.to_owned(), json!(value)));
        for (part, value) in [("payload", payload), ("headers", headers.collect())] {
            let schema = followed(&document, &described[part]);
            assert_fits(schema, &value, &format!("{name} {part}"));
            let fields = value.as_object().expect("an object").keys();
            seen.extend(fields.map(|field| format!("{name} {part} {field}")));
        }
        for field in ["payload", "headers"] {
            let schema = followed(&document, &described[field]);
            let all = schema["properties"].as_object().expect("properties").keys();
            seen.extend(all.map(|property| format!("? {name} {field} {property}")));
        }
    }
    let never: Vec<_> = seen
        .iter()
        .filter_map(|entry| entry.strip_prefix("? "))
        .filter(|property| !seen.contains(*property))
        .collect();
    assert!(never.is_empty(), "described, and never written: {never:?}");

    let dead = Message {
        key: "1".into(),
        payload: "?".into(),
        headers: Headers::default(),
        origin: Some(airline_booking::messages::Origin::of_text(1, 2)),
    };
    let dead = dead.as_dead_letter("payment-events", &"no JSON".into()).headers;
    let dead: Value = dead.iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    assert_fits(&document["components"]["schemas"]["DeadHeaders"], &dead, "a dead letter");
    for topic in Topic::ALL {
        channel(topic.as_str());
        channel(&format!("{}.dlq", topic.as_str()));
    }
    for operation in document["operations"].as_object().expect("operations").values() {
        followed(&document, &operation["channel"]);
    }
    app.finish().await;
}

#[test]
fn webhooks_can_take_every_type_that_the_document_has_for_airline_events() {
    let document = document();
    let messages = document["channels"]["airlineEvents"]["messages"].as_object();
    let summaries = messages.expect("messages").values().map(|message| {
        followed(&document, message)["summary"].as_str().expect("a summary").to_owned()
    });
    let text = summaries.collect::<Vec<_>>().join(", ");
    let described: BTreeSet<_> = text.split([' ', ',']).filter(|word| word.contains('.')).collect();
    assert_eq!(described, AirlineEvent::KINDS.iter().copied().collect());
}

#[test]
fn the_examples_of_the_asyncapi_document_are_messages_that_the_service_reads() {
    let document = document();
    let examples = |name: &str| {
        let message = &document["components"]["messages"][name];
        let schema = followed(&document, &message["payload"]).clone();
        let examples = message["examples"].as_array().expect("examples").iter();
        let payload = move |example: &Value| {
            let payload = example["payload"].clone();
            assert_fits(&schema, &payload, &format!("example {}", example["name"]));
            let (key, headers) = (payload["booking_id"].to_string(), Headers::default());
            Message { key, payload: payload.to_string(), headers, origin: None }
        };
        examples.map(payload).collect::<Vec<_>>()
    };
    let requests = examples("PaymentRequest");
    let actions: Vec<_> =
        requests.iter().map(|r| parse_payment_request(r).expect("a request").action).collect();
    let described = [PaymentAction::Capture, PaymentAction::Reverse, PaymentAction::Refund];
    assert_eq!(actions, described);
    let events = examples("PaymentEvent");
    let statuses: Vec<_> =
        events.iter().map(|e| parse_payment_event(e).expect("an event").status).collect();
    assert_eq!(statuses, [PaymentOutcome::Completed, PaymentOutcome::Refunded]);
}

#[test]
fn the_examples_of_events_that_name_rows_have_the_described_fields() {
    let document = document();
    let messages = document["channels"]["airlineEvents"]["messages"].as_object().expect("messages");
    let mut with_examples = 0;
    for message in messages.values().map(|message| followed(&document, message)) {
        let schema = followed(&document, &message["payload"]);
        let examples = message["examples"].as_array();
        for example in examples.into_iter().flatten() {
            assert_fits(schema, &example["payload"], &format!("example {}", example["name"]));
        }
        with_examples += usize::from(examples.is_some());
    }
    assert_eq!(with_examples, 6);
}

#[test]
fn the_signature_in_the_asyncapi_example_is_correct() {
    let document = document();
    let example = &document["x-signature-example"];
    let text = |field: &str| example[field].as_str().expect("text").to_owned();
    let parts = ["topic", "key", "ce_id", "ce_type", "value"].map(text);
    let netstrings = parts.each_ref().map(|part| format!("{}:{part},", part.len()));
    assert_eq!(netstrings.concat(), text("signed"));

    let [topic, key, _, kind, payload] = parts;
    let mut headers = Headers::default();
    headers.set("ce_type", kind);
    let mut message = Message { key, payload, headers, origin: None };
    let signatures = Signatures::new([text("secret").as_str()], true).expect("a secret");
    assert_eq!(signatures.sign(&topic, &message), text("signature"));
    message.headers.set(SIGNATURE, text("signature"));
    assert_eq!(signatures.fault(&topic, &message), None);
}
