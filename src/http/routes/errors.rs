//! The engine's errors as problems: which code and status each has.

use crate::engine::Error;
use crate::http::wire::problem::{Code, Figures, Problem};
use crate::rules::Refusal;
use crate::store::StoreError;
use crate::webhooks;

impl From<Error> for Problem {
    // No `_` arm: a new error does not compile before it has a code.
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => refusal.into(),
            Error::Overloaded => Self::new(Code::Overloaded, error.to_string()),
            Error::Stopping => Self::new(Code::Unavailable, error.to_string()),
            Error::Panicked => Self::new(Code::Internal, error.to_string()),
            Error::Store(
                StoreError::Unavailable(cause)
                | StoreError::Locked(cause)
                | StoreError::TimedOut(cause),
            ) => Self::new(Code::Unavailable, "the store does not answer just now; ask again")
                .because(format!("{cause:#}")),
            Error::Store(cause @ (StoreError::Refused(_) | StoreError::Corrupt { .. })) => {
                Self::internal(format!("{:#}", anyhow::Error::new(cause)))
            }
        }
    }
}

impl From<webhooks::Error> for Problem {
    fn from(error: webhooks::Error) -> Self {
        let code = match error {
            webhooks::Error::Store(cause) => return Error::from(cause).into(),
            webhooks::Error::NoWebhook(_) | webhooks::Error::NoDelivery(_) => Code::NotFound,
            webhooks::Error::TooMany(_) => Code::TooManyWebhooks,
            webhooks::Error::KeyReused => Code::IdempotencyKeyReused,
        };
        Self::new(code, error.to_string())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::FlightNotFound(_)
            | Refusal::BookingNotFound(_)
            | Refusal::EntryNotFound(_)
            | Refusal::UnknownPayment(_)
            | Refusal::UnknownRefund(_)
            | Refusal::PassengerNotFound(..) => Code::NotFound,
            Refusal::FlightNotBookable(_) => Code::FlightNotBookable,
            Refusal::InsufficientSeats { .. } | Refusal::SeatsAwaited(_) => Code::InsufficientSeats,
            Refusal::AlreadyWaiting { .. } => Code::AlreadyWaiting,
            Refusal::SeatsAvailable { .. } => Code::SeatsAvailable,
            Refusal::LineFull { .. } => Code::WaitlistFull,
            Refusal::NoOffer(_) => Code::NoOffer,
            Refusal::PriceChanged { .. } => Code::PriceChanged,
            Refusal::RefundChanged { .. } => Code::RefundChanged,
            Refusal::DifferenceChanged { .. } => Code::DifferenceChanged,
            Refusal::BookingNotChangeable(_) => Code::BookingNotChangeable,
            Refusal::ChangePending(_) => Code::ChangePending,
            Refusal::TooManyPending { .. } => Code::TooManyPending,
            Refusal::BookingNotCancellable(_)
            | Refusal::OrderNotPaid(_)
            | Refusal::PaidElsewhere(_) => Code::BookingNotCancellable,
            Refusal::PaymentNotDue(_) => Code::PaymentNotDue,
            Refusal::PaymentInProgress(_) => Code::PaymentInProgress,
            Refusal::HoldExpired(_) => Code::HoldExpired,
            Refusal::TooManyAttempts { .. } => Code::TooManyAttempts,
            Refusal::NotExtendable(_) => Code::NotExtendable,
            Refusal::PassengerNotChangeable(_) => Code::PassengerNotChangeable,
            Refusal::RefundNotFailed(_) => Code::RefundNotFailed,
            Refusal::FlightCancelled(_) => Code::FlightCancelled,
            Refusal::VersionConflict { .. } => Code::VersionConflict,
            Refusal::PreconditionFailed { .. } => Code::PreconditionFailed,
            Refusal::VersionRequired => Code::VersionRequired,
            Refusal::SeatsInUse { .. } => Code::SeatsInUse,
            Refusal::IdempotencyKeyReused => Code::IdempotencyKeyReused,
            Refusal::PaymentChanged(_) => Code::Overloaded,
            Refusal::Invalid(invalid) => return invalid.clone().into(),
            Refusal::AmountMismatch { .. }
            | Refusal::BookingMismatch(_)
            | Refusal::RefundMismatch(_) => Code::ValidationFailed,
        };
        let problem = Self::new(code, detail_of(&refusal));
        match refusal {
            Refusal::PriceChanged { now, .. } => {
                problem.with(Figures { price: Some(now), ..Figures::default() })
            }
            Refusal::RefundChanged { now, fee, .. } => {
                let (refund, fee) = (Some(now), Some(fee));
                problem.with(Figures { refund, fee, ..Figures::default() })
            }
            Refusal::DifferenceChanged { now, .. } => {
                problem.with(Figures { difference: Some(now), ..Figures::default() })
            }
            _ => problem,
        }
    }
}

/// What is wrong in this case. Where seats are lacking, also where to wait for them.
fn detail_of(refusal: &Refusal) -> String {
    match refusal {
        Refusal::InsufficientSeats { flight, .. } | Refusal::SeatsAwaited(flight) => {
            format!("{refusal}; POST /api/v1/flights/{flight}/waitlist waits for seats")
        }
        _ => refusal.to_string(),
    }
}
