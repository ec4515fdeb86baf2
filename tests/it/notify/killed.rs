//! Processes that are killed or stopped while a mail is under way.

use crate::support::process::{Server, http_client, run_with};
use crate::support::smtp::{Fault, SmtpPeer};
use crate::support::{TestDatabase, booking, eventually, flight};
use serde_json::{Value, json};
use std::time::Duration;

struct Airline {
    peer: SmtpPeer,
    database: TestDatabase,
    directory: tempfile::TempDir,
}

impl Airline {
    async fn new() -> Self {
        Self {
            peer: SmtpPeer::start().await,
            database: TestDatabase::create().await,
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    async fn start(&self) -> Server {
        let (url, smtp) = (self.database.url(), self.peer.url());
        let settings = [
            ("DATABASE_URL", url.as_str()),
            ("SMTP_URL", &smtp),
            ("MAIL_FROM", "tickets@airline.example"),
            ("MESSAGE_TIMEOUT", "2s"),
            ("AUTH", "off"),
        ];
        Server::start(self.directory.path(), &settings).await
    }
}

async fn post(server: &Server, path: &str, body: &Value) -> Value {
    let sent = http_client().post(format!("{}{path}", server.base)).json(body).send().await;
    sent.expect("sent").json().await.expect("JSON")
}

/// Adds a flight and books it.
async fn book(server: &Server) {
    let flight = post(server, "/api/v1/flights", &flight(9)).await["id"].as_i64().expect("an id");
    let mut body = booking(flight, 1);
    body["passenger_details"][0]["email"] = json!("asha@example.com");
    let placed = post(server, "/api/v1/bookings", &body).await;
    assert!(placed["booking_id"].is_i64(), "{placed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_the_server_s_word_and_the_note_sends_the_same_mail_once_more() {
    let airline = Airline::new().await;
    airline.peer.plan([Fault::HangsAfterData]);
    let server = airline.start().await;
    book(&server).await;
    eventually("the mail", async || airline.peer.mails().len() == 1).await;
    server.kill().await;
    let server = airline.start().await;
    eventually("the mail again", async || airline.peer.mails().len() == 2).await;
    let [first, second] = &airline.peer.mails()[..] else { panic!("two mails") };
    assert_eq!(first.header("Message-ID"), second.header("Message-ID"));
    assert_eq!(first, second);
    // Longer than a message belongs to its sender.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(airline.peer.mails().len(), 2);
    assert!(server.terminate().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_the_mail_that_is_under_way() {
    let airline = Airline::new().await;
    airline.peer.plan([Fault::SlowAfterData(Duration::from_secs(1))]);
    let server = airline.start().await;
    book(&server).await;
    eventually("the mail", async || airline.peer.mails().len() == 1).await;
    assert!(server.terminate().await);
    let server = airline.start().await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(airline.peer.mails().len(), 1);
    assert!(server.terminate().await);
}

#[tokio::test]
async fn an_unusable_template_stops_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("own")).expect("a folder");
    std::fs::write(directory.path().join("own/booking.completed.txt"), "{{ nonsense }}")
        .expect("written");
    let settings = [
        ("SMTP_URL", "smtp://127.0.0.1:9?tls=off"),
        ("MAIL_FROM", "tickets@airline.example"),
        ("TEMPLATES_DIR", "own"),
        ("SERVER_PORT", "0"),
    ];
    let (code, printed) = run_with(directory.path(), &settings, &["serve"]).await;
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("booking.completed.txt"), "{printed}");
}
