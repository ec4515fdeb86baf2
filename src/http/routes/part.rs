//! Which part of an itinerary or a booking to cancel.

use crate::domain::{Booking, Invalid, Order};
use crate::engine::Error;
use crate::http::wire::problem::{Code, Problem};
use crate::http::wire::query::{Query, readable};
use crate::identity::{Caller, Scope};
use crate::rules::{CancelledBy, OrderPart, Refusal, Segments};
use serde::Serialize;
use std::ops::RangeInclusive;

/// Segments and passengers to cancel, each in ascending order; `None`: all of them.
#[derive(Debug, Serialize)]
pub(super) struct Part {
    segments: Option<Vec<i32>>,
    passengers: Option<Vec<i32>>,
}

impl Part {
    /// Checks what was sent about the order of a booking. Notes broken rules.
    pub(super) fn checked(
        segments: Option<Vec<i32>>,
        passengers: Option<Vec<i32>>,
        of: &Booking,
        invalid: &mut Invalid,
    ) -> Self {
        let last = i32::try_from(of.party_size()).unwrap_or(i32::MAX) - 1;
        Self {
            segments: numbers("segments", segments, 1..=of.segments, invalid),
            passengers: numbers("passengers", passengers, 0..=last, invalid),
        }
    }

    /// Reads what a query says about the order of a booking: 400 for what can't be read, else 422 for what breaks a
    /// rule. `names`: the parameters that it may have.
    pub(super) fn read(query: &Query<'_>, names: &[&str], of: &Booking) -> Result<Self, Problem> {
        let (mut unreadable, mut invalid) = (Invalid::default(), Invalid::default());
        query.only(names, &mut unreadable);
        let mut list = |name: &str| {
            let text = query.get(name)?;
            let numbers: Result<Vec<i32>, _> = text.split(',').map(str::parse).collect();
            if numbers.is_err() {
                unreadable.add(format!("/{name}"), "must be integers such as 0,2");
            }
            numbers.ok()
        };
        let (segments, passengers) = (list("segments"), list("passengers"));
        readable(unreadable)?;
        let part = Self::checked(segments, passengers, of, &mut invalid);
        Ok(invalid.or(part)?)
    }

    /// The passengers alone.
    pub(super) fn passengers(&self) -> Option<&[i32]> {
        self.passengers.as_deref()
    }

    /// The part of an order.
    pub(super) fn of_order(&self) -> OrderPart {
        let segments = |named: &Vec<i32>| Segments::Only(named.as_slice().into());
        OrderPart {
            segments: self.segments.as_ref().map_or(Segments::All, segments),
            ..self.of_booking()
        }
    }

    /// The part of a booking.
    pub(super) fn of_booking(&self) -> OrderPart {
        let place = |place: &i32| (*place).try_into().ok();
        let places = |named: &Vec<i32>| named.iter().filter_map(place).collect();
        OrderPart { segments: Segments::Own, passengers: self.passengers.as_ref().map(places) }
    }
}

/// Numbers in ascending order. Notes the rules that they break.
fn numbers(
    name: &str,
    sent: Option<Vec<i32>>,
    range: RangeInclusive<i32>,
    invalid: &mut Invalid,
) -> Option<Vec<i32>> {
    let mut sent = sent?;
    let (first, last) = range.into_inner();
    if sent.is_empty() {
        invalid.add(format!("/{name}"), "must not be empty: leave it out for all");
    } else if sent.len() as i64 > i64::from(last - first) + 1 {
        // A caller may send thousands, so they are not checked one by one.
        let rule = format!("must be numbers from {first} to {last}, none twice");
        invalid.add(format!("/{name}"), rule);
        return Some(Vec::new());
    }
    for (at, number) in sent.iter().enumerate() {
        if !(first..=last).contains(number) {
            invalid.add(format!("/{name}/{at}"), format!("must be {first} to {last}"));
        } else if sent[..at].contains(number) {
            invalid.add(format!("/{name}/{at}"), "is named before");
        }
    }
    sent.sort_unstable();
    Some(sent)
}

/// On whose behalf the caller cancels.
pub(super) fn cancelled_by(caller: &Caller) -> CancelledBy {
    if caller.has_staff_token(Scope::BookingsAdmin) {
        CancelledBy::Staff
    } else {
        CancelledBy::Traveller
    }
}

/// The problem of a refused cancellation. It says what can be cancelled instead.
pub(super) fn explained(error: Error, order: &Order) -> Problem {
    let Error::Refused(refusal) = &error else { return error.into() };
    let itinerary = order.id();
    let whole =
        format!("POST /api/v1/itineraries/{itinerary}/cancel without segments and passengers");
    let detail = match refusal {
        Refusal::OrderNotPaid(_) => format!(
            "itinerary {itinerary} is not paid yet, so it can't be cancelled in part: wait for its payment, or \
             cancel all of it ({whole})"
        ),
        Refusal::PaidElsewhere(_) => format!(
            "an earlier service took the payment of itinerary {itinerary}, so it can't be refunded in part: \
             cancel all of it ({whole})"
        ),
        _ => return error.into(),
    };
    Problem::new(Code::BookingNotCancellable, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(sent: &[i32]) -> Vec<String> {
        let mut invalid = Invalid::default();
        numbers("segments", Some(sent.to_vec()), 1..=3, &mut invalid);
        invalid.0.into_iter().map(|broken| broken.pointer).collect()
    }

    #[test]
    fn numbers_are_in_their_range_and_at_least_one_and_none_twice() {
        assert_eq!(noted(&[3, 1, 2]), [""; 0]);
        assert_eq!(noted(&[]), ["/segments"]);
        assert_eq!(noted(&[0, 4, -1]), ["/segments/0", "/segments/1", "/segments/2"]);
        assert_eq!(noted(&[2, 2, 9]), ["/segments/1", "/segments/2"]);
        assert_eq!(noted(&vec![1; 20_000]), ["/segments"]);
    }

    #[test]
    fn numbers_are_sorted_so_that_their_order_does_not_matter() {
        let mut invalid = Invalid::default();
        let sorted = numbers("segments", Some(vec![3, 1]), 1..=3, &mut invalid);
        assert_eq!((sorted, invalid), (Some(vec![1, 3]), Invalid::default()));
        assert_eq!(numbers("segments", None, 1..=3, &mut Invalid::default()), None);
    }
}
