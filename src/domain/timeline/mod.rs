//! The timeline of a booking: what its rows tell of its life, in order.
//!
//! A row keeps the times of its making and of its last change. What a later change has overwritten is left out, and
//! not guessed.

#[cfg(test)]
mod cases;
mod payments;

use super::{
    Booking, BookingStatus, Channel, FailureReason, MessageEnded, MessageKind, Money, OrderRecord,
    PassengerChanged, Refund, RefundId, RefundReason, RefundStatus, Timestamp,
};
use serde::Serialize;

/// What happened to a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub enum TimelineKind {
    /// Its seats were held.
    #[serde(rename = "held")]
    Held,
    /// The gateway was asked for a payment.
    #[serde(rename = "payment.requested")]
    PaymentRequested,
    /// The gateway captured a payment.
    #[serde(rename = "payment.captured")]
    PaymentCaptured,
    /// The gateway declined a payment.
    #[serde(rename = "payment.declined")]
    PaymentDeclined,
    /// A payment was voided, or all of it given back.
    #[serde(rename = "payment.reversed")]
    PaymentReversed,
    /// Paid: its seats are sold.
    #[serde(rename = "completed")]
    Completed,
    /// Declined or expired.
    #[serde(rename = "failed")]
    Failed,
    /// Cancelled as a whole.
    #[serde(rename = "cancelled")]
    Cancelled,
    /// A passenger's contact data were corrected.
    #[serde(rename = "passenger.changed")]
    PassengerChanged,
    /// A passenger's seat was given back.
    #[serde(rename = "passenger.cancelled")]
    PassengerCancelled,
    /// A refund was requested.
    #[serde(rename = "refund.requested")]
    RefundRequested,
    /// A refund was made.
    #[serde(rename = "refund.done")]
    RefundDone,
    /// The gateway refused a refund for good.
    #[serde(rename = "refund.failed")]
    RefundFailed,
    /// It moved to its present flight.
    #[serde(rename = "changed")]
    Changed,
    /// Its flight's departure was moved.
    #[serde(rename = "flight.moved")]
    FlightMoved,
    /// A mail or SMS about it was sent.
    #[serde(rename = "message.sent")]
    MessageSent,
    /// A mail or SMS about it could not be sent.
    #[serde(rename = "message.failed")]
    MessageFailed,
}

/// An entry of a timeline. Fields that do not concern its type are absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TimelineEvent {
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: TimelineKind,
    /// Of a payment: the attempt, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub attempt: Option<i32>,
    /// Of a passenger: the place in `booking_metadata`, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub passenger: Option<u16>,
    /// Of a failure: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = FailureReason, required = false)]
    pub failure_reason: Option<FailureReason>,
    /// Of a refund: its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "REF-0123456789abcdef0123456789abcdef")]
    pub refund_id: Option<RefundId>,
    /// Of a payment or refund: the amount.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Money, required = false)]
    pub amount: Option<Money>,
    /// Of a moved flight: its departure before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    pub was: Option<Timestamp>,
    /// Of a moved flight: its departure after.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    pub departs_at: Option<Timestamp>,
    /// Of a message: its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub channel: Option<Channel>,
    /// Of a message: the type of the event that it told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "booking.completed")]
    pub told: Option<MessageKind>,
}

/// A move of a flight's departure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlightMove {
    /// When it was moved.
    pub at: Timestamp,
    /// The departure before.
    pub was: Timestamp,
    /// The departure after.
    pub departs_at: Timestamp,
}

/// The rows of a booking's life, all of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookingLife {
    /// Its order, with payments and refunds.
    pub record: OrderRecord,
    /// Corrections of its passengers.
    pub changes: Vec<PassengerChanged>,
    /// Moves of its flight.
    pub moves: Vec<FlightMove>,
    /// Messages about it that were sent or failed.
    pub messages: Vec<MessageEnded>,
}

impl TimelineEvent {
    fn new(at: Timestamp, kind: TimelineKind) -> Self {
        Self {
            at,
            kind,
            attempt: None,
            passenger: None,
            failure_reason: None,
            refund_id: None,
            amount: None,
            was: None,
            departs_at: None,
            channel: None,
            told: None,
        }
    }
}

