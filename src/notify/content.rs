//! What templates are given, and the flights of a calendar: read from the rows of now.

use super::address::names;
use super::text::one_line;
use crate::domain::{
    Booking, BookingStatus, Channel, Flight, FlightId, MessageKind, OrderRecord, Passenger, Places,
    References, Refund, RefundId, ScheduleZone, Timestamp,
};
use crate::store::{Store, StoreError, TakenMessage};
use serde::Serialize;
use std::collections::HashMap;

/// How values are shown.
#[derive(Clone)]
pub struct Shown {
    /// The booking references of the database.
    pub references: References,
    /// The zone of times (`SCHEDULE_TIMEZONE`).
    pub zone: ScheduleZone,
    /// The origin of the service as travellers see it (`PUBLIC_URL`).
    pub public_url: Option<String>,
    /// `SMS_COUNTRY_CODE`.
    pub country_code: Option<String>,
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shown")
    }
}

/// What a template is given. Each text is a single line.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Content {
    /// The type of the event.
    pub(super) kind: MessageKind,
    /// The booking's reference.
    pub(super) reference: String,
    /// The passengers with this recipient.
    pub(super) names: Vec<String>,
    /// The flights that the message is about, by segment.
    pub(super) flights: Vec<ShownFlight>,
    /// Price of all of them.
    pub(super) price: String,
    /// What stays with the airline.
    pub(super) fee: String,
    pub(super) currency: String,
    /// `payment_declined`, `hold_expired` or empty.
    pub(super) failure_reason: &'static str,
    /// Until when an offer or hold stands; empty: there is none.
    pub(super) pay_by: String,
    /// The refunds of these flights.
    pub(super) refunds: Vec<ShownRefund>,
    /// The refund that the message is about.
    pub(super) refund: Option<ShownRefund>,
    /// Where the booking is found; empty: no page.
    pub(super) link: String,
}

/// A flight of a booking.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ShownFlight {
    /// Empty: it has none.
    pub(super) number: String,
    pub(super) source: String,
    pub(super) destination: String,
    pub(super) departs_at: String,
    /// Empty: not known.
    pub(super) arrives_at: String,
    /// The departure that it was sold with, if that has changed; else empty.
    pub(super) was: String,
    /// The booking's status: `completed`, `cancelled`, …
    pub(super) status: &'static str,
    pub(super) is_flight_cancelled: bool,
    pub(super) passengers: Vec<ShownPassenger>,
}

/// A passenger of a booking.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ShownPassenger {
    pub(super) name: String,
    pub(super) is_cancelled: bool,
}

/// A refund.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ShownRefund {
    pub(super) amount: String,
    /// `requested`, `done` or `failed`.
    pub(super) status: &'static str,
    pub(super) reason: &'static str,
}

impl From<&Refund> for ShownRefund {
    fn from(refund: &Refund) -> Self {
        let (amount, status) = (refund.amount.to_string(), refund.status.as_str());
        Self { amount, status, reason: refund.reason.as_str() }
    }
}

/// The rows that a message is written from.
pub(super) struct Rows {
    record: OrderRecord,
    flights: HashMap<FlightId, Flight>,
    /// The booking of the message, and its place in the order; of an order all bookings.
    whole_order: bool,
    booking: Booking,
}

impl Rows {
    /// `None`: there is no such booking.
    pub(super) async fn read(
        store: &dyn Store,
        message: &TakenMessage,
    ) -> Result<Option<Self>, StoreError> {
        let Some(record) = store.order(message.booking_id).await? else { return Ok(None) };
        let Some(booking) = record.order.booking(message.booking_id).cloned() else {
            return Ok(None);
        };
        let whole_order = message.kind.is_of_order();
        let mut rows = Self { record, flights: HashMap::new(), whole_order, booking };
        for id in rows.bookings().map(|booking| booking.flight_id).collect::<Vec<_>>() {
            if let Some(flight) = store.flight(id).await? {
                rows.flights.insert(id, flight);
            }
        }
        Ok(Some(rows))
    }

