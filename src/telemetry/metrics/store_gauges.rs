//! Gauges of the store: its backlog, the leases of its jobs, its connections.

use super::registrar::Registrar;
use prometheus::{Gauge, IntGauge, IntGaugeVec};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

/// The connections of one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// The pool's name.
    pub pool: &'static str,
    /// Connections in use.
    pub used: u64,
    /// Idle connections.
    pub idle: u64,
    /// Maximum number of connections.
    pub max: u64,
}

/// Values of the gauges of the store's backlog.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BacklogGauges {
    /// Messages in the outbox.
    pub outbox: i64,
    /// Age of the oldest of them, in seconds.
    pub outbox_age: f64,
    /// Bookings pending well past their hold.
    pub stuck_bookings: i64,
    /// Payments without an answer for too long.
    pub unanswered_payments: i64,
    /// Refunds without an answer for too long.
    pub unanswered_refunds: i64,
    /// Age of the oldest of them, in seconds.
    pub refund_age: f64,
    /// Refunds that the gateway refused.
    pub failed_refunds: i64,
    /// Parties that wait for a flight.
    pub waiting: i64,
    /// Offers to such parties that are open.
    pub offers: i64,
}

/// Returns the use of each pool.
type PoolSource = Box<dyn Fn() -> Vec<PoolUse> + Send + Sync>;

/// Returns the number of unreadable rows, by table.
type UnreadableSource = Box<dyn Fn() -> BTreeMap<&'static str, usize> + Send + Sync>;

pub(super) struct StoreGauges {
    backlog: Backlog,
    violations: IntGaugeVec,
    jobs: IntGaugeVec,
    connections: IntGaugeVec,
    connections_max: IntGaugeVec,
    pools: OnceLock<PoolSource>,
    refused: IntGauge,
    unreadable: IntGaugeVec,
    unreadable_source: OnceLock<UnreadableSource>,
    version: AtomicI64,
    version_max: IntGauge,
    version_limit: IntGauge,
}

/// What waits in the database.
struct Backlog {
    outbox_depth: IntGauge,
    outbox_age: Gauge,
    stuck_bookings: IntGauge,
    unanswered_payments: IntGauge,
    unanswered_refunds: IntGauge,
    refund_age: Gauge,
    failed_refunds: IntGauge,
    waiting: IntGauge,
    offers: IntGauge,
}

impl Backlog {
    fn register(registrar: &Registrar) -> Self {
        Self {
            outbox_depth: registrar.gauge(
                "outbox_depth",
                "Messages waiting in the outbox; set by the process that sweeps.",
            ),
            outbox_age: registrar.float_gauge(
                "outbox_oldest_age_seconds",
                "Age of the oldest message in the outbox; set by the process that sweeps.",
            ),
            stuck_bookings: registrar.gauge(
                "bookings_stuck",
                "Bookings pending well past their hold; set by the process that sweeps.",
            ),
            unanswered_payments: registrar.gauge(
                "payments_unanswered",
                "Payments without an answer for too long; set by the process that sweeps.",
            ),
            unanswered_refunds: registrar.gauge(
                "refunds_unanswered",
                "Refunds without an answer for too long; set by the process that sweeps.",
            ),
            refund_age: registrar.float_gauge(
                "refunds_oldest_age_seconds",
                "Age of the oldest of the unanswered refunds; set by the process that sweeps.",
            ),
            failed_refunds: registrar.gauge(
                "refunds_failed",
                "Refunds that the gateway refused, still owed; set by the process that sweeps.",
            ),
            waiting: registrar.gauge(
                "waitlist_parties",
                "Parties that wait for seats of a flight; set by the process that sweeps.",
            ),
            offers: registrar.gauge(
                "waitlist_offers_open",
                "Offers to such parties that are open; set by the process that sweeps.",
            ),
        }
    }

