//! The environment, read once into typed settings.
//!
//! [`SETTINGS`] lists all settings. Parsing takes the defaults from it and `--help` prints it; a test
//! compares `docs/settings.md` and `.env.example` with it.

mod callers;
mod checks;
mod environment;
mod misspelt;
mod observability;
mod roles;
mod secrets;
mod services;
mod settings;
mod values;

use crate::domain::{Currency, ScheduleZone};
use environment::Environment;
use std::net::IpAddr;
use std::time::Duration;

pub use callers::{
    AllowedHosts, ClientConnections, CorsOrigins, JwtSettings, KeySource, Network, RateLimit,
};
pub use environment::ConfigError;
pub use misspelt::misspelt;
pub use observability::{LogFormat, TracingSettings};
pub use roles::{Role, Roles};
pub use secrets::Secret;
pub use services::{
    ClientCertificate, Database, KafkaSettings, MailSettings, MessageSettings, PostgresSettings,
    RedisSettings, SmsSettings, SmtpProtection, SslMode, StripeSettings, TopicNames,
};
pub use settings::{SETTINGS, Setting};

/// How long a search answer is cached if it was read from a replica of the database, which may lag.
const REPLICA_TTL: Duration = Duration::from_secs(1);

/// [`Config::stalled_after`].
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// The largest queue or limit: what one process can reasonably keep in memory.
const COUNT_MAX: u64 = 10_000_000;

