//! Rows locked by another session, and slow commits: only the commands that need those rows are affected.
//! On PostgreSQL.

use crate::support::deployment::Opened;
use crate::support::process::{Server, http_client};
use crate::support::proxy::Proxy;
use crate::support::{FaultyStore, TestDatabase, booking, config, equal, eventually, flight};

use airline_booking::app::{App, Ports};
use airline_booking::bus::memory::MemoryBus;
use airline_booking::cache::memory::MemoryCache;
use airline_booking::clock::{Clock as _, SystemClock};
use airline_booking::domain::{
    BookingId, DayKey, FlightId, FlightStatus, Money, NewFlight, PaymentMethod, PaymentReference,
    Timestamp, UserId, route_key,
};
use airline_booking::engine::Error;
use airline_booking::gateway::{Gateway as _, Opening};
use airline_booking::ids::RandomIds;
use airline_booking::lock::memory::MemoryLocks;
use airline_booking::rules::{Cancel, CancelledBy, Command, Hold, OrderPart, Outcome};
use airline_booking::store::{Bookings as _, Catalogue as _, Commits as _, StoreError};
use airline_booking::tasks::Tasks;
use airline_booking::telemetry::{Metrics, Tracing};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long what must happen may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// An engine on PostgreSQL, and a session of somebody else.
struct Fixture {
    app: App,
    store: Arc<FaultyStore>,
    now: Timestamp,
    stranger: PgConnection,
}

impl Fixture {
    async fn start() -> Self {
        Self::on(&TestDatabase::postgres().await).await
    }

    async fn on(database: &TestDatabase) -> Self {
        let clock = Arc::new(SystemClock);
        let now = clock.now();
        let Opened { store, gateway, references, .. } =
            database.open(Duration::ZERO, clock.clone()).await;
        let store = Arc::new(FaultyStore::new(store));
        let stranger = PgConnection::connect(&database.url()).await.expect("a session");
        let parts = Ports {
            store: store.clone(),
            gateway: Arc::new(gateway),
            sandbox: None,
            bus: Arc::new(MemoryBus::default()),
            locks: Arc::new(MemoryLocks::default()),
            cache: Arc::new(MemoryCache::default()),
            clock,
            ids: Arc::new(RandomIds),
            references,
            tasks: Tasks::default(),
            metrics: Metrics::new(),
            tracing: Tracing::default(),
        };
        let mut settings = config();
        settings.database = database.setting();
        Self { app: App::assemble(settings, parts), store, now, stranger }
    }

    async fn flight(&self) -> FlightId {
        let flight = NewFlight {
            flight_number: None,
            source: "Delhi".into(),
            destination: "Mumbai".into(),
            departs_at: self.now + chrono::TimeDelta::days(30),
            arrives_at: None,
            available_seats: 100,
            total_seats: 100,
            flight_status: FlightStatus::Scheduled,
            price: Money::from_minor(250_000),
            taxes: Money::default(),
            fare_rules: airline_booking::domain::FareName::default(),
        };
        let day =
            DayKey { route: route_key("Delhi", "Mumbai"), date: flight.departs_at.date_naive() };
        let currency = "INR".parse().expect("a currency");
        self.store.create_flight(flight, &day, currency, self.now).await.expect("a flight").id
    }

    async fn hold(&self, flight: FlightId, seats: i32) -> Command {
        Command::Hold(Hold {
            segments: Hold::on_one(self.store.draw_booking_id().await.expect("a number"), flight),
            reference: PaymentReference::draw(self.now),
            user_id: UserId(7),
            seats,
            passengers: Vec::new().into(),
            method: Some(PaymentMethod::default()),
            idempotency: None,
            request: None,
            pending_max: None,
            expected_price: None,
        })
    }

    /// Commands of one batch, one after the other; which of them were carried out.
    async fn run(&self, commands: Vec<Command>) -> Vec<Result<Outcome, Error>> {
        self.app.engine.submit_all(commands, &[]).await.expect("answers")
    }

    /// Carries out one command while the test goes on.
    fn begin(&self, command: Command) -> JoinHandle<Result<Outcome, Error>> {
        let engine = self.app.engine.clone();
        tokio::spawn(async move { engine.submit(command).await })
    }

    async fn execute(&mut self, statements: &str) {
        let statements = AssertSqlSafe(statements);
        sqlx::raw_sql(statements).execute(&mut self.stranger).await.expect("statements");
    }
}

fn booked(outcome: &Result<Outcome, Error>) -> BookingId {
    match outcome {
        Ok(Outcome::Order { order, .. }) => order.id(),
        other => panic!("{other:?}"),
    }
}

fn number(command: &Command) -> BookingId {
    match command {
        Command::Hold(hold) => hold.order_id(),
        other => panic!("{other:?}"),
    }
}

