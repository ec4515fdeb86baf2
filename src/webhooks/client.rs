//! Sends one event to one receiver.

use super::addresses::{Addresses, Lookup, system};
use super::signing::signatures;
use crate::domain::{Delivery, Timestamp, Webhook, WebhookUrl};
use reqwest::redirect::Policy;
use reqwest::{Response, Url};
use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::timeout;

/// Maximum time from the start of a connection to the head of the answer.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Maximum time to connect.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Maximum bytes of an answer's body that are read, and for how long: so that its connection can be used again.
const BODY_BYTES_MAX: usize = 4 * 1024;
const BODY_WITHIN: Duration = Duration::from_millis(500);

/// How long a connection stays open between two events.
const IDLE_FOR: Duration = Duration::from_secs(30);

/// Why an event was not delivered.
#[derive(Debug)]
pub(super) enum NotDelivered {
    /// The receiver answered with another status than 2xx.
    Refused(u16),
    /// There was no answer; why, without the address.
    NoAnswer(String),
}

/// The client of all receivers.
pub(super) struct Client {
    lookup: Lookup,
    is_private_allowed: bool,
    /// Made for the first event: reading the trusted certificates takes a moment.
    http: OnceLock<Result<reqwest::Client, String>>,
}

impl Client {
    pub(super) fn new(is_private_allowed: bool) -> Self {
        Self::resolving_by(system(), is_private_allowed)
    }

    /// A client with another resolver than the system's.
    pub(super) fn resolving_by(lookup: Lookup, is_private_allowed: bool) -> Self {
        Self { lookup, is_private_allowed, http: OnceLock::new() }
    }

    fn http(&self) -> Result<&reqwest::Client, NotDelivered> {
        let made = self.http.get_or_init(|| self.build().map_err(|error| innermost(&error)));
        made.as_ref().map_err(|why| NotDelivered::NoAnswer(why.clone()))
    }

    fn build(&self) -> reqwest::Result<reqwest::Client> {
        crate::tls::provide();
        let is_private_allowed = self.is_private_allowed;
        let addresses = Addresses { lookup: self.lookup.clone(), is_private_allowed };
        reqwest::Client::builder()
            .dns_resolver(Arc::new(addresses))
            // A proxy would resolve names by itself.
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(4)
            .user_agent(concat!("airline-booking/", env!("CARGO_PKG_VERSION")))
            .build()
    }

    /// Sends an event. Returns the status of an answer of 2xx.
    pub(super) async fn send(
        &self,
        webhook: &Webhook,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<u16, NotDelivered> {
        // The setting may have changed since the webhook was made. An address in it passes no resolver.
        let url = WebhookUrl::read(webhook.url.as_str(), self.is_private_allowed)
            .map_err(|rule| NotDelivered::NoAnswer(format!("its URL {rule}")))?;
        let url =
            Url::parse(url.as_str()).map_err(|error| NotDelivered::NoAnswer(error.to_string()))?;
        let seconds = now.timestamp();
        let secrets = webhook.secrets(now);
        let request = self
            .http()?
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", &*delivery.event_id)
            .header("webhook-timestamp", seconds)
            .header(
                "webhook-signature",
                signatures(secrets, &delivery.event_id, seconds, &delivery.payload),
            )
            .body(delivery.payload.to_string());
        let answer = match timeout(ANSWER_WITHIN, request.send()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(NotDelivered::NoAnswer(innermost(&error.without_url()))),
            Err(_) => return Err(NotDelivered::NoAnswer("no answer in time".to_owned())),
        };
        let status = answer.status();
        // Its status is known: what becomes of the body changes nothing.
        let _ = timeout(BODY_WITHIN, read_some(answer)).await;
        if status.is_success() {
            Ok(status.as_u16())
        } else {
            Err(NotDelivered::Refused(status.as_u16()))
        }
    }
}

async fn read_some(mut answer: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = answer.chunk().await {
        read += chunk.len();
        if read > BODY_BYTES_MAX {
            return;
        }
    }
}

/// The last cause of an error: it says what happened, the earlier ones say where.
fn innermost(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(source) = cause {
        text = source.to_string();
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        DeliveryId, DeliveryStatus, SigningSecret, UserId, WebhookId, WebhookStatus,
    };
    use parking_lot::Mutex;
    use std::io;
    use std::net::IpAddr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(second, 0).expect("an instant")
    }

