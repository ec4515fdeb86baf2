//! Settings of the services that replicas share: PostgreSQL, Redis and Kafka.

mod kafka;
mod links;
mod postgres;
mod redis;
mod url;

pub use self::redis::RedisSettings;
pub use kafka::{ClientCertificate, KafkaSettings, TopicNames};
pub use postgres::{Database, PostgresSettings, SslMode};
pub(super) use url::{host_of, is_this_machine};
