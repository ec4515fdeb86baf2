//! Flights: creation, import, search.

use super::flight_lists::page;
use super::outbox::{insert_invalidation, insert_outbox};
use crate::domain::{
    Currency, DayKey, FareRules, Flight, FlightId, Invalidation, NewFlight, Timestamp, route_key,
};
use crate::rules::{Claim, RequestKey, RequestRecord};
use crate::store::postgres::PostgresStore;
use crate::store::postgres::batch::request_keys;
use crate::store::postgres::columns::flight_columns;
use crate::store::postgres::connection::advisory_locks::{
    AdvisoryLock, for_whole_tables, take_lock,
};
use crate::store::postgres::connection::transaction::begin;
use crate::store::roles::outbox;
use crate::store::rows::fares::{fare_rules, shipped_version};
use crate::store::rows::lists::{FlightsListed, readable_list};
use crate::store::rows::request_keys::claim;
use crate::store::rows::sql::{self, flight_by_id, json, put_fare_rules};
use crate::store::rows::unreadable::Unreadable;
use crate::store::rows::{FlightRow, all, instant, micros, read};
use crate::store::{
    Catalogue, FlightFilter, FlightPlace, Numbered, OTHERS_MAX, RouteSpan, StoreError,
};
use async_trait::async_trait;
use sqlx::{PgConnection, PgPool};
use std::collections::{BTreeSet, HashSet};

/// Maximum flights in one statement of an import.
const IMPORT_ROWS: usize = 10_000;

/// Inserts flights, which come as one array per column. With `$13` it also inserts those that are stored
/// already.
const INSERT_NEW: &str = "
INSERT INTO flights (flight_number, source, destination, route, timestamp, arrival_timestamp,
       available_seats, blocked_seats, total_seats, flight_status, price, taxes, currency, version,
       created_at, updated_at, fare_rules)
