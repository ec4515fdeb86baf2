//! Waiting lists while one of two replicas is killed every two seconds: free seats go to those whom the oracle names,
//! step by step of each flight, nobody gets any twice, and no seat stays free that a walk would give away.
//!
//! `tests/run` lets some hundred parties wait; `WAITING_PARTIES=10000` says how many, and makes all else as long.

mod ends;
mod explain;
mod frees;
mod history;
mod nine;
#[path = "../../src/rules/waiting/oracle.rs"]
mod oracle;
mod parties;
mod planted;
#[path = "../simulation/lines/replay.rs"]
mod replay;
mod terms;
mod watch;

use crate::support::airline::Airline;
use crate::support::asker::Asker;
use crate::support::{equal, eventually, within};
use airline_booking::clock::{Clock as _, SystemClock};
use explain::{Told, explain};
use fastrand::Rng;
use frees::{Free, Freed, SoldOut, Way};
use futures::stream::{self, StreamExt as _};
use oracle::Oracle;
use parties::Joining;
use sqlx::{Connection, PgConnection};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use watch::{AFTER_A_KILL, Kills, Watch};

const KILL_EVERY: Duration = Duration::from_secs(2);

/// How long rest may take to come: that of a long run.
const RESTS_WITHIN: Duration = Duration::from_secs(600);

/// Tasks that free seats.
const FREEING: usize = 4;

/// How much happens.
struct Scale {
    parties: usize,
    flights: usize,
    /// Of each flight.
    frees: usize,
    kills_min: usize,
    /// How long the frees take that are made while replicas are killed.
    freed_in: Duration,
    /// How long seats are held: long enough that some payments end meanwhile. After a kill Kafka keeps the partitions of
    /// the dead for 6 s, so that few do while replicas are killed.
    settings: [(&'static str, &'static str); 3],
}

