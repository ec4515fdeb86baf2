//! The history of passengers' data.

use super::{Fixture, NOTHING, captured, new_flight};
use airline_booking::domain::{
    BookingId, DayKey, NewFlight, PassengerPatch, Timestamp, UserId, route_key,
};
use airline_booking::rules::{Command, Mend};
use chrono::TimeDelta;
use serde_json::{Value, json};

on_each_store! {
    a_correction_is_kept_with_what_the_fields_were
    a_correction_that_was_decided_before_another_one_is_not_written
    an_erasure_removes_the_history_and_prevents_corrections
}

impl Fixture {
    /// A paid booking of two seats of a flight in a month.
    async fn yet_to_fly(&self) -> BookingId {
        let departs_at = self.now + TimeDelta::days(30);
        let new = NewFlight { departs_at, ..new_flight(9, self.now) };
        let day = DayKey { route: route_key("Delhi", "Mumbai"), date: departs_at.date_naive() };
        let currency = "INR".parse().expect("a currency");
        let flight = self.store.create_flight(new, &day, currency, self.now).await;
        let hold = self.hold(flight.expect("a flight").id, 2).await;
        for command in [Command::Hold(hold.clone()), captured(&hold, "5000.00")] {
            assert_eq!(self.commit(&self.decide(&[command]).await).await, NOTHING);
        }
        hold.order_id()
    }

    /// Booking, place, earlier values and time of the corrections of bookings.
    async fn corrections(
        &self,
        bookings: &[BookingId],
    ) -> Vec<(BookingId, i32, Value, Option<Timestamp>)> {
        let changes = self.store.passenger_changes(bookings).await.expect("corrections");
        let value = |text: &str| serde_json::from_str(text).expect("JSON");
        changes.into_iter().map(|c| (c.booking, c.place, value(&c.was), c.changed_at)).collect()
    }
}

fn mend(booking_id: BookingId, place: u16, name: Option<&str>, phone: Option<&str>) -> Command {
    let (name, phone) = (name.map(Into::into), phone.map(Into::into));
    let patch = PassengerPatch { name, email: None, phone };
    Command::Mend(Mend { booking_id, place, patch, request: None })
}

async fn a_correction_is_kept_with_what_the_fields_were(on: Fixture) {
    let (one, other) = (on.yet_to_fly().await, on.yet_to_fly().await);
    // Two in one commit, and one of another booking before the third.
    for commands in [
        vec![mend(one, 1, Some("Ravi"), Some("22")), mend(one, 1, Some("Ravi R"), None)],
        vec![mend(other, 0, None, Some("33"))],
        vec![mend(one, 0, Some("Asha R"), None)],
    ] {
        assert_eq!(on.commit(&on.decide(&commands).await).await, NOTHING);
    }
    let at = Some(on.now);
    let expected = [
        (one, 1, json!({"name": "Asha", "phone": "1"}), at),
        (one, 1, json!({"name": "Ravi"}), at),
        (one, 0, json!({"name": "Asha"}), at),
        (other, 0, json!({"phone": "1"}), at),
    ];
    assert_eq!(on.corrections(&[other, one]).await, expected);
    assert_eq!(on.corrections(&[other]).await, expected[3..]);
    assert_eq!(on.corrections(&[]).await, []);
    let booking = on.store.order(one).await.expect("an answer").expect("the order").order;
    let passengers = booking.first().passengers.clone().expect("passengers");
    assert_eq!((&*passengers[0].name, &*passengers[1].name), ("Asha R", "Ravi R"));
    assert_eq!((&*passengers[0].phone, &*passengers[1].phone), ("1", "22"));
    let life = on.store.life(one).await.expect("an answer").expect("a life");
    let places: Vec<_> = life.changes.iter().map(|change| change.place).collect();
    assert_eq!(places, [1, 1, 0]);
}

async fn a_correction_that_was_decided_before_another_one_is_not_written(on: Fixture) {
    let id = on.yet_to_fly().await;
    let early = on.decide(&[mend(id, 0, Some("Ravi"), None)]).await;
    let first = on.decide(&[mend(id, 1, Some("Asha R"), None)]).await;
    assert_eq!(on.commit(&first).await, NOTHING);
    assert_ne!(on.commit(&early).await, NOTHING, "the booking has changed");
    assert_eq!(on.corrections(&[id]).await.len(), 1);
}

async fn an_erasure_removes_the_history_and_prevents_corrections(on: Fixture) {
    let id = on.yet_to_fly().await;
    assert_eq!(on.commit(&on.decide(&[mend(id, 0, Some("Ravi"), None)]).await).await, NOTHING);
    let decided = on.decide(&[mend(id, 1, Some("Asha R"), None)]).await;
    let erased = on.store.erase_passengers(&[id], Some(UserId(7)), on.now).await;
    assert_eq!(erased.expect("an erasure"), [id]);
    assert_eq!(on.corrections(&[id]).await, []);
    assert_ne!(on.commit(&decided).await, NOTHING, "the booking is erased");
    assert!(on.decide(&[mend(id, 1, Some("Asha R"), None)]).await.commands[0].is_empty());
    assert_eq!(on.corrections(&[id]).await, []);
}
