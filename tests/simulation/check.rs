//! The promises, checked: the invariants over the rows, money against the provider's ledger, messages against
//! the commits, and what clients were told against what is stored.

use super::check_money::{fees, ledger, refunds};
use super::client::{Client, Mended, Request, mark_of};
use super::lines;
use super::ports::rows::orders::{fault_of_bookings, fault_of_refunds};
use super::ports::rows::{Corrected, Rows, waits_for_the_gateway};
use super::told;
use super::world::World;
use airline_booking::clock::Clock as _;
use airline_booking::domain::{
    Booking, BookingId, BookingStatus, DisputeStatus, Flight, FlightId, FlightIds, FlightStatus,
    PaymentReference, PaymentStatus, RefundReason, RefundStatus,
};
use airline_booking::messages::{Message, Topic};
use airline_booking::store::LinesDue;
use std::collections::{BTreeMap, BTreeSet};

/// What clients remember, and the broken promises.
#[derive(Default)]
pub struct Memory {
    clients: Vec<Client>,
    pub violations: Vec<String>,
}

/// What clients were told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told {
    /// Orders that were accepted.
    pub orders: usize,
    /// Those of several flights.
    pub of_several_flights: usize,
    /// Bookings that were cancelled, or some of their passengers.
    pub cancelled: usize,
    /// Bookings that moved to another flight at once.
    pub changed: usize,
}

impl Told {
    /// Adds those of another run.
    pub fn add(&mut self, other: Self) {
        self.orders += other.orders;
        self.of_several_flights += other.of_several_flights;
        self.cancelled += other.cancelled;
        self.changed += other.changed;
    }
}

impl Memory {
    /// Number of clients so far.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Adds a client that is done.
    pub fn add(&mut self, mut client: Client) {
        self.violations.append(&mut client.complaints);
        self.clients.push(client);
    }

    /// What clients were told.
    pub fn told(&self) -> Told {
        let requests = self.clients.iter().flat_map(|client| &client.requests);
        let accepted = requests.filter(|request| !request.accepted.is_empty());
        Told {
            orders: accepted.clone().count(),
            of_several_flights: accepted.filter(|request| request.flights.len() > 1).count(),
            cancelled: self.clients.iter().map(|client| client.cancelled.len()).sum(),
            changed: self.clients.iter().map(|client| client.changes).sum(),
        }
    }

    /// Holds the final rows against what each client was told.
    pub fn check_clients(&mut self, rows: &Rows) {
        let mut by_mark: BTreeMap<_, Vec<&Booking>> = BTreeMap::new();
        for booking in rows.bookings.values() {
            if let Some(mark) = mark_of(booking) {
                by_mark.entry(mark).or_default().push(booking);
            }
        }
        for client in &self.clients {
            for request in &client.requests {
                let made = by_mark.get(&*request.mark).map(Vec::as_slice).unwrap_or_default();
                check_request(request, made, &mut self.violations);
            }
            for cancelled in &client.cancelled {
                let booking = rows.bookings.get(&cancelled.booking);
                if !booking.is_some_and(|booking| cancelled.is_so(booking)) {
                    let what = format!("was told {cancelled:?}, it is {booking:?}");
                    self.violations.push(format!("cancellation: user {} {what}", client.user));
                }
            }
            let lost = client.mended.iter().filter(|mended| !has_correction(mended, rows));
            let user = client.user;
            self.violations.extend(lost.map(|lost| format!("correction: user {user} {lost:?}")));
        }
    }
}

/// Whether a confirmed correction is so, or was when a later one replaced it.
fn has_correction(mended: &Mended, rows: &Rows) -> bool {
    let booking = rows.bookings.get(&mended.booking);
    let passengers = booking.and_then(|booking| booking.passengers.as_ref());
    let now = passengers.and_then(|all| all.get(usize::from(mended.place)));
    let is_replaced = |Corrected { change, was }: &Corrected| {
        (change.booking_id, change.place) == (mended.booking, mended.place)
            && was.email.as_ref() == Some(&mended.email)
    };
    now.is_some_and(|now| *now.email == *mended.email) || rows.corrected.iter().any(is_replaced)
}

