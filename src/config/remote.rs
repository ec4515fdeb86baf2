//! Settings of the parts that replicas share: PostgreSQL, Redis, Kafka, and who does what.

use super::{Config, CorsOrigins, Environment, Secret, links, secrets, values};
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

/// Least length of a secret that signs messages, in bytes: that of the signature.
const EVENTS_SECRET_MIN: usize = 32;

/// Where everything is kept.
#[derive(Debug, Clone)]
pub enum Database {
    /// A file, for one process.
    Sqlite(PathBuf),
    /// A server, for any number of replicas.
    Postgres(PostgresSettings),
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => write!(f, "SQLite in {}", file.display()),
            Self::Postgres(PostgresSettings { url: Some(_), .. }) => {
                f.write_str("PostgreSQL at DATABASE_URL")
            }
            Self::Postgres(PostgresSettings { host, port, database, .. }) => {
                write!(f, "PostgreSQL, {database} on {host}:{port}")
            }
        }
    }
}

/// How to reach PostgreSQL.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// `DATABASE_URL`, which overrides all but the pool and the read replica.
    pub url: Option<Secret>,
    /// `DB_HOST`.
    pub host: String,
    /// `DB_PORT`.
    pub port: u16,
    /// `DB_USER`.
    pub user: String,
    /// `DB_PASSWORD`.
    pub password: Secret,
    /// `DB_NAME`.
    pub database: String,
    /// `DB_SSL_MODE`, or `sslmode` of the URL; `None`: neither is set.
    pub ssl_mode: Option<SslMode>,
    /// `DB_SSL_ROOT_CERT`, or `sslrootcert` of the URL: a file of authorities.
    pub ssl_root_cert: Option<PathBuf>,
    /// `DB_READ_HOST`: where searches read, if not on the primary.
    pub read_host: Option<String>,
    /// `DB_MAX_CONNECTIONS`.
    pub connections_max: u32,
}

/// How far a connection to PostgreSQL is protected, as libpq names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Not at all.
    Disable,
    /// Encrypted if the server can.
    Prefer,
    /// Encrypted, to whomever.
    Require,
    /// Encrypted, to a server that an authority vouches for.
    VerifyCa,
    /// Encrypted, to the very host that was named.
    VerifyFull,
}

/// How to reach Redis.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// `redis://` or `rediss://`, with credentials: one server, or nodes of a cluster.
    pub urls: Vec<Secret>,
    /// `REDIS_CLUSTER`.
    pub is_cluster: bool,
    /// `REDIS_CA`: a file of the authorities to trust, with `rediss://`; `None`: the system's.
    pub authorities: Option<PathBuf>,
}

impl fmt::Display for RedisSettings {
    /// Without the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |url: &Secret| {
            let (scheme, rest) = url.0.split_once("://").unwrap_or_default();
            format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, place)| place))
        };
        let places: Vec<_> = self.urls.iter().map(place).collect();
        let kind = if self.is_cluster { "Redis Cluster" } else { "Redis" };
        write!(f, "{kind} at {}", places.join(", "))
    }
}

/// How to reach Kafka, and how topics are called there.
#[derive(Debug, Clone)]
pub struct KafkaSettings {
    /// `KAFKA_BROKERS`: `host:port`, separated by commas.
    pub brokers: String,
    /// `KAFKA_GROUP_ID`: settlement's consumer group.
    pub group_id: String,
    /// `KAFKA_PAYMENT_GROUP_ID`: the payment workers' consumer group.
    pub payment_group_id: String,
    /// The topics' names.
    pub topics: TopicNames,
    /// `KAFKA_PARTITIONS` of topics that the service creates.
    pub partitions: i32,
    /// `KAFKA_REPLICATION` of those; -1 for the brokers' default.
    pub replication: i32,
    /// `KAFKA_SECURITY_PROTOCOL`.
    pub security_protocol: String,
    /// `KAFKA_SASL_MECHANISM`, `_USERNAME` and `_PASSWORD`, where the protocol has SASL.
    pub sasl: Option<(String, String, Secret)>,
    /// `KAFKA_SSL_CA_LOCATION`.
    pub ca_location: Option<String>,
    /// `KAFKA_SSL_CERTIFICATE_LOCATION` and what belongs to it; `None`: clients show no certificate.
    pub certificate: Option<ClientCertificate>,
    /// `EVENTS_SECRET`: the first signs messages, all of them verify; empty: none is signed.
    pub events_secrets: Vec<Secret>,
    /// `EVENTS_REQUIRE`: whether messages without a signature are put aside.
    pub events_required: bool,
}

