//! The store port's promises, on each adapter.

/// Runs a body on each store, in a test for each.
macro_rules! on_each_store {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::ports_store::Fixture::of(crate::support::TestDatabase::sqlite()).await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                let database = crate::support::TestDatabase::postgres().await;
                super::$name(crate::ports_store::Fixture::of(database).await).await;
            })*
        }
    };
}

mod catalogue;
mod changes;
mod commits;
mod keys;
mod maintenance;
mod messages;
mod outbox;
mod passengers;
mod reference_keys;
mod refunds;
mod sales;
mod unreadable;
mod waiting;
mod webhooks;

use crate::support::TestDatabase;
use crate::support::deployment::Opened;
use airline_booking::clock::{Clock, SystemClock};
use airline_booking::domain::{
    Booking, BookingId, DayKey, Flight, FlightId, FlightStatus, Money, NewFlight, Passenger,
    Payment, PaymentMethod, PaymentOutcome, PaymentReference, Timestamp, UserId, route_key,
};
use airline_booking::messages::{Message, Topic};
use airline_booking::rules::{
    ChangeSet, ChangesId, Command, Decision, Dispute, Hold, IdempotencyKey, Policy, RequestKey,
    Settle, Wanted, decide,
};
use airline_booking::store::{Lane, OutboxEntry, Store};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// No stale commands.
const NOTHING: BTreeSet<ChangesId> = BTreeSet::new();

fn ids<const N: usize>(indexes: [usize; N]) -> BTreeSet<ChangesId> {
    indexes.map(ChangesId).into()
}

struct Fixture {
    store: Arc<dyn Store>,
    now: Timestamp,
    database: TestDatabase,
}

impl Fixture {
    async fn of(database: TestDatabase) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let Opened { store, .. } = database.open(Duration::ZERO, clock.clone()).await;
        Self { store, now: clock.now(), database }
    }

    async fn flight(&self, seats: i32) -> Flight {
        let day = DayKey { route: route_key("Delhi", "Mumbai"), date: self.now.date_naive() };
        let currency = "INR".parse().expect("a currency");
        let flight = new_flight(seats, self.now);
        self.store.create_flight(flight, &day, currency, self.now).await.expect("a flight")
    }

    /// A flight of the same route whose seats cost 500.00 more.
    async fn dearer_flight(&self, seats: i32) -> Flight {
        let day = DayKey { route: route_key("Delhi", "Mumbai"), date: self.now.date_naive() };
        let currency = "INR".parse().expect("a currency");
        let flight = new_flight(seats, self.now);
        let price = flight.price.plus(Money::from_minor(50_000)).expect("within the most");
        let flight = NewFlight { price, ..flight };
        self.store.create_flight(flight, &day, currency, self.now).await.expect("a flight")
    }

    /// A hold that the store does not have yet.
    async fn hold(&self, flight: FlightId, seats: i32) -> Hold {
        Hold {
            segments: Hold::on_one(self.store.draw_booking_id().await.expect("a number"), flight),
            reference: PaymentReference::draw(self.now),
            user_id: UserId(7),
            seats,
            passengers: passengers(seats),
            method: Some(PaymentMethod::default()),
            idempotency: None,
            request: None,
            pending_max: None,
            expected_price: None,
        }
    }

    /// Adds a booking and the flights of its order.
    async fn want(&self, wanted: &mut Wanted, booking: BookingId) {
        let located = self.store.locate(&[], &[booking]).await.expect("located");
        wanted.flights.extend(located.bookings.values().flatten());
        wanted.bookings.insert(booking);
    }

    /// Decides commands one after the other on what the store has.
    async fn decide(&self, commands: &[Command]) -> ChangeSet {
        let mut wanted = Wanted::default();
        for command in commands {
            match command {
                Command::Hold(hold) => {
                    wanted.flights.extend(hold.flights());
                }
                Command::Settle(settle) => {
                    let located = self.store.locate(&[settle.reference], &[]).await;
                    wanted.flights.extend(located.expect("located").payments.values().flatten());
                    wanted.payments.insert(settle.reference);
                }
                Command::Cancel(cancel) => self.want(&mut wanted, cancel.booking_id).await,
                Command::Dispute(Dispute { reference, .. }) => {
                    let located = self.store.locate(&[*reference], &[]).await;
                    wanted.flights.extend(located.expect("located").payments.values().flatten());
                    wanted.payments.insert(*reference);
                    wanted.refunds_of.insert(*reference);
                }
                Command::RetryRefund(retry) => {
                    let located = self.store.locate(&[retry.payment], &[]).await;
                    wanted.flights.extend(located.expect("located").payments.values().flatten());
                    wanted.payments.insert(retry.payment);
                    wanted.refunds.insert(retry.id);
                }
                Command::Pay(pay) => self.want(&mut wanted, pay.booking_id).await,
                Command::Extend(extend) => self.want(&mut wanted, extend.booking_id).await,
                Command::Mend(mend) => self.want(&mut wanted, mend.booking_id).await,
                Command::PutFlight(put) => {
                    wanted.flights.insert(put.flight_id);
                }
                Command::Join(join) => {
                    wanted.flights.insert(join.flight_id);
                    wanted.entrants.insert((join.flight_id, join.user_id));
                    wanted.requests.extend(join.request.iter().map(RequestKey::name));
                }
                Command::Leave(leave) => {
                    wanted.flights.insert(leave.flight_id);
                    wanted.entries.insert(leave.id);
                }
                Command::Promote(flight) => {
                    wanted.flights.insert(*flight);
                    wanted.lines.insert(*flight);
                }
                Command::ChangeFlight(_)
                | Command::Expire(_)
                | Command::Release(_)
                | Command::Decline(_) => {
                    unreachable!("not used here")
                }
            }
        }
        let mut state = self.store.load(&wanted).await.expect("a state");
        let mut changes = ChangeSet::default();
        for command in commands {
            let Decision { changes: made, .. } = decide(&state, command, self.now, &policy());
            state.apply(&made);
            changes.commands.push(made);
        }
        changes
    }

    async fn commit(&self, changes: &ChangeSet) -> BTreeSet<ChangesId> {
        self.store.commit(changes).await.expect("a commit").stale
    }

    async fn load(&self, flight: FlightId) -> Flight {
        self.store.flight(flight).await.expect("an answer").expect("the flight")
    }

    /// All pages of lapsed holds.
    async fn lapsed_holds(&self, now: Timestamp, limit: usize) -> Vec<PaymentReference> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.lapsed_holds(now, after.as_ref(), limit).await.expect("holds");
            found.extend(page.found);
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
    }

    /// All pages of unanswered payments.
    async fn unanswered_payments(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Vec<(Payment, Booking)> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.unanswered_payments(before, after.as_ref(), limit).await;
            let page = page.expect("payments");
            found.extend(page.found);
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
    }

    async fn violations(&self) -> i64 {
        let findings = self.store.audit(self.now).await.expect("an audit");
        findings.iter().map(|finding| finding.violations).sum()
    }
}

