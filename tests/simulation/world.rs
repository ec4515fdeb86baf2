//! A simulated deployment: the world outside, the replicas in it, and the course of a run.

use super::bank;
use super::check::{self, Memory, Told};
use super::client::Client;
use super::operator;
use super::plan::Plan;
use super::ports::bus::{Broker, SimBus};
use super::ports::cache::{CacheServer, SimCache};
use super::ports::chance::{Chance, Fault};
use super::ports::clock::{SimClock, SimIds};
use super::ports::gateway::{Provider, SimGateway};
use super::ports::locks::{LockServer, SimLocks};
use super::ports::process::Process;
use super::ports::rows::lines::{OFFER_TTL, TERMS};
use super::ports::store::{Database, SimStore};
use super::replica::{Replica, Service};
use airline_booking::clock::Clock;
use airline_booking::config::{Config, Role};
use airline_booking::domain::{
    Currency, DayKey, Flight, FlightId, FlightIds, FlightStatus, Line, Money, NewFlight, city_key,
    route_key,
};
use airline_booking::ids::Ids;
use airline_booking::itineraries::{Question, Sort};
use chrono::TimeDelta;
use futures::future::join_all;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long the deployment may take to end everything once faults have stopped, in simulated time: holds lapse
/// within [`LOCK_TTL`], unanswered payments are asked again every [`REDRIVE_AFTER`].
const SETTLES_WITHIN: Duration = Duration::from_secs(120);

const LOCK_TTL: Duration = Duration::from_secs(15);

/// `PAYMENT_WINDOW`.
const PAYMENT_WINDOW: Duration = Duration::from_secs(12);
/// Far shorter than the real lease: a lost release costs nothing but waiting.
const LOCK_LEASE: Duration = Duration::from_millis(400);
const REDRIVE_AFTER: Duration = Duration::from_secs(5);

/// Time between two departures, and from departure to arrival: each flight connects to the next.
const DEPARTURES: TimeDelta = TimeDelta::minutes(70);
const FLIGHT_TIME: TimeDelta = TimeDelta::minutes(20);

/// The flight that connects to none, and the one that is sold in another currency.
const WITHOUT_ARRIVAL: usize = 4;
const IN_YEN: usize = 5;

/// Fare rules of the flights, one after the other.
const FARES: [&str; 4] = [CHANGING, "free", "standard", "flexible"];

/// Prices of the flights, one after the other, in whole units of their currency.
const PRICES: [i64; 6] = [2_500, 2_100, 3_000, 2_500, 2_700, 2_500];

/// Fare rules that operators change.
pub const CHANGING: &str = "of-the-day";

/// What became of a run.
#[derive(Debug)]
pub struct Outcome {
    pub steps: u64,
    pub faults: BTreeMap<Fault, u64>,
    pub violations: Vec<String>,
    /// What clients were told.
    pub told: Told,
    /// Refunds that were made.
    pub refunds: usize,
    pub digest: u64,
    pub trace: Vec<String>,
}

/// The world. A clone is the same world.
#[derive(Clone)]
pub struct World {
    pub chance: Chance,
    pub database: Database,
    pub broker: Broker,
    pub provider: Provider,
    locks: LockServer,
    cache: CacheServer,
    began: Instant,
    config: Arc<Config>,
    flights: usize,
    /// The replicas; `None` while one is down.
    replicas: Arc<Mutex<Vec<Option<Replica>>>>,
}

/// Plays a run from start to end. The same plan always plays the same way.
pub fn run(plan: &Plan, traced: bool) -> Outcome {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    // An `App` that starts stays on its thread.
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let world = World::new(plan, traced);
        Box::pin(world.play(plan)).await
    })
}

impl World {
    fn new(plan: &Plan, traced: bool) -> Self {
        let chance = Chance::new(plan.seed, plan.rates.clone(), traced);
        let world = Self {
            chance,
            database: Database::default(),
            broker: Broker::new(),
            provider: Provider::default(),
            locks: LockServer::default(),
            cache: CacheServer::default(),
            began: Instant::now(),
            config: Arc::new(config()),
            flights: plan.flights,
            replicas: Arc::default(),
        };
        let clock = world.clock();
        world.database.rows().put_fare_rules(operator::some_fare_rules(10), clock.now());
        for number in 0..plan.flights {
            let (flight, now) = (flight(number, &world), clock.now());
            let currency = currency_of(number, &world);
            world.database.rows().create_flight(flight, &world.day(), currency, now);
        }
        world
    }

    async fn play(self, plan: &Plan) -> Outcome {
        for number in 0..plan.replicas {
            self.replicas.lock().push(None);
            self.start(number).await;
        }
        let mut memory = Memory::default();
        for round in 1..=plan.rounds {
            self.chance.step(|| format!("round {round}"));
            self.storm(plan, &mut memory).await;
            self.chance.calm();
            Box::pin(self.become_quiet(&mut memory, plan.replicas)).await;
            if !memory.violations.is_empty() {
                break;
            }
            self.chance.resume(&plan.rates);
        }
        memory.check_clients(&self.database.rows());
        let (told, refunds) = (memory.told(), self.provider.refunds().len());
        Box::pin(self.stop_all()).await;
        Outcome {
            steps: self.chance.steps(),
            faults: self.chance.faults(),
            violations: memory.violations,
            told,
            refunds,
            digest: self.chance.digest(),
            trace: self.chance.trace(),
        }
    }

