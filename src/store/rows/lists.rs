//! Lists: pages of rows in an order that does not change, and which flights a list shows.

use super::micros;
use crate::domain::{FlightStatus, route_key_of};
use crate::store::{FlightFilter, FlightPlace, StoreError};
use std::future::Future;

/// The rows of one statement of a list.
pub(in crate::store) struct ListRows<T, P> {
    /// The readable ones.
    pub(in crate::store) readable: Vec<T>,
    /// Number of rows, the unreadable ones among them.
    pub(in crate::store) rows: usize,
    /// Place of the last row.
    pub(in crate::store) last: Option<P>,
}

/// Up to `limit` readable rows. `read` reads up to `limit` rows beyond a place; further reads take the place of
/// unreadable rows.
pub(in crate::store) async fn readable_list<T, P, F>(
    from: P,
    limit: usize,
    read: impl Fn(P) -> F,
) -> Result<Vec<T>, StoreError>
where
    F: Future<Output = Result<ListRows<T, P>, StoreError>>,
{
    let (mut from, mut found) = (from, Vec::new());
    loop {
        let ListRows { readable, rows, last } = read(from).await?;
        found.extend(readable);
        found.truncate(limit);
        let is_last = rows < limit || found.len() >= limit;
        let Some(last) = last.filter(|_| !is_last) else { return Ok(found) };
        from = last;
    }
}

/// The departures that a list without a day shows, in microseconds: from before any calendar to the year 75041,
/// which both databases and a cursor can hold.
const ALL_DEPARTURES: (i64, i64) = (-(1 << 57), 1 << 61);

/// The index by which a list of flights is read, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum FlightsBy {
    Departure,
    Status,
    Route,
    Source,
    Destination,
}

/// The parameters of a list of flights.
pub(in crate::store) struct FlightsListed {
    pub(in crate::store) by: FlightsBy,
    /// The key of the route or the city.
    pub(in crate::store) key: Option<String>,
    /// Flights stand after this departure, in microseconds, and id.
    pub(in crate::store) from: (i64, i64),
    /// Flights depart before it, in microseconds.
    pub(in crate::store) until: i64,
    pub(in crate::store) status: Option<&'static str>,
}

impl FlightsListed {
    /// The flights that a filter lets through, after a place.
    pub(in crate::store) fn of(filter: &FlightFilter, after: Option<FlightPlace>) -> Self {
        let FlightFilter { departs, source, destination, status } = filter;
        let (by, key) = match (source, destination, status) {
            (Some(source), Some(destination), _) => {
                (FlightsBy::Route, Some(route_key_of(source, destination)))
            }
            (Some(source), None, _) => (FlightsBy::Source, Some(source.clone())),
            (None, Some(destination), _) => (FlightsBy::Destination, Some(destination.clone())),
            (None, None, Some(_)) => (FlightsBy::Status, None),
            (None, None, None) => (FlightsBy::Departure, None),
        };
        let span = departs.map(|(from, until)| (micros(from), micros(until)));
        let (from, until) = span.unwrap_or(ALL_DEPARTURES);
        let after = after.map(|place| (micros(place.departs_at), place.id.0));
        // A place before the first departure is one of another list.
        let from = after.map_or((from, i64::MIN), |after| after.max((from, i64::MIN)));
        Self { by, key, from, until, status: status.map(FlightStatus::as_str) }
    }
}