/// What a client shows to prove who it is (mutual TLS).
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// `KAFKA_SSL_CERTIFICATE_LOCATION`: a file of PEM, the client's first.
    pub location: String,
    /// `KAFKA_SSL_KEY_LOCATION`: a file with its private key.
    pub key_location: String,
    /// `KAFKA_SSL_KEY_PASSWORD`, if the key is encrypted.
    pub key_password: Option<Secret>,
}

impl KafkaSettings {
    /// Whether all brokers are on this machine.
    pub fn is_on_loopback(&self) -> bool {
        self.brokers.split(',').map(links::without_port).all(links::is_this_machine)
    }
}

/// What the topics are called.
#[derive(Debug, Clone)]
pub struct TopicNames {
    /// `KAFKA_TOPIC_PAYMENT_REQUESTS`.
    pub payment_requests: String,
    /// `KAFKA_TOPIC_PAYMENTS`.
    pub payment_events: String,
    /// `KAFKA_TOPIC_BOOKINGS`.
    pub flight_bookings: String,
    /// `KAFKA_TOPIC_EVENTS`.
    pub airline_events: String,
}

/// A part of the service's work that a process can do or leave to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Answers requests.
    Api,
    /// Brings the outbox to the topics.
    Relay,
    /// Asks the gateway.
    Payments,
    /// Applies what the gateway did.
    Settlement,
    /// Brings to its end what nobody else does.
    Sweeper,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] =
        [Self::Api, Self::Relay, Self::Payments, Self::Settlement, Self::Sweeper];

    /// Its word in `ROLES`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Relay => "relay",
            Self::Payments => "payments",
            Self::Settlement => "settlement",
            Self::Sweeper => "sweeper",
        }
    }
}

/// What one process does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(BTreeSet<Role>);

impl Roles {
    /// Whether it does this.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Whether it does everything.
    pub fn is_all(&self) -> bool {
        self.0.len() == Role::ALL.len()
    }
}

/// `all`, or a comma list of roles.
pub(super) fn roles(text: &str) -> Result<Roles, String> {
    if text == "all" {
        return Ok(Roles(Role::ALL.into()));
    }
    let role = |word: &str| Role::ALL.into_iter().find(|role| role.as_str() == word.trim());
    text.split(',').map(role).collect::<Option<_>>().map(Roles).ok_or_else(|| {
        let known = Role::ALL.map(Role::as_str).join(", ");
        format!("must be all, or a comma list of {known}")
    })
}

impl Config {
    /// Settings that are each sound and cannot hold together.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let is_alone = matches!(self.database, Database::Sqlite(_)) || self.kafka.is_none();
        let roles = (is_alone && !self.roles.is_all()).then_some(
            "ROLES must be all, unless PostgreSQL (DB_HOST) and Kafka (KAFKA_BROKERS) carry the \
             work between processes",
        );
        let is_open_to_pages = self.auth.is_none() && self.cors_origins == CorsOrigins::Any;
        let origins = is_open_to_pages.then_some(
            "CORS_ORIGINS must not be * with AUTH=off: every web page could book, read passengers \
             and change flights; list the origins, or set AUTH=jwt",
        );
        [roles, origins].into_iter().flatten().map(str::to_owned).collect()
    }

    /// Whether callers need a token must be said where they may be on other machines.
    pub(super) fn missing_choice(&self) -> Option<String> {
        (!self.is_auth_chosen && !self.is_on_loopback()).then(|| {
            format!(
                "AUTH must be set where SERVER_HOST is not a loopback address (it is {}): jwt, and \
                 callers need a token of JWT_SECRET or JWT_JWKS; or off, and anyone who reaches the \
                 port may book, read passengers and change flights",
                self.server_host
            )
        })
    }
}

