//! What every client of librdkafka here has in common: settings, logs, and a quiet end.

use super::BusError;
use crate::config::KafkaSettings;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tracing::{debug, info, warn};

/// The least time between two lines of the log about the same kind of thing.
const QUIET: Duration = Duration::from_secs(30);

/// Set for every client. Brokers that come back are found within a second.
const COMMON: [(&str, &str); 8] = [
    ("client.id", "airline-booking"),
    ("reconnect.backoff.ms", "50"),
    ("reconnect.backoff.max.ms", "1000"),
    ("socket.connection.setup.timeout.ms", "5000"),
    ("socket.timeout.ms", "10000"),
    ("socket.keepalive.enable", "true"),
    ("socket.nagle.disable", "true"),
    // New topics and partitions are found within this time.
    ("topic.metadata.refresh.interval.ms", "10000"),
];

/// Makes clients of the same brokers.
pub(super) struct Clients {
    common: ClientConfig,
    pub(super) log: Log,
}

impl Clients {
    pub(super) fn new(settings: &KafkaSettings) -> Result<Self, BusError> {
        let protocol = &settings.security_protocol;
        if protocol != "plaintext" && !cfg!(feature = "kafka-tls") {
            return Err(BusError(format!(
                "KAFKA_SECURITY_PROTOCOL is {protocol}, and this program was built without \
                 the Cargo feature kafka-tls; build it with --features kafka-tls"
            )));
        }
        let mut common = ClientConfig::new();
        common.set("bootstrap.servers", &settings.brokers).set("security.protocol", protocol);
        if let Some((mechanism, username, password)) = &settings.sasl {
            common
                .set("sasl.mechanism", mechanism)
                .set("sasl.username", username)
                .set("sasl.password", password.expose());
        }
        match &settings.ca_location {
            Some(authorities) => _ = common.set("ssl.ca.location", authorities),
            // OpenSSL that is built in knows no system's folder; librdkafka looks where systems have it.
            None if protocol.ends_with("ssl") => _ = common.set("ssl.ca.location", "probe"),
            None => {}
        }
        if let Some(certificate) = &settings.certificate {
            common
                .set("ssl.certificate.location", &certificate.location)
                .set("ssl.key.location", &certificate.key_location);
            if let Some(password) = &certificate.key_password {
                common.set("ssl.key.password", password.expose());
            }
        }
        for (name, value) in COMMON {
            common.set(name, value);
        }
        common.set_log_level(RDKafkaLogLevel::Info);
        Ok(Self { common, log: Log::default() })
    }

    /// The common settings and some more.
    pub(super) fn config(&self, more: &[(&str, &str)]) -> ClientConfig {
        let mut config = self.common.clone();
        for (name, value) in more {
            config.set(*name, *value);
        }
        config
    }
}

impl From<KafkaError> for BusError {
    fn from(error: KafkaError) -> Self {
        match error {
            // The value may be a password.
            KafkaError::ClientConfig(_, description, name, _) => {
                Self(format!("{name}: {description}"))
            }
            error => Self(error.to_string()),
        }
    }
}

/// Brings librdkafka's lines to the log: one of each kind in a while, the others at debug.
///
/// During an outage every client says every second that it can't connect.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<HashMap<String, Instant>>>);

impl Log {
    /// Whether a line of this kind is due.
    pub(super) fn is_due(&self, kind: &str) -> bool {
        let mut said = self.0.lock();
        let is_due = said.get(kind).is_none_or(|last| last.elapsed() >= QUIET);
        if is_due {
            // The kinds are librdkafka's facilities and error codes: a bounded set.
            said.insert(kind.to_owned(), Instant::now());
        }
        is_due
    }
}

impl ClientContext for Log {
    fn log(&self, level: RDKafkaLogLevel, kind: &str, line: &str) {
        match level {
            RDKafkaLogLevel::Debug => debug!(kind, "librdkafka: {line}"),
            _ if !self.is_due(kind) => debug!(kind, "librdkafka: {line}"),
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => info!(kind, "librdkafka: {line}"),
            _ => warn!(kind, "librdkafka: {line}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if self.is_due(&error.to_string()) {
            warn!(%error, reason, "Kafka");
        } else {
            debug!(%error, reason, "Kafka");
        }
    }

    fn stats(&self, _: Statistics) {}
}

impl ConsumerContext for Log {}

/// Runs a call of librdkafka that blocks beside the runtime.
pub(super) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> KafkaResult<T> + Send + 'static,
) -> Result<T, BusError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(answer) => Ok(answer?),
        Err(error) => Err(BusError(error.to_string())),
    }
}

