//! Checks whether the services that the settings name answer, before a start that uses them.

use crate::bus::Bus;
use crate::bus::kafka::KafkaBus;
use crate::config::{Config, Database};
use crate::redis::Redis;
use crate::store::StoreError;
use crate::store::postgres::PostgresStore;
use crate::telemetry::Metrics;
use anyhow::Context;
use std::error::Error;
use std::time::Duration;
use tokio::time::timeout;

/// Time limit of Kafka's first answer.
const KAFKA_TIMEOUT: Duration = Duration::from_secs(3);

/// Those of PostgreSQL, Redis and Kafka that the settings name.
pub struct Services<'a> {
    config: &'a Config,
    redis: Option<Redis>,
    kafka: Option<KafkaBus>,
}

/// A service that does not answer, or refuses.
#[derive(Debug)]
pub struct Missing {
    /// The service and its address.
    pub what: String,
    /// Its error, or that it did not answer.
    pub why: String,
    /// Its name in `docker-compose.yml`.
    pub container: &'static str,
    /// The settings of its address.
    pub settings: &'static str,
    /// It answered, and refuses until its settings or the service are changed.
    pub is_refusal: bool,
}

impl<'a> Services<'a> {
    /// Connects lazily. Fails for settings that can never work.
    pub fn of(config: &'a Config) -> anyhow::Result<Self> {
        let redis = config.redis.as_ref().map(|redis| Redis::new(redis, Metrics::new()));
        let kafka = config.kafka.as_ref().map(|kafka| KafkaBus::connect(kafka, Metrics::new()));
        Ok(Self {
            config,
            redis: redis.transpose().context("REDIS_HOST or REDIS_URL")?,
            kafka: kafka.transpose()?,
        })
    }

    /// Checks all services at once, within a few seconds. Returns those that do not answer or refuse.
    pub async fn missing(&self) -> Vec<Missing> {
        let (postgres, redis, kafka) = tokio::join!(self.postgres(), self.redis(), self.kafka());
        [postgres, redis, kafka].into_iter().flatten().collect()
    }

    async fn postgres(&self) -> Option<Missing> {
        let Database::Postgres(settings) = &self.config.database else { return None };
        let error = PostgresStore::try_out(settings).await.err()?;
        Some(Missing {
            what: self.config.database.to_string(),
            why: innermost(&error),
            container: "postgres",
            settings: "DB_HOST, DB_PORT, DB_USER, DB_PASSWORD, DB_NAME",
            is_refusal: matches!(error, StoreError::Refused(_)),
        })
    }

    async fn redis(&self) -> Option<Missing> {
        let (redis, settings) = (self.redis.as_ref()?, self.config.redis.as_ref()?);
        let error = redis.try_out().await.err()?;
        Some(Missing {
            what: settings.to_string(),
            why: innermost(&error),
            container: "redis",
            settings: "REDIS_HOST, REDIS_PORT, REDIS_PASSWORD",
            is_refusal: false,
        })
    }

    async fn kafka(&self) -> Option<Missing> {
        let (kafka, settings) = (self.kafka.as_ref()?, self.config.kafka.as_ref()?);
        let why = match timeout(KAFKA_TIMEOUT, kafka.ping()).await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error.0,
            Err(_) => "no answer".to_owned(),
        };
        Some(Missing {
            what: format!("Kafka on {}", settings.brokers),
            why,
            container: "kafka",
            settings: "KAFKA_BROKERS",
            is_refusal: false,
        })
    }
}

/// The last cause of the chain: it says what happened, the earlier ones say where.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