    fn webhook(url: &str) -> Webhook {
        Webhook {
            id: WebhookId(1),
            owner: UserId(0),
            url: WebhookUrl::stored(url),
            types: Arc::from([]),
            secret: SigningSecret::of(&[1; 32]),
            old_secret: None,
            status: WebhookStatus::Active,
            failing_since: None,
            created_at: at(0),
        }
    }

    fn delivery() -> Delivery {
        Delivery {
            id: DeliveryId(1),
            webhook: WebhookId(1),
            event_id: "flight.updated/1/2".into(),
            kind: "flight.updated".into(),
            flight: None,
            payload: "{}".into(),
            status: DeliveryStatus::Pending,
            attempts: 0,
            response_status: None,
            at: at(0),
        }
    }

    /// Resolves every name to the next of these, and the last again and again.
    fn leading_to(addresses: &[&[&str]]) -> Lookup {
        let read = |text: &&str| -> IpAddr { text.parse().expect("an address") };
        let lists = addresses.iter().map(|list| list.iter().map(read).collect::<Vec<_>>());
        let left = Arc::new(Mutex::new(lists.rev().collect::<Vec<_>>()));
        Arc::new(move |_| {
            let mut left = left.lock();
            let next = if left.len() > 1 { left.pop() } else { left.last().cloned() };
            Box::pin(async move { Ok::<_, io::Error>(next.unwrap_or_default()) })
        })
    }

    /// Answers every request with 200 and closes its connection; tells how many came.
    async fn receiver() -> (u16, Arc<Mutex<usize>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let came = Arc::new(Mutex::new(0));
        let counted = came.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                *counted.lock() += 1;
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(answer).await;
            }
        });
        (port, came)
    }

    async fn sent(client: &Client, url: &str) -> Result<u16, String> {
        match client.send(&webhook(url), &delivery(), at(1_700_000_000)).await {
            Ok(status) => Ok(status),
            Err(NotDelivered::Refused(status)) => Err(status.to_string()),
            Err(NotDelivered::NoAnswer(why)) => Err(why),
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_private_address_is_not_called() {
        let (port, came) = receiver().await;
        for address in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"] {
            let client = Client::resolving_by(leading_to(&[&[address]]), false);
            let told = sent(&client, &format!("https://partner.example:{port}/")).await;
            assert_eq!(told, Err("its name leads to a private network".into()), "{address}");
        }
        assert_eq!(*came.lock(), 0);
    }

    #[tokio::test]
    async fn a_name_that_is_bound_again_is_checked_at_each_connection() {
        let (port, came) = receiver().await;
        let client = Client::resolving_by(leading_to(&[&["127.0.0.1"], &["10.9.9.9"]]), true);
        let url = format!("http://partner.example:{port}/");
        assert_eq!(sent(&client, &url).await, Ok(200));
        assert_eq!(*came.lock(), 1);
        // The same, where private addresses are refused: whatever a check found before counts for nothing.
        let client = Client::resolving_by(leading_to(&[&["93.184.215.14"], &["127.0.0.1"]]), false);
        let found = (client.lookup)("partner.example".into()).await.expect("an address");
        assert!(crate::domain::is_public(found[0]));
        let told = sent(&client, &format!("https://partner.example:{port}/")).await;
        assert_eq!(told, Err("its name leads to a private network".into()));
        assert_eq!(*came.lock(), 1);
    }

    #[tokio::test]
    async fn of_several_addresses_the_private_ones_are_left_out() {
        use reqwest::dns::Resolve as _;
        let lookup = leading_to(&[&["10.0.0.1", "1.1.1.1", "::1"]]);
        let name: reqwest::dns::Name = "partner.example".parse().expect("a name");
        let addresses = Addresses { lookup, is_private_allowed: false };
        let found: Vec<_> = addresses.resolve(name).await.expect("one").collect();
        assert_eq!(found, ["1.1.1.1:0".parse().expect("an address")]);
    }

    #[tokio::test]
    async fn a_literal_address_is_checked_when_it_is_called() {
        let (port, came) = receiver().await;
        let client = Client::new(false);
        for (url, why) in [
            (format!("https://127.0.0.1:{port}/"), "its URL must not lead to"),
            (format!("https://[::ffff:127.0.0.1]:{port}/"), "its URL must not lead to"),
            (format!("http://partner.example:{port}/"), "its URL must begin with https:"),
        ] {
            let told = sent(&client, &url).await.expect_err("refused");
            assert!(told.starts_with(why), "{url}: {told}");
        }
        assert_eq!(*came.lock(), 0);
    }
}
