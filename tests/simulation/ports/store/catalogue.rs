//! Flights.

use super::super::rows::Rows;
use super::SimStore;
use airline_booking::domain::{
    Currency, DayKey, FareRules, Flight, FlightId, NewFlight, Timestamp, city_key, route_key,
};
use airline_booking::rules::{Claim, RequestKey};
use airline_booking::store::{
    Catalogue, FlightFilter, FlightPlace, Numbered, OTHERS_MAX, RouteSpan, StoreError,
};
use async_trait::async_trait;

#[async_trait]
impl Catalogue for SimStore {
    async fn fare_rules(
        &self,
        name: &str,
        _currency: Currency,
    ) -> Result<Option<FareRules>, StoreError> {
        self.read(|rows| rows.fare_rules(name)).await
    }

    async fn put_fare_rules(&self, rules: &FareRules, now: Timestamp) -> Result<bool, StoreError> {
        let rules = rules.clone();
        self.write(move |rows| rows.put_fare_rules(rules, now)).await
    }

    async fn create_flight(
        &self,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Flight, StoreError> {
        let day = day.clone();
        self.write(move |rows| rows.create_flight(flight, &day, currency, now)).await
    }

    async fn create_flight_once(
        &self,
        request: &RequestKey,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Claim<Flight>, StoreError> {
        let (request, day) = (request.clone(), day.clone());
        self.write(move |rows| rows.create_flight_once(&request, flight, &day, currency, now)).await
    }

    async fn import_flights(
        &self,
        flights: &[NewFlight],
        currency: Currency,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let flights = flights.to_vec();
        self.write(move |rows| rows.import(&flights, currency, now)).await
    }

    async fn flight(&self, id: FlightId) -> Result<Option<Flight>, StoreError> {
        self.read(|rows| rows.flights.get(&id).cloned()).await
    }

    async fn search(
        &self,
        route: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Flight>, StoreError> {
        let is_found = |flight: &&Flight| {
            route_key(&flight.source, &flight.destination) == route
                && (from..until).contains(&flight.departs_at)
                && flight.flight_status.is_for_sale()
                && flight.free_seats() > 0
        };
        let mut found: Vec<Flight> =
            self.read(|rows| rows.flights.values().filter(is_found).cloned().collect()).await?;
        found.sort_by_key(|flight| (flight.departs_at, flight.id));
        Ok(found)
    }

    async fn search_all(
        &self,
        route: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Flight>, StoreError> {
        let is_found = |flight: &&Flight| {
            route_key(&flight.source, &flight.destination) == route
                && (from..until).contains(&flight.departs_at)
                && flight.flight_status.is_for_sale()
        };
        let mut found: Vec<Flight> =
            self.read(|rows| rows.flights.values().filter(is_found).cloned().collect()).await?;
        found.sort_by_key(|flight| (flight.departs_at, flight.id));
        Ok(found)
    }

    async fn on_sale(&self, from: Timestamp, until: Timestamp) -> Result<Vec<Flight>, StoreError> {
        let is_found = |flight: &&Flight| {
            (from..until).contains(&flight.departs_at) && flight.flight_status.is_for_sale()
        };
        let mut found: Vec<Flight> =
            self.read(|rows| rows.flights.values().filter(is_found).cloned().collect()).await?;
        found.sort_by_key(|flight| (flight.departs_at, flight.id));
        Ok(found)
    }

    async fn flights(
        &self,
        filter: &FlightFilter,
        after: Option<FlightPlace>,
        limit: usize,
    ) -> Result<Vec<Flight>, StoreError> {
        let place = |flight: &Flight| FlightPlace { departs_at: flight.departs_at, id: flight.id };
        let is_city = |asked: &Option<String>, city: &str| {
            asked.as_ref().is_none_or(|key| *key == city_key(city))
        };
        let is_listed = |flight: &&Flight| {
            let departs = flight.departs_at;
            filter.departs.is_none_or(|(from, until)| (from..until).contains(&departs))
                && is_city(&filter.source, &flight.source)
                && is_city(&filter.destination, &flight.destination)
                && filter.status.is_none_or(|status| flight.flight_status == status)
                && after.is_none_or(|after| place(flight) > after)
        };
        let mut found: Vec<Flight> =
            self.read(|rows| rows.flights.values().filter(is_listed).cloned().collect()).await?;
        found.sort_by_key(place);
        found.truncate(limit);
        Ok(found)
    }

    async fn departures(&self, spans: &[RouteSpan]) -> Result<Vec<Flight>, StoreError> {
        let is_in = |flight: &&Flight| {
            let route = route_key(&flight.source, &flight.destination);
            spans.iter().any(|span| {
                span.route == route && (span.from..span.until).contains(&flight.departs_at)
            })
        };
        self.read(|rows| rows.flights.values().filter(is_in).cloned().collect()).await
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        self.read(|rows| rows.flights.is_empty()).await
    }

    async fn numbered(&self, numbers: &[String]) -> Result<Numbered, StoreError> {
        let is_named = |flight: &&Flight| {
            flight.flight_number.as_ref().is_some_and(|n| numbers.iter().any(|own| **own == **n))
        };
        let compare = |rows: &Rows| {
            let named = rows.flights.values().filter(is_named);
            let newest = named.clone().map(|flight| flight.created_at).max();
            let others = (rows.flights.len() - named.count()) as i64;
            let newest = newest.filter(|_| others < OTHERS_MAX);
            Numbered { others: others.min(OTHERS_MAX), newest }
        };
        self.read(compare).await
    }
}
