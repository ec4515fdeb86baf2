//! What happens to a deployment beside its clients: operators change flights and rows, replicas crash, restart,
//! get their clocks wrong, and lose their provider.

use super::ports::chance::Fault;
use super::world::{CHANGING, World};
use airline_booking::domain::{
    FareRowText, FareRules, Flight, FlightPatch, FlightStatus, Invalid, Money,
};
use airline_booking::rules::{Change, Changes, ExpectedVersion, PutFlight};
use chrono::TimeDelta;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often an accident may happen.
const ACCIDENTS: Duration = Duration::from_millis(100);

/// How long a replica is down, at most.
const DOWN: Duration = Duration::from_secs(3);

/// How long the provider is down, at most.
const GATEWAY_DOWN: Duration = Duration::from_secs(12);

/// How far a clock may be off, either way, in milliseconds.
const CLOCK_ERROR: u64 = 5_000;

/// Crashes, restarts, outages of the provider and clocks that jump, until dropped.
pub async fn accidents(world: World) {
    loop {
        sleep(world.chance.pause(ACCIDENTS)).await;
        let number = world.chance.below(world.replicas() as u64) as usize;
        for (fault, in_order) in [(Fault::Crash, false), (Fault::Restart, true)] {
            if world.chance.strikes(fault) {
                world.chance.step(|| format!("replica {number} ends"));
                Box::pin(world.end(number, in_order)).await;
                sleep(world.chance.pause(DOWN)).await;
                world.start(number).await;
                world.chance.step(|| format!("replica {number} runs again"));
            }
        }
        if world.chance.strikes(Fault::GatewayDown) {
            world.provider.go_down(Instant::now() + world.chance.pause(GATEWAY_DOWN));
        }
        if world.chance.strikes(Fault::ClockJumps) {
            let error = world.chance.below(2 * CLOCK_ERROR) as i64 - CLOCK_ERROR as i64;
            world.set_clock(number, TimeDelta::milliseconds(error));
        }
    }
}

/// Changes of flights over the API and by SQL, until dropped.
pub async fn changes(world: World) {
    loop {
        sleep(world.chance.pause(Duration::from_secs(1))).await;
        if world.chance.strikes(Fault::SqlByHand) {
            change_by_hand(&world);
        }
        if world.chance.strikes(Fault::RowLocked) {
            let flight = world.any_flight();
            let until = Instant::now() + world.chance.pause(Duration::from_secs(4));
            world.database.rows().locked.insert(flight, until);
        }
        match world.chance.below(8) {
            0 => put_price(&world).await,
            1 => put_seats(&world).await,
            3 => put_fare_rules(&world).await,
            2 if world.chance.below(6) == 0 => cancel_flight(&world).await,
            _ => {}
        }
    }
}

/// An operator blocks a seat, or changes the price, by SQL, with the version as the manual says.
fn change_by_hand(world: &World) {
    let id = world.any_flight();
    let takes_a_seat = world.chance.below(2) == 0;
    let mut rows = world.database.rows();
    let Some(flight) = rows.flights.get_mut(&id) else { return };
    let was = flight.clone();
    if takes_a_seat && flight.free_seats() > 0 {
        flight.available_seats -= 1;
        flight.blocked_seats += 1;
    } else {
        flight.price = Money::whole(2_600, flight.currency);
    }
    flight.version += 1;
    let flights = vec![Change { was, after: flight.clone() }];
    rows.history.push(Changes { flights, ..Changes::default() });
    rows.note_free_seats_of(id);
    // What is cached is told as the manual says: all of it.
    rows.add_invalidation(airline_booking::domain::Invalidation::All);
    world.chance.step(|| format!("operator: flight {id} changed by SQL"));
}

async fn put_price(world: &World) {
    let price = format!("{}.00", 2_000 + world.chance.below(1_000));
    let patch =
        FlightPatch { price: Some(price.parse().expect("a price")), ..FlightPatch::default() };
    put(world, patch, |_| None).await;
}

/// Changes the fare rules of some flights.
async fn put_fare_rules(world: &World) {
    let Some(service) = world.any_service() else { return };
    let rules = some_fare_rules(world.chance.below(101) as i32);
    let flights = service.flights.clone();
    world.chance.step(|| format!("operator changes {CHANGING} at {}", service.name));
    let _ = service.tasks.spawn(async move { flights.put_fare_rules(rules).await }).await;
}

/// The rules that operators change, with this fee.
pub fn some_fare_rules(percent: i32) -> FareRules {
    let (fee_percent, fee_fixed) = (Some(percent), Some(Money::default()));
    let row = FareRowText { fee_percent, fee_fixed, ..FareRowText::default() };
    let currency = "INR".parse().expect("a currency");
    FareRules::checked(CHANGING, 1, &[row], currency, Invalid::default()).expect("sound rules")
}

async fn put_seats(world: &World) {
    let more = world.chance.below(3) as i32;
    let flight = world.database.rows().flights[&world.any_flight()].clone();
    let patch =
        FlightPatch { total_seats: Some(flight.total_seats + more), ..FlightPatch::default() };
    put(world, patch, |flight| Some(ExpectedVersion::Body(flight.version))).await;
}

async fn cancel_flight(world: &World) {
    let patch =
        FlightPatch { flight_status: Some(FlightStatus::Cancelled), ..FlightPatch::default() };
    put(world, patch, |_| None).await;
}

async fn put(
    world: &World,
    patch: FlightPatch,
    expected: impl FnOnce(&Flight) -> Option<ExpectedVersion>,
) {
    let Some(service) = world.any_service() else { return };
    let flight = world.database.rows().flights[&world.any_flight()].clone();
    let put = PutFlight { flight_id: flight.id, patch, expected: expected(&flight) };
    world.chance.step(|| format!("operator changes flight {} at {}", flight.id, service.name));
    let flights = service.flights.clone();
    // A dead replica answers nothing, and a refusal is no fault.
    let _ = service.tasks.spawn(async move { flights.put(put).await }).await;
}
