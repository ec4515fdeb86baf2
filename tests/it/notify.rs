//! Mails and SMS to travellers: each event is told once to each recipient, whatever providers and forgers do.

mod erased;
mod forged;
mod killed;
mod lines;
mod mail_server;
mod providers;
mod sms;
mod told;

use crate::support::smtp::{Mail, SmtpPeer};
use crate::support::{TestApp, booking, eventually};
use airline_booking::bus::Bus as _;
use airline_booking::config::{Config, MailSettings, SmtpProtection};
use airline_booking::messages::{Message, Topic};
use serde_json::{Value, json};

/// Sends mails to a peer.
fn by_mail(peer: &SmtpPeer) -> impl FnOnce(&mut Config) {
    let settings = MailSettings {
        host: "127.0.0.1".into(),
        port: peer.port,
        protection: SmtpProtection::Off,
        credentials: None,
        authorities: None,
        from: "Airline <tickets@airline.example>".into(),
    };
    |config| config.messages.mail = Some(settings)
}

/// Books a flight for passengers with these names and addresses; gives the booking's id once it is paid.
async fn booked(app: &TestApp, flight: i64, party: &[(&str, &str)]) -> i64 {
    let mut body = booking(flight, 1);
    body["seats_booked"] = json!(party.len());
    let passenger = |(name, email): &(&str, &str)| json!({"name": name, "email": email, "phone": "1234567890", "age": 30, "gender": "female"});
    body["passenger_details"] = party.iter().map(passenger).collect();
    let id = app.post("/api/v1/bookings", &body).await.booking_id();
    app.run_until_idle().await;
    id
}

