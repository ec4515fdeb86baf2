//! Callers that disconnect during a write: other callers are unaffected, and the write happens completely
//! or not at all.

use crate::support::deployment::Opened;
use crate::support::process::{Server, http_client};
use crate::support::{TestDatabase, booking, equal, eventually, flight, give_up_after, within};
use airline_booking::clock::{Clock as _, SystemClock};
use airline_booking::domain::{
    BookingId, DayKey, FlightId, NewFlight, PaymentMethod, PaymentReference, Timestamp, UserId,
    route_key,
};
use airline_booking::rules::{
    ChangeSet, Command, Hold, IdempotencyKey, Policy, RequestKey, Wanted, decide,
};
use airline_booking::store::{Store, StoreError};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// A store on PostgreSQL, and a session of the test's own that sees what is durable.
struct Watched {
    store: Arc<dyn Store>,
    now: Timestamp,
    session: PgConnection,
}

impl Watched {
    async fn start() -> Self {
        let database = TestDatabase::postgres().await;
        let clock = Arc::new(SystemClock);
        let now = clock.now();
        let Opened { store, .. } = database.open(Duration::ZERO, clock).await;
        let session = PgConnection::connect(&database.url()).await.expect("a session");
        Self { store, now, session }
    }

    /// Waits until no connection is in use: each is back in its pool, or closed.
    async fn rest(&self) {
        eventually("pools without a connection in use", async || {
            self.store.pools().iter().all(|pool| pool.used == 0)
        })
        .await;
    }

    async fn create_flight(&self) -> FlightId {
        let (flight, day) = new_flight(self.now);
        let currency = "INR".parse().expect("a currency");
        let created = self.store.create_flight(flight, &day, currency, self.now).await;
        created.expect("a flight").id
    }

    /// Commits a hold, and sees its booking from elsewhere.
    async fn expect_a_hold_to_last(&mut self, flight: FlightId) {
        let booking_id = self.store.draw_booking_id().await.expect("a number");
        let hold = Hold {
            segments: Hold::on_one(booking_id, flight),
            reference: PaymentReference::draw(self.now),
            user_id: UserId(7),
            seats: 1,
            passengers: Vec::new().into(),
            method: Some(PaymentMethod::default()),
            idempotency: None,
            request: None,
            pending_max: None,
            expected_price: None,
        };
        let wanted = Wanted { flights: [flight].into(), ..Wanted::default() };
        let state = self.store.load(&wanted).await.expect("a state");
        let decision = decide(&state, &Command::Hold(hold), self.now, &policy());
        let changes = ChangeSet { commands: vec![decision.changes], ..ChangeSet::default() };
        let committed = self.store.commit(&changes).await.expect("a commit");
        assert!(committed.stale.is_empty());
        assert!(self.has(booking_id).await, "booking {booking_id} was acknowledged and is lost");
    }

    async fn has(&mut self, booking: BookingId) -> bool {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM bookings WHERE id = $1)")
            .bind(booking.0)
            .fetch_one(&mut self.session)
            .await
            .expect("an answer")
    }
}

/// Until no session of this database stays in a transaction. A server ends those by itself only after
/// half a minute.
async fn expect_no_open_transaction(session: &mut PgConnection) {
    within(Duration::from_secs(20), "no open transaction", async || {
        let open = sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM pg_stat_activity
              WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
        );
        equal(open.fetch_one(&mut *session).await.expect("a count"), 0)
    })
    .await;
}

fn policy() -> Policy {
    Policy {
        hold_for: chrono::TimeDelta::seconds(300),
        payment_window: chrono::TimeDelta::minutes(15),
        closes_before: None,
        min_connection: chrono::TimeDelta::zero(),
        free_refusal_after: chrono::TimeDelta::hours(2),
        offer_ttl: chrono::TimeDelta::minutes(30),
        waiting: airline_booking::rules::waiting::Terms {
            overtakes_max: 3,
            gather_for: chrono::TimeDelta::hours(6),
            release_before: chrono::TimeDelta::hours(24),
        },
    }
}

fn new_flight(now: Timestamp) -> (NewFlight, DayKey) {
    let flight = NewFlight {
        flight_number: None,
        source: "Delhi".into(),
        destination: "Mumbai".into(),
        departs_at: now + chrono::TimeDelta::days(30),
        arrives_at: None,
        available_seats: 1_000,
        total_seats: 1_000,
        flight_status: airline_booking::domain::FlightStatus::Scheduled,
        price: airline_booking::domain::Money::from_minor(250_000),
        taxes: airline_booking::domain::Money::default(),
        fare_rules: airline_booking::domain::FareName::default(),
    };
    let day = DayKey { route: route_key("Delhi", "Mumbai"), date: flight.departs_at.date_naive() };
    (flight, day)
}

/// Every write that takes more than one statement.
type Write = fn(Arc<dyn Store>, Timestamp) -> BoxFuture<'static, Result<(), StoreError>>;

