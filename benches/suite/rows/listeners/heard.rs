//! Those who listen, in this process, and how much they have heard. They answer at once and keep nothing.

use super::Who;
use crate::http;
use crate::services::FLIGHTS;
use anyhow::{Context, ensure};
use axum::Router;
use axum::http::StatusCode;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Streams of flights.
const STREAMS: usize = 40;

/// The pause of the reader where the log ends.
const PAUSE: Duration = Duration::from_millis(100);

type Count = Arc<AtomicUsize>;

/// They end when they are dropped.
pub(super) struct Listeners {
    receiver: SocketAddr,
    mail: SocketAddr,
    heard: Count,
    tasks: JoinSet<()>,
}

impl Listeners {
    /// Opens the receiver of the webhook and the mail server.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let (heard, mut tasks) = (Count::default(), JoinSet::new());
        let receiver = TcpListener::bind("127.0.0.1:0").await?;
        let mail = TcpListener::bind("127.0.0.1:0").await?;
        let addresses = (receiver.local_addr()?, mail.local_addr()?);
        let counter = heard.clone();
        let router = Router::new().fallback(move |_body: axum::body::Bytes| async move {
            counter.fetch_add(1, Ordering::Relaxed);
            StatusCode::NO_CONTENT
        });
        tasks.spawn(async move { _ = axum::serve(receiver, router).await });
        let counter = heard.clone();
        tasks.spawn(async move {
            while let Ok((connection, _)) = mail.accept().await {
                tokio::spawn(take_mails(connection, counter.clone()));
            }
        });
        let (receiver, mail) = addresses;
        Ok(Self { receiver, mail, heard, tasks })
    }

    /// The settings of a service that they listen to.
    pub(super) fn settings(&self, who: Who) -> Vec<(String, String)> {
        let mut settings = vec![("WEBHOOK_ALLOW_PRIVATE".to_owned(), "true".to_owned())];
        if who.is(Who::Mail) {
            settings.push(("SMTP_URL".to_owned(), format!("smtp://{}?tls=off", self.mail)));
            settings.push(("MAIL_FROM".to_owned(), "airline@example.com".to_owned()));
        }
        settings
    }

    /// Begins to listen to a service.
    pub(super) async fn listen(&mut self, base: &str, who: Who) -> anyhow::Result<()> {
        if who.is(Who::Reader) {
            let (base, heard) = (base.to_owned(), self.heard.clone());
            self.tasks.spawn(async move { _ = read(&base, &heard).await });
        }
        if who.is(Who::Streams) {
            for flight in followed() {
                let (base, heard) = (base.to_owned(), self.heard.clone());
                self.tasks.spawn(async move { _ = follow(&base, flight, &heard).await });
            }
            let base = base.to_owned();
            self.tasks.spawn(async move { _ = change_prices(&base).await });
        }
        if who.is(Who::Webhook) {
            let url = format!("http://{}/", self.receiver);
            let body = format!(r#"{{"url":"{url}","types":["booking.completed"]}}"#);
            let request =
                http::with_body("POST", "/api/v1/webhooks", "Idempotency-Key: one\r\n", &body);
            let mut connection = http::Connection::open(&http::address(base)?).await?;
            let answer = connection.ask(&request).await?;
            ensure!(answer.status == 201, "the webhook was answered {}", answer.status);
        }
        Ok(())
    }

    /// Events heard by all of them.
    pub(super) fn heard(&self) -> usize {
        self.heard.load(Ordering::Relaxed)
    }

    /// Waits until somebody has heard something.
    pub(super) async fn has_heard(&self, who: Who, within: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while who != Who::Nobody && self.heard() == 0 {
            ensure!(began.elapsed() < within, "{who:?} hears nothing");
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}

/// Reads the log page by page.
async fn read(base: &str, heard: &AtomicUsize) -> anyhow::Result<()> {
    let mut after = String::new();
    loop {
        let path = format!("/api/v1/events?limit=200&after={after}");
        let page: Value = serde_json::from_slice(&http::fetch(base, &path).await?)?;
        let events = page["events"].as_array().context("no events")?.len();
        heard.fetch_add(events, Ordering::Relaxed);
        page["next"].as_str().context("no cursor")?.clone_into(&mut after);
        if events == 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The flights that streams follow.
fn followed() -> impl Iterator<Item = usize> + Clone {
    (0..STREAMS).map(|number| 1 + number * FLIGHTS / STREAMS)
}

/// Changes the price of one followed flight after the other: streams of flights hear nothing else.
async fn change_prices(base: &str) -> anyhow::Result<()> {
    let mut connection = http::Connection::open(&http::address(base)?).await?;
    for (flight, price) in followed().cycle().zip(2_501..) {
        let body = format!(r#"{{"price":{price}}}"#);
        let changed = http::with_body("PUT", &format!("/api/v1/flights/{flight}"), "", &body);
        let answer = connection.ask(&changed).await?;
        ensure!(answer.status == 200, "a price was answered {}", answer.status);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Follows a flight, and counts what it is told.
async fn follow(base: &str, flight: usize, heard: &AtomicUsize) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(http::address(base)?).await?;
    stream.write_all(&http::get(&format!("/api/v1/flights/{flight}/events"))).await?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await? {
        heard.fetch_add(usize::from(line.starts_with("event:")), Ordering::Relaxed);
    }
    Ok(())
}

/// Takes every mail of a connection.
async fn take_mails(connection: TcpStream, heard: Count) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let (from, mut to) = connection.into_split();
    let mut lines = BufReader::new(from).lines();
    to.write_all(b"220 bench ESMTP\r\n").await?;
    let mut is_text = false;
    while let Some(line) = lines.next_line().await? {
        let answer: &[u8] = match &*line {
            "." if is_text => {
                heard.fetch_add(1, Ordering::Relaxed);
                is_text = false;
                b"250 OK\r\n"
            }
            _ if is_text => continue,
            "DATA" => {
                is_text = true;
                b"354 go on\r\n"
            }
            line if line.starts_with("EHLO") => b"250-bench\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
            _ => b"250 OK\r\n",
        };
        to.write_all(answer).await?;
    }
    Ok(())
}
