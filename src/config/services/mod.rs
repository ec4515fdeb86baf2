//! Settings of the services that replicas share: PostgreSQL, Redis, Kafka, Stripe, and the providers of messages.

mod kafka;
mod links;
mod messages;
mod postgres;
mod redis;
mod stripe;
mod url;

pub use self::redis::RedisSettings;
pub use kafka::{ClientCertificate, KafkaSettings, TopicNames};
pub use messages::{MailSettings, MessageSettings, SmsSettings, SmtpProtection};
pub use postgres::{Database, PostgresSettings, SslMode};
pub use stripe::StripeSettings;
pub(super) use url::{host_of, is_this_machine};