const WRITES: [(&str, Write); 4] = [
    ("create_flight", |store, now| {
        let (flight, day) = new_flight(now);
        let currency = "INR".parse().expect("a currency");
        Box::pin(async move { store.create_flight(flight, &day, currency, now).await.map(drop) })
    }),
    ("create_flight_once", |store, now| {
        let (flight, day) = new_flight(now);
        let currency = "INR".parse().expect("a currency");
        let request = request("/flights");
        Box::pin(async move {
            store.create_flight_once(&request, flight, &day, currency, now).await.map(drop)
        })
    }),
    ("redrive", |store, now| Box::pin(async move { store.redrive(&[], now).await })),
    ("forget_invalidations", |store, _| {
        Box::pin(async move { store.forget_invalidations(&[1], true).await })
    }),
];

fn request(route: &'static str) -> RequestKey {
    let key = IdempotencyKey { key: "once".into(), request_hash: "hash".into() };
    RequestKey { route, owner: UserId(7), key }
}

#[tokio::test]
async fn a_write_cancelled_at_any_step_leaves_no_open_transaction() {
    let mut watched = Watched::start().await;
    let flight = watched.create_flight().await;
    let mut dropped = 0;
    for (name, write) in WRITES {
        for polls in 1.. {
            watched.rest().await;
            let call = write(watched.store.clone(), watched.now);
            let answer = give_up_after(polls, call).await;
            watched.rest().await;
            watched.expect_a_hold_to_last(flight).await;
            if let Some(answer) = answer {
                answer.expect(name);
                break;
            }
            dropped += 1;
        }
    }
    // How often depends on how quickly the server answers.
    assert!(dropped > 0, "no write was dropped");
    expect_no_open_transaction(&mut watched.session).await;
}

/// Numbers that look random, the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Sends a request, and closes its connection after some microseconds.
async fn send_and_leave(address: &str, request: &str, stay: Duration) {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("written");
    let began = tokio::time::Instant::now();
    // The timer is no finer than a millisecond.
    while began.elapsed() < stay {
        tokio::task::yield_now().await;
    }
}

fn raw(method: &str, path: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Books until it is stopped; returns the acknowledged bookings.
async fn book_on(
    base: String,
    flights: Arc<Vec<i64>>,
    stop: Arc<AtomicBool>,
    seed: u64,
) -> Vec<i64> {
    let (client, mut numbers) = (http_client(), Numbers(seed));
    let mut placed = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let flight = flights[numbers.below(flights.len() as u64) as usize];
        let post = client.post(format!("{base}/api/v1/bookings")).json(&booking(flight, 1));
        let answer = post.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.expect("JSON");
        assert!([201, 503].contains(&status), "{status} {body}");
        if status == 201 {
            placed.push(body["booking_id"].as_i64().expect("an id"));
        }
    }
    placed
}

/// Requests that are cut off, and how many at once.
const CUT_OFF: u64 = 4_000;
const CUT_OFF_AT_ONCE: u64 = 16;

#[tokio::test(flavor = "multi_thread")]
async fn requests_cut_off_at_random_moments_lose_no_booking_of_other_callers() {
    let url = TestDatabase::postgres().await.url();
    let directory = tempfile::tempdir().expect("a directory");
    let settings = [("DATABASE_URL", url.as_str()), ("PAYMENT_LATENCY", "0ms")];
    let server = Server::start(directory.path(), &settings).await;
    let client = http_client();
    let mut flights = Vec::new();
    for _ in 0..8 {
        let post = client.post(format!("{}/api/v1/flights", server.base)).json(&flight(10_000));
        let created: Value = post.send().await.expect("sent").json().await.expect("JSON");
        flights.push(created["id"].as_i64().expect("a flight"));
    }

    let (flights, stop) = (Arc::new(flights), Arc::new(AtomicBool::new(false)));
    let mut load = JoinSet::new();
    for seed in 1..=4 {
        load.spawn(book_on(server.base.clone(), flights.clone(), stop.clone(), seed));
    }
    let mut leaving = JoinSet::new();
    for seed in 0..CUT_OFF_AT_ONCE {
        let (address, flights) = (format!("127.0.0.1:{}", server.port()), flights.clone());
        leaving.spawn(async move {
            let mut numbers = Numbers(seed + 100);
            for turn in 0..CUT_OFF / CUT_OFF_AT_ONCE {
                let request = if turn % 4 == 0 {
                    let flight = flights[numbers.below(flights.len() as u64) as usize];
                    let change = json!({ "price": 2000 + turn, "flight_number": "AI101" });
                    raw("PUT", &format!("/api/v1/flights/{flight}"), &change)
                } else {
                    raw("POST", "/api/v1/flights", &flight(10))
                };
                let stay = Duration::from_micros(numbers.below(3_000));
                send_and_leave(&address, &request, stay).await;
            }
        });
    }
    leaving.join_all().await;
    stop.store(true, Ordering::Relaxed);
    let placed: BTreeSet<i64> = load.join_all().await.into_iter().flatten().collect();
    assert!(!placed.is_empty());

    let mut session = PgConnection::connect(&url).await.expect("a session");
    expect_no_open_transaction(&mut session).await;
    eventually("each booking is completed", async || {
        let rows: Vec<(i64, String)> = sqlx::query_as("SELECT id, status FROM bookings")
            .fetch_all(&mut session)
            .await
            .expect("bookings");
        let stored: BTreeSet<i64> = rows.iter().map(|(id, _)| *id).collect();
        let lost: Vec<_> = placed.difference(&stored).collect();
        assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), placed.len());
        rows.iter().all(|(_, status)| status == "completed")
    })
    .await;
    assert!(server.terminate().await);
}
