//! A day of a large airline, sold out: every seat is asked for, in parties of one to four, and the
//! client knows what it was answered.

use super::http::{self, Connection};
use anyhow::ensure;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Clients at once.
const CONNECTIONS: usize = 256;

/// One party's order.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    flight: usize,
    seats: usize,
}

/// Every seat of the day in orders of one to four, in an order that repeats with the seed.
pub fn orders(flights: usize, seats_each: usize) -> Vec<Order> {
    let mut random = Random(42);
    let mut orders = Vec::new();
    for flight in 1..=flights {
        let mut left = seats_each;
        while left > 0 {
            let seats = (1 + random.below(4)).min(left);
            orders.push(Order { flight, seats });
            left -= seats;
        }
    }
    for at in (1..orders.len()).rev() {
        orders.swap(at, random.below(at + 1));
    }
    orders
}

/// A small generator (splitmix64): the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// What a sale came to.
pub struct Sale {
    /// Until the last order was answered.
    pub answered_after: Duration,
    /// How long an order took, in milliseconds: p50 and p99.
    pub latency: (f64, f64),
}

/// Places every order; each must be answered 201.
pub async fn sell(base: &str, orders: Vec<Order>) -> anyhow::Result<Sale> {
    let address = http::address(base)?;
    let (orders, next) = (Arc::new(orders), Arc::new(AtomicUsize::new(0)));
    let began = Instant::now();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (address, orders, next) = (address.clone(), orders.clone(), next.clone());
            tokio::spawn(async move { client(&address, &orders, &next).await })
        })
        .collect();
    let mut took: Vec<u32> = Vec::with_capacity(orders.len());
    for client in clients {
        took.extend(client.await??);
    }
    ensure!(took.len() == orders.len(), "{} of {} were answered", took.len(), orders.len());
    took.sort_unstable();
    let at = |part: f64| f64::from(took[(took.len() as f64 * part) as usize]) / 1_000.0;
    Ok(Sale { answered_after: began.elapsed(), latency: (at(0.5), at(0.99)) })
}

/// One keep-alive connection, one order after the other; gives how long each took, in microseconds.
async fn client(address: &str, orders: &[Order], next: &AtomicUsize) -> anyhow::Result<Vec<u32>> {
    let mut connection = Connection::open(address).await?;
    let mut took = Vec::new();
    while let Some(order) = orders.get(next.fetch_add(1, Ordering::Relaxed)) {
        let request = http::book(order.flight, order.flight, order.seats, "");
        let asked_at = Instant::now();
        loop {
            match connection.ask(&request).await?.status {
                201 => break,
                503 => tokio::time::sleep(Duration::from_millis(20)).await,
                status => anyhow::bail!("an order was answered {status}"),
            }
        }
        took.push(asked_at.elapsed().as_micros() as u32);
    }
    Ok(took)
}