/// The settings of one process.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Config {
    /// `SERVER_HOST`: the address to listen on.
    pub server_host: IpAddr,
    /// `SERVER_PORT`.
    pub server_port: u16,
    /// `METRICS_PORT`: the port for `/metrics`; `None`: `SERVER_PORT`.
    pub metrics_port: Option<u16>,
    /// `DOCS`: whether `/docs` and `/openapi.json` are served.
    pub docs: bool,
    /// `SERVER_READ_TIMEOUT`: maximum time to receive a request's head, and again to receive its body.
    pub server_read_timeout: Duration,
    /// `SERVER_WRITE_TIMEOUT`: maximum time to answer a request that does not ask to wait.
    pub server_write_timeout: Duration,
    /// `SERVER_IDLE_TIMEOUT`: how long a connection may stay idle between requests.
    pub server_idle_timeout: Duration,
    /// `MAX_CONNECTIONS`: maximum connections; beyond it idle ones are closed.
    pub max_connections: usize,
    /// `MAX_CONNECTIONS_PER_CLIENT`: maximum connections of one client; `None`: no limit.
    pub connections_per_client: Option<ClientConnections>,
    /// `SHUTDOWN_DELAY`: how long requests are still accepted after `/readyz` reports the shutdown.
    pub shutdown_delay: Duration,
    /// `SHUTDOWN_TIMEOUT`: how long a shutdown waits for requests in progress.
    pub shutdown_timeout: Duration,
    /// `DATABASE_URL`, or `DB_HOST` and its parts.
    pub database: Database,
    /// `REDIS_URL`, or `REDIS_HOST` and its parts; `None`: cache and locks are inside this process.
    pub redis: Option<RedisSettings>,
    /// `KAFKA_BROKERS` and its parts; `None`: topics are inside this process.
    pub kafka: Option<KafkaSettings>,
    /// `ROLES`: the parts of the service's work that this process does.
    pub roles: Roles,
    /// `FLIGHT_LOCKS`: whether replicas wait for each other's batches on a flight.
    pub flight_locks: bool,
    /// `CACHE_TTL`: maximum time that a search answer is cached. See [`Config::answers_kept_for`].
    pub cache_ttl: Duration,
    /// `MAX_CACHE_ENTRIES`: maximum search answers in the in-process cache.
    pub max_cache_entries: u64,
    /// `LOCK_TTL`: how long seats are held for a payment.
    pub lock_ttl: Duration,
    /// `PAYMENT_WINDOW`: how long seats are held for an order that is paid later.
    pub payment_window: Duration,
    /// `OFFER_TTL`: how long an offer to a party that waited for a flight stands.
    pub offer_ttl: Duration,
    /// `WAITLIST_MAX_OVERTAKES`: how often a party that waits is overtaken before free seats gather for it.
    pub waitlist_max_overtakes: i32,
    /// `WAITLIST_GATHER_FOR`: how long free seats gather for a party at most.
    pub waitlist_gather_for: Duration,
    /// `WAITLIST_RELEASE_BEFORE`: how long before departure free seats no longer gather.
    pub waitlist_release_before: Duration,
    /// `BOOKING_CLOSES_BEFORE`: how long before departure a flight leaves sale and search; `None`: the clock
    /// closes no flight, and a booking can be cancelled after departure too.
    pub booking_closes_before: Option<Duration>,
    /// `MAX_PARTY_SIZE`: maximum seats in one booking.
    pub max_party_size: i32,
    /// `MAX_PENDING_PER_USER`: maximum unpaid seats per user on one flight; `None`: no limit.
    pub max_pending_per_user: Option<i32>,
    /// `CURRENCY` of new flights.
    pub currency: Currency,
    /// `SCHEDULE_TIMEZONE`: the time zone of the date in a search.
    pub schedule_timezone: ScheduleZone,
    /// `MIN_CONNECTION`: minimum time between an arrival and the next departure of an itinerary.
    pub min_connection: Duration,
    /// `MAX_CONNECTION`: maximum time between an arrival and the next departure of an itinerary.
    pub max_connection: Duration,
    /// `FREE_REFUSAL_AFTER`: how far a departure must have moved for its traveller to cancel free of charge.
    pub free_refusal_after: Duration,
    /// `PAYMENT_GATEWAY`: `None`: the simulated gateway takes the money.
    pub stripe: Option<StripeSettings>,
    /// `SMTP_*`, `SMS_*` and their parts: how messages to travellers are sent.
    pub messages: MessageSettings,
    /// `PAYMENT_LATENCY` of the simulated gateway.
    pub payment_latency: Duration,
    /// `GATEWAY_TIMEOUT`: maximum time of one call to the gateway.
    pub gateway_timeout: Duration,
    /// `PAYMENT_REDRIVE_AFTER`: time after which an unanswered payment request is sent again.
    pub payment_redrive_after: Duration,
    /// How long a worker may have work without finishing any before the service is degraded: 30 s but in tests.
    pub stalled_after: Duration,
    /// `SWEEP_INTERVAL`: how often lapsed holds are looked for.
    pub sweep_interval: Duration,
    /// `PASSENGER_RETENTION`: how long after departure passengers are kept; `None`: forever.
    pub passenger_retention: Option<Duration>,
    /// `WEBHOOK_ALLOW_PRIVATE`: whether webhooks may lead to private addresses.
    pub webhook_allow_private: bool,
    /// `WEBHOOK_RETENTION`: how long deliveries to webhooks are kept.
    pub webhook_retention: Duration,
    /// `EVENT_RETENTION`: how long events can be read.
    pub event_retention: Duration,
    /// `MAX_QUEUED_HOLDS`: maximum bookings that wait for the engine; further ones get 503.
    pub max_queued_holds: usize,
    /// `MAX_IN_FLIGHT`: maximum requests processed at once; further ones get 503.
    pub max_in_flight: usize,
    /// `MAX_WAITING`: maximum callers that wait for a payment (`Prefer: wait`).
    pub max_waiting: usize,
    /// `MAX_EVENT_STREAMS`: maximum streams of events; further ones get 503.
    pub max_event_streams: usize,
    /// `TRACING_ENABLED` and its parts; `None`: no traces.
    pub tracing: Option<TracingSettings>,
    /// `RATE_LIMIT_RPS` and `RATE_LIMIT_BURST`; `None`: no limit.
    pub rate_limit: Option<RateLimit>,
    /// `TRUSTED_PROXIES`: networks that may name the client's address in a header.
    pub trusted_proxies: Vec<Network>,
    /// `AUTH` and `JWT_*`; `None`: callers need no token.
    pub auth: Option<JwtSettings>,
    /// Whether `AUTH` is set, and not just defaulted.
    pub is_auth_chosen: bool,
    /// `ALLOWED_HOSTS`: names by which callers may reach the service.
    pub allowed_hosts: AllowedHosts,
    /// `PUBLIC_URL`: the origin of the service as payers see it; `None`: pages are named by their path.
    pub public_url: Option<String>,
    /// `RETURN_ORIGINS`: other origins to which a payer may return.
    pub return_origins: Vec<String>,
    /// `CORS_ORIGINS`: origins whose pages may call.
    pub cors_origins: CorsOrigins,
    /// `LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `RUST_LOG`: the filter of log lines, by module and level.
    pub log_filter: String,
}

