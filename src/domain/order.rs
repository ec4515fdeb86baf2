//! An order: bookings of one party, each on another flight, that are paid together.

use super::{
    Booking, BookingId, BookingStatus, LastName, Money, Payment, Refund, UserId, WaitsFor,
};
use smallvec::SmallVec;

/// Maximum number of segments of an order.
pub const SEGMENTS_MAX: usize = 8;

/// An order and its payment. On the wire it is an itinerary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its bookings, by segment; never empty.
    pub bookings: SmallVec<[Booking; 1]>,
    /// The last attempt to pay for all of them.
    pub payment: Payment,
}

impl Order {
    /// An order of bookings in any order; `None` without bookings.
    pub fn of(mut bookings: SmallVec<[Booking; 1]>, payment: Payment) -> Option<Self> {
        bookings.sort_by_key(|booking| booking.segment);
        (!bookings.is_empty()).then_some(Self { bookings, payment })
    }

    /// Its first booking.
    pub fn first(&self) -> &Booking {
        &self.bookings[0]
    }

    /// Its id: that of its first booking.
    pub fn id(&self) -> BookingId {
        let Booking { order_id, .. } = self.first();
        *order_id
    }

    /// The user who ordered.
    pub fn user(&self) -> UserId {
        self.first().user_id
    }

    /// The booking with this id.
    pub fn booking(&self, id: BookingId) -> Option<&Booking> {
        self.bookings.iter().find(|booking| booking.id == id)
    }

    /// Whether a passenger of one of its bookings has this last name.
    pub fn has_passenger_called(&self, name: &LastName) -> bool {
        self.bookings
            .iter()
            .fold(false, |found, booking| booking.has_passenger_called(name) | found)
    }

    /// The status that its bookings give it.
    pub fn status(&self) -> BookingStatus {
        Self::status_of(self.bookings.iter())
    }

    /// Pending and failed as the bookings are; completed while one booking is; else cancelled.
    pub fn status_of<'b>(bookings: impl Iterator<Item = &'b Booking>) -> BookingStatus {
        let rank = |status: &BookingStatus| match status {
            BookingStatus::Failed => 0,
            BookingStatus::Cancelled => 1,
            BookingStatus::Completed => 2,
            BookingStatus::Pending => 3,
        };
        let all = bookings.map(|booking| booking.status);
        all.max_by_key(rank).unwrap_or(BookingStatus::Failed)
    }

    /// The price of everything in it, as it was ordered.
    pub fn total_price(&self) -> Money {
        self.payment.amount
    }
}

/// An order as callers read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRecord {
    /// The order, with its passengers.
    pub order: Order,
    /// Its attempts to pay before the last, the first first.
    pub earlier: SmallVec<[Payment; 1]>,
    /// Its refunds, oldest first.
    pub refunds: Vec<Refund>,
    /// The change of flight that waits for its payment, if there is one.
    pub change: Option<PendingChange>,
}

/// A change of flight that waits for the payment of its difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingChange {
    /// The booking that holds the new seats.
    pub replacement: Booking,
    /// What pays the difference.
    pub payment: Payment,
}

impl OrderRecord {
    /// The last payment that its user has begun; one that waits for a method without any.
    pub fn begun(&self) -> &Payment {
        let last = &self.order.payment;
        if last.is_unasked() { self.earlier.last().unwrap_or(last) } else { last }
    }

    /// Whether the last payment that its user has begun waits for the gateway.
    pub fn is_paying(&self) -> bool {
        let payment = self.begun();
        payment.is_open() && payment.waits_for == WaitsFor::Gateway
    }

    /// Whether the payment of its change waits for the gateway.
    pub fn is_changing(&self) -> bool {
        let payment = self.change.as_ref().map(|change| &change.payment);
        payment.is_some_and(|it| it.is_open() && it.waits_for == WaitsFor::Gateway)
    }

    /// Number of payments that its user has begun.
    pub fn attempts(&self) -> usize {
        self.earlier.len() + usize::from(!self.order.payment.is_unasked())
    }
}
