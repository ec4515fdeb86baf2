//! A real SMTP server with STARTTLS and a password takes the mails. `tests/mail/run` starts it, and looks at what it got.

use super::{booked, cancel, ended};
use crate::support::TestApp;
use crate::support::deployment::required;
use airline_booking::config::{MailSettings, SmtpProtection};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/mail/run starts the server"]
async fn a_server_with_starttls_takes_mails_of_every_script() {
    let server = required("TEST_SMTP");
    let (host, port) = server.rsplit_once(':').expect("host:port");
    let settings = MailSettings {
        host: host.to_owned(),
        port: port.parse().expect("a port"),
        protection: SmtpProtection::StartTls,
        credentials: Some(("airline".into(), "tests alone".into())),
        authorities: Some(required("TEST_SMTP_CA").into()),
        from: "Flüge GmbH <tickets@airline.example>".into(),
    };
    let app = TestApp::with(|config| config.messages.mail = Some(settings)).await;
    let flight = json!({
        "flight_number": "AB101", "source": "München", "destination": "नई दिल्ली",
        "timestamp": "2025-01-20T10:00:00Z", "arrival_timestamp": "2025-01-20T18:10:00Z",
        "available_seats": 50, "total_seats": 50, "price": 2500.00
    });
    let flight = app.post("/api/v1/flights", &flight).await.json["id"].as_i64().expect("an id");
    let party = [
        ("Zoë Müller", "zoe@example.com"),
        ("山田太郎", "yamada@example.com"),
        ("محمد بن سلمان", "mohammed@example.com"),
        ("O'Brien, \"Pat\" <x@y>", "pat@example.com"),
    ];
    let id = booked(&app, flight, &party).await;
    assert_eq!(ended(&app, id).await, ["sent"; 4]);
    cancel(&app, id, &json!({"passengers": [1]})).await;
    assert_eq!(ended(&app, id).await, ["sent"; 8]);
    cancel(&app, id, &json!({})).await;
    assert_eq!(ended(&app, id).await, ["sent"; 12]);
    app.finish().await;
}
