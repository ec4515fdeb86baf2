//! The lowest price of each day of a month, for direct flights.

use super::Search;
use crate::domain::{Currency, Money, SeatCount};
use crate::engine::Error;
use chrono::{Months, NaiveDate};
use serde::Serialize;

/// The days of a month.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Calendar {
    /// Every day of the month, in order.
    pub days: Vec<CalendarDay>,
    /// The currency of all prices.
    #[schema(value_type = String, example = "INR")]
    pub currency: Currency,
}

/// A day of a month.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CalendarDay {
    /// The day, in `SCHEDULE_TIMEZONE`.
    pub date: NaiveDate,
    /// Lowest price of a seat; `null` if no flight has the seats.
    pub price: Option<Money>,
    /// Number of direct flights that have the seats.
    pub flights: usize,
}

impl Search {
    /// The days of the month that begins on `first`. Counts flights of a route that are open, have `seats`
    /// free and are priced in `currency`. Read from the store, not cached.
    pub async fn calendar(
        &self,
        route: &str,
        first: NaiveDate,
        seats: SeatCount,
        currency: Currency,
    ) -> Result<Calendar, Error> {
        let zone = self.settings.zone;
        let last = first.checked_add_months(Months::new(1)).and_then(|next| next.pred_opt());
        let last = last.unwrap_or(first);
        let (from, until) = (zone.bounds(first).0, zone.bounds(last).1);
        let flights = self.store.search(route, from, until).await?;
        let day = |date| CalendarDay { date, price: None, flights: 0 };
        let mut days: Vec<_> =
            first.iter_days().take_while(|date| *date <= last).map(day).collect();
        let (now, closes_before) = (self.clock.now(), self.settings.closes_before);
        for flight in flights {
            let is_listed = flight.is_bookable(now, closes_before)
                && flight.free_seats() >= seats
                && flight.currency == currency;
            let since = (zone.day_of(flight.departs_at) - first).num_days();
            let day = usize::try_from(since).ok().and_then(|since| days.get_mut(since));
            if let Some(day) = day.filter(|_| is_listed) {
                day.flights += 1;
                let lowest = day.price.map_or(flight.price, |price| price.min(flight.price));
                day.price = Some(lowest);
            }
        }
        Ok(Calendar { days, currency })
    }
}
