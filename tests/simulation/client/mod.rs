//! Clients: each sends requests one after the other, now and then leaves before the answer, and remembers what it
//! was told. At the end of a run the stored rows are held against its memory.

mod changes;
mod mending;
mod payments;
mod requests;
mod seen;
mod waiting;

use super::ports::chance::Fault;
use super::ports::rows::orders::{fault_of_bookings, fault_of_money, fault_of_payment};
use super::replica::Service;
use super::world::World;
use airline_booking::domain::{Booking, BookingId, DayKey, Order, UserId, WaitlistId};
use airline_booking::engine::Error;
use airline_booking::rules::Refusal;
use airline_booking::store::StoreError;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, timeout};

pub use mending::Mended;
pub use requests::mark_of;
use seen::Seen;
pub use seen::{Cancelled, Request};

/// A client and what it remembers.
pub struct Client {
    world: World,
    pub user: UserId,
    pub requests: Vec<Request>,
    seen: Seen,
    /// Confirmed cancellations.
    pub cancelled: Vec<Cancelled>,
    /// Confirmed corrections of passengers.
    pub mended: Vec<Mended>,
    /// Number of keys of other requests than orders.
    keys: usize,
    /// Number of its bookings that moved to another flight at once.
    pub changes: usize,
    /// Orders whose hold it has extended.
    extended: BTreeSet<BookingId>,
    /// Its entries of waiting lists.
    entries: Vec<WaitlistId>,
    /// Broken promises that the client noticed itself.
    pub complaints: Vec<String>,
}

/// How an attempt ended.
enum Answer<T> {
    Is(T),
    /// Nothing was changed: the rules refuse.
    Refused(String),
    /// Nothing was changed: the service is overloaded, or no replica runs.
    NotNow(String),
    /// The answer is lost, or does not say.
    Unknown(String),
}

impl Client {
    pub fn new(world: World, number: usize) -> Self {
        Self {
            world,
            user: UserId(number as i64 + 1),
            requests: Vec::new(),
            seen: Seen::default(),
            cancelled: Vec::new(),
            mended: Vec::new(),
            keys: 0,
            changes: 0,
            extended: BTreeSet::new(),
            entries: Vec::new(),
            complaints: Vec::new(),
        }
    }

    /// Sends one request after the other.
    pub async fn run(mut self, requests: usize) -> Self {
        for _ in 0..requests {
            let pause = self.world.chance.pause(Duration::from_millis(400));
            tokio::time::sleep(pause).await;
            match self.world.chance.below(20) {
                0..=4 => self.book().await,
                5 => self.cancel().await,
                6 if self.world.chance.below(2) == 0 => self.look_at_a_booking().await,
                6 | 7 => self.look_at_an_order().await,
                8 => self.look_at_a_flight().await,
                9 => self.search().await,
                10 | 11 => self.pay().await,
                12 => self.act().await,
                13 => self.mend().await,
                14 | 15 => self.change().await,
                16 => self.extend().await,
                17 | 18 => self.wait().await,
                _ => self.look_at_an_entry().await,
            }
        }
        self
    }

    async fn look_at_a_booking(&mut self) {
        let Some(id) = self.any_booking().map(|booking| booking.id) else { return };
        let name = format!("user {} reads booking {id}", self.user);
        match self.ask(&name, async move |service| service.bookings.booking(id).await).await {
            Answer::Is(booking) => self.see(&booking),
            Answer::Refused(why) => self.complaints.push(format!("{name}: {why}")),
            Answer::NotNow(_) | Answer::Unknown(_) => {}
        }
    }

    /// In one snapshot an order is whole, and its money adds up.
    async fn look_at_an_order(&mut self) {
        let Some(id) = self.any_booking().map(|booking| booking.id) else { return };
        let name = format!("user {} reads the order of booking {id}", self.user);
        match self.ask(&name, async move |service| service.bookings.order(id).await).await {
            Answer::Is(record) => {
                self.see_order(&record.order);
                // What differences were paid is not in it.
                let has_changes = record.order.bookings.iter().any(|it| it.has_changes);
                let fault = fault_of_money(&record, (!has_changes).then_some(0));
                self.complaints.extend(fault.map(|fault| format!("{name}: {fault}")));
            }
            Answer::Refused(why) => self.complaints.push(format!("{name}: {why}")),
            Answer::NotNow(_) | Answer::Unknown(_) => {}
        }
    }

