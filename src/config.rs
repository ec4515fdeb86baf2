//! The environment, read once, into typed settings.

use crate::domain::{Currency, ScheduleZone};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The settings of one process.
#[derive(Debug, Clone)]
pub struct Config {
    /// `SERVER_HOST`: the address to listen on.
    pub server_host: IpAddr,
    /// `SERVER_PORT`.
    pub server_port: u16,
    /// `SERVER_READ_TIMEOUT`: for reading a request's body.
    pub server_read_timeout: Duration,
    /// `SERVER_WRITE_TIMEOUT`: for answering a request, unless it asked to wait.
    pub server_write_timeout: Duration,
    /// `SHUTDOWN_TIMEOUT`: how long a stop waits for what is under way.
    pub shutdown_timeout: Duration,
    /// `DATABASE_URL` (`sqlite:FILE`): the embedded database's file.
    pub database_file: PathBuf,
    /// `CACHE_TTL`: how long a search answer is kept at most.
    pub cache_ttl: Duration,
    /// `MAX_CACHE_ENTRIES`: the bound of the in-process cache.
    pub max_cache_entries: u64,
    /// `LOCK_TTL`: how long seats are held for a payment.
    pub lock_ttl: Duration,
    /// `BOOKING_CLOSES_BEFORE`: how long before departure bookings close; `None`: never.
    pub booking_closes_before: Option<Duration>,
    /// `MAX_PARTY_SIZE`: seats in one booking at most.
    pub max_party_size: i32,
    /// `CURRENCY` of new flights.
    pub currency: Currency,
    /// `SCHEDULE_TIMEZONE`: whose days a search means.
    pub schedule_timezone: ScheduleZone,
    /// `PAYMENT_LATENCY` of the simulated gateway.
    pub payment_latency: Duration,
    /// `PAYMENT_REDRIVE_AFTER`: when an unanswered payment is asked for again.
    pub payment_redrive_after: Duration,
    /// `SWEEP_INTERVAL`: how often lapsed holds are looked for.
    pub sweep_interval: Duration,
    /// `MAX_QUEUED_HOLDS`: bookings that may wait for the engine; beyond it, 503.
    pub max_queued_holds: usize,
    /// `MAX_IN_FLIGHT`: requests worked on at once; beyond it, 503.
    pub max_in_flight: usize,
    /// `MAX_WAITING`: callers that may wait for a payment (`Prefer: wait`).
    pub max_waiting: usize,
    /// `LOG_FORMAT`.
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person at a terminal.
    Pretty,
    /// One JSON object a line.
    Json,
}
