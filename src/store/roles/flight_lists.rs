//! Which flights a list of the role [`Catalogue`](super::catalogue::Catalogue) shows, and in which order.

use crate::domain::{FlightId, FlightStatus, Timestamp};

/// Which flights a list shows; the default shows all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlightFilter {
    /// Departures in `[from, until)`.
    pub departs: Option<(Timestamp, Timestamp)>,
    /// From this city, as by [`crate::domain::city_key`].
    pub source: Option<String>,
    /// To this city, as by [`crate::domain::city_key`].
    pub destination: Option<String>,
    /// Of this status.
    pub status: Option<FlightStatus>,
}

/// A flight's place in a list. Places are in the list's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlightPlace {
    /// Its departure.
    pub departs_at: Timestamp,
    /// Its id.
    pub id: FlightId,
}
