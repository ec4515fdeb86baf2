//! A flight's sales by day, and which movements of its seats are counted in them.

use super::{BookingId, FlightId, SeatCount, Timestamp};
use chrono::NaiveDate;
use serde::Serialize;
use std::collections::BTreeMap;

/// Maximum versions of a flight that are kept as counted. Movements come in the order of the versions, so that a
/// later one than this many is a repeat.
const VERSIONS_MAX: usize = 128;

/// What a flight sold on a day, and what came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DaySales {
    /// The day, in the time zone of schedules.
    #[schema(value_type = String, format = Date)]
    pub date: NaiveDate,
    /// Seats sold on it.
    #[schema(minimum = 0)]
    pub sold: i64,
    /// Seats given back on it: cancelled, or moved to another flight.
    #[schema(minimum = 0)]
    pub returned: i64,
}

/// A movement of a flight's seats: sold, or below zero given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeatsMoved {
    /// The flight.
    pub flight_id: FlightId,
    /// The flight's version afterwards. It names the movement: each version moves seats once at most.
    pub version: i64,
    /// The seats.
    pub seats: SeatCount,
    /// The booking that took them or gave them back.
    pub booking_id: BookingId,
    /// When it happened.
    pub at: Timestamp,
}

/// Which movements of a flight's seats are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The flight's version of now. No movement of ours has a later one.
    pub latest: i64,
    /// Each movement up to this version is counted.
    pub up_to: i64,
    /// The later versions that are counted, ascending.
    pub versions: Vec<i64>,
}

impl Counted {
    /// Notes a movement's version. Returns whether it is to be counted now.
    fn note(&mut self, version: i64) -> bool {
        if version <= self.up_to || version > self.latest {
            return false;
        }
        match self.versions.binary_search(&version) {
            Ok(_) => false,
            Err(place) => {
                self.versions.insert(place, version);
                true
            }
        }
    }

    /// Keeps the latest [`VERSIONS_MAX`] versions.
    fn shorten(&mut self) {
        let beyond = self.versions.len().saturating_sub(VERSIONS_MAX);
        if let Some(last) = self.versions.drain(..beyond).next_back() {
            self.up_to = last;
        }
    }
}

/// What a batch of movements adds: seats sold and given back, by flight and day.
pub type SalesAdded = BTreeMap<(FlightId, NaiveDate), (i64, i64)>;

/// Counts each movement that is not counted yet, whatever the order in which they come and however often. Movements of
/// flights that are not in `counted` are left out.
pub fn count_sales(
    moved: &[(SeatsMoved, NaiveDate)],
    counted: &mut BTreeMap<FlightId, Counted>,
) -> SalesAdded {
    let mut added = SalesAdded::new();
    for (moved, day) in moved {
        let counted = counted.get_mut(&moved.flight_id);
        if !counted.is_some_and(|counted| counted.note(moved.version)) {
            continue;
        }
        let (sold, returned) = added.entry((moved.flight_id, *day)).or_default();
        let seats = i64::from(moved.seats);
        *sold += seats.max(0);
        *returned += (-seats).max(0);
    }
    counted.values_mut().for_each(Counted::shorten);
    added
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FLIGHT: FlightId = FlightId(1);

    fn moved(version: i64, seats: SeatCount) -> (SeatsMoved, NaiveDate) {
        let day = NaiveDate::from_ymd_opt(2025, 1, 1 + (version % 3) as u32).expect("a date");
        let at = Timestamp::UNIX_EPOCH;
        (SeatsMoved { flight_id: FLIGHT, version, seats, booking_id: BookingId(version), at }, day)
    }

    fn none(latest: i64) -> BTreeMap<FlightId, Counted> {
        BTreeMap::from([(FLIGHT, Counted { latest, up_to: 0, versions: Vec::new() })])
    }

    fn sum(all: impl IntoIterator<Item = SalesAdded>) -> SalesAdded {
        let mut sum = SalesAdded::new();
        for (key, (sold, returned)) in all.into_iter().flatten() {
            let entry = sum.entry(key).or_default();
            *entry = (entry.0 + sold, entry.1 + returned);
        }
        sum
    }

    proptest! {
        #[test]
        fn each_movement_counts_once_however_often_and_in_whatever_order_it_comes(
            seats in prop::collection::vec(prop::sample::select(vec![-3, -1, 1, 2, 9]), 1..100),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..300),
            size in 1..40_usize,
        ) {
            let all: Vec<_> = (1..).zip(&seats).map(|(version, seats)| moved(version, *seats)).collect();
            let latest = all.len() as i64;
            let once = count_sales(&all, &mut none(latest));
            let mut mixed: Vec<_> = order.iter().map(|index| *index.get(&all)).collect();
            mixed.extend(all.iter().rev().chain(&all));
            let mut counted = none(latest);
            let parts: Vec<_> =
                mixed.chunks(size).map(|part| count_sales(part, &mut counted)).collect();
            prop_assert_eq!(sum(parts), once);
        }
    }

    #[test]
    fn many_movements_in_order_count_once_and_keep_few_versions() {
        let all: Vec<_> = (1..=1_000).map(|version| moved(version, 1)).collect();
        let mut counted = none(1_000);
        let mut parts = Vec::new();
        for part in all.chunks(10) {
            parts.push(count_sales(part, &mut counted));
            assert!(count_sales(part, &mut counted).is_empty());
        }
        parts.push(count_sales(&all, &mut counted));
        assert_eq!(sum(parts).values().map(|(sold, _)| sold).sum::<i64>(), 1_000);
        let counted = &counted[&FLIGHT];
        assert_eq!((counted.up_to, counted.versions.len()), (872, VERSIONS_MAX));
    }

    #[test]
    fn movements_of_unknown_flights_and_of_versions_to_come_are_left_out() {
        let mut counted = none(5);
        let elsewhere = (SeatsMoved { flight_id: FlightId(2), ..moved(1, 1).0 }, moved(1, 1).1);
        let added = count_sales(&[moved(6, 1), elsewhere, moved(0, 1)], &mut counted);
        assert!(added.is_empty(), "{added:?}");
        assert_eq!(counted, none(5));
    }
}
