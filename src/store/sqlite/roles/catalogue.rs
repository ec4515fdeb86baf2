//! Flights: creation, import, search.

use super::flight_lists::page;
use super::outbox::{insert, insert_invalidation};
use crate::domain::{
    Currency, DayKey, FareRules, Flight, FlightId, Invalidation, NewFlight, Timestamp, route_key,
};
use crate::rules::{ChangeSet, Claim, NetChanges, RequestKey, RequestRecord};
use crate::store::roles::outbox;
use crate::store::rows::fares::{fare_rules, shipped_version};
use crate::store::rows::lists::{FlightsListed, readable_list};
use crate::store::rows::request_keys::claim;
use crate::store::rows::sql::{self, flight_by_id, json, put_fare_rules};
use crate::store::rows::{FlightRow, all, instant, micros, read};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::batch::request_keys;
use crate::store::sqlite::batch::writes::Writes;
use crate::store::sqlite::columns::flight_columns;
use crate::store::sqlite::connection::writer::{Tx, begin};
use crate::store::{
    Catalogue, FlightFilter, FlightPlace, Numbered, OTHERS_MAX, RouteSpan, StoreError,
};
use async_trait::async_trait;
use serde::Serialize;
use sqlx::SqliteConnection;
use std::collections::{BTreeSet, HashSet};

/// Inserts flights, which come as rows of [`row`]; `$2` is the currency and `$3` the time. With `$4` it also
/// inserts those that are stored already.
const INSERT_NEW: &str = "
INSERT INTO flights (flight_number, source, destination, route, timestamp, arrival_timestamp,
       available_seats, blocked_seats, total_seats, flight_status, price, taxes, fare_rules, currency, created_at,
       updated_at)
SELECT c.value ->> '$[0]', c.value ->> '$[1]', c.value ->> '$[2]', c.value ->> '$[3]',
       c.value ->> '$[4]', c.value ->> '$[5]', c.value ->> '$[6]',
       (c.value ->> '$[7]') - (c.value ->> '$[6]'), c.value ->> '$[7]', c.value ->> '$[8]',
       c.value ->> '$[9][0]', c.value ->> '$[9][1]', c.value ->> '$[9][2]', $2, $3, $3
  FROM json_each($1) AS c
 WHERE $4 OR NOT EXISTS (
       SELECT 1 FROM flights AS f
        WHERE f.route = c.value ->> '$[3]' AND f.timestamp = c.value ->> '$[4]'
          AND upper(replace(replace(f.flight_number, ' ', ''), '-', '')) IS c.value ->> '$[0]')
 ORDER BY c.key";

const SEARCH: &str = concat!(
    "SELECT ",
    flight_columns!(),
    " FROM flights
       WHERE route = $1 AND timestamp >= $2 AND timestamp < $3
         AND flight_status IN ('scheduled', 'on_time', 'delayed')
         AND available_seats > held_seats
       ORDER BY timestamp, id"
);

const FARE_RULES: &str = "
SELECT name, version, rows, created_at FROM fare_rules
 WHERE name = $1 ORDER BY version DESC LIMIT 1";

const SEARCH_ALL: &str = concat!(
    "SELECT ",
    flight_columns!(),
    " FROM flights
       WHERE route = $1 AND timestamp >= $2 AND timestamp < $3
         AND flight_status IN ('scheduled', 'on_time', 'delayed')
       ORDER BY timestamp, id"
);

const ON_SALE: &str = concat!(
    "SELECT ",
    flight_columns!(),
    " FROM flights
       WHERE timestamp >= $1 AND timestamp < $2
         AND flight_status IN ('scheduled', 'on_time', 'delayed')
       ORDER BY timestamp, id"
);

/// The cross join makes SQLite look each span up by the index.
const DEPARTURES: &str = concat!(
    "WITH spans AS (SELECT value ->> '$[0]' AS on_route, value ->> '$[1]' AS earliest,
                           value ->> '$[2]' AS latest FROM json_each($1))
     SELECT ",
    flight_columns!(),
    " FROM spans CROSS JOIN flights
       WHERE route = on_route AND timestamp >= earliest AND timestamp < latest"
);

