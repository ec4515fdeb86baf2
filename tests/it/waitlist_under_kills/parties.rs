//! Parties that join the lines, what they do with their offers, and strangers who try to book beside them.

use crate::support::asker::Asker;
use crate::support::booking;
use fastrand::Rng;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Tasks that join.
const JOINERS: usize = 32;

/// Users of parties and of strangers.
const FIRST_PARTY: i64 = 1_000_000;
const FIRST_STRANGER: i64 = 5_000_000;

const PAUSE: Duration = Duration::from_millis(50);

/// The body of a request to wait: one in twenty has nine seats, and two in five buy at once.
fn party(user: i64, rng: &mut Rng) -> Value {
    let seats = if rng.u8(..20) == 0 { 9 } else { rng.i32(1..=6) };
    let mut body = booking(0, seats);
    body.as_object_mut().expect("an object").remove("flight_id");
    body["user_id"] = json!(user);
    if rng.u8(..5) < 2 {
        let fails = rng.u8(..6) == 0;
        body["mode"] = json!("auto");
        body["payment_method"] = json!(if fails { "pm_card_declined" } else { "pm_card_visa" });
    }
    body
}

/// All who join.
pub struct Joining {
    tasks: Vec<JoinHandle<()>>,
    joined: Arc<AtomicUsize>,
}

impl Joining {
    /// Starts to put so many parties into the lines of the flights.
    pub fn start(asker: &Asker, flights: &[i64], parties: usize) -> Self {
        let (begun, joined) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks = (0..JOINERS).map(|number| {
            let (asker, flights) = (asker.clone(), flights.to_vec());
            let (begun, joined) = (begun.clone(), joined.clone());
            tokio::spawn(async move {
                let mut rng = Rng::with_seed(number as u64);
                loop {
                    let party = begun.fetch_add(1, Ordering::Relaxed);
                    if party >= parties {
                        return;
                    }
                    join(&asker, &flights, party, &mut rng).await;
                    joined.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        Self { tasks: tasks.collect(), joined }
    }

    pub fn joined(&self) -> usize {
        self.joined.load(Ordering::Relaxed)
    }

    pub fn have_finished(&self) -> bool {
        self.tasks.iter().all(JoinHandle::is_finished)
    }

    pub async fn finish(self) {
        for task in self.tasks {
            task.await.expect("no party panics");
        }
    }
}

/// Joins a line; where seats are free for the party, another. One in thirty leaves again.
async fn join(asker: &Asker, flights: &[i64], party_number: usize, rng: &mut Rng) {
    let user = FIRST_PARTY + party_number as i64;
    for at in party_number.. {
        let flight = flights[at % flights.len()];
        let (path, key) = (format!("/flights/{flight}/waitlist"), format!("wait-{user}-{at}"));
        match asker.post(&path, &key, &party(user, rng), rng).await {
            Ok(entry) => {
                if rng.u8(..30) == 0 {
                    let path = format!("/waitlist/{}", entry["waitlist_id"]);
                    let left = asker.delete(&path, rng).await;
                    left.expect("an entry may leave");
                }
                return;
            }
            Err(code) => assert_eq!(code, "seats_available", "{path}"),
        }
    }
}

/// A task that goes on until it is stopped.
pub struct Going<T> {
    stop: Arc<AtomicBool>,
    task: JoinHandle<T>,
}

impl<T: Send + 'static> Going<T> {
    fn start<F: Future<Output = T> + Send + 'static>(
        run: impl FnOnce(Arc<AtomicBool>) -> F,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(run(stop.clone()));
        Self { stop, task }
    }

    pub async fn stop(self) -> T {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("nobody panics")
    }
}

/// Starts those who answer their offers. Gives how many were accepted, declined and left to lapse.
pub fn answering(asker: &Asker, database: PgConnection) -> Going<[usize; 3]> {
    let asker = asker.clone();
    Going::start(move |stop| answer(asker, database, stop))
}

/// Starts strangers. Gives how many got seats.
pub fn strangers(asker: &Asker, flights: &[i64]) -> Going<usize> {
    let (asker, flights) = (asker.clone(), flights.to_vec());
    Going::start(move |stop| try_to_book(asker, flights, stop))
}

/// The open offers of parties that are asked.
const OFFERS: &str = "
    SELECT w.id FROM waitlist AS w JOIN bookings AS b ON b.id = w.id
     WHERE w.status = 'offered' AND w.mode = 'ask' AND b.status = 'pending'";

/// Three in five accept their offers, one declines it, and one lets it lapse.
async fn answer(asker: Asker, mut database: PgConnection, stop: Arc<AtomicBool>) -> [usize; 3] {
    let (mut rng, mut seen, mut did) = (Rng::with_seed(3), BTreeSet::new(), [0; 3]);
    let mut tasks = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let open: Vec<i64> =
            sqlx::query_scalar(OFFERS).fetch_all(&mut database).await.expect("offers");
        for id in open.into_iter().filter(|id| seen.insert(*id)) {
            let (what, body) = match rng.u8(..10) {
                0..5 => ("accept", json!({"payment_method": "pm_card_visa"})),
                5 => ("accept", json!({"payment_method": "pm_card_declined"})),
                6..8 => ("decline", json!({})),
                _ => ("", json!({})),
            };
            did[["accept", "decline", ""].iter().position(|w| *w == what).expect("one")] += 1;
            let (asker, mut rng) = (asker.clone(), rng.fork());
            if !what.is_empty() {
                tasks.push(tokio::spawn(async move {
                    let path = format!("/waitlist/{id}/{what}");
                    // It may have ended meanwhile.
                    let _ = asker.post(&path, &format!("{what}-{id}"), &body, &mut rng).await;
                }));
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    for task in tasks {
        task.await.expect("nobody panics");
    }
    database.close().await.expect("closed");
    did
}

/// Tries to book single seats. How many it gets is chance; `nine` has those who overtake for certain.
async fn try_to_book(asker: Asker, flights: Vec<i64>, stop: Arc<AtomicBool>) -> usize {
    let (mut rng, mut got) = (Rng::with_seed(5), 0);
    for user in FIRST_STRANGER.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let flight = flights[rng.usize(..flights.len())];
        got += usize::from(asker.book(flight, user, 1, false, &mut rng).await.is_ok());
        tokio::time::sleep(PAUSE).await;
    }
    got
}