    /// Clients, operators and accidents, all at once, until the clients are done.
    async fn storm(&self, plan: &Plan, memory: &mut Memory) {
        let accidents = tokio::task::spawn_local(operator::accidents(self.clone()));
        let operators = tokio::spawn(operator::changes(self.clone()));
        let disputes = tokio::spawn(bank::disputes(self.clone()));
        let events = tokio::spawn(bank::events(self.clone()));
        let first = memory.clients();
        let clients = (first..first + plan.clients)
            .map(|number| tokio::spawn(Client::new(self.clone(), number).run(plan.requests)));
        for client in join_all(clients).await {
            memory.add(client.expect("a client does not panic"));
        }
        accidents.abort();
        operators.abort();
        disputes.abort();
        events.abort();
        let _ = tokio::join!(accidents, operators, disputes, events);
    }

    /// Starts what is down, waits until all work has ended, and checks everything.
    async fn become_quiet(&self, memory: &mut Memory, replicas: usize) {
        for number in 0..replicas {
            self.start(number).await;
        }
        // What was decided before may not have been told.
        if timeout(SETTLES_WITHIN, bank::decide_all(self)).await.is_err() {
            memory.violations.push("news of disputes is not taken".to_owned());
        }
        let deadline = Instant::now() + SETTLES_WITHIN;
        while let Err(what) = check::is_quiet(self) {
            if Instant::now() >= deadline {
                memory.violations.push(format!("not ended after {SETTLES_WITHIN:?}: {what}"));
                break;
            }
            sleep(Duration::from_millis(500)).await;
        }
        self.chance.step(|| "all is quiet".to_owned());
        check::rows(self, memory);
        self.check_searches(memory).await;
    }

    /// A replica's itineraries must show the flights as they are: all of them are direct.
    async fn check_itineraries(&self, service: &Service, memory: &mut Memory) {
        let question = Question {
            source: city_key("Delhi"),
            destination: city_key("Mumbai"),
            date: self.day().date,
            stops_max: 0,
            seats: 1,
            sort: Sort::Departure,
            limit: usize::MAX,
        };
        let found = match service.itineraries.find(&question).await {
            Ok(found) => found,
            Err(error) => {
                memory.violations.push(format!("{}: itineraries fail: {error}", service.name));
                return;
            }
        };
        let rows = self.database.rows();
        let is_shown =
            |flight: &&Flight| flight.flight_status.is_for_sale() && flight.free_seats() > 0;
        let stored: Vec<_> = rows.flights.values().filter(is_shown).map(as_shown).collect();
        let shown = found.iter().flat_map(|found| &found.segments);
        let mut shown: Vec<_> = shown.map(as_shown).collect();
        shown.sort_by_key(|flight| flight.id);
        if shown != stored {
            memory.violations.push(format!("{}: itineraries show what was", service.name));
        }
    }

    /// Every replica's search must show the flights as they are.
    async fn check_searches(&self, memory: &mut Memory) {
        sleep(Duration::from_millis(200)).await;
        for service in self.services() {
            self.check_itineraries(&service, memory).await;
            let answer = match service.search.answer(self.day()).await {
                Ok(answer) => answer,
                Err(error) => {
                    memory.violations.push(format!("{}: a search fails: {error}", service.name));
                    continue;
                }
            };
            let rows = self.database.rows();
            let is_shown = |flight: &&airline_booking::domain::Flight| {
                flight.flight_status.is_for_sale() && flight.free_seats() > 0
            };
            let stored: Vec<_> = rows.flights.values().filter(is_shown).map(as_shown).collect();
            let mut shown: Vec<_> = answer.flights.iter().map(as_shown).collect();
            shown.sort_by_key(|flight| flight.id);
            if shown != stored {
                memory.violations.push(format!("{}: a search shows what was", service.name));
            }
        }
    }

    async fn stop_all(&self) {
        let replicas = std::mem::take(&mut *self.replicas.lock());
        for replica in replicas.into_iter().flatten() {
            Box::pin(replica.stop()).await;
        }
    }

    /// Ends a replica, by a crash or in order, if it runs.
    pub async fn end(&self, number: usize, in_order: bool) {
        let Some(replica) = self.replicas.lock()[number].take() else { return };
        if in_order { Box::pin(replica.stop()).await } else { replica.kill() }
    }

    /// Starts a replica, if it is down.
    pub async fn start(&self, number: usize) {
        if self.replicas.lock()[number].is_some() {
            return;
        }
        let replica = Box::pin(Replica::start(self, number, &self.config)).await;
        self.replicas.lock()[number] = Some(replica);
    }

