//! Why the rules refuse a command.

use crate::domain::{
    BookingId, FlightId, Invalid, Money, PaymentReference, RefundId, SeatCount, WaitlistId,
};

/// Why a command changed nothing: an answer of the rules, not a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such flight.
    #[error("there is no flight {0}")]
    FlightNotFound(FlightId),
    /// No such booking.
    #[error("there is no booking {0}")]
    BookingNotFound(BookingId),
    /// The flight has departed, is cancelled, or is too close to departure.
    #[error("flight {0} can no longer be booked")]
    FlightNotBookable(FlightId),
    /// Fewer free seats than asked for.
    #[error("flight {flight} has {free} seats left, {wanted} were asked for")]
    InsufficientSeats {
        /// The flight.
        flight: FlightId,
        /// Seats asked for.
        wanted: SeatCount,
        /// Seats that can be bought now.
        free: SeatCount,
    },
    /// The free seats go to parties that wait.
    #[error("the free seats of flight {0} go to those who wait for it")]
    SeatsAwaited(FlightId),
    /// No such entry of a waiting list.
    #[error("there is no waiting list entry {0}")]
    EntryNotFound(WaitlistId),
    /// The user waits for the flight already, or has an open offer.
    #[error("this user waits for flight {flight} already, with entry {entry}")]
    AlreadyWaiting {
        /// The flight.
        flight: FlightId,
        /// The user's active entry.
        entry: WaitlistId,
    },
    /// A party that would get seats now does not wait.
    #[error("flight {flight} has {free} seats left: book them")]
    SeatsAvailable {
        /// The flight.
        flight: FlightId,
        /// Seats that can be bought now.
        free: SeatCount,
    },
    /// The flight has no room for further parties that wait.
    #[error("{most} parties wait for flight {flight} already, and no further one can")]
    LineFull {
        /// The flight.
        flight: FlightId,
        /// The limit.
        most: i32,
    },
    /// The entry has no open offer.
    #[error("waiting list entry {0} has no open offer")]
    NoOffer(WaitlistId),
    /// The user would hold more unpaid seats on the flight than `MAX_PENDING_PER_USER`.
    #[error(
        "flight {flight}: {pending} seats wait for this user's payment, {wanted} more were asked for, \
         and one user may hold {most} (MAX_PENDING_PER_USER)"
    )]
    TooManyPending {
        /// The flight.
        flight: FlightId,
        /// Seats of the user's pending bookings on it.
        pending: SeatCount,
        /// Seats asked for.
        wanted: SeatCount,
        /// The limit.
        most: SeatCount,
    },
    /// The price has changed since the caller saw it.
    #[error("the price is {now} now, not {expected}")]
    PriceChanged {
        /// The price that the caller expects.
        expected: Money,
        /// The price of now.
        now: Money,
    },
    /// A cancellation gives back another amount than the caller expects.
    #[error("the refund is {now} now, not {expected}")]
    RefundChanged {
        /// The refund that the caller expects.
        expected: Money,
        /// The refund of now.
        now: Money,
        /// The fee of now.
        fee: Money,
    },
    /// The booking has failed.
    #[error("booking {0} can't be cancelled: it failed")]
    BookingNotCancellable(BookingId),
    /// Only a booking that is paid for, on a flight that has not departed and is not cancelled, changes its flight.
    #[error(
        "booking {0} can't be changed: it is not completed, its flight has departed or is cancelled, or an earlier \
         service took its payment"
    )]
    BookingNotChangeable(BookingId),
    /// A change of the order waits for its payment.
    #[error(
        "a change of booking {0} or of its order waits for its payment: wait for its outcome, or cancel all"
    )]
    ChangePending(BookingId),
    /// A change costs another amount than the caller expects.
    #[error("the difference is {now} now, not {expected}")]
    DifferenceChanged {
        /// The difference that the caller expects.
        expected: Money,
        /// The difference of now; below zero it comes back.
        now: Money,
    },
    /// An order that is not paid yet ends as a whole.
    #[error(
        "booking {0} belongs to an order that is not paid yet: cancel all of it, or wait for its payment"
    )]
    OrderNotPaid(BookingId),
    /// An earlier service took the payment, so this one can't refund a part of it.
    #[error("an earlier service took the payment of booking {0}: cancel it as a whole")]
    PaidElsewhere(BookingId),
    /// The order waits for no payment: it is paid at once, or has ended.
    #[error("booking {0} waits for no payment: it was not held to be paid later, or has ended")]
    PaymentNotDue(BookingId),
    /// An attempt to pay the order has not ended.
    #[error("a payment of booking {0} is in progress: wait for its outcome")]
    PaymentInProgress(BookingId),
    /// The order's hold has ended.
    #[error("the hold of booking {0} has ended")]
    HoldExpired(BookingId),
    /// The order had all the attempts that it may have.
    #[error("booking {booking} had {most} payments, all declined: no further one is taken")]
    TooManyAttempts {
        /// The booking.
        booking: BookingId,
        /// The limit.
        most: i32,
    },
    /// The hold was extended before, is not one to be paid later, or has ended, or ends at the departure.
    #[error(
        "the hold of booking {0} can't be extended: it was before, is not to be paid later, has ended, or \
         ends with the departure"
    )]
    NotExtendable(BookingId),
    /// The booking has no passenger at this place.
    #[error("booking {0} has no passenger {1}")]
    PassengerNotFound(BookingId, u16),
    /// The passenger no longer travels, or has travelled.
    #[error(
        "this passenger of booking {0} can't be changed: the flight has departed, the booking failed, it or the \
         passenger was cancelled, or the data were erased"
    )]
    PassengerNotChangeable(BookingId),
    /// A cancelled flight can't be changed.
    #[error("flight {0} is cancelled, which is final")]
    FlightCancelled(FlightId),
    /// The `version` in the body is not the flight's.
    #[error("flight {flight} is at version {current}; read it again and repeat the change")]
    VersionConflict {
        /// The flight.
        flight: FlightId,
        /// Its version.
        current: i64,
    },
    /// The version in `If-Match` is not the flight's.
    #[error("flight {flight} is at version {current}, which If-Match does not name")]
    PreconditionFailed {
        /// The flight.
        flight: FlightId,
        /// Its version.
        current: i64,
    },
    /// Seat counts change only against a known version.
    #[error(
        "changing available_seats or total_seats needs the flight's version, in the body or as If-Match"
    )]
    VersionRequired,
    /// The new counts leave fewer seats than are sold or held.
    #[error("flight {flight} has {sold} seats sold and {held} held, more than the change leaves")]
    SeatsInUse {
        /// The flight.
        flight: FlightId,
        /// Seats of completed bookings.
        sold: SeatCount,
        /// Seats of pending bookings.
        held: SeatCount,
    },
    /// An earlier request used the key for something else.
    #[error("this Idempotency-Key was used for a different request")]
    IdempotencyKeyReused,
    /// The result would break a rule of the data.
    #[error("{0}")]
    Invalid(Invalid),
    /// The message names a payment that does not exist.
    #[error("there is no payment {0}")]
    UnknownPayment(PaymentReference),
    /// The payment has changed since the gateway was asked about it: the gateway must be asked again.
    #[error("payment {0} has changed meanwhile: ask again")]
    PaymentChanged(PaymentReference),
    /// The message names a refund that does not exist.
    #[error("payment {0} has no such refund")]
    UnknownRefund(PaymentReference),
    /// Only a refund that the gateway refused is asked for again.
    #[error("refund {0} has not failed: only a failed one is asked for again")]
    RefundNotFailed(RefundId),
    /// The message names another payment or amount than the refund's.
    #[error("refund {0} is of another payment or amount")]
    RefundMismatch(RefundId),
    /// The message names another booking than the payment is for.
    #[error("payment {0} is for another booking")]
    BookingMismatch(PaymentReference),
    /// The message names another amount than the payment's.
    #[error("payment {reference} is over {expected}, not {stated}")]
    AmountMismatch {
        /// The payment.
        reference: PaymentReference,
        /// Its amount.
        expected: Money,
        /// The amount that the message names.
        stated: Money,
    },
}
