//! Planted bugs, each switched on at run time: in the product by the macro `planted!`, in a simulated port as a
//! server or driver that breaks its contract. The simulation must find each within a stated number of seeds; if it
//! misses one, a check or a fault is missing.

use super::plan::Plan;
use super::ports::chance::Fault::{
    self, ClientLeaves, CommitLandsLate, CommitLostAfter, CommitLostBefore, CommitSlow, Crash,
    GatewayDown, GatewayHangs, GatewayLostAfter, GatewaySlow, LocksAway, MessageDelayed,
    MessageDoubled, MessagePoisoned, PublishLost, ReadLost,
};
use super::report::quiet_panics;
use super::world::run;
use crate::planted::switch;
use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Rate of the faults that a bug needs, in thousandths.
const RATE: u32 = 60;

/// A planted bug.
struct Bug {
    /// Its name, as in `planted!(name)`.
    name: &'static str,
    /// What goes wrong.
    what: &'static str,
    /// Number of seeds within which the simulation must find it.
    within: u64,
    /// Faults without which it does no harm.
    faults: &'static [Fault],
}

/// How a bug was found.
struct Catch {
    seeds: u64,
    violation: String,
}

const fn bug(name: &'static str, what: &'static str, within: u64, faults: &'static [Fault]) -> Bug {
    Bug { name, what, within, faults }
}

/// In the product.
const OF_THE_PRODUCT: &[Bug] = &[
    bug("failed_booking_keeps_seats", "a hold that fails or lapses releases no seats", 30, &[]),
    bug("cancelled_booking_keeps_seats", "a cancelled booking gives its seats not back", 30, &[]),
    bug(
        "settled_twice",
        "a repeated event sells the seats of a sold booking again",
        30,
        &[MessageDoubled],
    ),
    bug(
        "cancelled_booking_is_sold",
        "a late capture sells a cancelled booking",
        60,
        &[GatewaySlow],
    ),
    bug("one_seat_too_many", "a hold may take one seat more than is free", 30, &[]),
    bug("version_kept", "a hold leaves the version of its flight", 30, &[LocksAway]),
    bug("cancellation_keeps_the_money", "cancellation of a paid booking reverses nothing", 30, &[]),
    bug("seats_move_without_a_message", "a sale or a return of seats has no message", 30, &[]),
    bug("end_of_a_refund_is_not_told", "a refund that is made has no event", 30, &[]),
    bug("end_of_an_offer_is_not_told", "what became of an offer has no event", 60, &[]),
    bug(
        "unknown_commit_is_forgotten",
        "after a commit of unknown outcome, its rows are not looked at",
        150,
        &[CommitLostAfter],
    ),
    bug(
        "unknown_outcome_is_a_refusal",
        "a commit of unknown outcome is answered as not made",
        4000,
        &[CommitLandsLate, CommitLostAfter, CommitLostBefore, ReadLost],
    ),
    bug(
        "refusal_stands_on_a_stale_row",
        "a refusal behind a stale command of its flight stands",
        3000,
        &[LocksAway, CommitSlow],
    ),
    bug(
        "expiry_reverses_nothing",
        "a hold that expires leaves its payment as it is",
        60,
        &[GatewaySlow],
    ),
    bug(
        "answered_from_cached_rows",
        "a refusal on cached rows is answered without a look at the store",
        60,
        &[LocksAway],
    ),
    bug(
        "answered_before_the_commit",
        "callers are answered before the commit",
        30,
        &[CommitLostBefore],
    ),
    bug(
        "no_answer_is_a_decline",
        "a gateway that gives no answer counts as one that declines",
        30,
        &[GatewayLostAfter],
    ),
    bug(
        "disputed_refund_does_not_wait",
        "refunds go on while the payer disputes the payment",
        60,
        &[],
    ),
    bug(
        "lost_dispute_is_refunded_as_well",
        "refunds that a lost dispute covers stay as they were",
        60,
        &[],
    ),
    bug(
        "fee_on_an_airlines_cancellation",
        "a flight that its airline cancels costs its travellers the fee",
        60,
        &[],
    ),
    bug(
        "sold_rules_are_not_kept",
        "a cancellation costs what the first version of the fare rules says",
        60,
        &[],
    ),
    bug("promoted_twice", "a party that waited gets its seats twice", 60, &[]),
    bug("offer_outlives_its_deadline", "an offer lasts twice as long as it may", 60, &[]),
    bug("overtaking_not_counted", "a new hold overtakes those who wait, uncounted", 60, &[]),
    bug("hold_ignores_serve_due", "a new hold takes seats that a walk would give away", 200, &[]),
    bug("partial_hold", "an order holds seats on its first flight alone", 30, &[]),
    bug("order_settled_in_part", "a capture completes the first segment alone", 30, &[]),
    bug(
        "one_leg_released",
        "an order that fails or lapses releases its first flight alone",
        30,
        &[],
    ),
    bug("cancelled_passenger_keeps_seat", "a cancelled passenger gives no seat back", 30, &[]),
    bug(
        "both_flights_kept_on_a_change",
        "a change of flight gives the seats of the old one not back",
        30,
        &[],
    ),
    bug("change_keeps_the_old_price", "a changed booking keeps the price of before", 30, &[]),
    bug("two_changes_at_once", "a change begins while another one waits", 2500, &[]),
    bug(
        "cancellation_leaves_the_change",
        "a cancelled booking leaves its change waiting for its payment",
        1000,
        &[],
    ),
    bug("refunded_twice", "what is cancelled may be cancelled and refunded again", 300, &[]),
    bug("two_attempts_at_once", "a payment begins while another one runs", 60, &[]),
    bug("attempt_counted_twice", "a decline skips the number of an attempt", 60, &[]),
    bug("decline_adds_no_attempt", "after a decline an order waits for no payment", 60, &[]),
    bug("decline_ends_the_hold", "a decline ends an order that is paid later", 300, &[]),
    bug("extended_twice", "a hold may be extended again", 150, &[]),
    bug(
        "lapsed_attempt_is_not_voided",
        "the payment of an order that ends unpaid is not voided at the gateway",
        60,
        &[GatewaySlow, GatewayHangs],
    ),
    bug("payer_need_not_act", "a payment whose payer must act counts as captured", 60, &[]),
    bug("refund_is_one_paisa_off", "a refund is a minor unit more than its seats cost", 30, &[]),
    bug(
        "refund_settled_on_its_word",
        "a refund is settled by an event over another amount",
        600,
        &[MessagePoisoned, MessageDelayed, Crash],
    ),
    bug("event_taken_at_its_word", "the provider's event settles a refund, unasked", 60, &[]),
    bug(
        "open_circuit_drops_a_refund",
        "a refund that meets an open circuit counts as made",
        200,
        &[GatewayDown],
    ),
    bug(
        "redriven_refund_has_a_new_id",
        "a refund is requested again under another id",
        60,
        &[GatewayHangs],
    ),
    bug(
        "ended_order_shows_an_open_payment",
        "a caller who waited for the payment is shown the payment of before",
        30,
        &[],
    ),
    bug(
        "row_cache_lacks_a_booking",
        "the row cache returns an order without its last booking",
        30,
        &[],
    ),
    bug(
        "outbox_deleted_before_it_is_published",
        "the relay deletes rows of the outbox that the bus has not taken",
        30,
        &[PublishLost],
    ),
];

