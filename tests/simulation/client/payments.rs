//! Payments of orders that are paid later: attempts, some at the same moment, extensions, and payers who act or do not.

use super::requests::key_of;
use super::{Answer, Client};
use airline_booking::booking::ChangedOrder;
use airline_booking::domain::{BookingId, PaymentMethod, WaitsFor};
use airline_booking::rules::{Extend, Pay, RequestKey};

const PAY_ROUTE: &str = "/api/v1/bookings/{id}/payment";
const EXTEND_ROUTE: &str = "/api/v1/bookings/{id}/extend";

impl Client {
    /// A payment method; most pay.
    pub(super) fn some_method(&self) -> PaymentMethod {
        let method = match self.world.chance.below(12) {
            0 => "pm_card_declined",
            1 => "pm_card_timeout",
            2 => "pm_card_error",
            3 => "pm_card_3ds",
            _ => PaymentMethod::DEFAULT,
        };
        PaymentMethod::new(method).expect("a token")
    }

    /// Pays for an order, by one request or by two at the same moment.
    pub(super) async fn pay(&mut self) {
        let Some(booking) = self.any_booking() else { return };
        let (one, other) = (self.payment(booking.id), self.payment(booking.id));
        if self.world.chance.below(3) > 0 {
            let answer = self.send_payment(one).await;
            self.see_paid(&answer);
            return;
        }
        let (one, other) = tokio::join!(self.send_payment(one), self.send_payment(other));
        if let (Answer::Is(one), Answer::Is(other)) = (&one, &other)
            && !one.replayed
            && !other.replayed
            && one.order.payment.reference == other.order.payment.reference
            // Requests that ask for the same can't be told apart, and one charge answers both.
            && one.order.payment.method != other.order.payment.method
        {
            let what = format!("two payments {one:?} and {other:?} were begun as one attempt");
            self.complaints.push(format!("order {}: {what}", one.order.id()));
        }
        // The answers may have come in either order.
        let version = |answer: &Answer<ChangedOrder>| match answer {
            Answer::Is(paid) => paid.order.first().version,
            Answer::Refused(_) | Answer::NotNow(_) | Answer::Unknown(_) => 0,
        };
        let (earlier, later) =
            if version(&one) <= version(&other) { (one, other) } else { (other, one) };
        self.see_paid(&earlier);
        self.see_paid(&later);
    }

    fn payment(&mut self, booking_id: BookingId) -> Pay {
        let method = match self.world.chance.below(3) {
            0 => PaymentMethod::new("pm_card_declined").expect("a token"),
            _ => self.some_method(),
        };
        let request = self.some_key(PAY_ROUTE);
        Pay { booking_id, method, return_url: None, request }
    }

    /// The key of half of the requests.
    pub(super) fn some_key(&mut self, route: &'static str) -> Option<RequestKey> {
        self.keys += 1;
        let key = key_of(&format!("{}.{}", self.user, self.keys));
        (self.world.chance.below(2) == 0).then(|| self.request_key(route, key))
    }

    async fn send_payment(&self, pay: Pay) -> Answer<ChangedOrder> {
        let name =
            format!("user {} pays booking {} with {:?}", self.user, pay.booking_id, pay.method);
        self.ask(&name, async move |service| service.bookings.pay(pay).await).await
    }

    fn see_paid(&mut self, answer: &Answer<ChangedOrder>) {
        if let Answer::Is(paid) = answer {
            self.see_order(&paid.order);
        }
    }

    /// Lengthens the hold of an order, which is possible once.
    pub(super) async fn extend(&mut self) {
        let Some(booking) = self.any_booking() else { return };
        let (booking_id, request) = (booking.id, self.some_key(EXTEND_ROUTE));
        let name = format!("user {} extends booking {booking_id}", self.user);
        let extend = Extend { booking_id, request };
        let answer = self.ask(&name, async move |service| service.bookings.extend(extend).await);
        let Answer::Is(extended) = answer.await else { return };
        self.see_order(&extended.order);
        if !extended.replayed && !self.extended.insert(extended.order.id()) {
            self.complaints.push(format!("{name}: it was extended before"));
        }
    }

    /// Approves a payment of an order that asks its payer, or declines it. Some never do.
    pub(super) async fn act(&mut self) {
        let Some(id) = self.any_booking().map(|booking| booking.id) else { return };
        let name = format!("user {} acts for booking {id}", self.user);
        let order = self.ask(&name, async move |service| service.bookings.order(id).await).await;
        let Answer::Is(record) = order else { return };
        let change = record.change.as_ref().map(|change| &change.payment);
        let payment = change.unwrap_or_else(|| record.begun());
        if payment.is_open() && payment.waits_for == WaitsFor::Payer {
            self.world.provider.act(payment.reference, self.world.chance.below(4) > 0);
        }
    }
}
