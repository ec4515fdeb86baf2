//! What the booking engine can be asked, what it answers, and what it refuses.

use super::idempotency::{IdempotencyKey, RequestKey};
use crate::domain::{
    Booking, BookingId, Flight, FlightId, FlightPatch, Invalid, Money, Passenger, PaymentMethod,
    PaymentOutcome, PaymentReference, SeatCount, UserId,
};
use std::sync::Arc;

/// A wish to change a flight's seats: all of them come through here.
#[derive(Debug, Clone)]
pub enum Command {
    /// Keep seats for a party until it has paid.
    Hold(Hold),
    /// The gateway spoke.
    Settle(Settle),
    /// The hold's time is up.
    Expire(PaymentReference),
    /// Give a booking up.
    Cancel(Cancel),
    /// Put back on sale the seats of a booking that an earlier service left without a payment.
    Release(BookingId),
    /// Change a flight's fields.
    PutFlight(PutFlight),
}

impl Command {
    /// What it is called where operators look.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hold(_) => "booking.hold",
            Self::Settle(_) => "booking.settle",
            Self::Expire(_) => "booking.expire",
            Self::Cancel(_) => "booking.cancel",
            Self::Release(_) => "booking.release",
            Self::PutFlight(_) => "flight.put",
        }
    }
}

/// Asks for seats. Ids are drawn once, before the first attempt, so that a repeat is recognised.
#[derive(Debug, Clone)]
pub struct Hold {
    /// The booking it will be.
    pub booking_id: BookingId,
    /// The payment it will be.
    pub reference: PaymentReference,
    /// The flight.
    pub flight_id: FlightId,
    /// Who books.
    pub user_id: UserId,
    /// How many seats; as many as passengers.
    pub seats: SeatCount,
    /// Who flies.
    pub passengers: Arc<[Passenger]>,
    /// How it will be paid.
    pub method: PaymentMethod,
    /// The caller's own name for this request, if it gave one.
    pub idempotency: Option<IdempotencyKey>,
    /// Seats on the flight that the user may hold unpaid with these (`MAX_PENDING_PER_USER`); `None`:
    /// any number.
    pub pending_max: Option<SeatCount>,
}

/// What the gateway said of a payment.
#[derive(Debug, Clone)]
pub struct Settle {
    /// The payment.
    pub reference: PaymentReference,
    /// The booking that the gateway speaks of; another than the payment's is refused.
    pub booking_id: BookingId,
    /// The amount that the gateway speaks of; another than ours is refused.
    pub amount: Money,
    /// What it did.
    pub outcome: PaymentOutcome,
}

/// Gives a booking up.
#[derive(Debug, Clone)]
pub struct Cancel {
    /// The booking.
    pub booking_id: BookingId,
    /// On whose behalf.
    pub by: CancelledBy,
    /// The caller's own name for this request, if it gave one.
    pub request: Option<RequestKey>,
}

/// On whose behalf a booking is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelledBy {
    /// The traveller asked: refused once the flight has departed.
    Traveller,
    /// Staff asked, for whom a departure is no hindrance.
    Staff,
    /// Its flight was cancelled.
    Airline,
}

/// Changes a flight's fields.
#[derive(Debug, Clone)]
pub struct PutFlight {
    /// The flight.
    pub flight_id: FlightId,
    /// The fields to replace.
    pub patch: FlightPatch,
    /// What the caller believes the flight's version to be, and how it said so.
    pub expected: Option<ExpectedVersion>,
}

/// A version that the flight must have. The two differ only in the refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// `version` in the body: 409 if stale.
    Body(i64),
    /// `If-Match`: 412 unless the flight has one of these.
    IfMatch(Box<[i64]>),
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The booking as it is now. `replayed` if an earlier request with the same key made it.
    Booking {
        /// The booking.
        booking: Booking,
        /// Whether an earlier request made it.
        replayed: bool,
    },
    /// The flight as it is now.
    Flight(Flight),
}

/// Why a command changed nothing: the answer of the rules, not a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such flight.
    #[error("there is no flight {0}")]
    FlightNotFound(FlightId),
    /// No such booking.
    #[error("there is no booking {0}")]
    BookingNotFound(BookingId),
    /// Departed, cancelled, or too close to departure.
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
    /// The user holds as many seats unpaid as one may.
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
    /// Failed, or flown.
    #[error("booking {0} can't be cancelled: it failed, or its flight has departed")]
    BookingNotCancellable(BookingId),
    /// A cancelled flight stays so.
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
    /// The new counts would take seats that are sold or held.
    #[error("flight {flight} has {sold} seats sold and {held} held, more than the change leaves")]
    SeatsInUse {
        /// The flight.
        flight: FlightId,
        /// Seats of completed bookings.
        sold: SeatCount,
        /// Seats of pending bookings.
        held: SeatCount,
    },
    /// The same key came with another request before.
    #[error("this Idempotency-Key was used for a different request")]
    IdempotencyKeyReused,
    /// The result would break a rule of the data itself.
    #[error("{0}")]
    Invalid(Invalid),
    /// The gateway speaks of a payment that was never asked for.
    #[error("there is no payment {0}")]
    UnknownPayment(PaymentReference),
    /// The gateway speaks of another booking than the payment is for.
    #[error("payment {0} is for another booking")]
    BookingMismatch(PaymentReference),
    /// The gateway speaks of another amount than was asked for.
    #[error("payment {reference} is over {expected}, not {stated}")]
    AmountMismatch {
        /// The payment.
        reference: PaymentReference,
        /// Its amount.
        expected: Money,
        /// What the gateway said.
        stated: Money,
    },
}