    /// Sets a replica's clock off by this much.
    pub fn set_clock(&self, number: usize, error: TimeDelta) {
        if let Some(replica) = &self.replicas.lock()[number] {
            replica.clock.set_error(error);
        }
    }

    /// Number of replicas, running or not.
    pub fn replicas(&self) -> usize {
        self.replicas.lock().len()
    }

    /// Batches and gateway calls that run in any replica.
    pub fn running_tasks(&self) -> usize {
        let replicas = self.replicas.lock();
        replicas.iter().flatten().map(|replica| replica.app.running_tasks()).sum()
    }

    /// A replica that runs, as a load balancer would choose one.
    pub fn any_service(&self) -> Option<Service> {
        let running = self.services();
        (!running.is_empty())
            .then(|| running[self.chance.below(running.len() as u64) as usize].clone())
    }

    /// The replicas that run.
    fn services(&self) -> Vec<Service> {
        self.replicas.lock().iter().flatten().map(|replica| replica.service.clone()).collect()
    }

    /// One of the flights.
    pub fn any_flight(&self) -> FlightId {
        FlightId(1 + self.chance.below(self.flights as u64) as i64)
    }

    /// Some flights in the order of their departures, up to so many. Half of all choices contain the first
    /// flight, which makes it the busiest.
    pub fn some_flights(&self, most: usize) -> FlightIds {
        let drawn = (0..most).map(|_| self.any_flight());
        let hot = (self.chance.below(2) == 0).then_some(FlightId(1));
        let flights: BTreeSet<_> = hot.into_iter().chain(drawn).take(most).collect();
        flights.into_iter().collect()
    }

    /// The route and day of all flights.
    pub fn day(&self) -> DayKey {
        let departs_at = departure();
        DayKey {
            route: route_key("Delhi", "Mumbai"),
            date: self.config.schedule_timezone.day_of(departs_at),
        }
    }

    pub fn clock(&self) -> Arc<SimClock> {
        Arc::new(SimClock::since(self.began))
    }

    pub fn ids(&self) -> Arc<dyn Ids> {
        Arc::new(SimIds(self.chance.clone()))
    }

    pub fn store(&self, process: &Process) -> SimStore {
        SimStore::new(&self.database, process)
    }

    pub fn bus(&self, process: &Process) -> SimBus {
        SimBus::new(&self.broker, process)
    }

    pub fn gateway(&self, process: &Process) -> SimGateway {
        SimGateway::new(&self.provider, process)
    }

    pub fn locks(&self, process: &Process) -> SimLocks {
        SimLocks::with_lease(&self.locks, process, LOCK_LEASE)
    }

    pub fn cache(&self, process: &Process) -> SimCache {
        SimCache::new(&self.cache, process)
    }
}

/// A flight as callers see it: without the marks of its line, which no answer shows.
fn as_shown(flight: &Flight) -> Flight {
    Flight { line: Line::default(), ..flight.clone() }
}

/// Settings of replicas on PostgreSQL, Redis and Kafka, with short times.
fn config() -> Config {
    let lookup = |name: &str| (name == "DB_HOST").then(|| "simulated".to_owned());
    let mut config = Config::from_env(lookup).expect("sound settings");
    config.lock_ttl = LOCK_TTL;
    config.payment_window = PAYMENT_WINDOW;
    config.payment_redrive_after = REDRIVE_AFTER;
    config.gateway_timeout = Duration::from_secs(3);
    config.passenger_retention = None;
    let time = |span: TimeDelta| span.to_std().expect("a span");
    config.offer_ttl = time(OFFER_TTL);
    config.waitlist_max_overtakes = TERMS.overtakes_max;
    config.waitlist_gather_for = time(TERMS.gather_for);
    config.waitlist_release_before = time(TERMS.release_before);
    // Nobody makes webhooks; their workers would only read.
    config.roles = config.roles.without(Role::Notify);
    config
}

fn departure() -> airline_booking::domain::Timestamp {
    let start = airline_booking::domain::Timestamp::from_timestamp_micros(SimClock::START);
    start.expect("a time of this century") + TimeDelta::days(30)
}

/// Currency of a flight: that of the service, but for one flight.
fn currency_of(number: usize, world: &World) -> Currency {
    match number {
        IN_YEN => "JPY".parse().expect("a currency"),
        _ => world.config.currency,
    }
}

fn flight(number: usize, world: &World) -> NewFlight {
    let seats = 2 + world.chance.below(30) as i32;
    let currency = currency_of(number, world);
    let departs_at = departure() + DEPARTURES * number as i32;
    NewFlight {
        flight_number: None,
        source: "Delhi".into(),
        destination: "Mumbai".into(),
        departs_at,
        arrives_at: (number != WITHOUT_ARRIVAL).then(|| departs_at + FLIGHT_TIME),
        available_seats: seats,
        total_seats: seats,
        flight_status: FlightStatus::Scheduled,
        price: Money::whole(PRICES[number % PRICES.len()], currency),
        taxes: Money::whole(301, currency),
        fare_rules: Arc::<str>::from(FARES[number % FARES.len()]).into(),
    }
}
