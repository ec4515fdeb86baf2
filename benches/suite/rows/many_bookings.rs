//! Rows about a store of ten million bookings, each with its payment: reading a user's, and whether
//! the service is as fast as on an empty store.

use super::bookings::Work;
use super::{Bench, CLIENTS, SEATS};
use crate::load::Load;
use crate::process::Server;
use crate::report::Measured;
use crate::services::{Deployment, FLIGHTS};
use crate::{http, plans};
use anyhow::{Context, ensure};
use indicatif::HumanCount;
use sqlx::{Connection, PgConnection};
use std::time::Instant;

/// Bookings of each user, about.
const BOOKINGS_OF_USER: usize = 10;

/// Flights whose seats are sold in one statement.
const CHUNK: i64 = 1_000;

/// Half the seats of some flights, one seat a booking, completed: as the service would leave them,
/// so that the audit finds nothing. Flight, seat and user are in the reference, in order, as the
/// service's own references are in order of time.
const SELL: &str = "WITH sold AS MATERIALIZED (
    SELECT f.id, f.price, f.currency, hashint8(f.id * 1000 + seat) & 2147483647 AS random,
           'PAY-' || lpad(to_hex(f.id * 1000 + seat), 32, '0') AS reference
      FROM flights AS f, generate_series(1, f.total_seats / 2) AS seat
     WHERE f.id >= $1 AND f.id < $2 ORDER BY f.id, seat LIMIT $3),
ledger AS (
    INSERT INTO gateway_ledger (reference, amount, method, state, updated_at)
    SELECT reference, price, 'pm_card_visa', 'captured', timestamp '2030-01-01' FROM sold),
paid AS (
    INSERT INTO payments (reference, amount, currency, method, status, hold_expires_at, created_at,
                          updated_at)
    SELECT reference, price, currency, 'pm_card_visa', 'captured', timestamp '2030-01-01 00:05',
           timestamp '2030-01-01', timestamp '2030-01-01' FROM sold),
booked AS (
    INSERT INTO bookings (flight_id, user_id, status, payment_reference_id, booking_price,
                          seats_booked, booking_metadata, hold_expires_at, created_at, updated_at)
    SELECT id, 1 + random % $4, 'completed', reference, price, 1,
           '[{\"name\": \"John Doe\", \"email\": \"john@example.com\", \"phone\": \"1234567890\",
              \"age\": 30, \"gender\": \"male\"}]', timestamp '2030-01-01 00:05',
           timestamp '2030-01-01', timestamp '2030-01-01' FROM sold),
taken AS (
    UPDATE flights AS f SET available_seats = f.available_seats - s.seats, version = version + 1
      FROM (SELECT id, count(*) AS seats FROM sold GROUP BY id) AS s WHERE f.id = s.id)
SELECT count(*) FROM sold";

impl Bench {
    pub(super) async fn many_bookings(&mut self, deployment: &Deployment) -> anyhow::Result<()> {
        let url = deployment.database.as_deref().context("it is on PostgreSQL")?;
        let count = HumanCount(self.scale as u64).to_string();
        sell(url, self.scale).await?;
        self.bookings_of_user(deployment, &count).await?;
        self.beside_an_empty_store(deployment, &count).await?;

        std::fs::create_dir_all(&self.output)?;
        let slowest = plans::write(url, &self.output.join("plans.txt")).await?;
        let name = format!("scale: slowest look of sweeper and relay, {count} bookings");
        self.report.add(Measured::plain(&name, slowest, "ms", ""));
        let began = Instant::now();
        deployment.audit().await?;
        let took = began.elapsed().as_secs_f64();
        self.report.add(Measured::plain(
            &format!("scale: audit of {count} bookings"),
            took,
            "s",
            "",
        ));
        Ok(())
    }

    async fn bookings_of_user(
        &mut self,
        deployment: &Deployment,
        count: &str,
    ) -> anyhow::Result<()> {
        let server = Server::start(deployment.directory.path(), &deployment.settings).await?;
        let name = format!("scale: bookings of a user, of {count}");
        let users = users(self.scale);
        let request = move |number: usize| {
            let user = 1 + number * 7_919 % users;
            http::get(&format!("/api/v1/users/{user}/bookings"))
        };
        self.closed_and_half(&name, "\"bookings\":[", "", &server, request).await?;
        server.stop().await
    }

    /// The same load on the full store and on a new one, in turns.
    async fn beside_an_empty_store(
        &mut self,
        full: &Deployment,
        count: &str,
    ) -> anyhow::Result<()> {
        let name = format!("scale: bookings completed beside {count}");
        let (mut ratios, mut loads, mut used) = (Vec::new(), Vec::new(), Vec::new());
        let bar = self.progress(&name);
        for _ in 0..self.turns {
            let empty = self.services.shared(SEATS).await?;
            let mut rates = Vec::new();
            for deployment in [&empty, full] {
                let directory = deployment.directory.path();
                let server = Server::start(directory, &deployment.settings).await?;
                let booked =
                    self.book(deployment, &[&server], FLIGHTS, CLIENTS, Work::Whole).await?;
                server.stop().await?;
                rates.push(booked.completed);
                loads.push(Load { rate: booked.completed, ..booked.load });
                used = booked.used;
            }
            loads.remove(loads.len() - 2);
            ratios.push(rates[1] / rates[0]);
            bar.inc(1);
        }
        let row = Measured::loads(&name, &loads, "as on an empty store");
        self.report.add(row.beside(&ratios).using(used));
        Ok(())
    }
}

/// Users among whom so many bookings are shared.
fn users(bookings: usize) -> usize {
    (bookings / BOOKINGS_OF_USER).max(1)
}

/// Sells so many seats of the schedule's flights.
async fn sell(url: &str, bookings: usize) -> anyhow::Result<()> {
    let bar = indicatif::ProgressBar::new(bookings as u64).with_message("scale: bookings are made");
    let mut database = PgConnection::connect(url).await?;
    // The rows are right by how they are made, so that no key needs to be looked up for them.
    sqlx::raw_sql("SET session_replication_role = replica; SET synchronous_commit = off")
        .execute(&mut database)
        .await?;
    let (mut made, mut from) = (0, FLIGHTS as i64 + 1);
    while made < bookings {
        let sold: i64 = sqlx::query_scalar(SELL)
            .bind(from)
            .bind(from + CHUNK)
            .bind((bookings - made) as i64)
            .bind(users(bookings) as i64)
            .fetch_one(&mut database)
            .await?;
        ensure!(sold > 0, "only {made} seats are there to be sold");
        made += sold as usize;
        from += CHUNK;
        bar.set_position(made as u64);
    }
    let vacuum = "VACUUM (ANALYZE) flights, bookings, payments, gateway_ledger";
    sqlx::raw_sql(vacuum).execute(&mut database).await?;
    bar.finish_and_clear();
    Ok(())
}
