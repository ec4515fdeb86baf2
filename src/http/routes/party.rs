//! The party of a booking or an itinerary to place: who travels and how it is paid.

use crate::domain::{Invalid, Passenger, PaymentMethod, SeatCount, UserId};
use crate::http::wire::json::fields::{PassengerBody, required};

/// A party as it was sent.
pub(super) struct PartyBody {
    pub(super) user_id: Option<i64>,
    pub(super) seats_booked: Option<i32>,
    pub(super) passenger_details: Option<Vec<PassengerBody>>,
    pub(super) payment: Option<String>,
    pub(super) payment_method: Option<String>,
}

/// A party; sound unless rules were noted as broken.
pub(super) struct Party {
    pub(super) user_id: UserId,
    pub(super) seats: SeatCount,
    pub(super) passengers: Vec<Passenger>,
    /// `None`: the party pays later.
    pub(super) method: Option<PaymentMethod>,
}

impl Party {
    /// The method's token, as the hash of an idempotency key has it.
    pub(super) fn method(&self) -> &str {
        self.method.as_ref().map_or(PaymentMethod::UNCHOSEN, PaymentMethod::as_str)
    }
}

impl PartyBody {
    /// Checks every field and notes the broken rules.
    pub(super) fn check(self, invalid: &mut Invalid, seats_max: SeatCount) -> Party {
        let user_id = positive(invalid, "user_id", self.user_id);
        let seats = required(invalid, "seats_booked", self.seats_booked).unwrap_or_default();
        if self.seats_booked.is_some() && !(1..=seats_max).contains(&seats) {
            invalid.add("/seats_booked", format!("must be 1 to {seats_max}"));
        }
        let details = required(invalid, "passenger_details", self.passenger_details);
        let is_another_count =
            details.as_ref().is_some_and(|details| i32::try_from(details.len()) != Ok(seats));
        if self.seats_booked.is_some() && is_another_count {
            invalid.add("/passenger_details", "must name as many passengers as seats_booked");
        }
        // Passengers beyond the largest party are not checked one by one.
        let passengers: Vec<Passenger> = details
            .into_iter()
            .flatten()
            .take(seats_max.unsigned_abs() as usize)
            .enumerate()
            .filter_map(|(at, body)| body.check(invalid, &format!("/passenger_details/{at}")))
            .collect();
        let method = match self.payment.as_deref() {
            Some("later") if self.payment_method.is_some() => {
                invalid.add("/payment_method", "must be absent if payment is later");
                None
            }
            Some("later") => None,
            None | Some("now") => Some(method(invalid, self.payment_method.as_deref())),
            Some(_) => {
                invalid.add("/payment", "must be now or later");
                None
            }
        };
        Party { user_id: UserId(user_id), seats, passengers, method }
    }
}

/// A payment method; the default without one. Notes one that is malformed or reserved.
pub(super) fn method(invalid: &mut Invalid, sent: Option<&str>) -> PaymentMethod {
    let named = sent.map_or_else(|| Some(PaymentMethod::default()), PaymentMethod::named);
    if named.is_none() {
        let rule =
            "must be 1 to 64 letters, digits and underscores, and neither adopted nor unchosen";
        invalid.add("/payment_method", rule);
    }
    named.unwrap_or_default()
}

/// An id; notes one that is missing or below 1. `name` is its pointer without the first slash.
pub(super) fn positive(invalid: &mut Invalid, name: &str, value: Option<i64>) -> i64 {
    let value = required(invalid, name, value);
    if value.is_some_and(|value| value < 1) {
        invalid.add(format!("/{name}"), "must be at least 1");
    }
    value.unwrap_or_default()
}
