//! Statements whose cost must not grow with the number of rows. The benchmark explains them.

use super::roles::{bookings, maintenance, outbox};

/// Names and texts of the statements.
pub const WATCHED: [(&str, &str); 5] = [
    ("bookings_of_user", bookings::BOOKINGS_OF_USER),
    ("lapsed_holds", maintenance::LAPSED_HOLDS),
    ("unanswered_payments", maintenance::UNANSWERED_PAYMENTS),
    ("stranded_bookings", maintenance::STRANDED_BOOKINGS),
    ("outbox", outbox::NEXT),
];
