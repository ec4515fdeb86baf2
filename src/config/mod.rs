//! The environment, read once, into typed settings.
//!
//! [`SETTINGS`] is the one list of them: parsing takes its defaults from it, `--help` shows it, and
//! tests hold the README and `.env.example` to it.

mod edge;
mod hosts;
mod links;
mod misspelt;
mod remote;
mod secrets;
mod settings;
mod values;

use crate::domain::{Currency, ScheduleZone};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

pub use edge::{ClientConnections, CorsOrigins, JwtSettings, KeySource, Network, RateLimit};
pub use hosts::AllowedHosts;
pub use misspelt::misspelt;
pub use remote::{
    ClientCertificate, Database, KafkaSettings, PostgresSettings, RedisSettings, Role, Roles,
    SslMode, TopicNames,
};
pub use secrets::Secret;
pub use settings::{SETTINGS, Setting};

/// The settings of one process.
#[derive(Debug, Clone)]
pub struct Config {
    /// `SERVER_HOST`: the address to listen on.
    pub server_host: IpAddr,
    /// `SERVER_PORT`.
    pub server_port: u16,
    /// `METRICS_PORT`: where `/metrics` is answered instead; `None`: at `SERVER_PORT`.
    pub metrics_port: Option<u16>,
    /// `DOCS`: whether `/docs` and `/openapi.json` are answered.
    pub docs: bool,
    /// `SERVER_READ_TIMEOUT`: for reading a request's head, and then its body.
    pub server_read_timeout: Duration,
    /// `SERVER_WRITE_TIMEOUT`: for answering a request, unless it asked to wait.
    pub server_write_timeout: Duration,
    /// `SERVER_IDLE_TIMEOUT`: how long a connection may rest between requests.
    pub server_idle_timeout: Duration,
    /// `MAX_CONNECTIONS`: connections at once; beyond it those that rest are closed.
    pub max_connections: usize,
    /// `MAX_CONNECTIONS_PER_CLIENT`: connections of one client at once; `None`: any number.
    pub connections_per_client: Option<ClientConnections>,
    /// `SHUTDOWN_DELAY`: how long requests are still accepted after `/readyz` reports the shutdown, so
    /// that load balancers notice it.
    pub shutdown_delay: Duration,
    /// `SHUTDOWN_TIMEOUT`: how long a stop waits for what is under way.
    pub shutdown_timeout: Duration,
    /// `DB_HOST` and its parts, or `DATABASE_URL`: where everything is kept.
    pub database: Database,
    /// `REDIS_HOST` and its parts, or `REDIS_URL`: what replicas share; `None`: this process alone.
    pub redis: Option<RedisSettings>,
    /// `KAFKA_BROKERS` and its parts; `None`: topics stay in this process.
    pub kafka: Option<KafkaSettings>,
    /// `ROLES`: what this process does of the service's work.
    pub roles: Roles,
    /// `FLIGHT_LOCKS`: whether replicas wait for one another's flights.
    pub flight_locks: bool,
    /// `CACHE_TTL`: how long a search answer is kept at most.
    pub cache_ttl: Duration,
    /// `MAX_CACHE_ENTRIES`: the bound of the in-process cache.
    pub max_cache_entries: u64,
    /// `LOCK_TTL`: how long seats are held for a payment.
    pub lock_ttl: Duration,
    /// `BOOKING_CLOSES_BEFORE`: how long before departure sale and search end; `None`: the clock ends
    /// neither, nor refunds.
    pub booking_closes_before: Option<Duration>,
    /// `MAX_PARTY_SIZE`: seats in one booking at most.
    pub max_party_size: i32,
    /// `MAX_PENDING_PER_USER`: seats on one flight that a user may hold unpaid; `None`: any number.
    pub max_pending_per_user: Option<i32>,
    /// `CURRENCY` of new flights.
    pub currency: Currency,
    /// `SCHEDULE_TIMEZONE`: whose days a search means.
    pub schedule_timezone: ScheduleZone,
    /// `PAYMENT_LATENCY` of the simulated gateway.
    pub payment_latency: Duration,
    /// `GATEWAY_TIMEOUT`: how long one call of the gateway may take.
    pub gateway_timeout: Duration,
    /// `PAYMENT_REDRIVE_AFTER`: when an unanswered payment is asked for again.
    pub payment_redrive_after: Duration,
    /// How long a worker may have work and finish none before the service is degraded. No setting.
    pub stalled_after: Duration,
    /// `SWEEP_INTERVAL`: how often lapsed holds are looked for.
    pub sweep_interval: Duration,
    /// `PASSENGER_RETENTION`: how long after departure passengers are kept; `None`: for ever.
    pub passenger_retention: Option<Duration>,
    /// `MAX_QUEUED_HOLDS`: bookings that may wait for the engine; beyond it, 503.
    pub max_queued_holds: usize,
    /// `MAX_IN_FLIGHT`: requests worked on at once; beyond it, 503.
    pub max_in_flight: usize,
    /// `MAX_WAITING`: callers that may wait for a payment (`Prefer: wait`).
    pub max_waiting: usize,
    /// `TRACING_ENABLED` and its parts; `None`: no trace is made.
    pub tracing: Option<TracingSettings>,
    /// `RATE_LIMIT_RPS` and `RATE_LIMIT_BURST`; `None`: no limit.
    pub rate_limit: Option<RateLimit>,
    /// `TRUSTED_PROXIES`: whose word on a caller's address is believed.
    pub trusted_proxies: Vec<Network>,
    /// `AUTH` and `JWT_*`; `None`: callers need no token.
    pub auth: Option<JwtSettings>,
    /// Whether `AUTH` is set: that callers need no token must be said where others reach the port.
    pub is_auth_chosen: bool,
    /// `ALLOWED_HOSTS`: names by which callers may reach the service.
    pub allowed_hosts: AllowedHosts,
    /// `CORS_ORIGINS`: whose pages may call.
    pub cors_origins: CorsOrigins,
    /// `LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `RUST_LOG`: which log lines are written.
    pub log_filter: String,
}