const NUMBERED_OTHERWISE: &str = "
SELECT count(*) FROM (
    SELECT 1 FROM flights
     WHERE flight_number IS NULL OR flight_number NOT IN (SELECT value FROM json_each($1))
     LIMIT $2)";

const NEWEST_NUMBERED: &str = "
SELECT max(created_at) FROM flights WHERE flight_number IN (SELECT value FROM json_each($1))";

#[async_trait]
impl Catalogue for SqliteStore {
    async fn fare_rules(
        &self,
        name: &str,
        currency: Currency,
    ) -> Result<Option<FareRules>, StoreError> {
        let row = sqlx::query_as(FARE_RULES).bind(name).fetch_optional(&self.reader).await?;
        Ok(row.map(|row| fare_rules(row, currency)).transpose()?.map(|(_, rules)| rules))
    }

    async fn put_fare_rules(&self, rules: &FareRules, now: Timestamp) -> Result<bool, StoreError> {
        let mut writing = self.writer.take().await?;
        let put = sqlx::query(put_fare_rules!("$4", "last.at + 1"))
            .bind(&*rules.name)
            .bind(rules.version)
            .bind(json(&rules.rows))
            .bind(micros(now))
            .bind(shipped_version(rules));
        Ok(put.execute(&mut *writing).await?.rows_affected() > 0)
    }