    fn set(&self, backlog: &BacklogGauges) {
        self.outbox_depth.set(backlog.outbox);
        self.outbox_age.set(backlog.outbox_age.max(0.0));
        self.stuck_bookings.set(backlog.stuck_bookings);
        self.unanswered_payments.set(backlog.unanswered_payments);
        self.unanswered_refunds.set(backlog.unanswered_refunds);
        self.failed_refunds.set(backlog.failed_refunds);
        self.waiting.set(backlog.waiting);
        self.offers.set(backlog.offers);
        self.refund_age.set(backlog.refund_age.max(0.0));
    }
}

impl StoreGauges {
    pub(super) fn register(registrar: &Registrar) -> Self {
        Self {
            backlog: Backlog::register(registrar),
            violations: registrar.gauges(
                "invariant_violations",
                "Flights found to break an invariant; set by the process that sweeps.",
                &["invariant"],
            ),
            jobs: registrar.gauges(
                "job_leader",
                "1 where this process holds the lease of a job that one process at a time does.",
                &["role"],
            ),
            connections: registrar.gauges(
                "db_pool_connections",
                "Connections to the database, by pool and state (used or idle).",
                &["pool", "state"],
            ),
            connections_max: registrar.gauges(
                "db_pool_connections_max",
                "Maximum number of connections of a pool.",
                &["pool"],
            ),
            pools: OnceLock::new(),
            refused: registrar.gauge(
                "sweep_refused",
                "Expiries, cancellations, payment requests and erasures that the sweeper can't carry \
                 out; set by the process that sweeps.",
            ),
            unreadable: registrar.gauges(
                "db_rows_unreadable",
                "Unreadable rows that this process met in the last two minutes, by table; its log names \
                 them.",
                &["table"],
            ),
            unreadable_source: OnceLock::new(),
            version: AtomicI64::new(0),
            version_max: registrar.gauge(
                "flight_version_max",
                "Highest version to which this process has changed a flight, or tried to.",
            ),
            version_limit: registrar
                .gauge("flight_version_limit", "Highest version that the database can store."),
        }
    }

    pub(super) fn set_backlog(&self, backlog: &BacklogGauges) {
        self.backlog.set(backlog);
    }

    pub(super) fn set_violations(&self, invariant: &str, flights: usize) {
        self.violations.with_label_values(&[invariant]).set(flights as i64);
    }

    pub(super) fn set_job(&self, job: &str, is_ours: bool) {
        self.jobs.with_label_values(&[job]).set(i64::from(is_ours));
    }

    pub(super) fn watch_pools(&self, source: PoolSource) {
        // A second source is ignored: the metrics belong to the service that set the first.
        let _ = self.pools.set(source);
    }

    pub(super) fn set_sweep_refused(&self, refused: usize) {
        self.refused.set(refused as i64);
    }

    pub(super) fn watch_unreadable(&self, source: UnreadableSource) {
        let _ = self.unreadable_source.set(source);
    }

    pub(super) fn observe_version(&self, version: i64) {
        self.version.fetch_max(version, Ordering::Relaxed);
    }

    pub(super) fn set_version_limit(&self, limit: i64) {
        self.version_limit.set(limit);
    }

    /// Reads the watched sources. Only rendering calls this, so watching costs nothing otherwise.
    pub(super) fn refresh(&self) {
        self.version_max.set(self.version.load(Ordering::Relaxed));
        if let Some(unreadable) = self.unreadable_source.get() {
            for (table, rows) in unreadable() {
                self.unreadable.with_label_values(&[table]).set(rows as i64);
            }
        }
        let Some(pools) = self.pools.get() else { return };
        for PoolUse { pool, used, idle, max } in pools() {
            self.connections.with_label_values(&[pool, "used"]).set(used as i64);
            self.connections.with_label_values(&[pool, "idle"]).set(idle as i64);
            self.connections_max.with_label_values(&[pool]).set(max as i64);
        }
    }
}
