//! Flights, fares, bookings, payments, refunds, money, routes and events.
//!
//! Values and the rules that a value keeps by itself, without I/O, clock or randomness. Rules over
//! several values are decided in the rules room.

mod booking;
mod city;
mod disruption;
mod duration;
mod event;
mod fares;
mod flight;
mod ids;
mod invalid;
mod last_name;
mod message;
mod money;
mod order;
mod passenger_change;
mod payment;
mod reference;
mod refund;
mod route;
mod sales;
mod timeline;
mod waitlist;
mod webhook;

pub use booking::{Booking, BookingStatus, FailureReason, Passenger, PassengerStatus, Places};
pub use city::city_key;
pub use disruption::{Disruption, DisruptionKind};
pub use duration::{duration_text, parse_duration};
pub use event::{
    AirlineEvent, ChangeEnded, DisputeChanged, EntryChanged, Event, FlightBooking, FlightMoved,
    OrderEnded, PaymentAction, PaymentEvent, PaymentOutcome, PaymentRequest, RefundChanged,
};
pub use fares::{FareBook, FareName, FareRow, FareRowText, FareRules, Fee, Part, Quote, Sold};
pub use flight::{
    FieldChange, Flight, FlightPatch, FlightStatus, Line, NewFlight, flight_number,
    stored_flight_number,
};
pub use ids::{
    BookingId, BookingIds, DeliveryId, FlightId, FlightIds, PaymentReference, RefundId, UserId,
    WaitlistId, WebhookId,
};
pub use invalid::{Invalid, Violation};
pub use last_name::LastName;
pub use message::{Channel, MessageEnded, MessageKind, MessageStatus};
pub use money::{Currency, Money};
pub use order::{Order, OrderRecord, PendingChange, SEGMENTS_MAX};
pub use passenger_change::{PassengerChange, PassengerChanged, PassengerPatch};
pub use payment::{
    ATTEMPTS_MAX, DisputeStatus, NextAction, Payment, PaymentKind, PaymentMethod, PaymentNotes,
    PaymentStatus, WaitsFor,
};
pub use reference::{NoReference, Reference, ReferenceKey, References};
pub use refund::{Refund, RefundReason, RefundStatus};
pub use route::{City, DayKey, Invalidation, ScheduleZone, route_key, route_key_of};
pub use sales::{Counted, DaySales, SalesAdded, SeatsMoved, count_sales};
pub use timeline::{BookingLife, FlightMove, TimelineEvent, TimelineKind};
pub use waitlist::{EndReason, Entry, EntryStatus, WaitMode};
pub use webhook::{
    Delivery, DeliveryStatus, NewDelivery, NewWebhook, NoWebhookUrl, OldSecret, PING,
    SigningSecret, WEBHOOKS_MAX, Webhook, WebhookStatus, WebhookUrl, is_public,
};

/// An instant in UTC, to the microsecond, like the databases' instants.
pub type Timestamp = chrono::DateTime<chrono::Utc>;

/// A number of seats. A checked value is never negative; differences may be.
pub type SeatCount = i32;

#[cfg(test)]
mod tests {
    use super::{
        BookingStatus, Channel, DeliveryStatus, EndReason, EntryStatus, FailureReason,
        FlightStatus, MessageStatus, PaymentOutcome, RefundReason, RefundStatus, WaitMode,
        WebhookStatus,
    };
    use serde::Serialize;
    use std::fmt::Debug;
    use strum::VariantArray;

    fn agree<T: VariantArray + Copy + Debug + Serialize + Into<&'static str>>() {
        for value in T::VARIANTS {
            let stored: &str = (*value).into();
            assert_eq!(serde_json::to_value(value).expect("JSON"), stored, "{value:?}");
        }
    }

    #[test]
    fn a_status_has_the_same_word_on_the_wire_and_in_the_databases() {
        agree::<BookingStatus>();
        agree::<FailureReason>();
        agree::<FlightStatus>();
        agree::<PaymentOutcome>();
        agree::<RefundStatus>();
        agree::<RefundReason>();
        agree::<EntryStatus>();
        agree::<EndReason>();
        agree::<WaitMode>();
        agree::<Channel>();
        agree::<MessageStatus>();
        agree::<WebhookStatus>();
        agree::<DeliveryStatus>();
    }
}