fn check_request(request: &Request, made: &[&Booking], violations: &mut Vec<String>) {
    let mut complain = |what: String| violations.push(format!("request {}: {what}", request.mark));
    let accepted: BTreeSet<BookingId> = request.accepted.iter().copied().collect();
    let orders: BTreeSet<BookingId> = made.iter().map(|booking| booking.order_id).collect();
    if accepted.len() > 1 {
        complain(format!("one key made several orders, {accepted:?}"));
    }
    if orders.len() > 1 {
        complain(format!("{} orders of one request", orders.len()));
    }
    for id in &accepted {
        let mut order: Vec<_> = made.iter().filter(|booking| booking.order_id == *id).collect();
        order.sort_by_key(|booking| booking.segment);
        if order.is_empty() {
            complain(format!("order {id} was answered and is not stored"));
            continue;
        }
        let flights: FlightIds = order.iter().map(|booking| booking.flight_id).collect();
        let is_as_asked = order.len() == request.flights.len()
            && std::iter::zip(&order, &request.flights)
                .all(|(booking, asked)| booking.sold_at.is_some() || booking.flight_id == *asked);
        if !is_as_asked {
            complain(format!("order {id} is on flights {flights:?}"));
        }
        if let Some(other) = order.iter().find(|b| b.party_size() != request.seats as usize) {
            complain(format!("booking {} is for {} passengers", other.id, other.party_size()));
        }
    }
    if request.refused && accepted.is_empty() && !made.is_empty() {
        complain(format!("refused, and booking {} is stored", made[0].id));
    }
}

/// Whether all work has ended; else what has not.
pub fn is_quiet(world: &World) -> Result<(), String> {
    let rows = world.database.rows();
    if let Some(booking) = rows.bookings.values().find(|b| b.status == BookingStatus::Pending) {
        return Err(format!("booking {} is pending", booking.id));
    }
    if let Some(payment) = rows.payments.values().find(|payment| waits_for_the_gateway(payment)) {
        return Err(format!("payment {} is {:?}", payment.reference, payment.status));
    }
    if let Some(refund) = rows.refunds.values().find(|r| r.status == RefundStatus::Requested) {
        return Err(format!("refund {} is requested", refund.id));
    }
    if let Some(booking) = rows.bookings.values().find(|booking| is_stranded(booking, &rows)) {
        return Err(format!("booking {} is completed on a cancelled flight", booking.id));
    }
    let now = world.clock().now();
    if let Some(flight) = rows.lines_to_serve(LinesDue { now, closing: now }).first() {
        return Err(format!("the line of flight {flight} is not served"));
    }
    let gathers = |f: &&Flight| f.line.waiting > 0 && f.line.gathers_until.is_some();
    if let Some(flight) = rows.flights.values().find(gathers) {
        return Err(format!("seats of flight {} gather", flight.id));
    }
    if !rows.outbox.is_empty() || !rows.invalidations.is_empty() {
        let (messages, ends) = (rows.outbox.len(), rows.invalidations.len());
        return Err(format!("the outbox has {messages} rows and {ends} invalidations"));
    }
    if rows.slow_statements > 0 {
        return Err("slow statements are on their way to the database".to_owned());
    }
    if !world.broker.is_idle() {
        return Err("messages are on their way".to_owned());
    }
    if !world.provider.is_idle() {
        return Err("calls of the gateway are on their way".to_owned());
    }
    match world.running_tasks() {
        0 => Ok(()),
        tasks => Err(format!("{tasks} tasks run")),
    }
}

fn is_stranded(booking: &Booking, rows: &Rows) -> bool {
    booking.status == BookingStatus::Completed
        && rows.flights[&booking.flight_id].flight_status == FlightStatus::Cancelled
}

/// Checks the rows at a quiet point.
pub fn rows(world: &World, memory: &mut Memory) {
    let mut rows = world.database.rows();
    let mut violations = std::mem::take(&mut rows.complaints);
    for flight in rows.flights.values() {
        seats(flight, &rows, &mut violations);
    }
    violations.extend(lines::faults(&rows, world.clock().now()));
    for payment in rows.payments.keys() {
        if let Some(fault) = fault_of_order(payment, &rows) {
            violations.push(format!("I4: payment {payment}: {fault}"));
        }
    }
    ledger(world, &rows, &mut violations);
    refunds(world, &rows, &mut violations);
    fees(&rows, &mut violations);
    messages(world, &rows, &mut violations);
    sales(world, &rows, &mut violations);
    told::faults(world, &rows, &mut violations);
    dead_letters(world, &rows, &mut violations);
    memory.violations.append(&mut violations);
}

/// I1, I2, I3.
fn seats(flight: &Flight, rows: &Rows, violations: &mut Vec<String>) {
    let of = |status| {
        let bookings = rows.bookings.values();
        let counted = bookings.filter(|b| b.flight_id == flight.id && b.status == status);
        counted.map(|booking| booking.seats_booked).sum::<i32>()
    };
    let (held, sold) = (of(BookingStatus::Pending), of(BookingStatus::Completed));
    let id = flight.id;
    if !flight.is_sound() {
        violations.push(format!("I1: flight {id}: {flight:?}"));
    }
    if flight.held_seats != held {
        violations.push(format!("I2: flight {id} holds {}, bookings {held}", flight.held_seats));
    }
    if flight.sold_seats() != sold {
        violations.push(format!("I3: flight {id} sold {}, bookings {sold}", flight.sold_seats()));
    }
    if held + sold > flight.total_seats - flight.blocked_seats {
        violations.push(format!("oversold: flight {id}"));
    }
}

