//! The manifest as CSV, a line a passenger.

use super::body::ShownBooking;
use crate::domain::Passenger;
use crate::http::wire::table::Table;

/// The columns: first those of the booking, then those of the passenger, and the booking's reference.
const COLUMNS: [&str; 12] = [
    "booking_id",
    "itinerary_id",
    "segment",
    "status",
    "passenger",
    "name",
    "email",
    "phone",
    "age",
    "gender",
    "passenger_status",
    "reference",
];

/// The passengers of these bookings, after a line with the names of the columns.
///
/// A booking without passengers, which an earlier service may have made, has a line without one.
pub(super) fn lines(bookings: &[ShownBooking]) -> String {
    let mut lines = Table::default();
    lines.line(COLUMNS);
    for booking in bookings {
        let passengers = booking.booking.passengers.as_deref().unwrap_or_default();
        if passengers.is_empty() {
            lines.line(line(booking, None));
        }
        for passenger in passengers.iter().enumerate() {
            lines.line(line(booking, Some(passenger)));
        }
    }
    lines.text()
}

/// The cells of a passenger at its place in a booking.
fn line(shown: &ShownBooking, passenger: Option<(usize, &Passenger)>) -> [String; COLUMNS.len()] {
    let [place, name, email, phone, age, gender, status] = passenger.map(cells).unwrap_or_default();
    let ShownBooking { booking, reference } = shown;
    let (id, order) = (booking.id.to_string(), booking.order_id.to_string());
    let reference = reference.to_string();
    let (segment, booked) = (booking.segment.to_string(), booking.status.as_str().to_owned());
    [id, order, segment, booked, place, name, email, phone, age, gender, status, reference]
}

/// A passenger's own cells.
fn cells((place, passenger): (usize, &Passenger)) -> [String; 7] {
    let Passenger { name, email, phone, age, gender, status } = passenger.clone();
    let status = status.map(|status| status.as_str().to_owned()).unwrap_or_default();
    [place.to_string(), name, email, phone, age.to_string(), gender, status]
}