fn is_locked(outcome: &Result<Outcome, Error>) -> bool {
    matches!(outcome, Err(Error::Store(StoreError::Locked(_))))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_flight_row_refuses_only_its_own_holds() {
    let mut fixture = Fixture::start().await;
    let (kept, free) = (fixture.flight().await, fixture.flight().await);
    let keep = format!("BEGIN; SELECT FROM flights WHERE id = {kept} FOR UPDATE");
    fixture.execute(&keep).await;
    let holds =
        vec![fixture.hold(kept, 1).await, fixture.hold(free, 1).await, fixture.hold(kept, 2).await];
    let outcomes = fixture.run(holds).await;
    assert!(is_locked(&outcomes[0]) && is_locked(&outcomes[2]), "{outcomes:?}");
    let stored = fixture.store.booking(booked(&outcomes[1])).await.expect("an answer");
    assert!(stored.is_some(), "committed while the other flight is kept");

    fixture.execute("ROLLBACK").await;
    let again = vec![fixture.hold(kept, 1).await];
    booked(&fixture.run(again).await[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn flights_with_locked_rows_are_batched_apart_until_they_are_free() {
    let mut fixture = Fixture::start().await;
    let kept = [fixture.flight().await, fixture.flight().await, fixture.flight().await];
    let free = fixture.flight().await;
    let [one, two, three] = kept;
    let keep = format!("BEGIN; SELECT FROM flights WHERE id IN ({one}, {two}, {three}) FOR UPDATE");
    fixture.execute(&keep).await;
    let mut holds = Vec::new();
    for flight in [one, two, three, free] {
        holds.push(fixture.hold(flight, 1).await);
    }
    let found = fixture.run(holds).await;
    assert!(found[..3].iter().all(is_locked), "{found:?}");
    booked(&found[3]);

    // From now on they wait by themselves, however many they are.
    fixture.store.hold_back(kept);
    let waits = fixture.begin(fixture.hold(one, 1).await);
    eventually("a commit waits", async || !fixture.store.held_back().is_empty()).await;
    let beside = [fixture.hold(two, 1).await, fixture.hold(three, 1).await];
    let others = [fixture.hold(free, 1).await, fixture.hold(free, 1).await];
    let numbers = others.each_ref().map(number);
    let engine = fixture.app.engine.clone();
    let [two_at_once, three_at_once] = beside;
    let [first, second] = others;
    let together = vec![two_at_once, first, three_at_once, second];
    let together = tokio::spawn(async move { engine.submit_all(together, &[]).await });
    for number in numbers {
        let is_stored = async || fixture.store.booking(number).await.expect("read").is_some();
        eventually("a booking of another flight is made", is_stored).await;
    }
    for _ in 0..20 {
        let hold = vec![fixture.hold(free, 1).await];
        booked(&fixture.run(hold).await[0]);
    }
    assert_eq!(fixture.store.held_back(), [[one].into()], "the command waits still");
    fixture.store.hold_back([]);
    assert!(is_locked(&waits.await.expect("no panic")));
    let together = together.await.expect("no panic").expect("answers");
    assert!(is_locked(&together[0]) && is_locked(&together[2]), "{together:?}");

    // One that was written goes with all others again.
    fixture.execute("ROLLBACK").await;
    let holds = vec![fixture.hold(one, 1).await, fixture.hold(two, 1).await];
    for outcome in &fixture.run(holds).await {
        booked(outcome);
    }
    let share_a_commit = async || {
        fixture.store.hold_back([one]);
        let engine = fixture.app.engine.clone();
        let holds = vec![fixture.hold(one, 1).await, fixture.hold(free, 1).await];
        let together = tokio::spawn(async move { engine.submit_all(holds, &[]).await });
        eventually("a commit waits", async || !fixture.store.held_back().is_empty()).await;
        let waiting = fixture.store.held_back();
        fixture.store.hold_back([]);
        let together = together.await.expect("no panic").expect("answers");
        for outcome in &together {
            booked(outcome);
        }
        waiting == [[one, free].into()]
    };
    eventually("they share commits", share_a_commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_payment_row_refuses_only_its_own_cancellation() {
    let mut fixture = Fixture::start().await;
    let mut cancellations = Vec::new();
    let mut kept = None;
    for _ in 0..2 {
        let flight = fixture.flight().await;
        let holds = vec![fixture.hold(flight, 1).await];
        let booking_id = booked(&fixture.run(holds).await[0]);
        kept.get_or_insert(booking_id);
        cancellations.push(Command::Cancel(Cancel {
            part: OrderPart::default(),
            booking_id,
            by: CancelledBy::Airline,
            request: None,
            expected_refund: None,
        }));
    }
    let keep = format!(
        "BEGIN; SELECT FROM payments WHERE reference =
         (SELECT payment_reference_id FROM bookings WHERE id = {}) FOR UPDATE",
        kept.expect("a booking")
    );
    fixture.execute(&keep).await;
    let outcomes = fixture.run(cancellations).await;
    assert!(is_locked(&outcomes[0]), "{outcomes:?}");
    booked(&outcomes[1]);
}

/// As while Redis is away: no flight locks keep the replicas apart.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_waits_for_a_locked_row_refuses_no_other_flight_elsewhere() {
    let database = TestDatabase::postgres().await;
    let mut one = Fixture::on(&database).await;
    let other = Fixture::on(&database).await;
    let (free, kept) = (one.flight().await, one.flight().await);
    let keep = format!("BEGIN; SELECT FROM flights WHERE id = {kept} FOR UPDATE");
    one.execute(&keep).await;
    for _ in 0..4 {
        let both = [&one, &other].map(async |fixture| {
            fixture.run(vec![fixture.hold(free, 1).await, fixture.hold(kept, 1).await]).await
        });
        for outcomes in futures::future::join_all(both).await {
            booked(&outcomes[0]);
            assert!(is_locked(&outcomes[1]), "{outcomes:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flight_changed_elsewhere_without_a_new_version_is_decided_again() {
    let mut fixture = Fixture::start().await;
    let flight = fixture.flight().await;
    let holds = vec![fixture.hold(flight, 1).await];
    booked(&fixture.run(holds).await[0]);
    // As on a server that took over without the last commits of another, and sold other seats.
    let sell_out = format!(
        "UPDATE flights SET held_seats = 100, updated_at = updated_at + interval '1 second'
          WHERE id = {flight}"
    );
    fixture.execute(&sell_out).await;
    let holds = vec![fixture.hold(flight, 1).await];
    let outcome = fixture.run(holds).await.remove(0);
    assert!(matches!(outcome, Err(Error::Refused(_))), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_commit_takes_too_long_fails_alone() {
    let mut fixture = Fixture::start().await;
    fixture
        .execute(
            "CREATE FUNCTION strike() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF NEW.seats_booked = 7 THEN RAISE 'too long' USING ERRCODE = '57014'; END IF;
                 RETURN NEW; END $$;
             CREATE TRIGGER strike BEFORE INSERT ON bookings
                 FOR EACH ROW EXECUTE FUNCTION strike()",
        )
        .await;
    let mut holds = Vec::new();
    for seats in [1, 2, 7, 3, 4] {
        let flight = fixture.flight().await;
        holds.push(fixture.hold(flight, seats).await);
    }
    let outcomes = fixture.run(holds).await;
    let carried_out: Vec<_> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(carried_out, [true, true, false, true, true], "{outcomes:?}");
    let refused = &outcomes[2];
    assert!(matches!(refused, Err(Error::Store(StoreError::Unavailable(_)))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bookings_complete_while_a_settled_flights_row_is_locked() {
    let url = TestDatabase::postgres().await.url();
    let directory = tempfile::tempdir().expect("a directory");
    let settings =
        [("DATABASE_URL", &*url), ("PAYMENT_LATENCY", "500ms"), ("PAYMENT_REDRIVE_AFTER", "1s")];
    let server = Server::start(directory.path(), &settings).await;
    let client = http_client();
    let post = async |path: &str, body: Value| {
        let post = client.post(format!("{}/api/v1/{path}", server.base)).json(&body);
        let answer = post.send().await.expect("sent").error_for_status().expect("made");
        answer.json::<Value>().await.expect("JSON")
    };
    let mut session = PgConnection::connect(&url).await.expect("a session");
    let completed = async |booking: &Value| {
        eventually("a completed booking", async || {
            let path = format!("{}/api/v1/bookings/{}", server.base, booking["booking_id"]);
            let answer = client.get(path).send().await.expect("sent");
            let now: Value = answer.json().await.expect("JSON");
            equal(now["status"].clone(), "completed")
        })
        .await;
    };
    let kept = post("flights", flight(10)).await["id"].as_i64().expect("an id");
    let free = post("flights", flight(10)).await["id"].as_i64().expect("an id");

    let waiting = post("bookings", booking(kept, 1)).await;
    let keep = AssertSqlSafe(format!("BEGIN; SELECT FROM flights WHERE id = {kept} FOR UPDATE"));
    sqlx::raw_sql(keep).execute(&mut session).await.expect("kept");
    for _ in 0..2 {
        completed(&post("bookings", booking(free, 1)).await).await;
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut session).await.expect("given up");
    completed(&waiting).await;
    assert!(server.terminate().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulated_gateway_times_out_on_a_silent_database_connection() {
    let url = TestDatabase::postgres().await.url();
    let (user, place) = url.split_once('@').expect("a user");
    let (server, name) = place.split_once('/').expect("a database");
    let proxy = Proxy::start("127.0.0.1:0", server).await;
    let way = TestDatabase::Postgres(format!("{user}@{}/{name}", proxy.address));
    let clock = Arc::new(SystemClock);
    let now = clock.now();
    let Opened { gateway, .. } = way.open(Duration::ZERO, clock).await;
    let capture = || Opening {
        reference: PaymentReference::draw(now),
        amount: Money::from_minor(100),
        currency: "INR".parse().expect("a currency"),
        method: PaymentMethod::default(),
        return_url: None,
    };
    gateway.open(&capture()).await.expect("captured");
    proxy.lose_connections();
    // The pool may give a capture the connection that is lost, or another one.
    for _ in 0..3 {
        let answered = tokio::time::timeout(PATIENCE, gateway.open(&capture())).await;
        let _ = answered.expect("an answer, whichever connection it got");
    }
    gateway.open(&capture()).await.expect("captured over another connection");
}
