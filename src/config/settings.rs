//! The list of settings: names, defaults and descriptions.

/// One environment variable.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The variable.
    pub name: &'static str,
    /// The value if the variable is unset or blank. `help` explains an empty default.
    pub default: &'static str,
    /// The description, in a line.
    pub help: &'static str,
}

/// Every setting, in the order of `--help` and `docs/settings.md`.
pub const SETTINGS: &[Setting] = &[
    setting(
        "SERVER_HOST",
        "127.0.0.1",
        "Address to listen on; 0.0.0.0: every IPv4 address of this machine",
    ),
    setting("SERVER_PORT", "8080", "Port to listen on; 0: any free port"),
    setting(
        "METRICS_PORT",
        "",
        "Port for /metrics and health checks; SERVER_PORT then serves no /metrics; 0: any free port; empty: SERVER_PORT",
    ),
    setting("DOCS", "on", "on or off: whether /docs and /openapi.json are served"),
    setting(
        "SERVER_READ_TIMEOUT",
        "15s",
        "Maximum time to receive a request's head, and again to receive its body",
    ),
    setting(
        "SERVER_WRITE_TIMEOUT",
        "15s",
        "Maximum time to answer a request that does not ask to wait",
    ),
    setting("SERVER_IDLE_TIMEOUT", "75s", "How long a connection may stay idle between requests"),
    setting(
        "SHUTDOWN_DELAY",
        "0s",
        "How long a shutdown still accepts requests while /readyz answers 503",
    ),
    setting("SHUTDOWN_TIMEOUT", "30s", "How long a shutdown waits for requests in progress"),
    setting("DB_HOST", "", "PostgreSQL host; empty: SQLite in a file"),
    setting("DB_PORT", "5432", "PostgreSQL port"),
    setting("DB_USER", "postgres", "PostgreSQL user"),
    setting("DB_PASSWORD", "password", "PostgreSQL password"),
    setting("DB_PASSWORD_FILE", "", "File that contains DB_PASSWORD"),
    setting("DB_NAME", "airline_booking", "PostgreSQL database"),
    setting("DB_SSL_MODE", "disable", "disable, prefer, require, verify-ca or verify-full"),
    setting(
        "DB_SSL_ROOT_CERT",
        "",
        "File of trusted certificate authorities for PostgreSQL; empty: the public ones",
    ),
    setting("DB_READ_HOST", "", "Host of a read replica for searches; empty: the primary"),
    setting("DB_MAX_CONNECTIONS", "20", "Maximum PostgreSQL connections of this process"),
    setting(
        "DATABASE_URL",
        "",
        "postgres://… or sqlite:FILE; overrides DB_* except DB_SSL_*; empty and no DB_HOST: sqlite:airline_booking.db",
    ),
    setting("DATABASE_URL_FILE", "", "File that contains DATABASE_URL"),
    setting("REDIS_HOST", "", "Redis host; empty: cache and locks are inside this process"),
    setting("REDIS_PORT", "6379", "Redis port"),
    setting("REDIS_USER", "", "Redis user (ACL); empty: the default user"),
    setting("REDIS_PASSWORD", "", "Redis password; empty: none"),
    setting("REDIS_PASSWORD_FILE", "", "File that contains REDIS_PASSWORD"),
    setting("REDIS_DB", "0", "Redis database number"),
    setting(
        "REDIS_CLUSTER",
        "false",
        "true: REDIS_HOST is a comma-separated list of nodes of a Redis Cluster",
    ),
    setting("REDIS_TLS", "false", "true: connections to Redis use TLS"),
    setting(
        "REDIS_CA",
        "",
        "File of trusted certificate authorities for Redis, with TLS; empty: the system's",
    ),
    setting(
        "REDIS_URL",
        "",
        "redis://… or rediss://…, comma-separated for a cluster; overrides REDIS_* except REDIS_CLUSTER and REDIS_CA",
    ),
    setting("REDIS_URL_FILE", "", "File that contains REDIS_URL"),
    setting(
        "FLIGHT_LOCKS",
        "true",
        "false: replicas use no flight locks and rely on row versions alone",
    ),
    setting(
        "KAFKA_BROKERS",
        "",
        "Kafka brokers, comma-separated; empty: topics are inside this process",
    ),
    setting("KAFKA_GROUP_ID", "booking-service", "Consumer group of settlement"),
    setting("KAFKA_PAYMENT_GROUP_ID", "payment-service", "Consumer group of the payment workers"),
    setting(
        "KAFKA_MESSAGE_GROUP_ID",
        "message-service",
        "Consumer group that turns events into mails and SMS",
    ),
    setting("KAFKA_SALES_GROUP_ID", "sales-service", "Consumer group that counts sales"),
    setting(
        "KAFKA_WEBHOOK_GROUP_ID",
        "webhook-service",
        "Consumer group that queues events for webhooks",
    ),
    setting("KAFKA_TOPIC_BOOKINGS", "flight-bookings", "Topic of seats sold and returned"),
    setting("KAFKA_TOPIC_PAYMENTS", "payment-events", "Topic of payment results"),
    setting(
        "KAFKA_TOPIC_PAYMENT_REQUESTS",
        "payment-requests",
        "Topic of requests to the payment gateway",
    ),
    setting(
        "KAFKA_TOPIC_EVENTS",
        "airline-events",
        "Topic of flights and bookings after each change",
    ),
    setting("KAFKA_PARTITIONS", "3", "Partitions of topics that the service creates"),
    setting(
        "KAFKA_REPLICATION",
        "-1",
        "Replication factor of topics that the service creates; -1: the brokers' default",
    ),
    setting("KAFKA_SECURITY_PROTOCOL", "plaintext", "plaintext, ssl, sasl_plaintext or sasl_ssl"),
    setting("KAFKA_SASL_MECHANISM", "PLAIN", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"),
    setting("KAFKA_SASL_USERNAME", "", "Kafka user, with SASL"),
    setting("KAFKA_SASL_PASSWORD", "", "Kafka password, with SASL"),
    setting("KAFKA_SASL_PASSWORD_FILE", "", "File that contains KAFKA_SASL_PASSWORD"),
    setting(
        "KAFKA_SSL_CA_LOCATION",
        "",
        "File of trusted certificate authorities for Kafka; empty: the system's",
    ),
    setting(
        "KAFKA_SSL_CERTIFICATE_LOCATION",
        "",
        "File of the service's client certificate for Kafka; empty: none",
    ),
    setting("KAFKA_SSL_KEY_LOCATION", "", "File of the private key of that certificate"),
    setting("KAFKA_SSL_KEY_PASSWORD", "", "Password of that key; empty: the key is not encrypted"),
    setting("KAFKA_SSL_KEY_PASSWORD_FILE", "", "File that contains KAFKA_SSL_KEY_PASSWORD"),
    setting(
        "EVENTS_SECRET",
        "",
        "Secrets for signing messages on Kafka, comma-separated: the first signs, all verify; empty: messages are not signed",
    ),
    setting("EVENTS_SECRET_FILE", "", "File that contains EVENTS_SECRET"),
    setting("EVENTS_REQUIRE", "false", "true: unsigned messages on Kafka are refused"),
    setting(
        "ROLES",
        "all",
        "What this process does: all, or a comma-separated list of api, relay, payments, settlement, sweeper, notify",
    ),
    setting("CACHE_TTL", "1h", "Maximum time that a search answer is cached"),
    setting("MAX_CACHE_ENTRIES", "10000", "Maximum search answers cached in this process"),
    setting("LOCK_TTL", "5m", "How long seats are held for a payment"),
    setting("PAYMENT_WINDOW", "15m", "How long seats are held for a booking that is paid later"),
    setting("OFFER_TTL", "30m", "How long an offer to a party that waited for a flight stands"),
    setting(
        "WAITLIST_MAX_OVERTAKES",
        "3",
        "How often a party that waits for a flight is overtaken before free seats gather for it",
    ),
    setting(
        "WAITLIST_GATHER_FOR",
        "6h",
        "How long free seats gather for a party at most; 0s: never",
    ),
    setting(
        "WAITLIST_RELEASE_BEFORE",
        "24h",
        "How long before departure free seats no longer gather for a party",
    ),
    setting(
        "BOOKING_CLOSES_BEFORE",
        "0s",
        "How long before departure a flight leaves sale and search; never: no flight is closed by the clock",
    ),
    setting("MAX_PARTY_SIZE", "9", "Maximum seats in one booking"),
    setting(
        "MAX_PENDING_PER_USER",
        "",
        "Maximum unpaid seats per user on one flight; 0: no limit; empty: two parties with AUTH=jwt, else no limit",
    ),
    setting(
        "CURRENCY",
        "INR",
        "Currency of new flights (ISO 4217); it sets the decimals of amounts",
    ),
    setting("SCHEDULE_TIMEZONE", "UTC", "IANA time zone of the date in a search"),
    setting(
        "MIN_CONNECTION",
        "45m",
        "Minimum time between an arrival and the next departure of an itinerary",
    ),
    setting(
        "MAX_CONNECTION",
        "6h",
        "Maximum time between an arrival and the next departure of an itinerary; at most 24h",
    ),
    setting(
        "FREE_REFUSAL_AFTER",
        "2h",
        "How far a departure must have moved since the sale for its traveller to cancel free of charge",
    ),
    setting("PAYMENT_GATEWAY", "simulated", "simulated or stripe: who takes the money"),
    setting(
        "STRIPE_SECRET_KEY",
        "",
        "Secret key of the Stripe account, with PAYMENT_GATEWAY=stripe",
    ),
    setting("STRIPE_SECRET_KEY_FILE", "", "File that contains STRIPE_SECRET_KEY"),
    setting(
        "STRIPE_API_BASE",
        "https://api.stripe.com",
        "Origin of Stripe's API; http only on this machine",
    ),
    setting(
        "STRIPE_WEBHOOK_SECRETS",
        "",
        "Signing secrets of Stripe's webhooks, comma-separated: any of them signs; empty: webhooks are not taken",
    ),
    setting("STRIPE_WEBHOOK_SECRETS_FILE", "", "File that contains STRIPE_WEBHOOK_SECRETS"),
    setting("PAYMENT_LATENCY", "100ms", "How long the simulated gateway takes for a payment"),
    setting(
        "GATEWAY_TIMEOUT",
        "10s",
        "Maximum time of one call to the gateway; then the call is repeated",
    ),
    setting(
        "PAYMENT_REDRIVE_AFTER",
        "30s",
        "Time after which an unanswered payment request is sent again",
    ),
    setting(
        "SMTP_URL",
        "",
        "smtps://user:password@host or smtp://… (STARTTLS): the server that sends mails; empty: none is sent",
    ),
    setting("SMTP_URL_FILE", "", "File that contains SMTP_URL"),
    setting("SMTP_CA", "", "File of trusted certificate authorities for SMTP; empty: the system's"),
    setting("MAIL_FROM", "", "Sender of mails: an address, or Name <address>"),
    setting(
        "SMS_ACCOUNT",
        "",
        "Account at an SMS provider with the API of Twilio; empty: no SMS is sent",
    ),
    setting("SMS_TOKEN", "", "Token of SMS_ACCOUNT"),
    setting("SMS_TOKEN_FILE", "", "File that contains SMS_TOKEN"),
    setting(
        "SMS_FROM",
        "",
        "Sender of SMS: a number with a plus, a name, or a messaging service (MG…)",
    ),
    setting(
        "SMS_URL",
        "https://api.twilio.com",
        "Origin of the SMS provider's API; http only on this machine",
    ),
    setting(
        "SMS_COUNTRY_CODE",
        "",
        "Country code of telephone numbers that have none; empty: such numbers get no SMS",
    ),
    setting(
        "TEMPLATES_DIR",
        "",
        "Folder with templates of messages that replace the shipped ones; empty: none",
    ),
    setting(
        "MESSAGE_TIMEOUT",
        "30s",
        "Maximum time to hand over one mail or SMS; then it is tried again",
    ),
    setting("SWEEP_INTERVAL", "1s", "How often lapsed holds are looked for"),
    setting(
        "PASSENGER_RETENTION",
        "",
        "How long after departure passengers are kept, such as 90d; empty: forever",
    ),
    setting(
        "WEBHOOK_ALLOW_PRIVATE",
        "false",
        "true: webhooks may lead to this machine and private networks, and be http",
    ),
    setting("WEBHOOK_RETENTION", "30d", "How long deliveries to webhooks are kept; at least 4d"),
    setting(
        "EVENT_RETENTION",
        "7d",
        "How long events can be read; on Kafka of the topic KAFKA_TOPIC_EVENTS when the service creates it",
    ),
    setting(
        "MAX_QUEUED_HOLDS",
        "8192",
        "Maximum bookings that wait for the engine; further ones get 503",
    ),
    setting("MAX_IN_FLIGHT", "2048", "Maximum requests processed at once; further ones get 503"),
    setting("MAX_WAITING", "1024", "Maximum callers that wait for a payment (Prefer: wait)"),
    setting(
        "MAX_EVENT_STREAMS",
        "4096",
        "Maximum streams of events (server-sent events); further ones get 503",
    ),
    setting("TRACING_ENABLED", "false", "true: traces are sent to TRACING_ENDPOINT"),
    setting(
        "TRACING_ENDPOINT",
        "http://localhost:4318",
        "OpenTelemetry collector that receives OTLP over HTTP",
    ),
    setting("TRACING_SERVICE_NAME", "airline-booking-service", "Service name in traces"),
    setting("TRACING_ENVIRONMENT", "local", "Deployment name in traces"),
    setting(
        "TRACING_SAMPLER_RATIO",
        "1.0",
        "Share of traces to keep, from 0 to 1, if the caller has not decided",
    ),
    setting(
        "TRACING_TRUST_CALLER",
        "",
        "Whether a request continues its caller's trace (traceparent) and follows its sampling decision; empty: only for callers on this machine",
    ),
    setting("MAX_CONNECTIONS", "10000", "Maximum connections; beyond it idle ones are closed"),
    setting(
        "MAX_CONNECTIONS_PER_CLIENT",
        "",
        "Maximum connections of one client; further ones are closed; 0: no limit; empty: a quarter of MAX_CONNECTIONS, without a limit for this machine",
    ),
    setting(
        "RATE_LIMIT_RPS",
        "10",
        "Sustained requests per second of one client address (IPv6: a /64) and of one token's user; an IPv6 /48 has ten times as many; 0: no limit",
    ),
    setting(
        "RATE_LIMIT_BURST",
        "20",
        "Requests at once before RATE_LIMIT_RPS applies; an IPv6 /48 has ten times as many",
    ),
    setting(
        "TRUSTED_PROXIES",
        "",
        "Networks, comma-separated, whose X-Forwarded-For and Forwarded headers are trusted",
    ),
    setting(
        "AUTH",
        "off",
        "off, or jwt: callers need a token; must be set unless SERVER_HOST is a loopback address",
    ),
    setting("JWT_SECRET", "", "Key of HS256 tokens, at least 32 random bytes"),
    setting("JWT_SECRET_FILE", "", "File that contains JWT_SECRET"),
    setting(
        "JWT_JWKS",
        "",
        "File or URL of the public keys (JWKS) of RS256, ES256 and EdDSA tokens",
    ),
    setting("JWT_ISSUER", "", "Required issuer (iss) of tokens; empty: any"),
    setting("JWT_AUDIENCE", "", "Required audience (aud) of tokens; empty: any"),
    setting("JWT_LEEWAY", "30s", "Maximum difference between the issuer's clock and this one"),
    setting(
        "JWT_TYPE",
        "",
        "Required type (typ) of tokens, such as at+jwt; empty: JWT, at+jwt or none",
    ),
    setting(
        "JWT_MAX_LIFETIME",
        "24h",
        "Maximum lifetime of a token, from its issue (iat) or from now; never: no limit",
    ),
    setting(
        "ALLOWED_HOSTS",
        "host.docker.internal",
        "Accepted names in the Host header, comma-separated; checked if set, or with AUTH=off on a loopback address",
    ),
    setting(
        "PUBLIC_URL",
        "",
        "Address of the service as payers see it, such as https://flights.example; empty: pages are named by their path",
    ),
    setting(
        "RETURN_ORIGINS",
        "",
        "Other origins to which a payer may return after a page of the gateway, comma-separated",
    ),
    setting(
        "CORS_ORIGINS",
        "",
        "Origins whose pages may call the API, comma-separated, or * with AUTH=jwt; empty: none",
    ),
    setting("LOG_FORMAT", "", "pretty or json; empty: pretty on a terminal, else json"),
    setting("RUST_LOG", "info", "Log filter by module and level, such as info,access=debug"),
];

const fn setting(name: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { name, default, help }
}

/// Whether a setting's value must not be printed. URLs may contain a password.
pub(super) fn may_hold_a_secret(name: &str) -> bool {
    ["_URL", "_ENDPOINT", "_JWKS", "_SECRET", "_PASSWORD", "_SECRET_KEY", "_SECRETS", "_TOKEN"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// The default of a setting in the list.
pub(super) fn default_of(name: &str) -> &'static str {
    SETTINGS
        .iter()
        .find(|setting| setting.name == name)
        .expect("a setting is read by a name in the list")
        .default
}
