//! What a cancellation gives back, and what it costs.

use super::super::ending::Ending;
use super::{Cancel, CancelledBy};
use crate::domain::{
    Booking, BookingStatus, Currency, Flight, FlightStatus, Money, Part, Places, Quote,
    RefundReason, SeatCount, Sold,
};
use crate::rules::{Policy, Refusal};

/// Sold seats that a booking gives up.
pub(in crate::rules::commands) struct GivenUp<'a> {
    pub(in crate::rules::commands) booking: &'a Booking,
    /// Places of the passengers, none of them cancelled before; never empty.
    pub(in crate::rules::commands) places: Places,
    /// What comes back.
    pub(in crate::rules::commands) quote: Quote,
    pub(in crate::rules::commands) reason: RefundReason,
    /// Whether the seats are on sale again: not after their departure, if the traveller did not come.
    pub(in crate::rules::commands) is_returned: bool,
}

/// What a cancellation of now would give back: `refund + fee = price`, and the taxes are part of the refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancellationQuote {
    /// What comes back.
    pub refund: Money,
    /// What the airline keeps.
    pub fee: Money,
    /// The taxes in the refund.
    pub taxes: Money,
    /// The price of what would be cancelled.
    pub price: Money,
    /// The currency of the amounts.
    pub currency: Currency,
    /// What decides: a row of fare rules such as `standard/2`; `airline`, `moved`, `no-show`; `unpaid`; `cancelled` if
    /// nothing is left.
    pub rule: String,
}

impl CancellationQuote {
    /// A quote of nothing.
    pub(super) fn nothing(currency: Currency, rule: &str) -> Self {
        let zero = Money::whole(0, currency);
        Self { refund: zero, fee: zero, taxes: zero, price: zero, currency, rule: rule.to_owned() }
    }

    /// The sum of what bookings give up.
    pub(super) fn of(parts: &[GivenUp<'_>], currency: Currency) -> Self {
        if parts.is_empty() {
            return Self::nothing(currency, "cancelled");
        }
        let sum = |of: fn(&Quote) -> Money| {
            let zero = Money::whole(0, currency);
            parts.iter().fold(zero, |sum, part| sum.plus(of(&part.quote)).unwrap_or(sum))
        };
        let mut rules: Vec<&str> = parts.iter().map(|part| &*part.quote.rule).collect();
        rules.dedup();
        Self {
            refund: sum(|quote| quote.refund),
            fee: sum(|quote| quote.fee),
            taxes: sum(|quote| quote.taxes),
            price: sum(|quote| quote.price),
            currency,
            rule: rules.join(", "),
        }
    }
}

/// What each completed booking of the part gives up.
pub(super) fn given_up<'a>(
    end: &Ending<'a>,
    cancel: &Cancel,
    policy: &Policy,
) -> Result<Vec<GivenUp<'a>>, Refusal> {
    let mut parts = Vec::new();
    for booking in end.bookings.iter().copied() {
        let is_live = booking.status == BookingStatus::Completed || planted!(refunded_twice);
        let places = cancel.part.places_of(booking);
        if is_live && cancel.part.has_segment(booking, cancel.booking_id) && !places.is_empty() {
            parts.push(given_up_of(end, booking, places, (cancel.by, policy))?);
        }
    }
    Ok(parts)
}

fn given_up_of<'a>(
    end: &Ending<'a>,
    booking: &'a Booking,
    places: Places,
    (by, policy): (CancelledBy, &Policy),
) -> Result<GivenUp<'a>, Refusal> {
    let flight = end.flight(booking)?;
    let cancelled = places.len() as SeatCount;
    let part = Part { seats: booking.seats_booked, cancelled };
    let has_departed = flight.has_departed(end.now, policy.closes_before);
    let is_no_show = by == CancelledBy::Traveller && has_departed;
    let free = free_of_charge(end, booking, flight, (by, policy)).filter(|_| !is_no_show);
    let quote = end.rules_of(booking).quote(&sold(booking, flight), part, end.now, is_no_show);
    let (quote, reason) = match free {
        Some((reason, rule)) if !planted!(fee_on_an_airlines_cancellation) => {
            (whole(&quote, rule), reason)
        }
        Some((reason, _)) => (quote, reason),
        None => (quote, RefundReason::Traveller),
    };
    Ok(GivenUp { booking, places, quote, reason, is_returned: !is_no_show })
}

fn sold(booking: &Booking, flight: &Flight) -> Sold {
    Sold {
        price: booking.booking_price,
        taxes: booking.booking_taxes,
        booked_at: booking.created_at,
        departs_at: flight.departs_at,
    }
}

/// The quote without a fee.
fn whole(quote: &Quote, rule: &str) -> Quote {
    let fee = quote.fee.less(quote.fee);
    let Quote { price, taxes, .. } = *quote;
    Quote { price, taxes, refund: price, fee, rule: rule.to_owned() }
}

/// Why a cancellation costs nothing, whatever the fare rules say: the airline cancelled this flight or another of the
/// order, or moved this one far enough (`FREE_REFUSAL_AFTER`).
fn free_of_charge(
    end: &Ending<'_>,
    booking: &Booking,
    flight: &Flight,
    (by, policy): (CancelledBy, &Policy),
) -> Option<(RefundReason, &'static str)> {
    let is_off = |booking: &&Booking| {
        end.flight(booking).is_ok_and(|flight| flight.flight_status == FlightStatus::Cancelled)
    };
    if by == CancelledBy::Airline || end.bookings.iter().any(is_off) {
        return Some((RefundReason::Airline, "airline"));
    }
    let moved = booking.sold_departure.map(|sold| (flight.departs_at - sold).abs());
    let is_moved = moved.is_some_and(|moved| moved >= policy.free_refusal_after);
    is_moved.then_some((RefundReason::Moved, "moved"))
}
