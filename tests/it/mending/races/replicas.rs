//! Corrections, a cancellation in part, a change of flight and, of every other booking, an erasure from a third process,
//! all of one booking at once on two replicas.
//!
//! `tests/run` makes a hundred races; `RACES=2000` says how many.

use crate::support::people::{MARK, count, party, rows_of_all_tables};
use crate::support::replicas::Replicas;
use crate::support::snapshot::Rows;
use crate::support::{TestDatabase, booking, flight};
use airline_booking::clock::{Clock as _, SystemClock};
use airline_booking::domain::UserId;
use airline_booking::people::erase::Erase;
use airline_booking::store::Store;
use futures::stream::{self, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Races, unless `RACES` says how many; and how many run at once.
const RACES: usize = 100;
const AT_ONCE: usize = 24;

/// Prices of the flight that all book, and of those that they move to: cheaper, as dear, dearer.
const PRICE: i64 = 2_500;
const PRICES: [i64; 3] = [2_000, 2_500, 3_000];

/// What each race corrects: the passenger, and the field.
const MENDS: [(usize, &str, &str); 3] =
    [(0, "name", "Corrected"), (0, "email", "corrected@example.com"), (1, "phone", "5550100")];

/// Requests of a race. An erasure begins once none or more of them are answered, but not all.
const REQUESTS: usize = MENDS.len() + 2;

struct Races {
    replicas: Replicas,
    /// Of the process that erases.
    store: Arc<dyn Store>,
    flights: Vec<i64>,
}

/// A booking, and what was answered to the requests about it: statuses and codes of problems.
struct Race {
    number: usize,
    id: i64,
    mends: Vec<(u16, String)>,
    cancelled: (u16, String),
    changed: (u16, String),
}

impl Race {
    fn is_erased(&self) -> bool {
        is_erased(self.number)
    }
}

fn is_erased(number: usize) -> bool {
    number.is_multiple_of(2)
}

fn user(number: usize) -> i64 {
    10_000 + number as i64
}

impl Races {
    async fn start() -> Self {
        let replicas = Replicas::new().await.with("RUST_LOG", "error").start(2).await;
        let database = TestDatabase::Postgres(replicas.setting("DATABASE_URL").to_owned());
        let store = database.open(Duration::ZERO, Arc::new(SystemClock)).await.store;
        let mut races = Self { replicas, store, flights: Vec::new() };
        for price in [PRICE].iter().chain(&PRICES) {
            let mut body = flight(10_000);
            body["timestamp"] = json!("2099-01-20T10:00:00Z");
            body["price"] = json!(price);
            let (_, made) = races.ask(0, Method::POST, "/api/v1/flights", "", &body).await;
            races.flights.push(made["id"].as_i64().unwrap_or_else(|| panic!("no flight: {made}")));
        }
        races
    }

    /// Asks one replica, or the other, until it is not too busy.
    async fn ask(
        &self,
        replica: usize,
        method: Method,
        path: &str,
        key: &str,
        body: &Value,
    ) -> (u16, Value) {
        for turn in replica.. {
            let url = self.replicas.url(turn % 2, path);
            let mut request = self.replicas.client.request(method.clone(), url).json(body);
            if !key.is_empty() {
                request = request.header("idempotency-key", key);
            }
            let answer = request.send().await.expect("an answer");
            let status = answer.status().as_u16();
            if status != 503 {
                return (status, answer.json().await.expect("JSON"));
            }
        }
        unreachable!("the turns have no end");
    }

    /// A booking of three seats by a user of its own.
    async fn place(&self, number: usize) -> i64 {
        let mut body = booking(self.flights[0], 3);
        if is_erased(number) {
            body = party(self.flights[0], 3, "first");
        }
        body["user_id"] = json!(user(number));
        let key = format!("place-{number}");
        let (_, placed) = self.ask(number, Method::POST, "/api/v1/bookings", &key, &body).await;
        placed["booking_id"].as_i64().unwrap_or_else(|| panic!("no booking: {placed}"))
    }

    async fn race(&self, number: usize, id: i64) -> Race {
        let answered = watch::Sender::new(0);
        let ask = async |replica: usize, method: Method, what: String, body: Value| {
            let key = format!("{number}-{replica}");
            let path = format!("/api/v1/bookings/{id}/{what}");
            let (status, answer) = self.ask(number + replica, method, &path, &key, &body).await;
            answered.send_modify(|answered| *answered += 1);
            (status, answer["code"].as_str().unwrap_or_default().to_owned())
        };
        let mend = |at: usize| {
            let (place, field, value) = MENDS[at];
            let value = if is_erased(number) && field == "name" { MARK } else { value };
            let body = json!({ field: value });
            ask(at, Method::PATCH, format!("passengers/{place}"), body)
        };
        let target = json!({"flight_id": self.target(number)});
        let (one, two, three, cancelled, changed, ()) = tokio::join!(
            mend(0),
            mend(1),
            mend(2),
            ask(3, Method::POST, "cancel".to_owned(), json!({"passengers": [2]})),
            ask(4, Method::POST, "change".to_owned(), target),
            async {
                if is_erased(number) {
                    let due = |answered: &usize| *answered >= number / 2 % REQUESTS;
                    answered.subscribe().wait_for(due).await.expect("its sender is here");
                    self.erase(number).await;
                }
            }
        );
        Race { number, id, mends: vec![one, two, three], cancelled, changed }
    }

    async fn erase(&self, number: usize) {
        let (user, now) = (UserId(user(number)), SystemClock.now());
        let erase = Erase { store: &*self.store, user, all: true, now };
        erase.run().await.expect("erased");
    }

    fn target(&self, number: usize) -> i64 {
        self.flights[1 + number % PRICES.len()]
    }

    /// What was answered is what came of it.
    async fn check(&self, race: &Race) {
        let Race { number, id, mends, cancelled, changed } = race;
        let path = format!("/api/v1/bookings/{id}");
        let shown = self.replicas.get(number % 2, &path).await;
        let told = format!("{mends:?} {cancelled:?} {changed:?} {shown}");
        let is_dearer = PRICES[number % PRICES.len()] > PRICE;
        assert_eq!(changed.0, if is_dearer { 202 } else { 200 }, "{told}");
        let is_refused = *cancelled == (409, "change_pending".to_owned());
        assert!(cancelled.0 == 200 || (is_dearer && is_refused), "{told}");
        let seats = if is_refused { 3 } else { 2 };
        assert_eq!(shown["flight_id"], self.target(*number), "{told}");
        let price = (seats * PRICES[number % PRICES.len()]) as f64;
        assert_eq!(
            (&shown["seats_booked"], &shown["status"]),
            (&json!(seats), &json!("completed"))
        );
        assert_eq!(shown["booking_price"].as_f64(), Some(price), "{told}");
        let passengers = &shown["booking_metadata"];
        assert_eq!(passengers[2]["status"] == "cancelled", !is_refused, "{told}");
        let events = self.replicas.get(number % 2, &format!("{path}/timeline")).await;
        let events = events["events"].as_array().expect("a list").iter();
        let mended = events.filter(|event| event["type"] == "passenger.changed").count();
        if race.is_erased() {
            let gone = (409, "passenger_not_changeable".to_owned());
            assert!(mends.iter().all(|answer| answer.0 == 200 || *answer == gone), "{told}");
            assert!((0..3).all(|at| passengers[at]["name"] == "Erased"), "{told}");
            assert_eq!(mended, 0, "{told}");
        } else {
            assert!(mends.iter().all(|(status, _)| *status == 200), "{told}");
            for (place, field, value) in MENDS {
                assert_eq!(passengers[place][field], value, "{told}");
            }
            assert_eq!(mended, MENDS.len(), "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "its figures are what a long run is for")]
async fn replicas_lose_no_correction_no_cancellation_no_change_and_no_erasure() {
    let count_of = std::env::var("RACES").ok().map(|text| text.parse().expect("a number"));
    let races = Races::start().await;
    let placed = stream::iter(0..count_of.unwrap_or(RACES)).map(|number| {
        let races = &races;
        async move { (number, races.place(number).await) }
    });
    let placed: Vec<_> = placed.buffer_unordered(AT_ONCE).collect().await;
    races.replicas.settled().await;
    let began = Instant::now();
    let run = stream::iter(placed).map(|(number, id)| races.race(number, id));
    let run: Vec<Race> = run.buffer_unordered(AT_ONCE).collect().await;
    let took = began.elapsed();
    races.replicas.settled().await;
    races.replicas.outbox_is_empty().await;
    // What came between two of its pages is scrubbed by the next run.
    for race in run.iter().filter(|race| race.is_erased()) {
        races.erase(race.number).await;
    }
    for race in &run {
        races.check(race).await;
    }
    let of = |status: u16, answer: fn(&Race) -> &(u16, String)| {
        run.iter().filter(|race| answer(race).0 == status).count()
    };
    let erased = run.iter().filter(|race| race.is_erased());
    let late = erased.clone().flat_map(|race| &race.mends).filter(|mend| mend.0 == 409);
    println!(
        "{} races in {took:.1?}: {} moved at once, {} with a difference; {} lost a passenger, {} could not meanwhile; {} \
         erased, {} corrections too late for it",
        run.len(),
        of(200, |race| &race.changed),
        of(202, |race| &race.changed),
        of(200, |race| &race.cancelled),
        of(409, |race| &race.cancelled),
        erased.count(),
        late.count(),
    );
    let url = races.replicas.setting("DATABASE_URL").to_owned();
    assert_eq!(count(&rows_of_all_tables(&url).await, MARK), 0);
    let mut rows = Rows::open(&TestDatabase::Postgres(url)).await;
    assert_eq!(rows.snapshot().await.broken(), Vec::<String>::new());
    races.replicas.audit().await;
}
