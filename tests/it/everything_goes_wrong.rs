//! Faults, one after the other, while callers book on two replicas: no answered booking is lost, and flights
//! without a fault stay bookable.
//!
//! `tests/faults` runs it at full length and prints what it counted.

mod cut_off;
mod forged;
mod report;

use crate::support::callers::{Aim, Bases, Callers, Wish};
use crate::support::members::{Member, Membership, sum};
use crate::support::process::http_client;
use crate::support::{Fault, equal, eventually, flight, garbage};
use airline_booking::telemetry::Metrics;
use cut_off::CutOff;
use futures::future::join_all;
use report::Report;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::{Duration, Instant};

/// A party of this size triggers the planted bug; no other caller books as many.
const STRUCK: i32 = 7;

/// How many others book that flight with it.
const COMPANIONS: usize = 20;

/// How much of everything there is.
struct Scale {
    /// For how long PostgreSQL and the gateway say nothing.
    silence: Duration,
    hang: Duration,
    /// Undisturbed bookings that must be accepted while a fault lasts.
    bookings: usize,
    /// Callers that are cut off.
    cut_off: usize,
}

impl Scale {
    /// Long enough to meet each fault; `TEST_FAULTS=full`: longer than the time-outs.
    fn chosen() -> Self {
        if std::env::var("TEST_FAULTS").is_ok_and(|scale| scale == "full") {
            let (silence, hang) = (Duration::from_secs(20), Duration::from_secs(60));
            return Self { silence, hang, bookings: 1_000, cut_off: 3_000 };
        }
        let (silence, hang) = (Duration::from_secs(3), Duration::from_secs(2));
        Self { silence, hang, bookings: 50, cut_off: 300 }
    }
}

/// The flights that the callers book.
struct Flights {
    undisturbed: Vec<i64>,
    /// Whose row a stranger locks.
    locked: i64,
    sold_out: i64,
    /// Of callers that are cut off.
    cut_off: i64,
    struck: i64,
}

struct Run {
    scale: Scale,
    membership: Membership,
    members: Vec<Member>,
    /// Counters of members that were stopped.
    stopped: Vec<Metrics>,
    bases: Bases,
    callers: Callers,
    cut_off: CutOff,
    flights: Flights,
    client: reqwest::Client,
    database: PgConnection,
    /// Beside those of the callers.
    wishes: Vec<Wish>,
}

impl Run {
    async fn start() -> Self {
        let membership = Membership::new().await;
        let members = vec![membership.start().await, membership.start().await];
        let client = http_client();
        let add = async |seats: i32| {
            let post = client.post(format!("{}/api/v1/flights", members[0].base));
            let created = post.json(&flight(seats)).send().await.expect("an answer");
            let created: Value = created.json().await.expect("JSON");
            created["id"].as_i64().unwrap_or_else(|| panic!("no flight: {created}"))
        };
        let mut undisturbed = Vec::new();
        for _ in 0..8 {
            undisturbed.push(add(10_000).await);
        }
        let flights = Flights {
            undisturbed,
            locked: add(10_000).await,
            sold_out: add(20).await,
            cut_off: add(10_000).await,
            struck: add(100).await,
        };
        let aims = vec![
            (Aim::Undisturbed, 8, flights.undisturbed.clone()),
            (Aim::Locked, 2, vec![flights.locked]),
            (Aim::SoldOut, 1, vec![flights.sold_out]),
        ];
        let bases = Bases::new(members.iter().map(|member| member.base.clone()).collect());
        let callers = Callers::start(client.clone(), bases.clone(), aims);
        let cut_off = CutOff::start(&bases, flights.cut_off);
        let database = PgConnection::connect(&membership.database).await.expect("a connection");
        let (scale, stopped, wishes) = (Scale::chosen(), Vec::new(), Vec::new());
        Self {
            scale,
            membership,
            members,
            stopped,
            bases,
            callers,
            cut_off,
            flights,
            client,
            database,
            wishes,
        }
    }