    /// The bookings that the message is about.
    fn bookings(&self) -> impl Iterator<Item = &Booking> {
        let all = self.record.order.bookings.iter();
        all.filter(|booking| self.whole_order || booking.id == self.booking.id)
    }

    /// Each of these bookings with its flight.
    pub(super) fn segments(&self) -> impl Iterator<Item = (&Booking, &Flight)> {
        self.bookings().filter_map(|booking| Some((booking, self.flights.get(&booking.flight_id)?)))
    }

    /// Whether the message has become pointless: an offer or a hold that is over.
    fn is_over(&self, kind: MessageKind) -> bool {
        kind.asks_for_payment() && self.booking.status != BookingStatus::Pending
    }

    /// What a template is given; `None`: nobody of the booking has this recipient any more, or the message is
    /// pointless by now.
    pub(super) fn content(
        &self,
        message: &TakenMessage,
        channel: Channel,
        shown: &Shown,
    ) -> Option<Content> {
        let code = shown.country_code.as_deref();
        let names = names(&self.booking, channel, code, &message.recipient);
        if names.is_empty() || self.is_over(message.kind) {
            return None;
        }
        let zero = self.booking.booking_price.less(self.booking.booking_price);
        let sum = |amount: fn(&Booking) -> crate::domain::Money| {
            self.bookings().fold(zero, |sum, booking| sum.plus(amount(booking)).unwrap_or(sum))
        };
        let refunds = || {
            let is_of = |refund: &&Refund| self.bookings().any(|its| its.id == refund.booking_id);
            self.record.refunds.iter().filter(is_of)
        };
        let refund_id: Option<RefundId> =
            message.event_id.rsplit('/').next().and_then(|id| id.parse().ok());
        let is_pending = self.booking.status == BookingStatus::Pending;
        Some(Content {
            kind: message.kind,
            reference: shown.references.of(self.record.order.id()).to_string(),
            names,
            flights: self.segments().map(|(its, flight)| shown.flight(its, flight)).collect(),
            price: sum(|booking| booking.booking_price).to_string(),
            fee: sum(|booking| booking.fee).to_string(),
            currency: self.record.order.payment.currency.to_string(),
            failure_reason: self.booking.failure_reason.map_or("", |reason| reason.as_str()),
            pay_by: if is_pending {
                shown.time(self.booking.hold_expires_at)
            } else {
                String::new()
            },
            refunds: refunds().map(Into::into).collect(),
            refund: refunds().find(|refund| Some(refund.id) == refund_id).map(Into::into),
            link: shown.public_url.clone().unwrap_or_default(),
        })
    }
}

impl Shown {
    fn time(&self, at: Timestamp) -> String {
        at.with_timezone(&self.zone.0).format("%a %-d %b %Y, %H:%M %Z").to_string()
    }

    fn flight(&self, booking: &Booking, flight: &Flight) -> ShownFlight {
        ShownFlight {
            number: flight.flight_number.as_deref().map(one_line).unwrap_or_default(),
            source: one_line(&flight.source),
            destination: one_line(&flight.destination),
            departs_at: self.time(flight.departs_at),
            arrives_at: flight.arrives_at.map(|at| self.time(at)).unwrap_or_default(),
            was: booking.was.map(|at| self.time(at)).unwrap_or_default(),
            status: booking.status.as_str(),
            is_flight_cancelled: flight.flight_status == crate::domain::FlightStatus::Cancelled,
            passengers: passengers(booking.passengers.as_deref(), &booking.cancelled),
        }
    }
}

fn passengers(all: Option<&[Passenger]>, cancelled: &Places) -> Vec<ShownPassenger> {
    let is_cancelled = |place: usize| cancelled.iter().any(|its| usize::from(*its) == place);
    let shown = |(place, passenger): (usize, &Passenger)| ShownPassenger {
        name: one_line(&passenger.name),
        is_cancelled: is_cancelled(place),
    };
    all.unwrap_or_default().iter().enumerate().map(shown).collect()
}
