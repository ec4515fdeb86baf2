//! The faults of a run of chaos. Each begins, lasts, and ends.

use super::deployment::{Deployment, Link, REPLICAS};
use crate::support::kafka;
use crate::support::proxy::Proxy;
use fastrand::Rng;
use std::time::{Duration, Instant};

/// How long a fault lasts, in milliseconds: on both sides of the service's time-outs of clients.
const LASTS_MILLIS: std::ops::Range<u64> = 200..3_500;

/// How long a delayed link holds each piece back, in milliseconds.
const DELAY_MILLIS: std::ops::Range<u64> = 5..150;

/// What can be done to a link.
#[derive(Debug, Clone, Copy)]
pub enum Harm {
    Cut,
    Stalled,
    Delayed,
}

#[derive(Debug, Clone, Copy)]
pub enum Fault {
    ReplicaKilled,
    ReplicaFrozen,
    PostgresFrozen,
    PostgresRestarted,
    PostgresFailedOver,
    RedisFrozen,
    RedisRestarted,
    RedisFlushed,
    KafkaFrozen,
    KafkaRestarted,
    TopicDeleted,
    TopicWidened,
    Link(Link, Harm),
}

impl Fault {
    /// Every kind that the deployment can have once, `kill -9` twice.
    pub fn all(deployment: &Deployment) -> Vec<Self> {
        let mut all = vec![
            Self::ReplicaKilled,
            Self::ReplicaKilled,
            Self::ReplicaFrozen,
            Self::PostgresFrozen,
            Self::PostgresRestarted,
            Self::RedisFrozen,
            Self::RedisRestarted,
            Self::RedisFlushed,
            Self::KafkaFrozen,
            Self::KafkaRestarted,
            Self::TopicDeleted,
            Self::TopicWidened,
        ];
        if deployment.can_fail_over() {
            all.push(Self::PostgresFailedOver);
        }
        for link in [Link::Postgres, Link::Redis, Link::Kafka] {
            for harm in [Harm::Cut, Harm::Stalled, Harm::Delayed] {
                all.push(Self::Link(link, harm));
            }
        }
        all
    }

    pub fn name(self) -> String {
        match self {
            Self::ReplicaKilled => "replica, kill -9".to_owned(),
            Self::ReplicaFrozen => "replica, SIGSTOP".to_owned(),
            Self::PostgresFrozen => "PostgreSQL, SIGSTOP".to_owned(),
            Self::PostgresRestarted => "PostgreSQL, immediate restart".to_owned(),
            Self::PostgresFailedOver => "PostgreSQL, kill -9 and failover".to_owned(),
            Self::RedisFrozen => "Redis, SIGSTOP".to_owned(),
            Self::RedisRestarted => "Redis, kill -9".to_owned(),
            Self::RedisFlushed => "Redis, FLUSHALL".to_owned(),
            Self::KafkaFrozen => "Kafka, SIGSTOP".to_owned(),
            Self::KafkaRestarted => "Kafka, kill -9".to_owned(),
            Self::TopicDeleted => "Kafka, topic deleted".to_owned(),
            Self::TopicWidened => "Kafka, partition added".to_owned(),
            Self::Link(link, harm) => format!("link to {link:?}, {harm:?}").to_lowercase(),
        }
    }

    /// Begins it, lets it last, and ends it; gives when it ended, which for a kill is when the restart began.
    pub async fn happen(self, deployment: &mut Deployment, rng: &mut Rng) -> Instant {
        let replica = rng.usize(..REPLICAS);
        let lasts = Duration::from_millis(rng.u64(LASTS_MILLIS));
        match self {
            Self::ReplicaKilled => {
                deployment.kill_replica(replica).await;
                tokio::time::sleep(lasts / 4).await;
                let again = Instant::now();
                deployment.start_replica(replica).await;
                return again;
            }
            Self::ReplicaFrozen => {
                deployment.replica(replica).signal("-STOP").await;
                tokio::time::sleep(lasts).await;
                deployment.replica(replica).signal("-CONT").await;
            }
            Self::PostgresFrozen => {
                deployment.postgres.freeze().await;
                tokio::time::sleep(lasts).await;
                deployment.postgres.thaw().await;
            }
            Self::PostgresRestarted => {
                deployment.postgres.stop().await;
                tokio::time::sleep(lasts / 4).await;
                let again = Instant::now();
                deployment.postgres.start_again().await;
                return again;
            }
            Self::PostgresFailedOver => return deployment.fail_over().await,
            Self::RedisFrozen | Self::RedisRestarted | Self::RedisFlushed => {
                self.happen_to_redis(deployment, lasts).await;
            }
            Self::KafkaFrozen | Self::KafkaRestarted | Self::TopicDeleted | Self::TopicWidened => {
                self.happen_to_kafka(deployment, lasts, rng).await;
            }
            Self::Link(link, harm) => {
                // Of one replica, or of both.
                let both = rng.bool();
                let proxies = (0..REPLICAS).filter(|number| both || *number == replica);
                let proxies: Vec<_> =
                    proxies.map(|number| deployment.replica(number).link(link)).collect();
                let delay = Duration::from_millis(rng.u64(DELAY_MILLIS));
                for proxy in &proxies {
                    harm.begin(proxy, delay);
                }
                tokio::time::sleep(lasts).await;
                for proxy in &proxies {
                    harm.end(proxy);
                }
            }
        }
        Instant::now()
    }

    async fn happen_to_redis(self, deployment: &mut Deployment, lasts: Duration) {
        let redis = &mut deployment.redis;
        match self {
            Self::RedisFrozen => {
                redis.hang().await;
                tokio::time::sleep(lasts).await;
                redis.go_on().await;
            }
            Self::RedisRestarted => {
                redis.kill().await;
                tokio::time::sleep(lasts / 2).await;
                redis.start_again().await;
            }
            _ => {
                redis.command(&["FLUSHALL"]).await;
            }
        }
    }

    async fn happen_to_kafka(self, deployment: &Deployment, lasts: Duration, rng: &mut Rng) {
        let broker = &deployment.kafka;
        // The other topics are what the histories are compared with.
        let topics = ["KAFKA_TOPIC_PAYMENT_REQUESTS", "KAFKA_TOPIC_PAYMENTS"];
        let topic = deployment.setting(topics[rng.usize(..topics.len())]);
        match self {
            Self::KafkaFrozen => {
                broker.freeze();
                tokio::time::sleep(lasts).await;
                broker.thaw();
            }
            Self::KafkaRestarted => {
                broker.stop().await;
                broker.start_again().await;
            }
            Self::TopicDeleted => {
                kafka::delete(&broker.brokers, &[topic], rng.bool().then_some(4)).await;
            }
            _ => {
                let partitions = kafka::partitions(&broker.brokers, topic).await;
                if partitions > 0 {
                    kafka::widen(&broker.brokers, topic, partitions + 1).await;
                }
            }
        }
    }
}

impl Harm {
    fn begin(self, proxy: &Proxy, delay: Duration) {
        match self {
            Self::Cut => proxy.cut(),
            Self::Stalled => proxy.fall_silent(),
            Self::Delayed => proxy.delay(delay),
        }
    }

    fn end(self, proxy: &Proxy) {
        match self {
            Self::Cut => proxy.mend(),
            Self::Stalled => proxy.speak_again(),
            Self::Delayed => proxy.delay(Duration::ZERO),
        }
    }
}