/// I4, as the rows of an order say.
fn fault_of_order(payment: &PaymentReference, rows: &Rows) -> Option<String> {
    let Some(record) = rows.record(payment) else {
        return Some("it pays for nothing".to_owned());
    };
    let is_captured = record.order.payment.status == PaymentStatus::Captured;
    let is_lost = record.order.payment.dispute == Some(DisputeStatus::Lost)
        || record.refunds.iter().any(|refund| refund.reason == RefundReason::Dispute);
    let is_captured = is_captured && !is_lost;
    let of_refunds = |booking| fault_of_refunds(booking, &record.refunds);
    fault_of_bookings(&record.order)
        .or_else(|| rows.fault_of_payments(&record))
        .or_else(|| record.order.bookings.iter().filter(|_| is_captured).find_map(of_refunds))
}

/// Messages of sold and returned seats, each counted once, add up to the sold seats of each flight.
fn sales(world: &World, rows: &Rows, violations: &mut Vec<String>) {
    let published = world.broker.published(Topic::FlightBookings);
    let own = published.iter().filter(|record| !record.is_foreign);
    let of_id = |message: &'_ Message| message.headers.get("ce_id").map(str::to_owned);
    let payloads: BTreeMap<Option<String>, &str> =
        own.map(|record| (of_id(&record.message), &*record.message.payload)).collect();
    let mut sold: BTreeMap<FlightId, i64> = BTreeMap::new();
    for payload in payloads.into_values() {
        let moved: serde_json::Value = serde_json::from_str(payload).expect("our own message");
        let number = |field: &str| moved[field].as_i64().expect("a number");
        *sold.entry(FlightId(number("flight_id"))).or_default() += number("seats_booked");
    }
    for flight in rows.flights.values() {
        let told = sold.get(&flight.id).copied().unwrap_or_default();
        if told != i64::from(flight.sold_seats()) {
            let is = flight.sold_seats();
            violations
                .push(format!("I6: messages sell {told} seats of flight {}, it {is}", flight.id));
        }
    }
}

/// I6: each committed change is on the topics at least once, and for each key in the order of the commits.
fn messages(world: &World, rows: &Rows, violations: &mut Vec<String>) {
    for topic in Topic::ALL {
        let published = world.broker.published(topic);
        let own = published.iter().enumerate().filter(|(_, record)| !record.is_foreign);
        let mut first = BTreeMap::new();
        for (position, record) in own {
            first.entry(name_of(&record.message)).or_insert(position);
        }
        let mut last: BTreeMap<&str, usize> = BTreeMap::new();
        let mut repeats = BTreeSet::new();
        for (_, message) in rows.log.iter().filter(|(of, _)| *of == topic) {
            let name = name_of(message);
            let Some(position) = first.get(&name) else {
                violations.push(format!("I6: {} lacks {}", topic.as_str(), message.payload));
                continue;
            };
            // A request that is made again says the same as before.
            if !repeats.insert(name) {
                continue;
            }
            let before = last.insert(&message.key, *position);
            if before.is_some_and(|before| before > *position) {
                violations.push(format!(
                    "I6: {}, key {}: out of order",
                    topic.as_str(),
                    message.key
                ));
            }
        }
    }
}

/// Key, id and payload of a message. Two parts of a booking that come back at one moment differ in the id alone.
fn name_of(message: &Message) -> (String, Option<String>, String) {
    let id = message.headers.get("ce_id").map(str::to_owned);
    (message.key.clone(), id, message.payload.clone())
}

/// No message of our own becomes a dead letter, but those that a planned fault or a foreign message explains.
fn dead_letters(world: &World, rows: &Rows, violations: &mut Vec<String>) {
    // Settlement gives up an event that made it panic, or that the store refused: the sweeper repeats it.
    let is_planned = |reason: &str| reason.contains("panic") || reason.contains("store");
    for letter in world.broker.dead_letters().iter().filter(|letter| !letter.is_foreign) {
        let reason = letter.message.headers.get("dlq_reason").unwrap_or_default();
        // The worker answered a foreign request that names one of our payments and an unknown booking.
        let booking = letter.message.key.parse().map(BookingId);
        let is_known = booking.is_ok_and(|booking| rows.bookings.contains_key(&booking));
        if is_planned(reason) || !is_known {
            continue;
        }
        violations.push(format!("a message of our own is a dead letter: {:?}", letter.message));
    }
}