impl BookingLife {
    /// The timeline of one of the order's bookings, in ascending order. What happened at one instant is in the order
    /// of cause and effect.
    pub fn timeline(&self, booking: &Booking) -> Vec<TimelineEvent> {
        let mut events = vec![TimelineEvent::new(booking.created_at, TimelineKind::Held)];
        events.extend(payments::events(&self.record));
        events.extend(self.completed(booking));
        events.extend(self.changes.iter().map(|change| TimelineEvent {
            passenger: Some(change.place),
            ..TimelineEvent::new(change.at, TimelineKind::PassengerChanged)
        }));
        events.extend(booking.sold_at.map(|at| TimelineEvent::new(at, TimelineKind::Changed)));
        let refunds = || self.record.refunds.iter().filter(|r| r.booking_id == booking.id);
        events.extend(passenger_cancelled(booking, refunds()));
        let end = self.end(booking);
        events.extend(end.clone());
        events.extend(refunds().flat_map(refund_events));
        let until = end.map(|end| end.at);
        let concerns = |moved: &&FlightMove| {
            moved.at > booking.sale() && until.is_none_or(|end| moved.at <= end)
        };
        events.extend(self.moves.iter().filter(concerns).map(|moved| TimelineEvent {
            was: Some(moved.was),
            departs_at: Some(moved.departs_at),
            ..TimelineEvent::new(moved.at, TimelineKind::FlightMoved)
        }));
        events.extend(self.messages.iter().map(message_event));
        events.sort_by_key(|event| event.at);
        events
    }

    /// Its completion, which is the instant of the capture.
    fn completed(&self, booking: &Booking) -> Option<TimelineEvent> {
        let was_sold =
            matches!(booking.status, BookingStatus::Completed | BookingStatus::Cancelled);
        let at = payments::captured_at(&self.record.order.payment).filter(|_| was_sold)?;
        Some(TimelineEvent::new(at, TimelineKind::Completed))
    }

    /// Its failure, or its cancellation as a whole. A lost dispute may lower a fee afterwards, and overwrites the time.
    fn end(&self, booking: &Booking) -> Option<TimelineEvent> {
        let is_overwritten = booking.status == BookingStatus::Cancelled
            && self.record.refunds.iter().any(|refund| refund.reason == RefundReason::Dispute);
        let kind = match booking.status {
            BookingStatus::Failed => TimelineKind::Failed,
            BookingStatus::Cancelled if !is_overwritten => TimelineKind::Cancelled,
            _ => return None,
        };
        let failure_reason = booking.failure_reason;
        Some(TimelineEvent { failure_reason, ..TimelineEvent::new(booking.updated_at, kind) })
    }
}

/// A message that was sent or failed.
fn message_event(message: &MessageEnded) -> TimelineEvent {
    let kind =
        if message.is_sent { TimelineKind::MessageSent } else { TimelineKind::MessageFailed };
    TimelineEvent {
        channel: Some(message.channel),
        told: Some(message.kind),
        ..TimelineEvent::new(message.at, kind)
    }
}

/// The cancellation of a passenger alone. Its time is that of its refund, which is known to be this passenger's only
/// if there is one of each.
fn passenger_cancelled<'r>(
    booking: &Booking,
    refunds: impl Iterator<Item = &'r Refund>,
) -> Option<TimelineEvent> {
    let [place] = booking.cancelled[..] else { return None };
    let is_of_cancellation = |refund: &&Refund| {
        !matches!(
            refund.reason,
            RefundReason::Dispute | RefundReason::LateCapture | RefundReason::Change
        )
    };
    let mut refunds = refunds.filter(is_of_cancellation);
    let refund = refunds.next().filter(|_| booking.status == BookingStatus::Completed)?;
    let event = TimelineEvent::new(refund.created_at, TimelineKind::PassengerCancelled);
    refunds.next().is_none().then_some(TimelineEvent { passenger: Some(place), ..event })
}

/// The request of a refund, and its outcome.
fn refund_events(refund: &Refund) -> Vec<TimelineEvent> {
    let event = |at, kind| TimelineEvent {
        refund_id: Some(refund.id),
        amount: Some(refund.amount),
        ..TimelineEvent::new(at, kind)
    };
    let outcome = match refund.status {
        RefundStatus::Requested => None,
        RefundStatus::Done => Some(TimelineKind::RefundDone),
        RefundStatus::Failed => Some(TimelineKind::RefundFailed),
    };
    let requested =
        was_requested(refund).then(|| event(refund.created_at, TimelineKind::RefundRequested));
    requested.into_iter().chain(outcome.map(|kind| event(refund.updated_at, kind))).collect()
}

/// Whether the gateway was asked for it. A bank makes that of a lost dispute, and a reversal, which is named after its
/// payment, keeps the time of its end alone.
fn was_requested(refund: &Refund) -> bool {
    let (id, payment) = (refund.id.to_string(), refund.payment.to_string());
    let is_reversal = id.trim_start_matches("REF-") == payment.trim_start_matches("PAY-");
    !is_reversal && refund.id != RefundId::of_dispute(refund.payment)
}
