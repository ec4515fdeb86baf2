//! Clients with a mixed load, and what each of them remembers.

use super::deployment::DAYS;
use crate::support::booking;
use crate::support::callers::Bases;
use fastrand::Rng;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

const CLIENTS: usize = 24;

/// Flights that get three quarters of the load.
const BUSY: usize = 8;

/// Between two requests of a client.
const PAUSE: Duration = Duration::from_millis(15);

/// How often a client repeats one request under its key.
const ATTEMPTS_MAX: usize = 6;

/// Longer than most faults; who waits so long does not know what became of the request.
const TIMEOUT: Duration = Duration::from_secs(8);

/// A client that gives a request up after a time.
pub fn http_client(timeout: Duration) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(timeout);
    client.connect_timeout(Duration::from_secs(1)).build().expect("a client")
}

/// A booking that a client wants. Its user wants no other.
#[derive(Debug)]
pub struct Wish {
    pub user: i64,
    pub key: Option<String>,
    pub body: Value,
    /// The number and the reference of each 201.
    pub answers: Vec<(i64, String)>,
    /// Whether it was refused for good.
    pub is_refused: bool,
    /// Whether an attempt's outcome is unknown.
    pub is_unsure: bool,
    /// Its cancellation, if that was asked for: whether it was confirmed.
    pub cancelled: Option<bool>,
}

impl Wish {
    pub fn new(flight: i64, seats: i32, method: &str, is_keyed: bool) -> Self {
        static USERS: AtomicI64 = AtomicI64::new(1_000);
        let user = USERS.fetch_add(1, Ordering::Relaxed);
        let mut body = booking(flight, seats);
        body["user_id"] = json!(user);
        body["payment_method"] = json!(method);
        Self {
            user,
            key: is_keyed.then(|| format!("chaos-{user}")),
            body,
            answers: Vec::new(),
            is_refused: false,
            is_unsure: false,
            cancelled: None,
        }
    }

    /// Asks once; gives the kind of answer.
    pub async fn ask(&mut self, client: &reqwest::Client, base: &str) -> String {
        self.ask_and_wait(client, base, None).await
    }

    async fn ask_and_wait(
        &mut self,
        client: &reqwest::Client,
        base: &str,
        wait: Option<u32>,
    ) -> String {
        let mut post = client.post(format!("{base}/api/v1/bookings")).json(&self.body);
        if let Some(key) = &self.key {
            post = post.header("idempotency-key", key);
        }
        if let Some(seconds) = wait {
            post = post.header("prefer", format!("wait={seconds}"));
        }
        let Some((status, answer)) = exchange(post).await else {
            self.is_unsure = true;
            return "no answer".to_owned();
        };
        match status {
            201 => {
                let id = answer["booking_id"].as_i64().expect("a number");
                let reference = answer["payment_reference_id"].as_str().expect("a reference");
                self.answers.push((id, reference.to_owned()));
            }
            409 => self.is_refused = true,
            // It may have been done: the answer says only that nobody waited for the end.
            _ => self.is_unsure = true,
        }
        format!("{status} {}", answer["code"].as_str().unwrap_or_default())
    }
}

/// Sends a request; `None`: there was no whole answer.
async fn exchange(request: reqwest::RequestBuilder) -> Option<(u16, Value)> {
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    Some((status, response.json().await.ok()?))
}

/// What clients did and heard.
#[derive(Debug, Default)]
pub struct Histories {
    pub wishes: Vec<Wish>,
    pub answers: BTreeMap<String, usize>,
    /// Answers that no fault explains.
    pub oddities: Vec<String>,
}

impl Histories {
    pub fn extend(&mut self, other: Self) {
        self.wishes.extend(other.wishes);
        self.oddities.extend(other.oddities);
        for (kind, count) in other.answers {
            *self.answers.entry(kind).or_default() += count;
        }
    }

    fn heard(&mut self, what: &str, kind: &str) {
        if kind.starts_with("500") {
            self.oddities.push(format!("{what} was answered {kind}"));
        }
        *self.answers.entry(format!("{what}: {}", kind.trim_end())).or_default() += 1;
    }
}

/// All clients.
pub struct Clients {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Histories>>,
}

impl Clients {
    pub fn start(bases: &Bases, flights: &[i64], rng: &mut Rng) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..CLIENTS).map(|_| {
            let client = Client {
                client: http_client(TIMEOUT),
                bases: bases.clone(),
                flights: flights.to_vec(),
                rng: rng.fork(),
                versions: HashMap::new(),
                histories: Histories::default(),
            };
            tokio::spawn(client.run(stop.clone()))
        });
        Self { tasks: tasks.collect(), stop }
    }

    /// Ends them; gives what all of them remember.
    pub async fn stop(self) -> Histories {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Histories::default();
        for task in self.tasks {
            all.extend(task.await.expect("no client panics"));
        }
        all
    }
}

