//! A user's personal data as JSON. `docs/operations.md` shows the format.

use super::rows::{Rows, Walk, load};
use crate::domain::{
    Booking, BookingId, BookingStatus, City, Currency, EndReason, Entry, EntryStatus, FlightId,
    Money, Passenger, PaymentMethod, PaymentReference, Refund, SeatCount, Timestamp, UserId,
    WaitMode, WaitlistId,
};
use crate::store::{Erasure, HeldBooking, HeldChange, HeldKey, HeldMessage, Store, StoreError};
use serde::Serialize;
use serde_json::Value;
use std::io::Write;
use std::sync::Arc;

/// Maximum keys per page.
const KEYS_PAGE: usize = 1_000;

/// Maximum entries of waiting lists per page.
const ENTRIES_PAGE: usize = 256;

/// Maximum records of erasures.
const ERASURES_MAX: usize = 10_000;

/// Writes the export, a page at a time. Returns the number of bookings.
///
/// Fails on an unreadable row: a silent gap would go unnoticed.
pub async fn export(
    store: &dyn Store,
    user: UserId,
    now: Timestamp,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<usize> {
    write!(out, "{{\"user_id\":{user},\"exported_at\":{},\n\"bookings\":[", text(&now)?)?;
    let mut walk = Walk::over(store, user);
    let mut bookings = List::default();
    loop {
        let page = walk.page().await?;
        if page.is_empty() {
            break;
        }
        let ids: Vec<BookingId> = page.iter().map(|held| held.id).collect();
        let changes = store.passenger_changes(&ids).await?;
        let messages = store.messages_held(&ids).await?;
        for (held, rows) in page.iter().zip(load(store, &page).await?) {
            let rows = rows?;
            let refunds = refunds_of(store, &rows.booking).await?;
            let changes = changes.iter().filter(|change| change.booking == held.id);
            let passenger_changes = changes.map(ExportedChange::of).collect();
            let messages = messages.iter().filter(|message| message.booking == held.id);
            let messages = messages.map(ExportedMessage::of).collect();
            let history = History { refunds, passenger_changes, messages };
            bookings.write(out, &ExportedBooking::of(held, &rows, history))?;
        }
    }
    write!(out, "\n],\n\"waitlist\":[")?;
    let (mut entries, mut after) = (List::default(), WaitlistId(i64::MIN));
    loop {
        let page = store.entries_held(user, after, ENTRIES_PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for entry in &page {
            entries.write(out, &ExportedEntry::of(entry))?;
        }
    }
    write!(out, "\n],\n\"idempotency_keys\":[")?;
    let mut keys = List::default();
    let mut last: Option<HeldKey> = None;
    loop {
        let mut page = store.keys_held(user, last.as_ref(), KEYS_PAGE).await?;
        for key in &page {
            keys.write(out, &ExportedKey::of(key))?;
        }
        last = page.pop();
        if last.is_none() {
            break;
        }
    }
    write!(out, "\n],\n\"erasures\":[")?;
    let mut erasures = List::default();
    for erasure in store.erasures_of(user, ERASURES_MAX).await? {
        erasures.write(out, &ExportedErasure::of(&erasure))?;
    }
    writeln!(out, "\n]}}")?;
    Ok(bookings.written)
}

/// The refunds of a booking; there are none before it has failed or was cancelled, in part or whole.
async fn refunds_of(store: &dyn Store, booking: &Booking) -> Result<Vec<Refund>, StoreError> {
    let is_live = matches!(booking.status, BookingStatus::Pending | BookingStatus::Completed);
    if is_live && booking.cancelled.is_empty() {
        return Ok(Vec::new());
    }
    let mut refunds =
        store.order(booking.id).await?.map(|record| record.refunds).unwrap_or_default();
    refunds.retain(|refund| refund.booking_id == booking.id);
    Ok(refunds)
}

fn text(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(value)
}

/// The items of a list, one per line.
#[derive(Default)]
struct List {
    written: usize,
}

impl List {
    fn write(&mut self, out: &mut (dyn Write + Send), item: &impl Serialize) -> anyhow::Result<()> {
        let comma = if self.written > 0 { "," } else { "" };
        write!(out, "{comma}\n{}", text(item)?)?;
        self.written += 1;
        Ok(())
    }
}

/// A booking as the API shows it, with its flight, its payment, its refunds, the earlier values of its passengers, the
/// messages about it, and the time of its erasure.
#[derive(Serialize)]
struct ExportedBooking<'a> {
    #[serde(flatten)]
    booking: &'a Booking,
    /// The passengers as stored.
    booking_metadata: Value,
    erased_at: Option<Timestamp>,
    flight: ExportedFlight<'a>,
    payment: ExportedPayment<'a>,
    #[serde(flatten)]
    history: History<'a>,
}

/// What happened to a booking.
#[derive(Serialize)]
struct History<'a> {
    refunds: Vec<Refund>,
    passenger_changes: Vec<ExportedChange>,
    messages: Vec<ExportedMessage<'a>>,
}