SELECT c.flight_number, c.source, c.destination, c.route, instant(c.departs), instant(c.arrives),
       c.available, c.total - c.available, c.total, c.status, major(c.price), major(c.taxes), $11, 1,
       instant($12), instant($12), c.fare_rules
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
              $7::int[], $8::int[], $9::text[], $10::bigint[], $14::bigint[], $15::text[])
       WITH ORDINALITY AS c (flight_number, source, destination, route, departs, arrives,
                             available, total, status, price, taxes, fare_rules, position)
 WHERE $13 OR NOT EXISTS (
       SELECT 1 FROM flights AS f
        WHERE f.route = c.route AND f.timestamp = instant(c.departs)
          AND upper(replace(replace(f.flight_number, ' ', ''), '-', '') COLLATE \"C\")
              IS NOT DISTINCT FROM c.flight_number)
 ORDER BY c.position
RETURNING id";

const SEARCH: &str = concat!(
    "SELECT ",
    flight_columns!(),
    " FROM flights
       WHERE route = $1 AND flights.timestamp >= instant($2) AND flights.timestamp < instant($3)
         AND flight_status IN ('scheduled', 'on_time', 'delayed')
         AND available_seats > held_seats
       ORDER BY flights.timestamp, id"
);

const FARE_RULES: &str = "
SELECT name, version, rows, micros(created_at) FROM fare_rules
 WHERE name = $1 ORDER BY version DESC LIMIT 1";

const SEARCH_ALL: &str = concat!(
    "SELECT ",
    flight_columns!(),
    " FROM flights
       WHERE route = $1 AND flights.timestamp >= instant($2) AND flights.timestamp < instant($3)
         AND flight_status IN ('scheduled', 'on_time', 'delayed')
       ORDER BY flights.timestamp, id"
);

const ON_SALE: &str = concat!(
    "SELECT ",
    flight_columns!(),
    " FROM flights
       WHERE flights.timestamp >= instant($1) AND flights.timestamp < instant($2)
         AND flight_status IN ('scheduled', 'on_time', 'delayed')
       ORDER BY flights.timestamp, id"
);

const DEPARTURES: &str = concat!(
    "SELECT ",
    flight_columns!(),
    " FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS s (on_route, earliest, latest)
       JOIN flights ON route = on_route AND flights.timestamp >= instant(earliest)
                   AND flights.timestamp < instant(latest)"
);

const NUMBERED_OTHERWISE: &str = "
SELECT count(*) FROM (
    SELECT 1 FROM flights WHERE (flight_number = ANY($1)) IS NOT TRUE LIMIT $2) AS others";

const NEWEST_NUMBERED: &str = "
SELECT micros(max(created_at)) FROM flights
 WHERE flight_number = ANY($1) AND isfinite(created_at)";

#[async_trait]
impl Catalogue for PostgresStore {
    async fn fare_rules(
        &self,
        name: &str,
        currency: Currency,
    ) -> Result<Option<FareRules>, StoreError> {
        let last = sqlx::query_as(FARE_RULES).bind(name);
        let row = self.guard.bound(last.fetch_optional(&self.primary)).await?;
        Ok(row.map(|row| fare_rules(row, currency)).transpose()?.map(|(_, rules)| rules))
    }

    async fn put_fare_rules(&self, rules: &FareRules, now: Timestamp) -> Result<bool, StoreError> {
        let put = sqlx::query(put_fare_rules!("instant($4)", "last.at + interval '1 microsecond'"))
            .bind(&*rules.name)
            .bind(rules.version)
            .bind(json(&rules.rows))
            .bind(micros(now))
            .bind(shipped_version(rules));
        Ok(self.guard.bound(put.execute(&self.primary)).await?.rows_affected() > 0)
    }

    async fn create_flight(
        &self,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Flight, StoreError> {
        self.guard.bound(create(&self.primary, flight, day, currency, now)).await
    }

    async fn create_flight_once(
        &self,
        request: &RequestKey,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Claim<Flight>, StoreError> {
        let created = create_once(&self.primary, request, flight, day, currency, now);
        self.guard.bound(created).await
    }

    async fn import_flights(
        &self,
        flights: &[NewFlight],
        currency: Currency,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let created = import(&self.primary, flights, currency, now).await?;
        if created > 0 {
            // Otherwise sessions would keep plans made for the smaller table.
            self.analyze_outgrown().await?;
        }
        Ok(created)
    }

    async fn flight(&self, id: FlightId) -> Result<Option<Flight>, StoreError> {
        let flight = sqlx::query(flight_by_id!(flight_columns!())).bind(id.0);
        let row = self.guard.bound(flight.fetch_optional(&self.primary)).await?;
        row.as_ref().map(read::<FlightRow, Flight, _>).transpose()
    }

    async fn search(
        &self,
        route: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Flight>, StoreError> {
        let on_replica = self.reader.search(&self.guard, &self.unreadable, route, from, until);
        if let Some(found) = on_replica.await {
            return Ok(found);
        }
        self.guard.bound(search(&self.primary, &self.unreadable, route, from, until)).await
    }

    async fn search_all(
        &self,
        route: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Flight>, StoreError> {
        let found = sqlx::query(SEARCH_ALL).bind(route).bind(micros(from)).bind(micros(until));
        let rows = self.guard.bound(found.fetch_all(&self.primary)).await?;
        Ok(self.unreadable.readable::<FlightRow, _, _>(&rows))
    }

    async fn on_sale(&self, from: Timestamp, until: Timestamp) -> Result<Vec<Flight>, StoreError> {
        let on_sale = sqlx::query(ON_SALE).bind(micros(from)).bind(micros(until));
        let rows = self.guard.bound(on_sale.fetch_all(&self.primary)).await?;
        Ok(self.unreadable.readable::<FlightRow, _, _>(&rows))
    }

    async fn flights(
        &self,
        filter: &FlightFilter,
        after: Option<FlightPlace>,
        limit: usize,
    ) -> Result<Vec<Flight>, StoreError> {
        let listed = FlightsListed::of(filter, after);
        let read = |from| page(&self.primary, &self.unreadable, &listed, from, limit);
        self.guard.bound(readable_list(listed.from, limit, read)).await
    }

    async fn departures(&self, spans: &[RouteSpan]) -> Result<Vec<Flight>, StoreError> {
        let departures = sqlx::query_as(DEPARTURES)
            .bind(spans.iter().map(|span| span.route.as_str()).collect::<Vec<_>>())
            .bind(spans.iter().map(|span| micros(span.from)).collect::<Vec<_>>())
            .bind(spans.iter().map(|span| micros(span.until)).collect::<Vec<_>>());
        let rows: Vec<FlightRow> = self.guard.bound(departures.fetch_all(&self.primary)).await?;
        all(rows)
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        self.guard.bound(sqlx::query_scalar(sql::IS_EMPTY).fetch_one(&self.primary)).await
    }

    async fn numbered(&self, numbers: &[String]) -> Result<Numbered, StoreError> {
        let others = sqlx::query_scalar(NUMBERED_OTHERWISE).bind(numbers).bind(OTHERS_MAX);
        let others = self.guard.bound(others.fetch_one(&self.primary)).await?;
        if others >= OTHERS_MAX {
            return Ok(Numbered { others, newest: None });
        }
        let newest = sqlx::query_scalar(NEWEST_NUMBERED).bind(numbers);
        let newest: Option<i64> = self.guard.bound(newest.fetch_one(&self.primary)).await?;
        Ok(Numbered { others, newest: newest.and_then(instant) })
    }
}

/// Searches the primary or the replica.
pub(in crate::store) async fn search(
    pool: &PgPool,
    unreadable: &Unreadable,
    route: &str,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<Flight>, StoreError> {
    let found = sqlx::query(SEARCH).bind(route).bind(micros(from)).bind(micros(until));
    let rows = found.fetch_all(pool).await?;
    Ok(unreadable.readable::<FlightRow, _, _>(&rows))
}

/// Inserts flights. Returns the ids of the new ones.
async fn insert(
    connection: &mut PgConnection,
    flights: &[&NewFlight],
    currency: Currency,
    now: Timestamp,
    even_if_stored: bool,
) -> Result<Vec<i64>, StoreError> {
    fn column<'a, T>(flights: &[&'a NewFlight], of: impl Fn(&'a NewFlight) -> T) -> Vec<T> {
        flights.iter().map(|flight| of(flight)).collect()
    }
    sqlx::query_scalar(INSERT_NEW)
        .bind(column(flights, |f| f.flight_number.as_deref()))
        .bind(column(flights, |f| &*f.source))
        .bind(column(flights, |f| &*f.destination))
        .bind(column(flights, |f| route_key(&f.source, &f.destination)))
        .bind(column(flights, |f| micros(f.departs_at)))
        .bind(column(flights, |f| f.arrives_at.map(micros)))
        .bind(column(flights, |f| f.available_seats))
        .bind(column(flights, |f| f.total_seats))
        .bind(column(flights, |f| f.flight_status.as_str()))
        .bind(column(flights, |f| f.price.stored()))
        .bind(currency.as_str())
        .bind(micros(now))
        .bind(even_if_stored)
        .bind(column(flights, |f| f.taxes.stored()))
        .bind(column(flights, |f| f.fare_rules.stored()))
        .fetch_all(connection)
        .await
        .map_err(StoreError::from)
}

async fn create(
    pool: &PgPool,
    flight: NewFlight,
    day: &DayKey,
    currency: Currency,
    now: Timestamp,
) -> Result<Flight, StoreError> {
    let mut tx = begin(pool).await?;
    let created = create_in(&mut tx, flight, day, currency, now).await?;
    tx.commit().await?;
    Ok(created)
}

/// Creates a flight once per key. A second request with the key that comes meanwhile finds the first.
async fn create_once(
    pool: &PgPool,
    request: &RequestKey,
    flight: NewFlight,
    day: &DayKey,
    currency: Currency,
    now: Timestamp,
) -> Result<Claim<Flight>, StoreError> {
    let names = BTreeSet::from([request.name()]);
    loop {
        let rows = request_keys::load(pool, &names).await?;
        if let Some(claim) = claim(request, rows, now)?.unless_new() {
            return Ok(claim);
        }
        let mut tx = begin(pool).await?;
        let created = create_in(&mut tx, flight.clone(), day, currency, now).await?;
        let record =
            RequestRecord { request: request.clone(), made: created.id.0, created_at: now };
        let taken = request_keys::write(&mut tx, &[record]).await?;
        if taken.is_empty() {
            tx.commit().await?;
            return Ok(Claim::New(created));
        }
        tx.roll_back().await?;
    }
}

async fn create_in(
    tx: &mut PgConnection,
    flight: NewFlight,
    day: &DayKey,
    currency: Currency,
    now: Timestamp,
) -> Result<Flight, StoreError> {
    let ids = insert(&mut *tx, &[&flight], currency, now, true).await?;
    let [id] = ids[..] else {
        return Err(StoreError::Refused(anyhow::anyhow!("{} flights were created", ids.len())));
    };
    let created = flight.into_flight(FlightId(id), currency, now);
    insert_outbox(tx, &[outbox::flight_created(&created, now)]).await?;
    insert_invalidation(tx, &outbox::days(&day.with_timetable())).await?;
    Ok(created)
}

async fn import(
    pool: &PgPool,
    flights: &[NewFlight],
    currency: Currency,
    now: Timestamp,
) -> Result<usize, StoreError> {
    // One statement does not see its own rows, so a flight that is in the file twice is dropped here.
    let mut seen = HashSet::new();
    let flights: Vec<&NewFlight> = flights
        .iter()
        .filter(|flight| {
            let route = route_key(&flight.source, &flight.destination);
            seen.insert((&flight.flight_number, route, flight.departs_at))
        })
        .collect();
    let mut tx = begin(pool).await?;
    for_whole_tables(&mut tx).await?;
    // A second import of the same file waits, then finds every flight stored.
    take_lock(&mut tx, AdvisoryLock::Import).await?;
    let mut created = 0;
    for rows in flights.chunks(IMPORT_ROWS) {
        created += insert(&mut tx, rows, currency, now, false).await?.len();
    }
    if created > 0 {
        insert_invalidation(&mut tx, &Invalidation::All).await?;
    }
    tx.commit().await?;
    Ok(created)
}