    async fn look_at_a_flight(&mut self) {
        let id = self.world.any_flight();
        let name = format!("user {} reads flight {id}", self.user);
        match self.ask(&name, async move |service| service.flights.flight(id).await).await {
            Answer::Is(flight) => self.complaints.extend(self.seen.see_flight(&flight)),
            Answer::Refused(why) => self.complaints.push(format!("{name}: {why}")),
            Answer::NotNow(_) | Answer::Unknown(_) => {}
        }
    }

    async fn search(&mut self) {
        let day: DayKey = self.world.day();
        let name = format!("user {} searches", self.user);
        let answer = self.ask(&name, async move |service| service.search.answer(day).await);
        if let Answer::Refused(why) = answer.await {
            self.complaints.push(format!("{name}: {why}"));
        }
    }

    /// Sends a request to a replica and waits for its answer, or leaves.
    async fn ask<T: Send + 'static, F: Future<Output = Result<T, Error>> + Send + 'static>(
        &self,
        name: &str,
        request: impl FnOnce(Service) -> F,
    ) -> Answer<T> {
        let chance = &self.world.chance;
        let Some(service) = self.world.any_service() else {
            return Answer::NotNow("no replica runs".to_owned());
        };
        chance.step(|| format!("{name} at {}", service.name));
        let asked_at = Instant::now();
        let mut asked = service.tasks.spawn(request(service.clone()));
        let answer = if chance.strikes(Fault::ClientLeaves) {
            let patience = chance.pause(Duration::from_millis(20));
            match timeout(patience, &mut asked).await {
                Ok(answered) => answered,
                Err(_) => {
                    asked.abort();
                    chance.step(|| format!("{name}: left"));
                    return Answer::Unknown("the client left".to_owned());
                }
            }
        } else {
            asked.await
        };
        let answer = match answer {
            Ok(Ok(value)) => Answer::Is(value),
            Ok(Err(Error::Refused(why))) => {
                self.check_refusal(name, &why, asked_at);
                Answer::Refused(why.to_string())
            }
            Ok(Err(error)) if is_definite(&error) => Answer::NotNow(error.to_string()),
            Ok(Err(error)) => Answer::Unknown(error.to_string()),
            Err(ended) if ended.is_cancelled() => Answer::Unknown("the replica died".to_owned()),
            // The planned panics are caught by the engine: this one is a bug.
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        chance.step(|| match &answer {
            Answer::Is(_) => format!("{name}: answered"),
            Answer::Refused(why) => format!("{name}: refused, {why}"),
            Answer::NotNow(why) => format!("{name}: not now, {why}"),
            Answer::Unknown(why) => format!("{name}: unknown, {why}"),
        });
        answer
    }

    /// A refusal for want of seats names a number that was true at some time since the request.
    fn check_refusal(&self, name: &str, why: &Refusal, since: Instant) {
        let Refusal::InsufficientSeats { flight, free, .. } = why else { return };
        let mut rows = self.world.database.rows();
        if !rows.had_free_seats(*flight, *free, since) {
            rows.complaints.push(format!("{name}: {why}, which was never so"));
        }
    }

    /// A booking as it was seen last.
    fn any_booking(&self) -> Option<Booking> {
        let all = &self.seen.bookings;
        let at = (!all.is_empty()).then(|| self.world.chance.below(all.len() as u64))?;
        all.values().nth(at as usize).cloned()
    }

    fn see(&mut self, booking: &Booking) {
        self.complaints.extend(self.seen.see(booking, self.user));
    }

    /// Remembers an order, which must be whole.
    fn see_order(&mut self, order: &Order) {
        let fault = fault_of_bookings(order).or_else(|| fault_of_payment(order));
        self.complaints.extend(fault.map(|fault| format!("order {}: {fault}", order.id())));
        order.bookings.iter().for_each(|booking| self.see(booking));
    }
}

/// Whether the error says that nothing was changed.
fn is_definite(error: &Error) -> bool {
    match error {
        Error::Refused(_) | Error::Overloaded => true,
        Error::Store(error) => !matches!(error, StoreError::Unavailable(_)),
        Error::Stopping | Error::Panicked => false,
    }
}