/// A mail or SMS about a booking.
#[derive(Serialize)]
struct ExportedMessage<'a> {
    channel: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    recipient: &'a str,
    status: &'a str,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

impl<'a> ExportedMessage<'a> {
    fn of(message: &'a HeldMessage) -> Self {
        let HeldMessage { channel, kind, recipient, status, created_at, updated_at, .. } = message;
        let (created_at, updated_at) = (*created_at, *updated_at);
        Self { channel, kind, recipient, status, created_at, updated_at }
    }
}

/// A correction of a passenger: what the fields were before.
#[derive(Serialize)]
struct ExportedChange {
    passenger: i32,
    was: Value,
    changed_at: Option<Timestamp>,
}

impl ExportedChange {
    fn of(HeldChange { place, was, changed_at, .. }: &HeldChange) -> Self {
        let was = serde_json::from_str(was).unwrap_or_else(|_| was.as_str().into());
        Self { passenger: *place, was, changed_at: *changed_at }
    }
}

#[derive(Serialize)]
struct ExportedFlight<'a> {
    flight_number: &'a Option<Arc<str>>,
    source: &'a City,
    destination: &'a City,
    timestamp: Timestamp,
    arrival_timestamp: Option<Timestamp>,
}

#[derive(Serialize)]
struct ExportedPayment<'a> {
    payment_reference_id: PaymentReference,
    amount: Money,
    currency: Currency,
    payment_method: &'a str,
    status: &'static str,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl<'a> ExportedBooking<'a> {
    fn of(held: &HeldBooking, rows: &'a Rows, history: History<'a>) -> Self {
        let Rows { booking, flight, payment } = rows;
        let stored = held.passengers.as_deref().unwrap_or("null");
        Self {
            booking,
            booking_metadata: serde_json::from_str(stored).unwrap_or_else(|_| stored.into()),
            erased_at: held.erased_at,
            flight: ExportedFlight {
                flight_number: &flight.flight_number,
                source: &flight.source,
                destination: &flight.destination,
                timestamp: flight.departs_at,
                arrival_timestamp: flight.arrives_at,
            },
            payment: ExportedPayment {
                payment_reference_id: payment.reference,
                amount: payment.amount,
                currency: payment.currency,
                payment_method: payment.method.as_str(),
                status: payment.status.as_str(),
                created_at: payment.created_at,
                updated_at: payment.updated_at,
            },
            history,
        }
    }
}

#[derive(Serialize)]
struct ExportedEntry<'a> {
    waitlist_id: WaitlistId,
    flight_id: FlightId,
    status: EntryStatus,
    reason: Option<EndReason>,
    mode: WaitMode,
    seats_booked: SeatCount,
    /// The passengers while they wait; then the booking has them.
    passengers: &'a Option<Arc<[Passenger]>>,
    payment_method: Option<&'a str>,
    payment_reference_id: PaymentReference,
    max_price: Option<Money>,
    until: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl<'a> ExportedEntry<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self {
            waitlist_id: entry.id,
            flight_id: entry.flight_id,
            status: entry.status,
            reason: entry.reason,
            mode: entry.mode,
            seats_booked: entry.seats,
            passengers: &entry.passengers,
            payment_method: entry.payment_method.as_ref().map(PaymentMethod::as_str),
            payment_reference_id: entry.payment_reference,
            max_price: entry.max_price,
            until: entry.until,
            created_at: entry.created_at,
            updated_at: entry.updated_at,
        }
    }
}

#[derive(Serialize)]
struct ExportedKey<'a> {
    route: &'a str,
    key: &'a str,
    /// The number of the booking or flight that the request created or changed.
    made: BookingId,
    created_at: Option<Timestamp>,
}

impl<'a> ExportedKey<'a> {
    fn of(key: &'a HeldKey) -> Self {
        let HeldKey { route, key, made, created_at, .. } = key;
        Self { route, key, made: BookingId(*made), created_at: *created_at }
    }
}

#[derive(Serialize)]
struct ExportedErasure {
    began_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    bookings: i64,
    idempotency_keys: i64,
    kept: Option<i64>,
}

impl ExportedErasure {
    fn of(&Erasure { began_at, ended_at, bookings, keys, kept }: &Erasure) -> Self {
        Self { began_at, ended_at, bookings, idempotency_keys: keys, kept }
    }
}
