//! Pages of a user's bookings.

use crate::domain::{Booking, BookingId, Flight, Payment, UserId};
use crate::rules::{State, Wanted};
use crate::store::{Commits, HeldBooking, PersonalData, StoreError};

/// Maximum bookings per page: held in memory at once, and erased in one transaction.
pub(super) const PAGE: usize = 256;

/// A walk over a user's bookings, by number.
pub(super) struct Walk<'a> {
    store: &'a dyn PersonalData,
    user: UserId,
    after: BookingId,
}

impl<'a> Walk<'a> {
    pub(super) fn over(store: &'a dyn PersonalData, user: UserId) -> Self {
        Self { store, user, after: BookingId(i64::MIN) }
    }

    /// The next page; empty after the last one.
    pub(super) async fn page(&mut self) -> Result<Vec<HeldBooking>, StoreError> {
        let page = self.store.bookings_held(self.user, self.after, PAGE).await?;
        if let Some(last) = page.last() {
            self.after = last.id;
        }
        Ok(page)
    }
}

/// The rows of a page's bookings, in its order. Each booking has its own outcome: an unreadable row does not
/// affect the others.
pub(super) async fn load(
    store: &dyn Commits,
    page: &[HeldBooking],
) -> Result<Vec<Result<Rows, StoreError>>, StoreError> {
    match load_together(store, page).await {
        Ok(state) => Ok(page.iter().map(|held| Rows::of(&state, held)).collect()),
        Err(away @ StoreError::Unavailable(_)) => Err(away),
        Err(_) => {
            let mut rows = Vec::with_capacity(page.len());
            for held in page {
                let state = load_together(store, std::slice::from_ref(held)).await;
                rows.push(state.and_then(|state| Rows::of(&state, held)));
            }
            Ok(rows)
        }
    }
}

async fn load_together(store: &dyn Commits, page: &[HeldBooking]) -> Result<State, StoreError> {
    let wanted = Wanted {
        flights: page.iter().map(|held| held.flight_id).collect(),
        bookings: page.iter().map(|held| held.id).collect(),
        ..Wanted::default()
    };
    store.load(&wanted).await
}

/// A booking without its passengers, its flight and its payment.
pub(super) struct Rows {
    pub(super) booking: Booking,
    pub(super) flight: Flight,
    pub(super) payment: Payment,
}

impl Rows {
    fn of(state: &State, held: &HeldBooking) -> Result<Self, StoreError> {
        let found = || {
            let booking = state.bookings.get(&held.id)?.clone();
            let flight = state.flights.get(&held.flight_id)?.clone();
            let payment = state.last_attempt(booking.payment_reference)?.clone();
            Some(Self { booking, flight, payment })
        };
        found().ok_or_else(|| StoreError::Corrupt {
            table: "bookings",
            column: "payment_reference_id",
            row: held.id.to_string(),
        })
    }
}