impl Config {
    /// Reads the settings from `lookup`. An unset or blank variable has its default.
    ///
    /// Fails with all problems at once, so that one start reports them all.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Self::read(&lookup, |_| None)
    }

    /// Like [`Config::from_env`], for a process that answers callers: requires `AUTH` if other machines can
    /// reach it.
    pub fn for_serving(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        Self::read(&lookup, Self::missing_auth)
    }

    /// The settings of a test, which lists its variables.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Result<Self, ConfigError> {
        let set = |name: &str| variables.iter().find(|(n, _)| *n == name);
        Self::from_env(|name| set(name).map(|(_, value)| (*value).to_owned()))
    }

    fn read(
        lookup: &dyn Fn(&str) -> Option<String>,
        check: fn(&Self) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut env = Environment::new(lookup);
        env.read_files();
        let event_retention = env.read("EVENT_RETENTION", values::positive_duration);
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
            kafka: env.kafka(event_retention),
            roles: env.read("ROLES", roles::roles),
            flight_locks: env.read("FLIGHT_LOCKS", values::true_or_false),
            cache_ttl: env.read("CACHE_TTL", values::positive_duration),
            max_cache_entries: env.read("MAX_CACHE_ENTRIES", values::whole(0..=COUNT_MAX)),
            lock_ttl: env.read("LOCK_TTL", values::positive_duration),
            payment_window: env.read("PAYMENT_WINDOW", values::positive_duration),
            offer_ttl: env.read("OFFER_TTL", values::positive_duration),
            waitlist_max_overtakes: env.read("WAITLIST_MAX_OVERTAKES", values::whole(0..=1_000)),
            waitlist_gather_for: env.read("WAITLIST_GATHER_FOR", values::duration),
            waitlist_release_before: env.read("WAITLIST_RELEASE_BEFORE", values::duration),
            booking_closes_before: env
                .read("BOOKING_CLOSES_BEFORE", values::unless_never(values::duration)),
            max_party_size: env.read("MAX_PARTY_SIZE", values::whole(1..=100)),
            max_pending_per_user: None,
            currency: env.read("CURRENCY", values::currency),
            schedule_timezone: env.read("SCHEDULE_TIMEZONE", values::zone),
            min_connection: env.read("MIN_CONNECTION", values::connection),
            max_connection: env.read("MAX_CONNECTION", values::connection),
            free_refusal_after: env.read("FREE_REFUSAL_AFTER", values::duration),
            stripe: env.stripe(),
            messages: env.messages(),
            payment_latency: env.read("PAYMENT_LATENCY", values::duration),
            gateway_timeout: env.read("GATEWAY_TIMEOUT", values::positive_duration),
            stalled_after: STALLED_AFTER,
            payment_redrive_after: env.read("PAYMENT_REDRIVE_AFTER", values::positive_duration),
            sweep_interval: env.read("SWEEP_INTERVAL", values::positive_duration),
            passenger_retention: env.read("PASSENGER_RETENTION", values::retention),
            webhook_allow_private: env.read("WEBHOOK_ALLOW_PRIVATE", values::true_or_false),
            webhook_retention: env.read("WEBHOOK_RETENTION", values::delivery_retention),
            event_retention,
            max_queued_holds: env.read("MAX_QUEUED_HOLDS", values::whole(1..=COUNT_MAX as usize)),
            max_in_flight: env.read("MAX_IN_FLIGHT", values::whole(1..=COUNT_MAX as usize)),
            max_waiting: env.read("MAX_WAITING", values::whole(0..=COUNT_MAX as usize)),
            max_event_streams: env.read("MAX_EVENT_STREAMS", values::whole(0..=1_000_000)),
            tracing: env.tracing(),
            rate_limit: env.rate_limit(),
            trusted_proxies: env.read("TRUSTED_PROXIES", callers::networks),
            auth: env.auth(),
            is_auth_chosen: env.value("AUTH").is_some(),
            allowed_hosts: env.allowed_hosts(),
            public_url: env.read("PUBLIC_URL", callers::public_url),
            return_origins: env.read("RETURN_ORIGINS", callers::return_origins),
            cors_origins: env.read("CORS_ORIGINS", callers::cors_origins),
            log_format: env.read("LOG_FORMAT", observability::log_format),
            log_filter: env.read("RUST_LOG", |filter| Ok(filter.to_owned())),
        };
        config.max_pending_per_user = env.pending_max(&config);
        config.connections_per_client = env.connections_per_client(config.max_connections);
        env.problems.extend(config.contradictions());
        env.problems.extend(check(&config));
        if env.problems.is_empty() { Ok(config) } else { Err(ConfigError(env.problems)) }
    }

    /// Whether only this machine can reach the port.
    pub fn is_on_loopback(&self) -> bool {
        self.server_host.to_canonical().is_loopback()
    }

    /// Maximum time that a search answer is cached: `CACHE_TTL`, or less if a read replica may lag.
    pub fn answers_kept_for(&self) -> Duration {
        match &self.database {
            Database::Postgres(PostgresSettings { read_host: Some(_), .. }) => {
                self.cache_ttl.min(REPLICA_TTL)
            }
            _ => self.cache_ttl,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_and_blank_variables_have_their_defaults() {
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
    fn all_problems_are_reported_at_once_with_variable_and_rule() {
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
    fn metrics_are_served_on_the_api_port_or_on_a_separate_one() {
        let port = |text| Config::of(&[("METRICS_PORT", text)]).map(|config| config.metrics_port);
        assert_eq!(port(""), Ok(None));
        assert_eq!(port("0"), Ok(Some(0)));
        assert_eq!(port("9464"), Ok(Some(9464)));
        for wrong in ["8080", "65536", "on"] {
            let error = port(wrong).expect_err("no other port").to_string();
            assert!(error.contains("METRICS_PORT must"), "{error}");
        }
    }

    #[test]
    fn documents_are_served_unless_docs_is_off() {
        let docs = |text| Config::of(&[("DOCS", text)]).map(|config| config.docs);
        assert_eq!((docs(""), docs("on"), docs("off")), (Ok(true), Ok(true), Ok(false)));
        assert!(docs("nowhere").is_err());
    }

    #[test]
    fn bookings_close_at_departure_or_before_it_or_never() {
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
    fn a_connection_has_a_minimum_and_a_maximum_within_a_day() {
        let error = |name, value| Config::of(&[(name, value)]).expect_err(value).to_string();
        assert!(error("MIN_CONNECTION", "7h").contains("must not be longer than MAX_CONNECTION"));
        assert!(error("MAX_CONNECTION", "25h").contains("must be at most 24h"));
        let equal = Config::of(&[("MIN_CONNECTION", "1h"), ("MAX_CONNECTION", "1h")]);
        assert_eq!(equal.expect("sound").min_connection, Duration::from_hours(1));
    }

    #[test]
    fn a_host_selects_a_service_and_its_absence_the_embedded_part() {
        let embedded = Config::of(&[]).expect("the defaults");
        assert!(matches!(embedded.database, Database::Sqlite(_)));
        assert!(embedded.redis.is_none() && embedded.kafka.is_none());

        let variables =
            [("DB_HOST", "db"), ("REDIS_HOST", "cache"), ("KAFKA_BROKERS", "a:9092,b:9092")];
        let shared = Config::of(&variables).expect("sound");
        let Database::Postgres(postgres) = shared.database else { panic!("not PostgreSQL") };
        assert_eq!((postgres.host.as_str(), postgres.port), ("db", 5432));
        assert_eq!(shared.redis.expect("Redis").urls[0].expose(), "redis://cache:6379/0");
        assert_eq!(shared.kafka.expect("Kafka").brokers, "a:9092,b:9092");
    }

    #[test]
    fn a_url_overrides_its_parts() {
        let file =
            Config::of(&[("DATABASE_URL", "sqlite:a.db"), ("DB_HOST", "db")]).expect("sound");
        assert!(matches!(file.database, Database::Sqlite(_)));
        let server = Config::of(&[("DATABASE_URL", "postgres://u:p@h/d")]).expect("sound");
        assert!(matches!(server.database, Database::Postgres(_)));
        let redis = Config::of(&[("REDIS_URL", "rediss://h"), ("REDIS_HOST", "x")]).expect("sound");
        assert_eq!(redis.redis.expect("Redis").urls[0].expose(), "rediss://h");
    }

    #[test]
    fn debug_output_and_errors_contain_no_secrets() {
        let variables = [
            ("DB_HOST", "db"),
            ("DB_PASSWORD", "hush"),
            ("REDIS_HOST", "cache"),
            ("REDIS_PASSWORD", "hush"),
        ];
        let config = Config::of(&variables).expect("sound");
        let redis = config.redis.as_ref().expect("Redis");
        assert_eq!(redis.to_string(), "Redis at redis://cache:6379/0");
        let shown = format!("{config:?}");
        assert!(!shown.contains("hush"), "{shown}");
        let error =
            Config::of(&[("REDIS_URL", "http://:hush@h")]).expect_err("not Redis").to_string();
        assert!(error.contains("REDIS_URL") && !error.contains("hush"), "{error}");
    }
}
