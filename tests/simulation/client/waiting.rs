//! Clients who wait for a flight: they join, leave, accept and decline.

use super::requests::{key_of, passengers};
use super::{Answer, Client, Request};
use airline_booking::booking::WaitFor;
use airline_booking::clock::Clock as _;
use airline_booking::domain::{Money, PaymentMethod};
use airline_booking::rules::{Decline, Pay};
use chrono::TimeDelta;

const JOIN_ROUTE: &str = "/api/v1/flights/{id}/waitlist";

impl Client {
    /// Waits for a flight; most name a time until which they do.
    pub(super) async fn wait(&mut self) {
        let flights = self.world.some_flights(1);
        let chance = self.world.chance.clone();
        let seats = 1 + chance.below(4) as i32;
        let mark = format!("{}.{}", self.user, self.requests.len());
        let method = || PaymentMethod::new(PaymentMethod::DEFAULT).expect("a token");
        let until = TimeDelta::seconds(1 + chance.below(20) as i64);
        let wait = WaitFor {
            flight_id: flights[0],
            user_id: self.user,
            seats,
            passengers: passengers(&mark, seats),
            auto: (chance.below(3) == 0).then(method),
            max_price: (chance.below(4) == 0).then(|| Money::from_minor(250_000)),
            until: (chance.below(4) > 0).then(|| self.world.clock().now() + until),
            request: (chance.below(2) == 0).then(|| self.request_key(JOIN_ROUTE, key_of(&mark))),
        };
        let name = format!("user {} waits for {seats} seats of flight {}", self.user, flights[0]);
        let answer = self.ask(&name, async move |service| service.waiting_list.join(wait).await);
        let answer = answer.await;
        let refused = matches!(answer, Answer::Refused(_) | Answer::NotNow(_));
        if let Answer::Is((shown, _)) = answer {
            self.entries.push(shown.record.entry.id);
        }
        self.requests.push(Request { mark, flights, seats, accepted: Vec::new(), refused });
    }

    /// Looks at an entry, and accepts or declines its offer, or leaves.
    pub(super) async fn look_at_an_entry(&mut self) {
        let Some(id) = self.entries.last().copied() else { return };
        let name = format!("user {} reads entry {id}", self.user);
        let answer = self.ask(&name, async move |service| service.waiting_list.entry(id).await);
        let Answer::Is(shown) = answer.await else { return };
        if shown.record.entry.user_id != self.user {
            self.complaints.push(format!("{name}: it is another user's"));
        }
        if let Some(order) = &shown.order {
            self.see_order(&order.order);
        }
        let what = self.world.chance.below(4);
        let name = format!("user {} acts on entry {id}", self.user);
        let method = self.some_method();
        let acted = self.ask(&name, async move |service| {
            let list = &service.waiting_list;
            match what {
                0 => list.leave(&shown).await,
                1 => list.decline(&shown, Decline { id, request: None }).await.map(|_| ()),
                _ => {
                    let pay =
                        Pay { booking_id: id.booking(), method, return_url: None, request: None };
                    list.accept(&shown, pay).await.map(|_| ())
                }
            }
        });
        acted.await;
    }
}
