//! The list of settings: names, defaults and what they are for.

/// One environment variable.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The variable.
    pub name: &'static str,
    /// Its value where it is unset or blank; blank means what `help` says.
    pub default: &'static str,
    /// What it does, in a line.
    pub help: &'static str,
}

/// Every setting, in the order in which they are shown.
pub const SETTINGS: &[Setting] = &[
    setting("SERVER_HOST", "127.0.0.1", "address to listen on; 0.0.0.0 for every one"),
    setting("SERVER_PORT", "8080", "port to listen on; 0 for any free one"),
    setting("SERVER_READ_TIMEOUT", "15s", "time to receive a request's body"),
    setting("SERVER_WRITE_TIMEOUT", "15s", "time to answer a request that does not ask to wait"),
    setting("SHUTDOWN_TIMEOUT", "30s", "time that a stop gives to requests under way"),
    setting("DATABASE_URL", "sqlite:airline_booking.db", "the database's file, as sqlite:FILE"),
    setting("CACHE_TTL", "1h", "how long a search answer is kept at most"),
    setting("MAX_CACHE_ENTRIES", "10000", "search answers kept in this process at most"),
    setting("LOCK_TTL", "5m", "how long seats are held for a payment"),
    setting("BOOKING_CLOSES_BEFORE", "", "how long before departure bookings close; empty: never"),
    setting("MAX_PARTY_SIZE", "9", "seats in one booking at most"),
    setting("CURRENCY", "INR", "currency of new flights, ISO 4217"),
    setting("SCHEDULE_TIMEZONE", "UTC", "IANA time zone whose days a search's date means"),
    setting("PAYMENT_LATENCY", "100ms", "how long the simulated gateway takes"),
    setting("PAYMENT_REDRIVE_AFTER", "30s", "when an unanswered payment is asked for again"),
    setting("SWEEP_INTERVAL", "1s", "how often lapsed holds are looked for"),
    setting("MAX_QUEUED_HOLDS", "8192", "bookings that may wait for the engine; beyond it 503"),
    setting("MAX_IN_FLIGHT", "2048", "requests worked on at once; beyond it 503"),
    setting("MAX_WAITING", "1024", "callers that may wait for a payment (Prefer: wait)"),
    setting("LOG_FORMAT", "", "pretty or json; empty: pretty on a terminal, else json"),
    setting("RUST_LOG", "info", "which log lines are written, by module and level"),
];

/// Variables that ask for parts which the embedded service lacks: the value (if any) that asks for
/// nothing, and what stands in the part's place.
pub(super) const NOT_EMBEDDED: &[(&str, Option<&str>, &str)] = &[
    ("DB_HOST", None, "keeps its data in SQLite"),
    ("REDIS_HOST", None, "keeps its cache and locks in the process"),
    ("REDIS_URL", None, "keeps its cache and locks in the process"),
    ("KAFKA_BROKERS", None, "keeps its topics in the process"),
    ("AUTH", Some("off"), "knows no identities"),
    ("TRACING_ENABLED", Some("false"), "exports no traces"),
];

const fn setting(name: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { name, default, help }
}

/// The default of a setting in the list.
pub(super) fn default_of(name: &str) -> &'static str {
    SETTINGS
        .iter()
        .find(|setting| setting.name == name)
        .expect("a setting is read by a name in the list")
        .default
}
