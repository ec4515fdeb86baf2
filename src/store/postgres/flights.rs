//! Flights that come into being, one or many, and the search for them.

use super::columns::flight_columns;
use super::commit::{insert_invalidation, insert_outbox};
use super::request_keys;
use super::transaction::begin;
use super::turns::{Turn, for_whole_tables, take_turn};
use crate::domain::{
    Currency, DayKey, Flight, FlightId, Invalidation, NewFlight, Timestamp, route_key,
};
use crate::rules::{Claim, RequestKey, RequestRecord};
use crate::store::request_keys::claim;
use crate::store::rows::{FlightRow, all, instant, micros, read};
use crate::store::unreadable::Unreadable;
use crate::store::{Numbered, OTHERS_MAX, RouteSpan, StoreError, outbox};
use sqlx::{PgConnection, PgPool};
use std::collections::{BTreeSet, HashSet};

/// Flights in one statement of an import.
const IMPORT_ROWS: usize = 10_000;

/// Inserts flights that come as one array a column; `$13`: also those that are stored already.
const INSERT_NEW: &str = "
INSERT INTO flights (flight_number, source, destination, route, timestamp, arrival_timestamp,
       available_seats, blocked_seats, total_seats, flight_status, price, currency, version,
       created_at, updated_at)
SELECT c.flight_number, c.source, c.destination, c.route, instant(c.departs), instant(c.arrives),
       c.available, c.total - c.available, c.total, c.status, major(c.price), $11, 1,
       instant($12), instant($12)
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
              $7::int[], $8::int[], $9::text[], $10::bigint[])
       WITH ORDINALITY AS c (flight_number, source, destination, route, departs, arrives,
                             available, total, status, price, position)
 WHERE $13 OR NOT EXISTS (
       SELECT 1 FROM flights AS f
        WHERE f.route = c.route AND f.timestamp = instant(c.departs)
          AND upper(replace(replace(f.flight_number, ' ', ''), '-', '') COLLATE \"C\")
              IS NOT DISTINCT FROM c.flight_number)
 ORDER BY c.position
RETURNING id";

/// Inserts flights; gives the numbers of those that are new.
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
        .fetch_all(connection)
        .await
        .map_err(StoreError::from)
}

pub(super) async fn create(
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

/// Creates a flight once for a key.
pub(super) async fn create_once(
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
    insert_invalidation(tx, &outbox::days(std::slice::from_ref(day))).await?;
    Ok(created)
}

pub(super) async fn import(
    pool: &PgPool,
    flights: &[NewFlight],
    currency: Currency,
    now: Timestamp,
) -> Result<usize, StoreError> {
    // The same line twice in one set: the statement sees only what was stored before it.
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
    // Two imports of the same file at once: the second waits, and finds everything stored.
    take_turn(&mut tx, Turn::Import).await?;
    let mut created = 0;
    for rows in flights.chunks(IMPORT_ROWS) {
        created += insert(&mut tx, rows, currency, now, false).await?.len();
    }
    if created > 0 {
        insert_invalidation(&mut tx, &Invalidation::All).await?;
    }
    tx.commit().await?;
    if created > 0 {
        // So that no session goes on with plans that were made for the table as it was.
        super::upkeep::renew_statistics(pool).await?;
    }
    Ok(created)
}

pub(super) async fn flight(pool: &PgPool, id: FlightId) -> Result<Option<Flight>, StoreError> {
    let row = sqlx::query(concat!("SELECT ", flight_columns!(), " FROM flights WHERE id = $1"))
        .bind(id.0)
        .fetch_optional(pool)
        .await?;
    row.as_ref().map(read::<FlightRow, Flight, _>).transpose()
}

pub(super) async fn numbered(pool: &PgPool, numbers: &[String]) -> Result<Numbered, StoreError> {
    let others = sqlx::query_scalar(
        "SELECT count(*) FROM (
             SELECT 1 FROM flights WHERE (flight_number = ANY($1)) IS NOT TRUE LIMIT $2) AS others",
    );
    let others = others.bind(numbers).bind(OTHERS_MAX).fetch_one(pool).await?;
    if others >= OTHERS_MAX {
        return Ok(Numbered { others, newest: None });
    }
    let newest: Option<i64> = sqlx::query_scalar(
        "SELECT micros(max(created_at)) FROM flights
          WHERE flight_number = ANY($1) AND isfinite(created_at)",
    )
    .bind(numbers)
    .fetch_one(pool)
    .await?;
    Ok(Numbered { others, newest: newest.and_then(instant) })
}

pub(super) async fn search(
    pool: &PgPool,
    unreadable: &Unreadable,
    route: &str,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<Flight>, StoreError> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        flight_columns!(),
        " FROM flights
           WHERE route = $1 AND flights.timestamp >= instant($2) AND flights.timestamp < instant($3)
             AND flight_status IN ('scheduled', 'on_time', 'delayed')
             AND available_seats > held_seats
           ORDER BY flights.timestamp, id"
    ))
    .bind(route)
    .bind(micros(from))
    .bind(micros(until))
    .fetch_all(pool)
    .await?;
    Ok(unreadable.readable::<FlightRow, _, _>(&rows))
}

pub(super) async fn departures(
    pool: &PgPool,
    spans: &[RouteSpan],
) -> Result<Vec<Flight>, StoreError> {
    let rows: Vec<FlightRow> = sqlx::query_as(concat!(
        "SELECT ",
        flight_columns!(),
        " FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS s (on_route, earliest, latest)
           JOIN flights ON route = on_route AND flights.timestamp >= instant(earliest)
                       AND flights.timestamp < instant(latest)"
    ))
    .bind(spans.iter().map(|span| span.route.as_str()).collect::<Vec<_>>())
    .bind(spans.iter().map(|span| micros(span.from)).collect::<Vec<_>>())
    .bind(spans.iter().map(|span| micros(span.until)).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    all(rows)
}
