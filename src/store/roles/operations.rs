//! The operator's role: health, gauges, drift, audit.

use crate::domain::{BookingId, FlightId, Timestamp};
use crate::store::{PaymentsCompared, SeatCount, SeatsAsked, StoreError};
use crate::telemetry::PoolUse;
use async_trait::async_trait;
use chrono::TimeDelta;
use std::collections::BTreeMap;

/// How long past its hold a booking may be pending before it counts as stuck (I5), and a waiting list may have a walk to
/// make before it counts as unserved (I7).
pub const SWEEP_GRACE: TimeDelta = TimeDelta::seconds(5);

/// Watches and checks the store.
#[async_trait]
pub trait Operations: Send + Sync + 'static {
    /// Succeeds if the store answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Whether a service runs on the database now, in this process or another.
    async fn is_served(&self) -> Result<bool, StoreError>;

    /// This process' connections.
    fn pools(&self) -> Vec<PoolUse>;

    /// Unreadable rows that reads of many have left out lately, by table.
    fn unreadable(&self) -> BTreeMap<&'static str, usize>;

    /// Maximum version of a flight.
    fn version_limit(&self) -> i64 {
        i64::MAX
    }

    /// Counts the seats of flights and, at the same moment, those of their bookings: of the flights of
    /// the newest bookings, and of the flights asked for. Uses indexes, so that it can run every minute.
    async fn count_seats(&self, asked: &SeatsAsked) -> Result<Vec<SeatCount>, StoreError>;

    /// Compares the newest bookings and those asked for with their payments, and captured payments with
    /// the simulated gateway's ledger. Returns each booking and whether all agree (I4). Uses indexes.
    async fn compare_payments(
        &self,
        asked: &PaymentsCompared,
    ) -> Result<Vec<(BookingId, bool)>, StoreError>;

    /// Flights that break I7, by id, at most `limit`: their walk is due since before `before`, their seats have gathered
    /// until then, or a party that waits fits into seats that are free since then and don't gather. Reads the flights
    /// that parties wait for, and no others.
    async fn unserved_lines(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<FlightId>, StoreError>;

    /// Checks the invariants over the whole database.
    async fn audit(&self, now: Timestamp) -> Result<Vec<Finding>, StoreError>;
}

/// The outcome of one rule of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The invariant: `I1` to `I5`, or `I7`.
    pub invariant: &'static str,
    /// The rule in words.
    pub rule: &'static str,
    /// How many rows were checked.
    pub checked: i64,
    /// How many of them break it.
    pub violations: i64,
    /// Some of those, by name.
    pub examples: Vec<String>,
}