struct Client {
    client: reqwest::Client,
    bases: Bases,
    flights: Vec<i64>,
    rng: Rng,
    /// The latest version that it has read of each flight.
    versions: HashMap<i64, i64>,
    histories: Histories,
}

impl Client {
    async fn run(mut self, stop: Arc<AtomicBool>) -> Histories {
        while !stop.load(Ordering::Relaxed) {
            match self.rng.u32(..10) {
                0 => self.search().await,
                1 => self.change_price().await,
                2 => self.read_flight().await,
                _ => self.book().await,
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.histories
    }

    fn base(&mut self) -> String {
        self.bases.of(self.rng.usize(..2))
    }

    /// Mostly one of a few, which others book as well.
    fn flight(&mut self) -> i64 {
        let among = if self.rng.u32(..4) > 0 { BUSY } else { self.flights.len() };
        self.flights[self.rng.usize(..among)]
    }

    async fn book(&mut self) {
        let method = if self.rng.u32(..5) == 0 { "pm_card_declined" } else { "pm_card_visa" };
        let is_keyed = self.rng.u32(..3) > 0;
        let mut wish = Wish::new(self.flight(), self.rng.i32(1..4), method, is_keyed);
        let wait = (self.rng.u32(..3) == 0).then_some(3);
        // Without a key a repetition would be another booking.
        for _ in 0..if is_keyed { ATTEMPTS_MAX } else { 1 } {
            let base = self.base();
            let kind = wish.ask_and_wait(&self.client, &base, wait).await;
            let kept_waiting = kind == "no answer";
            self.histories.heard("booking", &kind);
            if !wish.answers.is_empty() || wish.is_refused {
                break;
            }
            tokio::time::sleep(if kept_waiting { 4 * PAUSE } else { 10 * PAUSE }).await;
        }
        if let Some((id, reference)) = wish.answers.first().cloned() {
            match self.rng.u32(..6) {
                0 => self.cancel(&mut wish, id).await,
                1 | 2 => self.read_booking(id, &reference).await,
                // The same key again, perhaps at the other replica, is the same booking.
                3 if is_keyed => {
                    let base = self.base();
                    let kind = wish.ask(&self.client, &base).await;
                    self.histories.heard("repetition", &kind);
                }
                _ => {}
            }
        }
        self.histories.wishes.push(wish);
    }

    async fn cancel(&mut self, wish: &mut Wish, id: i64) {
        wish.cancelled = Some(false);
        for _ in 0..ATTEMPTS_MAX {
            let url = format!("{}/api/v1/bookings/{id}/cancel", self.base());
            let answer = self.ask("cancellation", self.client.post(url)).await;
            if let Some((status @ (200 | 409), _)) = answer {
                wish.cancelled = Some(status == 200);
                return;
            }
            tokio::time::sleep(10 * PAUSE).await;
        }
    }

    /// A booking that was answered 201 is there, at both replicas, whatever fails.
    async fn read_booking(&mut self, id: i64, reference: &str) {
        let url = format!("{}/api/v1/bookings/{id}", self.base());
        let Some((status, booking)) = self.read("booking read", &url).await else { return };
        let is_it = status == 200 && booking["payment_reference_id"] == reference;
        if status < 500 && !is_it {
            let seen =
                format!("booking {id}, answered as {reference}, is read as {status} {booking}");
            self.histories.oddities.push(seen);
        }
    }

    /// No flight goes back in time.
    async fn read_flight(&mut self) {
        let id = self.flight();
        let url = format!("{}/api/v1/flights/{id}", self.base());
        let Some((200, flight)) = self.read("flight read", &url).await else { return };
        let version = flight["version"].as_i64().expect("a version");
        let before = self.versions.insert(id, version).unwrap_or_default();
        if version < before {
            let seen = format!("flight {id} is read as version {version} after {before}");
            self.histories.oddities.push(seen);
        }
    }

    async fn search(&mut self) {
        let day = 1 + self.rng.usize(..DAYS);
        let path = "/api/v1/flights/search?source=Delhi&destination=Mumbai";
        let url = format!("{}{path}&date=2025-01-{day:02}", self.base());
        self.read("search", &url).await;
    }

    async fn change_price(&mut self) {
        let url = format!("{}/api/v1/flights/{}", self.base(), self.flight());
        let price = 2_500 + self.rng.u32(..100);
        self.ask("price", self.client.put(url).json(&json!({ "price": price }))).await;
    }

    async fn read(&mut self, what: &str, url: &str) -> Option<(u16, Value)> {
        self.ask(what, self.client.get(url)).await
    }

    /// Sends a request and remembers the kind of its answer.
    async fn ask(&mut self, what: &str, request: reqwest::RequestBuilder) -> Option<(u16, Value)> {
        let answer = exchange(request).await;
        let kind = answer.as_ref().map_or("no answer".to_owned(), |(status, _)| status.to_string());
        self.histories.heard(what, &kind);
        answer
    }
}