impl Scale {
    fn of_run() -> Self {
        match std::env::var("WAITING_PARTIES").ok() {
            None => Self {
                parties: 200,
                flights: 8,
                frees: 5,
                kills_min: 4,
                freed_in: Duration::from_secs(6),
                settings: [("PAYMENT_WINDOW", "8s"), ("OFFER_TTL", "4s"), ("LOCK_TTL", "30s")],
            },
            Some(parties) => Self {
                parties: parties.parse().expect("a number"),
                flights: 40,
                frees: 25,
                kills_min: 25,
                freed_in: Duration::from_secs(60),
                settings: [("PAYMENT_WINDOW", "60s"), ("OFFER_TTL", "15s"), ("LOCK_TTL", "60s")],
            },
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "its figures are what a long run is for")]
async fn free_seats_go_to_those_who_wait_in_the_oracles_order_while_replicas_are_killed() {
    let scale = Scale::of_run();
    let settings: Vec<_> = terms::SETTINGS.into_iter().chain(scale.settings).collect();
    let mut airline = Airline::start(&settings).await;
    airline.replicas.execute(history::RECORD).await;
    let url = airline.replicas.setting("DATABASE_URL").to_owned();
    let connect = async || PgConnection::connect(&url).await.expect("a connection");
    let mut database = connect().await;
    let asker = airline.asker.clone();
    let (mut flights, frees) = sell_out(&asker, &scale).await;
    is_paid(&mut database).await;

    let (began, kills) = (Instant::now(), Kills::default());
    let watch = Watch::start(connect().await, kills.clone());
    let answering = parties::answering(&asker, connect().await);
    let strangers = parties::strangers(&asker, &flights);
    let nine = tokio::spawn(nine::does_not_freeze_a_flight_of_eight(asker.clone()));
    let freed = under_kills(&mut airline, &scale, &flights, frees, &kills).await;
    let (freed_at, freed_in) = (Instant::now(), began.elapsed());
    let strangers = strangers.stop().await;
    let (flight_of_nine, frozen_for) = nine.await.expect("it does not freeze");
    comes_to_rest(&mut database).await;
    let [accepted, declined, ignored] = answering.stop().await;
    let watched = watch.stop().await;

    ends::expect_no_faults(&mut database).await;
    flights.push(flight_of_nine);
    let told = explain_all(&mut database, &flights).await;
    let statuses = ends::statuses(&mut database).await;
    println!(
        "{} parties on {} flights, {} kills, freed in {freed_in:.1?}: {freed:?}, at rest {:.1?} later; offers: {accepted} \
         accepted, {declined} declined, {ignored} left to lapse; {strangers} strangers got seats; a party of nine kept \
         eight seats for {frozen_for:.1?}; {told}; {watched}; ends: {statuses:?}",
        statuses.values().sum::<i64>(),
        flights.len(),
        kills.count(),
        freed_at.elapsed(),
    );
    assert_eq!(statuses.values().sum::<i64>(), scale.parties as i64 + 1);
    for status in ["waiting", "promoted", "declined", "lapsed", "left"] {
        assert!(statuses.contains_key(status), "nobody is {status}: {statuses:?}");
    }
    assert!(watched.late.is_empty(), "lines that were served late: {:#?}", watched.late);
    assert!(told.gathering > 0 && freed.len() == Way::ALL.len());
    airline.replicas.audit().await;
}

/// Lets the parties join, and frees seats: most while one replica after the other is killed, and the last in quiet.
async fn under_kills(
    airline: &mut Airline,
    scale: &Scale,
    flights: &[i64],
    mut frees: Vec<Free>,
    kills: &Kills,
) -> BTreeMap<Way, usize> {
    let asker = airline.asker.clone();
    let roomy = asker.add_flight(5_000).await;
    let freed = Freed::default();
    let quiet = frees.split_off(frees.len() * 9 / 10);
    let pause = scale.freed_in / frees.len() as u32;
    let joining = Joining::start(&asker, flights, scale.parties);
    let (mut frees, mut tasks) = (Some(frees), Vec::new());
    let mut due = tokio::time::interval(KILL_EVERY);
    due.tick().await;
    while kills.count() < scale.kills_min || !have_finished(&joining, &tasks) {
        due.tick().await;
        let turn = kills.count();
        airline.kill(turn).await;
        kills.note();
        airline.restart(turn).await;
        if joining.joined() * 2 >= scale.parties
            && let Some(frees) = frees.take()
        {
            tasks = start_to_free(&asker, roomy, &frees, pause, &freed);
        }
    }
    joining.finish().await;
    tokio::time::sleep(AFTER_A_KILL).await;
    tasks.extend(start_to_free(&asker, roomy, &quiet, Duration::from_millis(50), &freed));
    for task in tasks {
        task.await.expect("nobody panics");
    }
    let freed = freed.lock().expect("no panic");
    freed.clone()
}

/// Replays all flights' histories.
async fn explain_all(database: &mut PgConnection, flights: &[i64]) -> Told {
    let now = SystemClock.now();
    let steps = history::steps(database).await;
    let mut told = Told::default();
    for id in flights {
        told.add(&explain(&steps[id], now).unwrap_or_else(|fault| panic!("{fault}")));
    }
    told
}

/// Flights without free seats, and what will free some, of all flights by turns.
async fn sell_out(asker: &Asker, scale: &Scale) -> (Vec<i64>, Vec<Free>) {
    let frees = scale.frees;
    let sold = stream::iter(0..scale.flights)
        .map(|number| SoldOut::sell(asker, frees, 1 + (number * 1_000) as i64))
        .buffered(8);
    let sold: Vec<SoldOut> = sold.collect().await;
    let flights = sold.iter().map(|flight| flight.id).collect();
    let mut frees: Vec<Free> = sold.into_iter().flat_map(|flight| flight.frees).collect();
    Rng::with_seed(1).shuffle(&mut frees);
    (flights, frees)
}

/// Waits until nothing but the bookings to pay later is unpaid.
async fn is_paid(database: &mut PgConnection) {
    let open = "SELECT count(*) FROM payments WHERE status = 'requested' AND kind = 'now'";
    eventually("all seats are sold", async || {
        let open = sqlx::query_scalar::<_, i64>(open).fetch_one(&mut *database).await;
        equal(open.expect("a count"), 0)
    })
    .await;
}

/// Waits until nothing is under way.
async fn comes_to_rest(database: &mut PgConnection) {
    within(RESTS_WITHIN, "an end of all that is under way", async || {
        let open = sqlx::query_scalar::<_, i64>(ends::OPEN).fetch_one(&mut *database).await;
        equal(open.expect("a count"), 0)
    })
    .await;
}

fn have_finished(joining: &Joining, tasks: &[JoinHandle<()>]) -> bool {
    joining.have_finished() && !tasks.is_empty() && tasks.iter().all(JoinHandle::is_finished)
}

/// Frees seats, one after `pause` of the other, by several tasks.
fn start_to_free(
    asker: &Asker,
    roomy: i64,
    frees: &[Free],
    pause: Duration,
    freed: &Freed,
) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    for number in 0..FREEING {
        let mine: Vec<Free> = frees.iter().skip(number).step_by(FREEING).cloned().collect();
        let (asker, freed) = (asker.clone(), freed.clone());
        tasks.push(tokio::spawn(async move {
            let mut rng = Rng::with_seed(number as u64);
            for free in mine {
                free.make(&asker, roomy, &freed, &mut rng).await;
                tokio::time::sleep(pause * FREEING as u32).await;
            }
        }));
    }
    tasks
}