/// Where traces go, and which.
#[derive(Debug, Clone)]
pub struct TracingSettings {
    /// `TRACING_ENDPOINT`, with the path to which traces are posted.
    pub endpoint: String,
    /// `TRACING_SERVICE_NAME`.
    pub service_name: String,
    /// `TRACING_ENVIRONMENT`.
    pub environment: String,
    /// `TRACING_SAMPLER_RATIO`: the share of traces that are kept where the caller has not decided.
    pub sampler_ratio: f64,
    /// `TRACING_TRUST_CALLER`: whether a request's span goes on with the caller's trace; `None`: if the
    /// caller is on this machine.
    pub trust_caller: Option<bool>,
}

/// How long a search answer is kept that was read from a replica of the database, which may be behind.
const REPLICA_TTL: Duration = Duration::from_secs(1);

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person at a terminal.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// The bound of every queue and limit: what one process can sensibly keep in memory.
const STALLED_AFTER: Duration = Duration::from_secs(30);
const COUNT_MAX: u64 = 10_000_000;

impl Config {
    /// The settings that `lookup` gives; a variable that is unset or blank has its default.
    ///
    /// Fails with every problem at once, so that one start is enough to find them all.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Self::read(lookup, |_| None)
    }

    /// The same for a process that answers callers: `AUTH` must be set where they may be on other
    /// machines.
    pub fn for_serving(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Self::read(lookup, Self::missing_choice)
    }

    /// The settings of a test, which lists its variables.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Result<Self, ConfigError> {
        let set = |name: &str| variables.iter().find(|(n, _)| *n == name);
        Self::from_env(|name| set(name).map(|(_, value)| (*value).to_owned()))
    }

    /// Whether only this machine reaches the port.
    pub fn is_on_loopback(&self) -> bool {
        self.server_host.to_canonical().is_loopback()
    }

    fn read(
        lookup: impl Fn(&str) -> Option<String>,
        check: fn(&Self) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut env = Environment { lookup, files: HashMap::new(), problems: Vec::new() };
        env.read_files();
        let mut config = Self {
            server_host: env.read("SERVER_HOST", values::host),
            server_port: env.read("SERVER_PORT", values::whole(0..=u16::MAX)),
            metrics_port: env.read("METRICS_PORT", values::optional(values::whole(0..=u16::MAX))),
            docs: env.read("DOCS", values::on_or_off),
            server_read_timeout: env.read("SERVER_READ_TIMEOUT", values::positive_duration),
            server_write_timeout: env.read("SERVER_WRITE_TIMEOUT", values::positive_duration),
            server_idle_timeout: env.read("SERVER_IDLE_TIMEOUT", values::positive_duration),
            max_connections: env.read("MAX_CONNECTIONS", values::whole(1..=COUNT_MAX as usize)),
            connections_per_client: None,
            shutdown_delay: env.read("SHUTDOWN_DELAY", values::duration),
            shutdown_timeout: env.read("SHUTDOWN_TIMEOUT", values::duration),
            database: env.database(),
            redis: env.redis(),
            kafka: env.kafka(),
            roles: env.read("ROLES", remote::roles),
            flight_locks: env.read("FLIGHT_LOCKS", values::yes_or_no),
            cache_ttl: env.read("CACHE_TTL", values::positive_duration),
            max_cache_entries: env.read("MAX_CACHE_ENTRIES", values::whole(0..=COUNT_MAX)),
            lock_ttl: env.read("LOCK_TTL", values::positive_duration),
            booking_closes_before: env
                .read("BOOKING_CLOSES_BEFORE", values::unless_never(values::duration)),
            max_party_size: env.read("MAX_PARTY_SIZE", values::whole(1..=100)),
            max_pending_per_user: None,
            currency: env.read("CURRENCY", values::currency),
            schedule_timezone: env.read("SCHEDULE_TIMEZONE", values::zone),
            payment_latency: env.read("PAYMENT_LATENCY", values::duration),
            gateway_timeout: env.read("GATEWAY_TIMEOUT", values::positive_duration),
            stalled_after: STALLED_AFTER,
            payment_redrive_after: env.read("PAYMENT_REDRIVE_AFTER", values::positive_duration),
            sweep_interval: env.read("SWEEP_INTERVAL", values::positive_duration),
            passenger_retention: env.read("PASSENGER_RETENTION", values::retention),
            max_queued_holds: env.read("MAX_QUEUED_HOLDS", values::whole(1..=COUNT_MAX as usize)),
            max_in_flight: env.read("MAX_IN_FLIGHT", values::whole(1..=COUNT_MAX as usize)),
            max_waiting: env.read("MAX_WAITING", values::whole(0..=COUNT_MAX as usize)),
            tracing: env.tracing(),
            rate_limit: env.rate_limit(),
            trusted_proxies: env.read("TRUSTED_PROXIES", edge::networks),
            auth: env.auth(),
            is_auth_chosen: env.value("AUTH").is_some(),
            allowed_hosts: env.allowed_hosts(),
            cors_origins: env.read("CORS_ORIGINS", edge::cors_origins),
            log_format: env.read("LOG_FORMAT", values::log_format),
            log_filter: env.read("RUST_LOG", |filter| Ok(filter.to_owned())),
        };
        config.max_pending_per_user = env.pending_max(&config);
        config.connections_per_client = env.connections_per_client(config.max_connections);
        env.problems.extend(config.contradictions());
        if config.server_port != 0 && config.metrics_port == Some(config.server_port) {
            env.problems.push("METRICS_PORT must be another port than SERVER_PORT".to_owned());
        }
        env.problems.extend(check(&config));
        if env.problems.is_empty() { Ok(config) } else { Err(ConfigError(env.problems)) }
    }

    /// How long a search answer is kept at most: `CACHE_TTL`, or less where it may be old already.
    pub fn answers_kept_for(&self) -> Duration {
        match &self.database {
            Database::Postgres(PostgresSettings { read_host: Some(_), .. }) => {
                self.cache_ttl.min(REPLICA_TTL)
            }
            _ => self.cache_ttl,
        }
    }
}

