//! Callers that book continuously and record every answer: which booking, how long it took, during which fault.

use super::booking;
use super::eventually;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// The pause of a caller between two bookings, and before it repeats one; longer where there is nothing
/// left to sell.
const PAUSE: Duration = Duration::from_millis(5);

/// How often one booking is asked for, under one idempotency key, before its caller gives up.
const ATTEMPTS_MAX: usize = 3;

/// Which flights a caller books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// Those that no fault is about.
    Undisturbed,
    /// The one whose row a stranger locks.
    Locked,
    /// The one that is soon sold out.
    SoldOut,
}

/// An answer, of whatever kind.
#[derive(Debug, Clone)]
pub struct Answer {
    pub aim: Aim,
    /// The fault that was there when it was asked for.
    pub during: &'static str,
    /// The status and the problem's code; `None`: the connection broke.
    pub status: Option<(u16, String)>,
    pub took: Duration,
}

/// A booking that somebody wants. Its user wants no other.
#[derive(Debug, Clone)]
pub struct Wish {
    pub user: i64,
    pub key: String,
    pub body: Value,
    /// The number and the reference that were answered with 201.
    pub answered: Option<(i64, String)>,
    /// Whether it was then cancelled: asked for, and answered with 200.
    pub cancelled: Option<bool>,
}

impl Wish {
    pub fn new(flight: i64, seats: i32, method: &str) -> Self {
        static USERS: AtomicI64 = AtomicI64::new(1_000);
        let user = USERS.fetch_add(1, Ordering::Relaxed);
        let mut body = booking(flight, seats);
        body["user_id"] = json!(user);
        body["payment_method"] = json!(method);
        Self { user, key: format!("key-{user}"), body, answered: None, cancelled: None }
    }

    /// Asks once; `None`: the connection broke.
    pub async fn ask(&mut self, client: &reqwest::Client, base: &str) -> Option<(u16, String)> {
        let post = client.post(format!("{base}/api/v1/bookings")).json(&self.body);
        let response = post.header("idempotency-key", &self.key).send().await.ok()?;
        let status = response.status().as_u16();
        assert_eq!(status == 503, response.headers().contains_key("retry-after"), "{status}");
        // An answer that was cut off was not given.
        let answer: Value = response.json().await.ok()?;
        if status == 201 {
            let id = answer["booking_id"].as_i64().expect("a number");
            let reference = answer["payment_reference_id"].as_str().expect("a reference");
            self.answered = Some((id, reference.to_owned()));
        }
        Some((status, answer["code"].as_str().unwrap_or_default().to_owned()))
    }
}

/// All of them.
pub struct Callers {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<(Vec<Wish>, Vec<Answer>)>>,
}

/// The replicas that callers call by turns; others may take their place.
#[derive(Clone)]
pub struct Bases(Arc<Mutex<Vec<String>>>);

impl Bases {
    pub fn new(bases: Vec<String>) -> Self {
        Self(Arc::new(Mutex::new(bases)))
    }

    pub fn set(&self, bases: Vec<String>) {
        *self.0.lock().expect("no panic") = bases;
    }

    pub fn of(&self, round: usize) -> String {
        let bases = self.0.lock().expect("no panic");
        bases[round % bases.len()].clone()
    }
}

struct Shared {
    client: reqwest::Client,
    bases: Bases,
    during: Mutex<&'static str>,
    stop: AtomicBool,
    /// Undisturbed bookings that were accepted, and those since the last that was not.
    accepted: AtomicUsize,
    in_a_row: AtomicUsize,
}

impl Callers {
    /// Starts so many callers for each of these aims, on these flights.
    pub fn start(client: reqwest::Client, bases: Bases, aims: Vec<(Aim, usize, Vec<i64>)>) -> Self {
        let shared = Arc::new(Shared {
            client,
            bases,
            during: Mutex::new("between faults"),
            stop: AtomicBool::default(),
            accepted: AtomicUsize::default(),
            in_a_row: AtomicUsize::default(),
        });
        let mut tasks = Vec::new();
        for (aim, callers, flights) in aims {
            for number in 0..callers {
                tasks.push(tokio::spawn(shared.clone().call(aim, number, flights.clone())));
            }
        }
        Self { shared, tasks }
    }