async fn cancel(app: &TestApp, id: i64, body: &Value) {
    let answer = app.post(&format!("/api/v1/bookings/{id}/cancel"), body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    app.run_until_idle().await;
}

/// The mails of a peer but those about refunds, once there are so many.
async fn mails(peer: &SmtpPeer, count: usize) -> Vec<Mail> {
    eventually(format!("{count} mails"), async || {
        let mut mails = peer.mails();
        mails.retain(|mail| !mail.header("Subject").starts_with("Your refund"));
        if mails.len() == count { Ok(mails) } else { Err(mails) }
    })
    .await
}

/// The channel, type, recipient and status of each message about a booking but those about refunds.
async fn held(app: &TestApp, id: i64) -> Vec<[String; 4]> {
    let held = app.store.messages_held(&[airline_booking::domain::BookingId(id)]).await;
    let row = |m: airline_booking::store::HeldMessage| [m.channel, m.kind, m.recipient, m.status];
    let all = held.expect("messages").into_iter().map(row);
    all.filter(|its| !its[1].starts_with("refund.")).collect()
}

/// Waits until no message about a booking is pending; gives the statuses.
async fn ended(app: &TestApp, id: i64) -> Vec<String> {
    eventually("messages that have ended", async || {
        let all = held(app, id).await;
        if all.iter().any(|its| its[3] == "pending") { Err(all) } else { Ok(()) }
    })
    .await;
    held(app, id).await.into_iter().map(|[.., status]| status).collect()
}

async fn timeline(app: &TestApp, id: i64) -> Vec<Value> {
    let answer = app.get(&format!("/api/v1/bookings/{id}/timeline")).await;
    let events = answer.json["events"].as_array().expect("a list").clone();
    let is_message =
        |event: &Value| event["type"].as_str().is_some_and(|t| t.starts_with("message."));
    events.into_iter().filter(is_message).collect()
}

/// The parts of a mail, decoded: text, HTML, and the calendar if there is one.
fn parts(mail: &Mail) -> Vec<String> {
    let parts = mail.text.split("\r\n--").filter_map(|part| {
        let (head, body) = part.split_once("\r\n\r\n")?;
        let head = head.to_lowercase();
        if !head.contains("content-transfer-encoding") {
            return None;
        }
        Some(if head.contains("base64") {
            let text: String = body.split_whitespace().collect();
            String::from_utf8(unbased(&text)).expect("UTF-8")
        } else if head.contains("quoted-printable") {
            unquoted(body)
        } else {
            body.to_owned()
        })
    });
    parts.collect()
}

/// Base 64, decoded.
fn unbased(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let value = ALPHABET.iter().position(|its| *its == byte).expect("base 64");
        bits = (bits << 6) | value as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

/// Quoted-printable, decoded.
fn unquoted(text: &str) -> String {
    let text = text.replace("=\r\n", "");
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let code = behind.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let code = code.and_then(|two| u8::from_str_radix(two, 16).ok());
        match code.filter(|_| *first == b'=') {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_booking_is_told_once_to_each_address_with_its_flight_for_the_calendar() {
    let peer = SmtpPeer::start().await;
    let app = TestApp::with(by_mail(&peer)).await;
    let flight = app.add_flight(9).await;
    let party = [
        ("Asha Rao", "asha@example.com"),
        ("Ravi Rao", "Asha@Example.com"),
        ("Zoë", "z@a.example"),
    ];
    let id = booked(&app, flight, &party).await;
    let told = mails(&peer, 2).await;
    let mut to: Vec<_> = told.iter().map(|mail| mail.to.as_str()).collect();
    to.sort_unstable();
    assert_eq!(to, ["asha@example.com", "z@a.example"]);
    let mail = told.iter().find(|mail| mail.to == "asha@example.com").expect("a mail");
    let reference = app.booking(id).await["reference"].as_str().expect("a word").to_owned();
    assert_eq!(mail.header("Subject"), format!("Your booking {reference} is confirmed"));
    assert_eq!(mail.header("From"), "Airline <tickets@airline.example>");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert!(mail.header("Message-ID").ends_with("@airline.example>"));
    let decoded = parts(mail);
    let [text, html, calendar] = &decoded[..] else { panic!("{decoded:?}") };
    assert!(text.contains("Dear Asha Rao, Ravi Rao,"), "{text}");
    for part in [text, html] {
        assert!(part.contains(&reference) && part.contains("Mon 20 Jan 2025, 10:00 UTC"), "{part}");
        assert!(part.contains("7500.00 INR") && part.contains("Zoë"), "{part}");
    }
    assert!(html.contains("<!DOCTYPE html>"), "{html}");
    let uid = format!("UID:booking-{id}-1@airline.example");
    for line in ["METHOD:PUBLISH", "DTSTART:20250120T100000Z", "STATUS:CONFIRMED", &uid] {
        assert!(calendar.contains(line), "{calendar}");
    }
    assert_eq!(ended(&app, id).await, ["sent", "sent"]);
    let events = timeline(&app, id).await;
    assert_eq!(events.len(), 2);
    assert_eq!(
        (&events[0]["type"], &events[0]["channel"]),
        (&json!("message.sent"), &json!("mail"))
    );
    assert_eq!(events[0]["told"], "booking.completed");
    assert!(!json!(events).to_string().contains('@'));

    cancel(&app, id, &json!({})).await;
    let all = mails(&peer, 4).await;
    let calendar = parts(&all[3]).pop().expect("a calendar");
    assert!(calendar.contains(&uid) && calendar.contains("STATUS:CANCELLED"), "{calendar}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_twice_is_told_once_and_two_part_cancels_are_told_twice() {
    let peer = SmtpPeer::start().await;
    let app = TestApp::with(by_mail(&peer)).await;
    let mut events = app.bus.listen(Topic::AirlineEvents).await.expect("a listener");
    let flight = app.add_flight(9).await;
    let party = [("A", "a@b.example"), ("B", "a@b.example"), ("C", "a@b.example")];
    let id = booked(&app, flight, &party).await;
    cancel(&app, id, &json!({"passengers": [0]})).await;
    cancel(&app, id, &json!({"passengers": [1]})).await;
    mails(&peer, 3).await;
    let all = held(&app, id).await.into_iter();
    let mut kinds: Vec<_> = all.map(|[_, kind, ..]| kind).collect();
    kinds.sort();
    assert_eq!(kinds, ["booking.changed", "booking.changed", "booking.completed"]);

    let again = events.receive(100).await.expect("messages");
    let again: Vec<(Topic, Message)> =
        again.into_iter().map(|message| (Topic::AirlineEvents, message)).collect();
    assert!(again.len() >= 4, "{again:?}");
    app.bus.publish(&again).await.expect("published");
    app.run_until_idle().await;
    assert_eq!(held(&app, id).await.len(), 3);
    let texts: Vec<_> = peer.mails().iter().map(|mail| parts(mail).remove(0)).collect();
    let is_last = |text: &&String| text.contains("B (cancelled)") && text.contains("  C\r\n");
    assert!(texts.iter().any(|text| is_last(&text)), "{texts:?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_every_script_arrive_and_begin_no_header() {
    let peer = SmtpPeer::start().await;
    let app = TestApp::with(by_mail(&peer)).await;
    let flight = json!({
        "source": "नई दिल्ली", "destination": "東京", "timestamp": "2025-01-20T10:00:00Z",
        "available_seats": 50, "total_seats": 50, "price": 2500.00
    });
    let flight = app.post("/api/v1/flights", &flight).await.json["id"].as_i64().expect("an id");
    let names = [
        "अमित शर्मा",
        "山田太郎",
        "محمد بن سلمان",
        "Ольга Иванова",
        "Nguyễn Văn Ánh",
        "O'Brien, \"Pat\" <x@y>",
    ];
    let addresses: Vec<String> = (0..names.len()).map(|at| format!("p{at}@b.example")).collect();
    let party: Vec<_> = names.iter().copied().zip(addresses.iter().map(String::as_str)).collect();
    booked(&app, flight, &party).await;
    for mail in mails(&peer, names.len()).await {
        let at: usize = mail.to[1..2].parse().expect("a number");
        let (head, _) = mail.text.split_once("\r\n\r\n").expect("a head");
        assert!(head.is_ascii() && !head.contains("\r\nBcc"), "{head}");
        let decoded = parts(&mail);
        assert!(
            decoded[0].contains(names[at]) && decoded[0].contains("नई दिल्ली to 東京"),
            "{decoded:?}"
        );
        assert!(!decoded[1].contains("<x@y>"), "{}", decoded[1]);
        assert!(decoded[2].contains("LOCATION:नई दिल्ली"), "{}", decoded[2]);
    }
    app.finish().await;
}