/// In the simulated ports.
const OF_THE_PORTS: &[Bug] = &[
    bug(
        "version_is_not_checked",
        "a commit does not compare the versions of flights",
        30,
        &[LocksAway],
    ),
    bug(
        "statuses_are_not_checked",
        "a commit does not compare the statuses of bookings and payments",
        100,
        &[LocksAway, MessageDoubled],
    ),
    bug(
        "taken_number_is_not_noticed",
        "a booking number is drawn twice, and the commit does not notice",
        30,
        &[],
    ),
    bug(
        "pending_seats_are_not_counted",
        "a commit does not count the unpaid seats of a user",
        100,
        &[],
    ),
    bug(
        "keys_lapse_at_once",
        "idempotency keys are neither found nor compared",
        30,
        &[CommitLostAfter, ClientLeaves],
    ),
    bug("commit_written_in_halves", "a commit writes flights, and not the rest", 30, &[]),
    bug(
        "commit_sent_twice",
        "the driver sends a commit again, and answers with what came of the second",
        60,
        &[],
    ),
    bug("commit_lost_after_its_answer", "a commit is answered, and lost", 30, &[]),
    bug(
        "stale_rows_are_not_reported",
        "a commit leaves out what is stale, and says that it is written",
        30,
        &[LocksAway],
    ),
    bug("outbox_lacks_a_row", "a commit leaves out a row of the outbox", 30, &[]),
    bug(
        "outbox_deleted_by_range",
        "rows of the outbox are deleted up to the last that was sent",
        30,
        &[PublishLost],
    ),
    bug(
        "redrive_writes_no_request",
        "a redrive of an unanswered payment writes no request",
        60,
        &[GatewayHangs],
    ),
    bug("reads_lag_behind", "a read shows a booking before its last change", 60, &[]),
    bug(
        "pages_lack_their_last_row",
        "a page of overdue rows lacks its last one, so the sweep stops early",
        30,
        &[GatewayHangs],
    ),
    bug(
        "paid_bookings_stay_stranded",
        "paid bookings of a cancelled flight are not found",
        100,
        &[],
    ),
    bug(
        "gateway_captures_again",
        "the gateway takes the money again where a capture is repeated",
        30,
        &[GatewayLostAfter],
    ),
    bug(
        "gateway_captures_after_a_reversal",
        "the gateway takes the money of a payment that was reversed before",
        100,
        &[GatewaySlow, MessageDelayed],
    ),
    bug(
        "gateway_loses_a_reversal",
        "the gateway says that it gave money back, and did not",
        200,
        &[],
    ),
    bug(
        "order_guards_its_first_flight_alone",
        "an order locks its first flight, and the commit compares that version alone",
        150,
        &[],
    ),
    bug("cancelled_part_is_not_written", "a commit leaves a booking's seats as they were", 30, &[]),
    bug(
        "mend_ignores_the_version",
        "a correction of a passenger is written whatever became of its booking meanwhile",
        150,
        &[LocksAway],
    ),
    bug("refunds_are_not_written", "a commit leaves out its refunds", 30, &[]),
    bug(
        "gateway_refunds_again",
        "the gateway gives the money back again where a refund is repeated",
        60,
        &[GatewayLostAfter],
    ),
    bug("gateway_loses_a_refund", "the gateway says that it refunded, and did not", 30, &[]),
    bug("bus_loses_a_publication", "the bus takes messages and loses them", 30, &[]),
    bug(
        "bus_turns_the_order_round",
        "the bus publishes the messages of a key in reverse order",
        30,
        &[],
    ),
    bug("invalidations_are_dropped", "the shared cache drops invalidations", 30, &[]),
];