/// The end of each partition of a list, as it is now.
pub(super) fn ends<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    mut list: TopicPartitionList,
    within: Duration,
) -> KafkaResult<TopicPartitionList> {
    list.set_all_offsets(Offset::End)?;
    let ends = consumer.offsets_for_times(list, within)?;
    for element in ends.elements() {
        element.error()?;
        if !matches!(element.offset(), Offset::Offset(_)) {
            return Err(KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset));
        }
    }
    Ok(ends)
}

/// Whether a partition ends before what comes next in it: then its topic is another one than that in which
/// it was read so far.
pub(super) fn ends_before<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    topic: &str,
    next: &[(i32, i64)],
    within: Duration,
) -> KafkaResult<bool> {
    if next.is_empty() {
        return Ok(false);
    }
    let mut list = TopicPartitionList::with_capacity(next.len());
    for (partition, _) in next {
        list.add_partition(topic, *partition);
    }
    let ends = ends(consumer, list, within)?;
    Ok(next.iter().any(|(partition, next)| {
        let end = ends.find_partition(topic, *partition).map(|element| element.offset());
        matches!(end, Some(Offset::Offset(end)) if end < *next)
    }))
}

/// A client that ends beside the runtime: leaving a group or stopping threads takes its time.
pub(super) struct DropInBackground<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> From<T> for DropInBackground<T> {
    fn from(client: T) -> Self {
        Self(Some(client))
    }
}

impl<T: Send + 'static> Deref for DropInBackground<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is taken at its end only")
    }
}

impl<T: Send + 'static> Drop for DropInBackground<T> {
    fn drop(&mut self) {
        let client = self.0.take();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn_blocking(move || drop(client));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn settings(variables: &[(&str, &str)]) -> KafkaSettings {
        let config = Config::from_env(|name| {
            let known = variables.iter().find(|(known, _)| *known == name);
            let brokers = (name == "KAFKA_BROKERS").then_some("127.0.0.1:1");
            known.map(|(_, value)| *value).or(brokers).map(str::to_owned)
        });
        config.expect("sound settings").kafka.expect("Kafka")
    }

    #[test]
    #[cfg(not(feature = "kafka-tls"))]
    fn a_protocol_that_this_program_lacks_is_refused_with_the_features_name() {
        for protocol in ["ssl", "sasl_plaintext", "sasl_ssl"] {
            let settings = settings(&[("KAFKA_SECURITY_PROTOCOL", protocol)]);
            let error = Clients::new(&settings).err().expect("refused").to_string();
            assert!(error.contains("--features kafka-tls"), "{error}");
        }
        assert!(Clients::new(&settings(&[])).is_ok());
    }

    #[test]
    #[cfg(feature = "kafka-tls")]
    fn a_secured_protocol_reaches_the_client() {
        let settings = settings(&[
            ("KAFKA_SECURITY_PROTOCOL", "sasl_ssl"),
            ("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"),
            ("KAFKA_SASL_USERNAME", "booking"),
            ("KAFKA_SASL_PASSWORD", "hush"),
        ]);
        let config = Clients::new(&settings).expect("sound").config(&[]);
        let native = config.create_native_config().expect("known to librdkafka");
        let value = |name| native.get(name).expect("set");
        assert!(value("security.protocol").starts_with("sasl_ssl"));
        assert!(value("sasl.mechanism").starts_with("SCRAM-SHA-512"));
        assert!(value("sasl.username").starts_with("booking"));
        assert!(value("ssl.ca.location").starts_with("probe"));
    }

    #[test]
    fn one_line_of_a_kind_is_said_in_a_while() {
        let log = Log::default();
        let due: Vec<_> = (0..3).map(|_| log.is_due("FAIL")).collect();
        assert_eq!(due, [true, false, false]);
        assert!(log.is_due("ERROR"));
    }

    #[test]
    fn an_error_about_a_setting_does_not_show_its_value() {
        let mut config = ClientConfig::new();
        config.set("acks", "hush").set("sasl.password", "hush");
        let error = BusError::from(config.create_native_config().err().expect("refused"));
        assert!(error.to_string().contains("acks"), "{error}");
    }
}