impl<F: Fn(&str) -> Option<String>> Environment<F> {
    pub(super) fn database(&mut self) -> Database {
        let url = self.value("DATABASE_URL");
        let is_postgres = url.as_deref().is_some_and(values::is_postgres_url);
        if !is_postgres && (url.is_some() || self.value("DB_HOST").is_none()) {
            return Database::Sqlite(self.read("DATABASE_URL", values::sqlite_file));
        }
        if let Some(url) = &url {
            self.refuse_idle_parameters(url);
        }
        let (ssl_mode, ssl_root_cert) = self.postgres_tls(url.as_deref());
        Database::Postgres(PostgresSettings {
            url: url.as_deref().map(Secret::from),
            host: self.text("DB_HOST"),
            port: self.read("DB_PORT", values::whole(1..=u16::MAX)),
            user: self.text("DB_USER"),
            password: Secret(self.text("DB_PASSWORD")),
            database: self.text("DB_NAME"),
            ssl_mode,
            ssl_root_cert,
            read_host: self.value("DB_READ_HOST"),
            connections_max: self.read("DB_MAX_CONNECTIONS", values::whole(4..=1_000)),
        })
    }

    pub(super) fn kafka(&mut self) -> Option<KafkaSettings> {
        let brokers = self.value("KAFKA_BROKERS")?;
        let security_protocol = self.read("KAFKA_SECURITY_PROTOCOL", values::security_protocol);
        self.refuse_idle_kafka_settings(&security_protocol);
        let sasl = security_protocol.starts_with("sasl").then(|| {
            (
                self.read("KAFKA_SASL_MECHANISM", values::sasl_mechanism),
                self.text("KAFKA_SASL_USERNAME"),
                Secret(self.text("KAFKA_SASL_PASSWORD")),
            )
        });
        let certificate = self.kafka_certificate(&security_protocol);
        let events_secrets = self.events_secrets();
        let events_required = self.read("EVENTS_REQUIRE", values::yes_or_no);
        if events_required && events_secrets.is_empty() {
            self.problems.push("EVENTS_REQUIRE=true needs EVENTS_SECRET".to_owned());
        }
        Some(KafkaSettings {
            brokers,
            group_id: self.text("KAFKA_GROUP_ID"),
            payment_group_id: self.text("KAFKA_PAYMENT_GROUP_ID"),
            topics: TopicNames {
                payment_requests: self.text("KAFKA_TOPIC_PAYMENT_REQUESTS"),
                payment_events: self.text("KAFKA_TOPIC_PAYMENTS"),
                flight_bookings: self.text("KAFKA_TOPIC_BOOKINGS"),
                airline_events: self.text("KAFKA_TOPIC_EVENTS"),
            },
            partitions: self.read("KAFKA_PARTITIONS", values::whole(1..=1_000)),
            replication: self.read("KAFKA_REPLICATION", values::replication),
            security_protocol,
            sasl,
            ca_location: self.value("KAFKA_SSL_CA_LOCATION"),
            certificate,
            events_secrets,
            events_required,
        })
    }

