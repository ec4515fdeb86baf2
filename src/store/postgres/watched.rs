//! Statements whose cost must not grow with the number of rows. A test and the benchmark explain them.

use super::roles::{
    bookings, flight_lists, maintenance, messages, operations, outbox, refunds, waitlist,
};

/// Names and texts of the statements.
pub const WATCHED: [(&str, &str); 19] = [
    ("bookings_of_user", bookings::BOOKINGS_OF_USER),
    ("bookings_of_flight", bookings::BOOKINGS_OF_FLIGHT),
    ("flights_listed", flight_lists::LISTED),
    ("flights_listed_by_status", flight_lists::LISTED_BY_STATUS),
    ("flights_listed_by_route", flight_lists::LISTED_BY_ROUTE),
    ("flights_listed_by_source", flight_lists::LISTED_BY_SOURCE),
    ("flights_listed_by_destination", flight_lists::LISTED_BY_DESTINATION),
    ("lapsed_holds", maintenance::LAPSED_HOLDS),
    ("unanswered_payments", maintenance::UNANSWERED_PAYMENTS),
    ("stranded_bookings", maintenance::STRANDED_BOOKINGS),
    ("outbox", outbox::NEXT),
    ("unanswered_refunds", refunds::UNANSWERED),
    ("backlog", maintenance::BACKLOG),
    ("count_seats", operations::COUNT_SEATS),
    ("compare_payments", operations::COMPARE_PAYMENTS),
    ("unserved_lines", operations::UNSERVED_LINES),
    ("lines_to_serve", waitlist::LINES_TO_SERVE),
    ("entries_wanted", super::batch::waitlist::ENTRIES),
    ("take_message", messages::TAKE),
];
