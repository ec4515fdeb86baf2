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
    setting(
        "METRICS_PORT",
        "",
        "port of /metrics and of health beside it, no longer at SERVER_PORT; 0: any free one; empty: SERVER_PORT",
    ),
    setting("DOCS", "on", "off: /docs and /openapi.json are not answered"),
    setting("SERVER_READ_TIMEOUT", "15s", "time to receive a request's head, and then its body"),
    setting("SERVER_WRITE_TIMEOUT", "15s", "time to answer a request that does not ask to wait"),
    setting("SERVER_IDLE_TIMEOUT", "75s", "how long a connection may rest between requests"),
    setting("SHUTDOWN_DELAY", "0s", "how long a stop still takes requests while /readyz says 503"),
    setting("SHUTDOWN_TIMEOUT", "30s", "time that a stop gives to requests under way"),
    setting("DB_HOST", "", "PostgreSQL's host; empty: SQLite in a file"),
    setting("DB_PORT", "5432", "PostgreSQL's port"),
    setting("DB_USER", "postgres", "PostgreSQL's user"),
    setting("DB_PASSWORD", "password", "that user's password"),
    setting("DB_PASSWORD_FILE", "", "file that holds DB_PASSWORD instead"),
    setting("DB_NAME", "airline_booking", "PostgreSQL's database"),
    setting("DB_SSL_MODE", "disable", "disable, prefer, require, verify-ca or verify-full"),
    setting("DB_SSL_ROOT_CERT", "", "file of the authorities to trust; empty: the well-known ones"),
    setting("DB_READ_HOST", "", "a read replica for searches; empty: the primary"),
    setting("DB_MAX_CONNECTIONS", "20", "PostgreSQL connections of this process at most"),
    setting(
        "DATABASE_URL",
        "",
        "overrides DB_* but DB_SSL_*: postgres://… or sqlite:FILE (sqlite:airline_booking.db)",
    ),
    setting("DATABASE_URL_FILE", "", "file that holds DATABASE_URL instead"),
    setting("REDIS_HOST", "", "Redis' host; empty: cache and locks in this process"),
    setting("REDIS_PORT", "6379", "Redis' port"),
    setting("REDIS_USER", "", "Redis' user (ACL); empty: the default one"),
    setting("REDIS_PASSWORD", "", "that user's password, if it has one"),
    setting("REDIS_PASSWORD_FILE", "", "file that holds REDIS_PASSWORD instead"),
    setting("REDIS_DB", "0", "Redis' database"),
    setting(
        "REDIS_CLUSTER",
        "false",
        "true: REDIS_HOST is a comma list of nodes of a Redis Cluster",
    ),
    setting("REDIS_TLS", "false", "true: Redis is reached over TLS"),
    setting("REDIS_CA", "", "file of the authorities to trust, with TLS; empty: the system's"),
    setting(
        "REDIS_URL",
        "",
        "overrides REDIS_* but REDIS_CA: redis://… or rediss://…; a comma list for a cluster",
    ),
    setting("REDIS_URL_FILE", "", "file that holds REDIS_URL instead"),
    setting("FLIGHT_LOCKS", "true", "false: replicas go without locks and rely on versions alone"),
    setting("KAFKA_BROKERS", "", "Kafka's brokers, a comma list; empty: topics in this process"),
    setting("KAFKA_GROUP_ID", "booking-service", "consumer group of settlement"),
    setting("KAFKA_PAYMENT_GROUP_ID", "payment-service", "consumer group of the payment workers"),
    setting("KAFKA_TOPIC_BOOKINGS", "flight-bookings", "topic of seats sold and given back"),
    setting("KAFKA_TOPIC_PAYMENTS", "payment-events", "topic of what the gateway did"),
    setting(
        "KAFKA_TOPIC_PAYMENT_REQUESTS",
        "payment-requests",
        "topic of what the gateway is to do",
    ),
    setting(
        "KAFKA_TOPIC_EVENTS",
        "airline-events",
        "topic of flights and bookings after each change",
    ),
    setting("KAFKA_PARTITIONS", "3", "partitions of topics that the service creates"),
    setting("KAFKA_REPLICATION", "-1", "replicas of those partitions; -1: the brokers' default"),
    setting("KAFKA_SECURITY_PROTOCOL", "plaintext", "plaintext, ssl, sasl_plaintext or sasl_ssl"),
    setting("KAFKA_SASL_MECHANISM", "PLAIN", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"),
    setting("KAFKA_SASL_USERNAME", "", "the user, with SASL"),
    setting("KAFKA_SASL_PASSWORD", "", "that user's password"),
    setting("KAFKA_SASL_PASSWORD_FILE", "", "file that holds KAFKA_SASL_PASSWORD instead"),
    setting("KAFKA_SSL_CA_LOCATION", "", "file of the authorities to trust; empty: the system's"),
    setting(
        "KAFKA_SSL_CERTIFICATE_LOCATION",
        "",
        "file of the certificate that the service shows to Kafka; empty: none",
    ),
    setting("KAFKA_SSL_KEY_LOCATION", "", "file of that certificate's private key"),
    setting("KAFKA_SSL_KEY_PASSWORD", "", "that key's password, if it is encrypted"),
    setting("KAFKA_SSL_KEY_PASSWORD_FILE", "", "file that holds KAFKA_SSL_KEY_PASSWORD instead"),
    setting(
        "EVENTS_SECRET",
        "",
        "secrets that sign messages on Kafka, a comma list: the first signs, all verify; empty: none",
    ),
    setting("EVENTS_SECRET_FILE", "", "file that holds EVENTS_SECRET instead"),
    setting("EVENTS_REQUIRE", "false", "true: messages on Kafka without a signature are put aside"),
    setting("ROLES", "all", "of api, relay, payments, settlement, sweeper: what this process does"),
    setting("CACHE_TTL", "1h", "how long a search answer is kept at most"),
    setting("MAX_CACHE_ENTRIES", "10000", "search answers kept in this process at most"),
    setting("LOCK_TTL", "5m", "how long seats are held for a payment"),
    setting(
        "BOOKING_CLOSES_BEFORE",
        "0s",
        "how long before departure sale and search end; never: not by the clock",
    ),
    setting("MAX_PARTY_SIZE", "9", "seats in one booking at most"),
    setting(
        "MAX_PENDING_PER_USER",
        "",
        "seats on a flight that a user may hold unpaid; 0: any; empty: two parties with AUTH=jwt, else any",
    ),
    setting("CURRENCY", "INR", "currency of new flights, ISO 4217; sets the decimals of amounts"),
    setting("SCHEDULE_TIMEZONE", "UTC", "IANA time zone whose days a search's date means"),
    setting("PAYMENT_LATENCY", "100ms", "how long the simulated gateway takes"),
    setting(
        "GATEWAY_TIMEOUT",
        "10s",
        "how long the gateway may take for an answer; then it is asked again",
    ),
    setting("PAYMENT_REDRIVE_AFTER", "30s", "when an unanswered payment is asked for again"),
    setting("SWEEP_INTERVAL", "1s", "how often lapsed holds are looked for"),
    setting(
        "PASSENGER_RETENTION",
        "",
        "how long after departure passengers are kept, such as 90d; empty: for ever",
    ),
    setting("MAX_QUEUED_HOLDS", "8192", "bookings that may wait for the engine; beyond it 503"),
    setting("MAX_IN_FLIGHT", "2048", "requests worked on at once; beyond it 503"),
    setting("MAX_WAITING", "1024", "callers that may wait for a payment (Prefer: wait)"),
    setting("TRACING_ENABLED", "false", "true: traces go to TRACING_ENDPOINT"),
    setting("TRACING_ENDPOINT", "http://localhost:4318", "a collector that takes OTLP over HTTP"),
    setting("TRACING_SERVICE_NAME", "airline-booking-service", "the service's name in traces"),
    setting("TRACING_ENVIRONMENT", "local", "the deployment's name in traces"),
    setting(
        "TRACING_SAMPLER_RATIO",
        "1.0",
        "share of traces that are kept, 0 to 1, where the caller has not decided",
    ),
    setting(
        "TRACING_TRUST_CALLER",
        "",
        "whether a request goes on with its caller's trace (traceparent) and keeps it if the caller does; empty: only from this machine",
    ),
    setting(
        "MAX_CONNECTIONS",
        "10000",
        "connections at once; beyond it those that rest are closed",
    ),
    setting(
        "MAX_CONNECTIONS_PER_CLIENT",
        "",
        "connections of one client at once; beyond it more are closed; 0: any; empty: a quarter of MAX_CONNECTIONS, from this machine any",
    ),
    setting("RATE_LIMIT_RPS", "10", "requests a second of one client in the long run; 0: no limit"),
    setting("RATE_LIMIT_BURST", "20", "requests of one client at once"),
    setting("TRUSTED_PROXIES", "", "networks whose X-Forwarded-For and Forwarded are believed"),
    setting(
        "AUTH",
        "off",
        "off, or jwt: callers need a token; must be set unless SERVER_HOST is a loopback address",
    ),
    setting("JWT_SECRET", "", "the key of HS256 tokens, at least 32 random bytes"),
    setting("JWT_SECRET_FILE", "", "file that holds JWT_SECRET instead"),
    setting("JWT_JWKS", "", "file or URL of the public keys of RS256, ES256 and EdDSA tokens"),
    setting("JWT_ISSUER", "", "who must have issued a token (iss); empty: anyone with the key"),
    setting("JWT_AUDIENCE", "", "whom a token must be meant for (aud); empty: anyone"),
    setting("JWT_LEEWAY", "30s", "how far the issuer's clock may differ from ours"),
    setting(
        "JWT_TYPE",
        "",
        "the type (typ) that a token must have, such as at+jwt; empty: JWT, at+jwt or none",
    ),
    setting(
        "JWT_MAX_LIFETIME",
        "24h",
        "how long a token may be valid, from its issue (iat) or from now; never: no bound",
    ),
    setting(
        "ALLOWED_HOSTS",
        "host.docker.internal",
        "names of this service in Host, a comma list; checked with AUTH=off on a loopback address, and if set",
    ),
    setting(
        "CORS_ORIGINS",
        "",
        "origins whose pages may call, a comma list or, with AUTH=jwt, *; empty: none",
    ),
    setting("LOG_FORMAT", "", "pretty or json; empty: pretty on a terminal, else json"),
    setting("RUST_LOG", "info", "which log lines are written, by module and level"),
];

const fn setting(name: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { name, default, help }
}

/// Whether a setting's value is never repeated: URLs may hold a password.
pub(super) fn may_hold_a_secret(name: &str) -> bool {
    ["_URL", "_ENDPOINT", "_JWKS", "_SECRET", "_PASSWORD"].iter().any(|end| name.ends_with(end))
}

/// The default of a setting in the list.
pub(super) fn default_of(name: &str) -> &'static str {
    SETTINGS
        .iter()
        .find(|setting| setting.name == name)
        .expect("a setting is read by a name in the list")
        .default
}