    fn events_secrets(&mut self) -> Vec<Secret> {
        let list = self.value("EVENTS_SECRET").unwrap_or_default();
        let secrets = list.split(',').map(str::trim).filter(|secret| !secret.is_empty());
        let secrets: Vec<_> = secrets.map(Secret::from).collect();
        let is_weak = |secret: &Secret| {
            secret.expose().len() < EVENTS_SECRET_MIN || !secrets::is_random(secret.expose())
        };
        if secrets.iter().any(is_weak) {
            self.problems.push(format!(
                "EVENTS_SECRET must be a comma list of secrets of at least {EVENTS_SECRET_MIN} bytes, \
                 drawn at random (openssl rand -hex 32)"
            ));
        }
        secrets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_chooses_the_part_and_its_absence_the_embedded_one() {
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
    fn answers_of_a_read_replica_are_kept_a_second() {
        let primary = Config::of(&[("DB_HOST", "db")]).expect("sound");
        assert_eq!(primary.answers_kept_for().as_secs(), 3_600);
        let replica = Config::of(&[("DB_HOST", "db"), ("DB_READ_HOST", "r")]).expect("sound");
        assert_eq!(replica.answers_kept_for().as_secs(), 1);
    }

    #[test]
    fn a_cluster_is_a_list_of_nodes() {
        let variables =
            [("REDIS_HOST", "a,b:7001"), ("REDIS_CLUSTER", "true"), ("REDIS_PASSWORD", "p@ss/1")];
        let redis = Config::of(&variables).expect("sound").redis.expect("Redis");
        let urls: Vec<_> = redis.urls.iter().map(Secret::expose).collect();
        assert_eq!(urls, ["redis://:p%40ss%2F1@a:6379/0", "redis://:p%40ss%2F1@b:7001/0"]);
    }

    #[test]
    fn roles_apart_need_what_carries_the_work_between_them() {
        let error = Config::of(&[("ROLES", "api")]).expect_err("embedded");
        assert!(error.0[0].starts_with("ROLES must be all"), "{error}");
        let variables = [("ROLES", "api, relay"), ("DB_HOST", "db"), ("KAFKA_BROKERS", "k:9092")];
        let roles = Config::of(&variables).expect("sound").roles;
        assert!(roles.has(Role::Relay) && !roles.has(Role::Payments));
        assert!(Config::of(&[("ROLES", "cook")]).is_err());
    }

    #[test]
    fn secrets_of_messages_are_long_and_required_signatures_need_one() {
        let with = |secret: &str, required: &str| {
            Config::of(&[
                ("KAFKA_BROKERS", "k:9092"),
                ("EVENTS_SECRET", secret),
                ("EVENTS_REQUIRE", required),
            ])
        };
        let long = "7c9f0a3b5e1d48268fb2c4d6e0913a57";
        let kafka = with(&format!("{long}, {long}x"), "true").expect("sound").kafka.expect("Kafka");
        let secrets: Vec<_> = kafka.events_secrets.iter().map(Secret::expose).collect();
        assert_eq!(secrets, [long, &format!("{long}x")]);
        assert!(kafka.events_required);
        assert!(with("", "false").expect("sound").kafka.expect("Kafka").events_secrets.is_empty());
        let known = "hush0123456789abcdefghijklmnopqrstuvwxyz";
        for (secret, required, name) in [
            ("", "true", "EVENTS_REQUIRE"),
            (&format!("{long},hush"), "false", "EVENTS_SECRET"),
            (&format!("{long},{known}"), "false", "EVENTS_SECRET"),
        ] {
            let error = with(secret, required).expect_err("refused").to_string();
            assert!(error.contains(name) && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn brokers_on_this_machine_are_told_from_others() {
        for (brokers, here) in [
            ("localhost:9092", true),
            ("127.0.0.1:9092,[::1]:9092", true),
            ("kafka:9092", false),
            ("localhost:9092,10.0.0.1:9092", false),
        ] {
            let kafka = Config::of(&[("KAFKA_BROKERS", brokers)]).expect("sound").kafka;
            assert_eq!(kafka.expect("Kafka").is_on_loopback(), here, "{brokers}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let variables = [
            ("DB_HOST", "db"),
            ("DB_PASSWORD", "hush"),
            ("REDIS_HOST", "cache"),
            ("REDIS_PASSWORD", "hush"),
        ];
        let config_of_all = Config::of(&variables).expect("sound");
        let redis = config_of_all.redis.as_ref().expect("Redis");
        assert_eq!(redis.to_string(), "Redis at redis://cache:6379/0");
        let shown = format!("{config_of_all:?}");
        assert!(!shown.contains("hush"), "{shown}");
        let error =
            Config::of(&[("REDIS_URL", "http://:hush@h")]).expect_err("not Redis").to_string();
        assert!(error.contains("REDIS_URL") && !error.contains("hush"), "{error}");
    }
}
