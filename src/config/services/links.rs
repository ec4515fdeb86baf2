//! Connections to other machines without TLS, for warnings at the start.

use super::postgres::{Database, PostgresSettings, SslMode};
use super::url::{host_of, is_this_machine};
use crate::config::{Config, Secret, settings};

impl PostgresSettings {
    /// Hosts on other machines whose connections may lack TLS.
    fn hosts_without_tls(&self) -> Vec<&str> {
        let is_protected =
            |mode| matches!(mode, Some(SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull));
        if is_protected(self.ssl_mode) {
            return Vec::new();
        }
        self.hosts().into_iter().filter(|host| !is_this_machine(host)).collect()
    }
}

impl Config {
    /// A line for each connection that carries data or passwords to another machine without TLS.
    pub fn links_without_tls(&self) -> Vec<String> {
        let mut links = Vec::new();
        if let Database::Postgres(settings) = &self.database {
            for host in settings.hosts_without_tls() {
                links.push(format!(
                    "PostgreSQL on {host} may be reached without TLS; set DB_SSL_MODE=verify-full"
                ));
            }
        }
        if let Some(redis) = &self.redis {
            let is_plain = |url: &&Secret| url.expose().starts_with("redis://");
            let hosts = redis.urls.iter().filter(is_plain).map(|url| host_of(url.expose()));
            for host in hosts.filter(|host| !is_this_machine(host)) {
                links.push(format!("Redis on {host} is reached without TLS; set REDIS_TLS=true"));
            }
        }
        if let Some(kafka) = &self.kafka
            && kafka.security_protocol.ends_with("plaintext")
            && !kafka.is_on_loopback()
        {
            let brokers = &kafka.brokers;
            links.push(format!(
                "Kafka on {brokers} is reached without TLS; set KAFKA_SECURITY_PROTOCOL to ssl or \
                 sasl_ssl"
            ));
        }
        if let Some(tracing) = &self.tracing
            && !is_this_machine(host_of(&tracing.endpoint))
        {
            links.push(format!(
                "traces go to {} without TLS; run a collector on this machine that forwards them over \
                 TLS",
                host_of(&tracing.endpoint)
            ));
        }
        if !self.is_on_loopback() && self.trusted_proxies.is_empty() {
            links.push(format!(
                "callers reach {} without TLS; put a proxy with TLS in front and name it in \
                 TRUSTED_PROXIES",
                self.server_host
            ));
        }
        links
    }

    /// Whether PostgreSQL on another machine has the default password, which is public.
    pub fn has_default_password(&self) -> bool {
        let Database::Postgres(postgres) = &self.database else { return false };
        let is_default = postgres.password.expose() == settings::default_of("DB_PASSWORD");
        is_default && postgres.url.is_none() && !is_this_machine(&postgres.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_to_other_machines_without_tls_are_listed() {
        let traced = |endpoint| [("TRACING_ENABLED", "true"), ("TRACING_ENDPOINT", endpoint)];
        let (near, far) = (traced("http://localhost:4318"), traced("http://otel:4318"));
        let none: &[&str] = &[];
        for (variables, expected) in [
            (&[][..], none),
            (&[("DB_HOST", "localhost"), ("REDIS_HOST", "127.0.0.1")], none),
            (&[("DB_HOST", "db")], &["PostgreSQL"]),
            (&[("DB_HOST", "localhost"), ("DB_READ_HOST", "r")], &["PostgreSQL"]),
            (&[("DB_HOST", "db"), ("DB_SSL_MODE", "prefer")], &["PostgreSQL"]),
            (&[("DB_HOST", "db"), ("DB_SSL_MODE", "require")], none),
            (&[("DATABASE_URL", "postgres://u:hush@db:5432/d")], &["PostgreSQL"]),
            (&[("DATABASE_URL", "postgres://u:hush@[::1]:5432/d")], none),
            (&[("DATABASE_URL", "postgres://u:hush@%2Frun%2Fpostgresql/d")], none),
            (&[("DATABASE_URL", "postgres://u@db/d?sslmode=verify-full")], none),
            (&[("REDIS_HOST", "cache")], &["Redis"]),
            (&[("REDIS_URL", "redis://:hush@a,rediss://:hush@b")], &["Redis"]),
            (&[("REDIS_URL", "rediss://:hush@cache")], none),
            (&[("KAFKA_BROKERS", "k:9092")], &["Kafka"]),
            (&[("KAFKA_BROKERS", "k:9092"), ("KAFKA_SECURITY_PROTOCOL", "ssl")], none),
            (&near, none),
            (&far, &["traces"]),
            (&[("SERVER_HOST", "0.0.0.0")], &["callers"]),
            (&[("SERVER_HOST", "0.0.0.0"), ("TRUSTED_PROXIES", "10.0.0.1")], none),
            (&[("SERVER_HOST", "::1")], none),
        ] {
            let links = Config::of(variables).expect("sound").links_without_tls();
            let first: Vec<_> = links.iter().filter_map(|link| link.split(' ').next()).collect();
            assert_eq!(first, expected, "{variables:?}");
            assert!(!links.concat().contains("hush"), "{links:?}");
        }
    }

    #[test]
    fn the_default_password_is_noticed_if_postgresql_is_on_another_machine() {
        let is_default = |variables: &[(&str, &str)]| {
            Config::of(variables).expect("sound").has_default_password()
        };
        assert!(is_default(&[("DB_HOST", "db")]));
        assert!(!is_default(&[("DB_HOST", "localhost")]));
        assert!(!is_default(&[("DB_HOST", "db"), ("DB_PASSWORD", "hush")]));
        assert!(!is_default(&[("DATABASE_URL", "postgres://u:p@db/d")]));
        assert!(!is_default(&[]));
    }
}