fn policy() -> Policy {
    Policy {
        hold_for: chrono::TimeDelta::minutes(5),
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

fn new_flight(seats: i32, departs_at: Timestamp) -> NewFlight {
    NewFlight {
        flight_number: None,
        source: "Delhi".into(),
        destination: "Mumbai".into(),
        departs_at,
        arrives_at: None,
        available_seats: seats,
        total_seats: seats,
        flight_status: FlightStatus::Scheduled,
        price: "2500.00".parse().expect("a price"),
        taxes: airline_booking::domain::Money::default(),
        fare_rules: airline_booking::domain::FareName::default(),
    }
}

fn passengers(seats: i32) -> Arc<[Passenger]> {
    let passenger = serde_json::json!({
        "name": "Asha", "email": "a@b.example", "phone": "1", "age": 30, "gender": "female"
    });
    let passenger: Passenger = serde_json::from_value(passenger).expect("a passenger");
    vec![passenger; seats as usize].into()
}

fn captured(hold: &Hold, amount: &str) -> Command {
    Command::Settle(Settle {
        refund_id: None,
        reference: hold.reference,
        booking_id: hold.order_id(),
        amount: amount.parse().expect("an amount"),
        outcome: PaymentOutcome::Completed,
    })
}

impl Fixture {
    /// All that waits in a lane.
    async fn outbox(&self, lane: Lane) -> Vec<OutboxEntry> {
        self.store.outbox(lane, &[], 10_000).await.expect("the outbox")
    }
}

fn messages(entries: Vec<OutboxEntry>) -> Vec<(Topic, Message)> {
    entries.into_iter().flat_map(|entry| entry.messages).collect()
}

/// A request of user 7 to another route than that of bookings.
fn request_of(key: &str, hash: &str) -> RequestKey {
    RequestKey {
        route: "/api/v1/flights",
        owner: UserId(7),
        key: IdempotencyKey { key: key.into(), request_hash: hash.repeat(64).into() },
    }
}