    async fn create_flight(
        &self,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Flight, StoreError> {
        let mut writing = self.writer.take().await?;
        let mut tx = begin(&mut writing).await?;
        let created = create_in(&mut tx, flight, day, currency, now).await?;
        tx.commit().await?;
        Ok(created)
    }

    async fn create_flight_once(
        &self,
        request: &RequestKey,
        flight: NewFlight,
        day: &DayKey,
        currency: Currency,
        now: Timestamp,
    ) -> Result<Claim<Flight>, StoreError> {
        let mut writing = self.writer.take().await?;
        let mut tx = begin(&mut writing).await?;
        let rows = request_keys::load(&mut tx, &BTreeSet::from([request.name()])).await?;
        if let Some(claim) = claim(request, rows, now)?.unless_new() {
            return Ok(claim);
        }
        let created = create_in(&mut tx, flight, day, currency, now).await?;
        let record =
            RequestRecord { request: request.clone(), made: created.id.0, created_at: now };
        let record = NetChanges { requests: vec![record], ..NetChanges::default() };
        Writes::of(&record, &ChangeSet::default()).write(&mut tx).await?;
        tx.commit().await?;
        Ok(Claim::New(created))
    }

    async fn import_flights(
        &self,
        flights: &[NewFlight],
        currency: Currency,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        // One statement does not see its own rows, so a flight that is in the file twice is dropped here.
        let mut seen = HashSet::new();
        let is_first = |flight: &&NewFlight| {
            let route = route_key(&flight.source, &flight.destination);
            seen.insert((flight.flight_number.clone(), route, flight.departs_at))
        };
        let rows: Vec<_> = flights.iter().filter(is_first).map(row).collect();
        let mut writing = self.writer.take().await?;
        self.named(insert_new(&mut writing, &json(&rows), currency, now).await)
    }

    async fn flight(&self, id: FlightId) -> Result<Option<Flight>, StoreError> {
        let flight = sqlx::query(flight_by_id!(flight_columns!())).bind(id.0);
        let row = flight.fetch_optional(&self.reader).await?;
        row.as_ref().map(read::<FlightRow, Flight, _>).transpose()
    }

    async fn search(
        &self,
        route: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Flight>, StoreError> {
        let found = sqlx::query(SEARCH).bind(route).bind(micros(from)).bind(micros(until));
        let rows = found.fetch_all(&self.reader).await?;
        Ok(self.unreadable.readable::<FlightRow, _, _>(&rows))
    }

    async fn search_all(
        &self,
        route: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Flight>, StoreError> {
        let found = sqlx::query(SEARCH_ALL).bind(route).bind(micros(from)).bind(micros(until));
        let rows = found.fetch_all(&self.reader).await?;
        Ok(self.unreadable.readable::<FlightRow, _, _>(&rows))
    }

    async fn on_sale(&self, from: Timestamp, until: Timestamp) -> Result<Vec<Flight>, StoreError> {
        let on_sale = sqlx::query(ON_SALE).bind(micros(from)).bind(micros(until));
        let rows = on_sale.fetch_all(&self.reader).await?;
        Ok(self.unreadable.readable::<FlightRow, _, _>(&rows))
    }

    async fn flights(
        &self,
        filter: &FlightFilter,
        after: Option<FlightPlace>,
        limit: usize,
    ) -> Result<Vec<Flight>, StoreError> {
        let listed = FlightsListed::of(filter, after);
        let read = |from| page(&self.reader, &self.unreadable, &listed, from, limit);
        readable_list(listed.from, limit, read).await
    }

    async fn departures(&self, spans: &[RouteSpan]) -> Result<Vec<Flight>, StoreError> {
        let row = |span: &RouteSpan| (span.route.clone(), micros(span.from), micros(span.until));
        let spans: Vec<_> = spans.iter().map(row).collect();
        let rows: Vec<FlightRow> =
            sqlx::query_as(DEPARTURES).bind(json(&spans)).fetch_all(&self.reader).await?;
        all(rows)
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(sql::IS_EMPTY).fetch_one(&self.reader).await?)
    }

    async fn numbered(&self, numbers: &[String]) -> Result<Numbered, StoreError> {
        let numbers = json(&numbers);
        let others = sqlx::query_scalar(NUMBERED_OTHERWISE).bind(&numbers).bind(OTHERS_MAX);
        let others = others.fetch_one(&self.reader).await?;
        if others >= OTHERS_MAX {
            return Ok(Numbered { others, newest: None });
        }
        let newest = sqlx::query_scalar(NEWEST_NUMBERED).bind(&numbers);
        let newest: Option<i64> = newest.fetch_one(&self.reader).await?;
        Ok(Numbered { others, newest: newest.and_then(instant) })
    }
}

fn row(flight: &NewFlight) -> impl Serialize {
    (
        &flight.flight_number,
        &flight.source,
        &flight.destination,
        route_key(&flight.source, &flight.destination),
        micros(flight.departs_at),
        flight.arrives_at.map(micros),
        flight.available_seats,
        flight.total_seats,
        flight.flight_status,
        (flight.price.stored(), flight.taxes.stored(), flight.fare_rules.stored()),
    )
}

/// Inserts the rows that are not stored yet; returns how many.
async fn insert_new(
    writer: &mut SqliteConnection,
    rows: &str,
    currency: Currency,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut tx = begin(writer).await?;
    let done = sqlx::query(INSERT_NEW)
        .bind(rows)
        .bind(currency.as_str())
        .bind(micros(now))
        .bind(false)
        .execute(&mut *tx)
        .await?;
    let created = done.rows_affected() as usize;
    if created > 0 {
        insert_invalidation(&mut tx, &Invalidation::All).await?;
    }
    tx.commit().await?;
    Ok(created)
}

async fn create_in(
    tx: &mut Tx<'_>,
    flight: NewFlight,
    day: &DayKey,
    currency: Currency,
    now: Timestamp,
) -> Result<Flight, StoreError> {
    let done = sqlx::query(INSERT_NEW)
        .bind(json(&[row(&flight)]))
        .bind(currency.as_str())
        .bind(micros(now))
        .bind(true)
        .execute(&mut **tx)
        .await?;
    let created = flight.into_flight(FlightId(done.last_insert_rowid()), currency, now);
    insert(tx, &[outbox::flight_created(&created, now)]).await?;
    insert_invalidation(tx, &outbox::days(&day.with_timetable())).await?;
    Ok(created)
}
