//! What all clients of librdkafka share: settings, logs, and a bounded end.

use super::BusError;
use crate::config::KafkaSettings;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tracing::{debug, info, warn};

/// Minimum time between two log lines of the same kind; further ones are logged at debug.
const QUIET: Duration = Duration::from_secs(30);

/// The settings of every client. Brokers that return are found within a second.
const COMMON: [(&str, &str); 8] = [
    ("client.id", "airline-booking"),
    ("reconnect.backoff.ms", "50"),
    ("reconnect.backoff.max.ms", "1000"),
    ("socket.connection.setup.timeout.ms", "5000"),
    ("socket.timeout.ms", "10000"),
    ("socket.keepalive.enable", "true"),
    ("socket.nagle.disable", "true"),
    // How soon new topics and partitions are found.
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
            // The bundled OpenSSL knows no system folder; `probe` makes librdkafka look in the usual ones.
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
            // Leaves out the value, which may be a password.
            KafkaError::ClientConfig(_, description, name, _) => {
                Self(format!("{name}: {description}"))
            }
            error => Self(error.to_string()),
        }
    }
}

/// Logs librdkafka's lines: one of each kind per [`QUIET`], the others at debug.
///
/// During an outage every client reports every second that it cannot connect.
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
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            // Not an error: a reader of the log asks to be told.
            return;
        }
        if self.is_due(&error.to_string()) {
            warn!(%error, reason, "Kafka client error");
        } else {
            debug!(%error, reason, "Kafka client error");
        }
    }

    fn stats(&self, _: Statistics) {}
}

impl ConsumerContext for Log {}

/// Runs a blocking call of librdkafka on a thread for blocking work.
pub(super) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> KafkaResult<T> + Send + 'static,
) -> Result<T, BusError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(answer) => Ok(answer?),
        Err(error) => Err(BusError(error.to_string())),
    }
}

/// How long the end of the runtime waits for a client to end. Leaving a group takes milliseconds while its
/// coordinator answers.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// A client that ends on a thread of its own: to leave a group and to stop its threads takes time.
///
/// librdkafka gives no bound for that while brokers are down. So the end of the runtime, and with it of the
/// process, waits at most [`END_TIMEOUT`]; Kafka removes a member that could not leave after its session timeout.
pub(super) struct DropInBackground<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> From<T> for DropInBackground<T> {
    fn from(client: T) -> Self {
        Self(Some(client))
    }
}

impl<T: Send + 'static> Deref for DropInBackground<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("only a drop takes it")
    }
}

impl<T: Send + 'static> Drop for DropInBackground<T> {
    fn drop(&mut self) {
        let client = self.0.take();
        let (ended, end) = mpsc::channel::<()>();
        let ending = thread::Builder::new().name("kafka-end".to_owned()).spawn(move || {
            drop(client);
            drop(ended);
        });
        if let Err(error) = ending {
            warn!(%error, "a Kafka client ended on the caller's thread");
        }
        let wait = move || _ = end.recv_timeout(END_TIMEOUT);
        match Handle::try_current() {
            Ok(runtime) => _ = runtime.spawn_blocking(wait),
            Err(_) => wait(),
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

    /// A client whose brokers are down: it takes far too long to end.
    struct Stuck;

    impl Drop for Stuck {
        fn drop(&mut self) {
            thread::sleep(Duration::from_secs(60));
        }
    }

    #[test]
    fn a_client_that_does_not_end_delays_the_end_of_the_runtime_by_seconds_only() {
        let began = Instant::now();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async { drop(DropInBackground::from(Stuck)) });
        drop(runtime);
        assert!(began.elapsed() >= END_TIMEOUT, "a client that can end has time to");
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        drop(DropInBackground::from(Stuck));
        assert!(began.elapsed() < Duration::from_secs(50), "{:?}", began.elapsed());
    }

    #[test]
    fn lines_of_one_kind_are_logged_once_per_interval() {
        let log = Log::default();
        let due: Vec<_> = (0..3).map(|_| log.is_due("FAIL")).collect();
        assert_eq!(due, [true, false, false]);
        assert!(log.is_due("ERROR"));
    }

    #[test]
    fn an_error_about_a_setting_leaves_out_its_value() {
        let mut config = ClientConfig::new();
        config.set("acks", "hush").set("sasl.password", "hush");
        let error = BusError::from(config.create_native_config().err().expect("refused"));
        assert!(error.to_string().contains("acks"), "{error}");
    }
}