    /// Names the fault that is there from now on.
    pub fn during(&self, fault: &'static str) {
        *self.shared.during.lock().expect("no panic") = fault;
    }

    /// Until so many more bookings of undisturbed flights were accepted.
    pub async fn accept(&self, more: usize) {
        let accepted = &self.shared.accepted;
        let until = accepted.load(Ordering::Relaxed) + more;
        self.until("bookings go on", || accepted.load(Ordering::Relaxed) >= until).await;
    }

    /// Until so many bookings of undisturbed flights in a row were accepted.
    pub async fn recover(&self, in_a_row: usize) {
        self.during("between faults");
        self.shared.in_a_row.store(0, Ordering::Relaxed);
        let so_far = || self.shared.in_a_row.load(Ordering::Relaxed);
        self.until("bookings go on as before", || so_far() >= in_a_row).await;
    }

    async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let during = *self.shared.during.lock().expect("no panic");
        eventually(format!("{what}, during {during}"), async || {
            assert!(!self.tasks.iter().any(JoinHandle::is_finished), "a caller gave up");
            is_so()
        })
        .await;
    }

    /// Ends them; gives all that they wished and heard.
    pub async fn stop(self) -> (Vec<Wish>, Vec<Answer>) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let (mut wishes, mut answers) = (Vec::new(), Vec::new());
        for task in self.tasks {
            let (wished, heard) = task.await.expect("no caller panics");
            wishes.extend(wished);
            answers.extend(heard);
        }
        (wishes, answers)
    }
}

impl Shared {
    async fn call(
        self: Arc<Self>,
        aim: Aim,
        number: usize,
        flights: Vec<i64>,
    ) -> (Vec<Wish>, Vec<Answer>) {
        let (mut wishes, mut answers) = (Vec::new(), Vec::new());
        for round in number.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let method = if round % 5 == 0 { "pm_card_declined" } else { "pm_card_visa" };
            let mut wish = Wish::new(flights[round % flights.len()], 1, method);
            for attempt in 0..ATTEMPTS_MAX {
                let answer = self.ask(aim, &mut wish, round + attempt).await;
                let is_final = matches!(answer.status, Some((201 | 409, _)));
                answers.push(answer);
                tokio::time::sleep(if aim == Aim::SoldOut { 20 * PAUSE } else { PAUSE }).await;
                if is_final {
                    break;
                }
            }
            if round % 7 == 0 {
                self.cancel(&mut wish, round).await;
            }
            wishes.push(wish);
        }
        (wishes, answers)
    }

    async fn ask(&self, aim: Aim, wish: &mut Wish, round: usize) -> Answer {
        let during = *self.during.lock().expect("no panic");
        let asked = Instant::now();
        let status = wish.ask(&self.client, &self.bases.of(round)).await;
        if aim == Aim::Undisturbed {
            if wish.answered.is_some() {
                self.accepted.fetch_add(1, Ordering::Relaxed);
                self.in_a_row.fetch_add(1, Ordering::Relaxed);
            } else {
                self.in_a_row.store(0, Ordering::Relaxed);
            }
        }
        Answer { aim, during, status, took: asked.elapsed() }
    }

    async fn cancel(&self, wish: &mut Wish, round: usize) {
        let Some((id, _)) = &wish.answered else { return };
        let url = format!("{}/api/v1/bookings/{id}/cancel", self.bases.of(round));
        let post = self.client.post(url);
        let status = post.send().await.ok().map(|answer| answer.status().as_u16());
        // A booking whose payment was declined can't be cancelled any more.
        assert!(matches!(status, None | Some(200 | 409 | 503)), "cancelled: {status:?}");
        wish.cancelled = Some(status == Some(200));
    }
}