/// Plays seeds with a bug until one breaks a promise.
fn find(bug: &Bug) -> Option<Catch> {
    (1..=bug.within).find_map(|seed| {
        let mut plan = Plan { rounds: 1, ..Plan::of(seed) };
        plan.replicas = plan.replicas.max(2);
        // One is the busiest; an order has several.
        plan.flights = 1 + (seed % 3) as usize;
        plan.rates.extend(bug.faults.iter().map(|fault| (*fault, RATE)));
        switch(Some(bug.name));
        let played = catch_unwind(|| run(&plan, false));
        switch(None);
        let violation = match played {
            Ok(outcome) => outcome.violations.into_iter().next()?,
            Err(_) => "a panic".to_owned(),
        };
        Some(Catch { seeds: seed, violation })
    })
}

/// Looks for every bug, or for the one that `SIMULATE_BUG` names, on all cores.
fn find_all() -> Vec<(&'static Bug, Option<Catch>)> {
    quiet_panics();
    let only = std::env::var("SIMULATE_BUG").ok();
    let is_meant = |bug: &&Bug| only.as_ref().is_none_or(|only| bug.name == only);
    let all: Vec<&Bug> = OF_THE_PRODUCT.iter().chain(OF_THE_PORTS).filter(is_meant).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let index = || all.get(next.fetch_add(1, Ordering::Relaxed));
        std::iter::from_fn(index).map(|bug| (*bug, find(bug))).collect::<Vec<_>>()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut found: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a hunt does not panic"))
            .collect()
    });
    found.sort_by_key(|(bug, _)| all.iter().position(|other| other.name == bug.name));
    found
}

#[test]
fn every_planted_bug_is_caught() {
    let missed = find_all().into_iter().filter(|(_, catch)| catch.is_none());
    let missed: Vec<_> = missed.map(|(bug, _)| (bug.name, bug.within)).collect();
    assert!(missed.is_empty(), "not found within so many seeds: {missed:?}");
}

#[test]
fn every_switch_is_a_bug_of_the_list() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut switches = BTreeSet::new();
    let mut folders = vec![root.join("src"), root.join("tests/simulation")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension() != Some("rs".as_ref()) {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("UTF-8");
            let named = text.split("planted!(").skip(1).filter_map(|rest| rest.split(')').next());
            let is_name = |name: &&str| name.chars().all(|c| c == '_' || c.is_ascii_lowercase());
            switches.extend(named.filter(is_name).map(str::to_owned));
        }
    }
    switches.remove("name");
    let listed = OF_THE_PRODUCT.iter().chain(OF_THE_PORTS).map(|bug| bug.name.to_owned());
    assert_eq!(switches, listed.collect());
}

/// Played by `tests/simulate --bugs`.
#[test]
#[ignore = "tests/simulate --bugs shows what every_planted_bug_is_caught checks"]
fn table_of_planted_bugs() {
    let found = find_all();
    println!("| bug | what goes wrong | seeds | the violation that shows it |");
    println!("|---|---|---|---|");
    for (bug, catch) in &found {
        let (seeds, violation) = match catch {
            Some(Catch { seeds, violation }) => (seeds.to_string(), violation.as_str()),
            None => (format!("more than {}", bug.within), "missed"),
        };
        let violation: String = violation.replace('|', "/").chars().take(100).collect();
        println!("| `{}` | {} | {seeds} | {violation} |", bug.name, bug.what);
    }
    let caught = found.iter().filter(|(_, catch)| catch.is_some()).count();
    println!("{} planted bugs, {caught} caught", found.len());
    assert_eq!(caught, found.len());
}
