//! Statements whose cost must not grow with the number of rows. A test and the benchmark explain them.

use super::roles::{bookings, maintenance, operations, outbox, refunds};

/// Names and texts of the statements.
pub const WATCHED: [(&str, &str); 9] = [
    ("bookings_of_user", bookings::BOOKINGS_OF_USER),
    ("lapsed_holds", maintenance::LAPSED_HOLDS),
    ("unanswered_payments", maintenance::UNANSWERED_PAYMENTS),
    ("stranded_bookings", maintenance::STRANDED_BOOKINGS),
    ("outbox", outbox::NEXT),
    ("unanswered_refunds", refunds::UNANSWERED),
    ("backlog", maintenance::BACKLOG),
    ("count_seats", operations::COUNT_SEATS),
    ("compare_payments", operations::COMPARE_PAYMENTS),
];
