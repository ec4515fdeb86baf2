//! What to cancel of an order.

use super::super::ending::Ending;
use crate::domain::{Booking, BookingId, Invalid, Places};
use crate::rules::Refusal;
use smallvec::SmallVec;

/// What to cancel of an order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderPart {
    /// The segments.
    pub segments: Segments,
    /// Places of passengers, from 0; `None`: all.
    pub passengers: Option<Places>,
}

/// Segments of an order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Segments {
    /// That of the booking that the command names.
    #[default]
    Own,
    /// All.
    All,
    /// These, from 1.
    Only(SmallVec<[i32; 8]>),
}

impl OrderPart {
    /// Broken rules are added at `/segments/N` and `/passengers/N`.
    pub(super) fn check(&self, end: &Ending<'_>) -> Result<(), Refusal> {
        let mut invalid = Invalid::default();
        let (segments, party) = (end.first().segments, end.first().party_size());
        if let Segments::Only(named) = &self.segments {
            for (at, segment) in named.iter().enumerate() {
                if !(1..=segments).contains(segment) {
                    invalid.add(format!("/segments/{at}"), format!("must be 1 to {segments}"));
                }
            }
        }
        for (at, place) in self.passengers.iter().flatten().enumerate() {
            if usize::from(*place) >= party {
                invalid.add(format!("/passengers/{at}"), format!("must be 0 to {}", party - 1));
            }
        }
        invalid.or(()).map_err(Refusal::Invalid)
    }

    pub(super) fn has_segment(&self, booking: &Booking, own: BookingId) -> bool {
        match &self.segments {
            Segments::Own => booking.id == own,
            Segments::All => true,
            Segments::Only(segments) => segments.contains(&booking.segment),
        }
    }

    fn has_passenger(&self, place: u16) -> bool {
        self.passengers.as_ref().is_none_or(|places| places.contains(&place))
    }

    /// Whether it is all of an order.
    pub(super) fn is_all(&self, end: &Ending<'_>, own: BookingId) -> bool {
        end.bookings.iter().all(|booking| self.has_segment(booking, own))
            && (0..end.first().party_size()).all(|place| self.has_passenger(place as u16))
    }

    /// The passengers of a booking to cancel, without those cancelled before.
    pub(super) fn places_of(&self, booking: &Booking) -> Places {
        let all = 0..booking.party_size() as u16;
        all.filter(|place| self.has_passenger(*place) && !booking.cancelled.contains(place))
            .collect()
    }
}