    /// Number of dead letters so far.
    fn dead_letters(&self) -> f64 {
        let running = self.members.iter().map(|member| &member.metrics);
        let all = running.chain(&self.stopped);
        all.map(|metrics| sum(metrics, "events_dead_lettered_total")).sum()
    }

    /// Garbage on all four topics becomes dead letters while bookings go on.
    async fn garbage(&self) {
        let garbage = garbage::all();
        let brokers = self.membership.setting("KAFKA_BROKERS");
        let before = self.dead_letters();
        for topic in ["PAYMENT_REQUESTS", "PAYMENTS", "BOOKINGS", "EVENTS"] {
            let topic = self.membership.setting(&format!("KAFKA_TOPIC_{topic}"));
            garbage::write(brokers, topic, &garbage).await;
        }
        self.callers.accept(self.scale.bookings).await;
        // Groups read two of the topics.
        let expected = before + 2.0 * garbage.len() as f64;
        self.wait_for_dead_letters(expected).await;
    }

    async fn wait_for_dead_letters(&self, count: f64) {
        eventually(format!("{count} dead letters"), async || {
            let letters = self.dead_letters();
            if letters < count { Err(letters) } else { Ok(()) }
        })
        .await;
    }

    /// A stranger's transaction holds a flight's row until many bookings of others were accepted.
    async fn row_lock(&mut self) {
        let lock =
            format!("BEGIN; SELECT FROM flights WHERE id = {} FOR UPDATE", self.flights.locked);
        sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut self.database).await.expect("locked");
        self.callers.accept(self.scale.bookings).await;
        sqlx::raw_sql("COMMIT").execute(&mut self.database).await.expect("given up");
    }

    /// One booking triggers a bug in the commit, among others on its flight.
    async fn panic(&mut self) {
        let (member, flight) = (&self.members[1], self.flights.struck);
        member.faults.plan([Fault::PanicsAtSeats(STRUCK)]);
        let party = |place| if place == COMPANIONS / 2 { STRUCK } else { 1 };
        let wishes = (0..=COMPANIONS).map(|place| Wish::new(flight, party(place), "pm_card_visa"));
        let asks = wishes.map(async |mut wish| (wish.ask(&self.client, &member.base).await, wish));
        let (answers, ()) = tokio::join!(join_all(asks), self.callers.accept(self.scale.bookings));
        member.faults.heal();
        for (answer, mut wish) in answers {
            let answer = answer.expect("an answer");
            if wish.body["seats_booked"] == STRUCK {
                assert!(matches!(answer.0, 500 | 503), "{answer:?}");
                // The flight is as it was, and so is the caller's key.
                let again = wish.ask(&self.client, &member.base).await;
                assert_eq!(again.expect("an answer").0, 201);
            } else {
                assert_eq!(answer.0, 201, "{answer:?}");
            }
            self.wishes.push(wish);
        }
    }

    /// PostgreSQL answers neither replica for a while.
    async fn silence(&self) {
        for member in &self.members {
            member.way.fall_silent();
        }
        // The length of the fault.
        tokio::time::sleep(self.scale.silence).await;
        for member in &self.members {
            member.way.speak_again();
        }
        self.callers.accept(self.scale.bookings).await;
    }

    /// The gateway takes calls and answers none.
    async fn hang(&self) {
        for member in &self.members {
            member.gateway.close();
        }
        let began = Instant::now();
        self.callers.accept(self.scale.bookings).await;
        // The rest of the fault's length.
        tokio::time::sleep(self.scale.hang.saturating_sub(began.elapsed())).await;
        let held_back: usize = self.members.iter().map(|member| member.gateway.held_back()).sum();
        assert!(held_back > 0, "nobody waits for the gateway");
        for member in &self.members {
            member.gateway.open();
        }
    }

    /// Starts a replica, and then stops the one in whose place it is.
    async fn restart(&mut self, index: usize) {
        self.bases.set(vec![self.members[1 - index].base.clone()]);
        let next = self.membership.start().await;
        let old = std::mem::replace(&mut self.members[index], next);
        self.stopped.push(old.metrics.clone());
        old.stop().await;
        self.bases.set(self.members.iter().map(|member| member.base.clone()).collect());
        self.callers.accept(self.scale.bookings).await;
    }

    /// `EVENTS_SECRET` reaches one replica after the other, and then `EVENTS_REQUIRE` does: each replica is
    /// stopped in order and another takes its place, beside one with the settings of the step before.
    async fn secret(&mut self) {
        self.membership
            .set("EVENTS_SECRET", "a secret of the whole run that is long enough to be one");
        self.restart(0).await;
        self.restart(1).await;
        self.membership.set("EVENTS_REQUIRE", "true");
        self.restart(0).await;
        self.restart(1).await;
    }

    /// A stranger writes that an unpaid booking is paid and that a paid one is not, while the gateway has
    /// yet to say anything of the first. Each message becomes a dead letter, is counted, and changes nothing.
    async fn forgery(&mut self) {
        let paid = self.book("pm_card_visa").await;
        self.comes_to_be(&paid, "completed").await;
        for member in &self.members {
            member.gateway.close();
        }
        let unpaid = self.book("pm_card_declined").await;
        let before = self.dead_letters();
        let forged = forged::about(&self.membership, &unpaid, &paid);
        for message in &forged {
            message.write(&self.membership).await;
        }
        self.callers.accept(self.scale.bookings).await;
        let refused = forged.iter().filter(|message| message.becomes_dead_letter);
        let expected = before + refused.clone().count() as f64;
        for message in refused {
            message.arrives_as_dead_letter(&self.membership).await;
        }
        self.wait_for_dead_letters(expected).await;
        self.comes_to_be(&unpaid, "pending").await;
        self.comes_to_be(&paid, "completed").await;
        for member in &self.members {
            member.gateway.open();
        }
        // The report looks how both end: as the gateway says.
        self.wishes.extend([unpaid, paid]);
    }

    /// Books a seat of the struck flight, which has no other callers by then.
    async fn book(&self, method: &str) -> Wish {
        let mut wish = Wish::new(self.flights.struck, 1, method);
        let answer = wish.ask(&self.client, &self.members[0].base).await;
        assert_eq!(answer.expect("an answer").0, 201);
        wish
    }

    async fn comes_to_be(&self, wish: &Wish, status: &str) {
        let (id, _) = wish.answered.as_ref().expect("a booking");
        let url = format!("{}/api/v1/bookings/{id}", self.members[0].base);
        eventually(format!("booking {id}, {status}"), async || {
            let answer = self.client.get(&url).send().await.expect("an answer");
            let booking: Value = answer.json().await.expect("JSON");
            equal(booking["status"].clone(), status)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answered_booking_is_lost_when_every_fault_happens_in_one_run() {
    let mut run = Run::start().await;
    run.callers.recover(20).await;

    // They go on to the end, beside every other fault.
    run.callers.during("callers cut off");
    run.cut_off.leave(run.scale.cut_off).await;
    run.callers.accept(run.scale.bookings).await;
    run.callers.recover(20).await;

    run.callers.during("garbage");
    run.garbage().await;
    run.callers.recover(20).await;

    run.callers.during("row lock");
    run.row_lock().await;
    run.callers.recover(20).await;

    run.callers.during("panic");
    run.panic().await;
    run.callers.recover(20).await;

    run.callers.during("PostgreSQL silent");
    run.silence().await;
    run.callers.recover(20).await;

    run.callers.during("gateway hangs");
    run.hang().await;
    run.callers.recover(20).await;

    run.callers.during("EVENTS_SECRET");
    run.secret().await;
    run.callers.recover(20).await;

    run.callers.during("forged messages");
    run.forgery().await;
    run.callers.recover(20).await;

    Report::of(run).await.check();
}