/// Settings that cannot be used: one line each, with the variable and the rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError(pub Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings cannot be used:\n  {}", self.0.join("\n  "))
    }
}

/// Where settings come from, and what was wrong with them so far.
struct Environment<F> {
    lookup: F,
    /// Values that were read from files, by the setting's name.
    files: HashMap<&'static str, String>,
    problems: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Environment<F> {
    fn value(&self, name: &str) -> Option<String> {
        if let Some(value) = self.files.get(name) {
            return Some(value.clone());
        }
        (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// A setting's text.
    fn text(&self, name: &str) -> String {
        self.value(name).unwrap_or_else(|| settings::default_of(name).to_owned())
    }

    /// A setting's value; after a problem its default, so that reading can go on to the next.
    fn read<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> T {
        if let Some(value) = self.value(name) {
            match parse(&value) {
                Ok(parsed) => return parsed,
                // A URL may hold a password, which is not repeated on a screen or in a log.
                Err(rule) if settings::may_hold_a_secret(name) => {
                    self.problems.push(format!("{name} {rule}"));
                }
                Err(rule) => self.problems.push(format!("{name} {rule}; it is {value:?}")),
            }
        }
        parse(settings::default_of(name)).expect("every default keeps its setting's rule")
    }

    fn tracing(&mut self) -> Option<TracingSettings> {
        let enabled = self.read("TRACING_ENABLED", values::yes_or_no);
        let settings = TracingSettings {
            endpoint: self.read("TRACING_ENDPOINT", values::traces_endpoint),
            service_name: self.text("TRACING_SERVICE_NAME"),
            environment: self.text("TRACING_ENVIRONMENT"),
            sampler_ratio: self.read("TRACING_SAMPLER_RATIO", values::ratio),
            trust_caller: self.read("TRACING_TRUST_CALLER", values::optional(values::yes_or_no)),
        };
        enabled.then_some(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_environment_and_blank_variables_mean_the_defaults() {
        for variables in [&[][..], &[("SERVER_PORT", " "), ("LOCK_TTL", ""), ("DB_HOST", "")]] {
            let config = Config::of(variables).expect("sound");
            assert_eq!(config.server_port, 8080);
            assert_eq!(config.lock_ttl, Duration::from_mins(5));
            let Database::Sqlite(file) = config.database else { panic!("not embedded") };
            assert_eq!(file.to_str(), Some("airline_booking.db"));
            assert_eq!(config.booking_closes_before, Some(Duration::ZERO));
        }
    }

    #[test]
    fn all_problems_are_told_at_once_each_with_its_variable_and_rule() {
        let error = Config::of(&[
            ("SERVER_PORT", "eighty"),
            ("LOCK_TTL", "0s"),
            ("CURRENCY", "rupees"),
            ("SCHEDULE_TIMEZONE", "Delhi"),
            ("LOG_FORMAT", "xml"),
        ])
        .expect_err("five bad values");
        let told: Vec<_> =
            error.0.iter().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(
            told,
            ["SERVER_PORT", "LOCK_TTL", "CURRENCY", "SCHEDULE_TIMEZONE", "LOG_FORMAT"]
        );
        assert_eq!(
            error.0[0],
            "SERVER_PORT must be a whole number from 0 to 65535; it is \"eighty\""
        );
    }

    #[test]
    fn metrics_have_the_port_of_the_api_or_another_one() {
        let port = |text| Config::of(&[("METRICS_PORT", text)]).map(|config| config.metrics_port);
        assert_eq!(port(""), Ok(None));
        assert_eq!(port("0"), Ok(Some(0)));
        assert_eq!(port("9464"), Ok(Some(9464)));
        for wrong in ["8080", "65536", "on"] {
            let error = port(wrong).expect_err("no other port").to_string();
            assert!(error.contains("METRICS_PORT must be"), "{error}");
        }
    }

    #[test]
    fn documents_are_shown_unless_they_are_off() {
        let docs = |text| Config::of(&[("DOCS", text)]).map(|config| config.docs);
        assert_eq!((docs(""), docs("on"), docs("off")), (Ok(true), Ok(true), Ok(false)));
        assert!(docs("nowhere").is_err());
    }

    #[test]
    fn bookings_close_at_departure_some_time_before_it_or_never() {
        let closes = |text| Config::of(&[("BOOKING_CLOSES_BEFORE", text)]);
        let read = |text| closes(text).expect("sound").booking_closes_before;
        assert_eq!(read("0s"), Some(Duration::ZERO));
        assert_eq!(read("2h"), Some(Duration::from_hours(2)));
        assert_eq!(read("never"), None);
        assert_eq!(read("Never"), None);
        for wrong in ["off", "-1h", "2"] {
            let error = closes(wrong).expect_err("no duration").to_string();
            assert!(error.contains("BOOKING_CLOSES_BEFORE must be never or a duration"), "{error}");
        }
    }

    #[test]
    fn traces_are_off_unless_asked_for() {
        assert!(Config::of(&[]).expect("sound").tracing.is_none());
        let traced = Config::of(&[("TRACING_ENABLED", "true"), ("TRACING_SAMPLER_RATIO", "0.25")]);
        let tracing = traced.expect("sound").tracing.expect("asked for");
        assert_eq!(tracing.endpoint, "http://localhost:4318/v1/traces");
        assert_eq!(
            (tracing.service_name.as_str(), tracing.sampler_ratio),
            ("airline-booking-service", 0.25)
        );
    }

    #[test]
    fn a_database_url_is_never_repeated() {
        let error = Config::of(&[("DATABASE_URL", "mysql://user:secret@host/db")])
            .expect_err("neither of the two")
            .to_string();
        assert!(error.contains("DATABASE_URL must be"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
