//! Rules for settings that are valid one by one and contradict each other.

use super::{Config, CorsOrigins, Database};

impl Config {
    /// A line per contradiction.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let is_alone = matches!(self.database, Database::Sqlite(_)) || self.kafka.is_none();
        let roles = (is_alone && !self.roles.is_all()).then_some(
            "ROLES must be all without PostgreSQL (DB_HOST) and Kafka (KAFKA_BROKERS), which carry the \
             work between processes",
        );
        let is_open_to_pages = self.auth.is_none() && self.cors_origins == CorsOrigins::Any;
        let origins = is_open_to_pages.then_some(
            "CORS_ORIGINS must not be * with AUTH=off: any web page could book, read passengers and \
             change flights; list the origins, or set AUTH=jwt",
        );
        let is_one_port = self.server_port != 0 && self.metrics_port == Some(self.server_port);
        let ports = is_one_port.then_some("METRICS_PORT must differ from SERVER_PORT");
        let connections = (self.min_connection > self.max_connection)
            .then_some("MIN_CONNECTION must not be longer than MAX_CONNECTION");
        [roles, origins, ports, connections].into_iter().flatten().map(str::to_owned).collect()
    }

    /// A process that other machines can reach must set `AUTH`: open access is a decision, not a default.
    pub(super) fn missing_auth(&self) -> Option<String> {
        (!self.is_auth_chosen && !self.is_on_loopback()).then(|| {
            format!(
                "AUTH must be set where SERVER_HOST is not a loopback address (it is {}). AUTH=jwt: callers \
                 need a token; set JWT_SECRET or JWT_JWKS too. AUTH=off: anyone who reaches the port may \
                 book, read passengers and change flights",
                self.server_host
            )
        })
    }
}
